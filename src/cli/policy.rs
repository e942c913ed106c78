//! `stockade policy`: policies as data, looked at without running anything.

use std::path::Path;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use stockade::error::{Error, Kind, Result, io_text};
use stockade::policy::diff::Diff;
use stockade::policy::{self, Ceiling, Findings, Located, Policy};

use super::{COULD_NOT, say};

/// Status where there is something to say.
const FINDINGS: u8 = 1;

/// Options of `stockade policy`.
#[derive(Debug, Args)]
pub struct PolicyCommand {
    #[command(subcommand)]
    command: Command,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
enum Command {
    /// The policies that ship.
    List,

    /// A policy as it is written.
    Show {
        /// A built-in policy, or a file (an argument with '/' or ending in .json).
        #[arg(value_name = "NAME|FILE")]
        policy: String,

        /// With what it extends put in: a policy that stands on its own and means the same.
        #[arg(long)]
        resolved: bool,
    },

    /// Reads policies and ceilings, and tells everything that is wrong with them.
    Check {
        /// Built-in policies or files.
        #[arg(value_name = "NAME|FILE", required = true)]
        policies: Vec<String>,
    },

    /// Looks for what is dangerous, forgotten, redundant, unreachable or broader than it seems.
    #[command(long_about = LINT)]
    Lint {
        /// Built-in policies or files.
        #[arg(value_name = "NAME|FILE", required = true)]
        policies: Vec<String>,
    },

    /// What a policy lets a program see, write, call and use, and what stops the rest.
    Explain {
        /// A built-in policy, or a file; also a ceiling.
        #[arg(value_name = "NAME|FILE")]
        policy: String,

        /// For programs.
        #[arg(long)]
        json: bool,
    },

    /// What B allows that A does not, and the other way round.
    #[command(after_help = "Exit status: 0 no difference, 1 differences, 125 could not compare.")]
    Diff {
        /// A built-in policy, or a file.
        #[arg(value_name = "A")]
        first: String,

        /// Another one.
        #[arg(value_name = "B")]
        second: String,

        /// For programs.
        #[arg(long)]
        json: bool,
    },

    /// The JSON Schema (2020-12) of policies and ceilings.
    Schema,
}

const LINT: &str = "\
Looks for what is not wrong with a policy and still deserves a look: calls that are dangerous, and whose
comment does not name them (dangerous); one of several calls that do the same, without the others (synonym),
or restricted where they are not (uneven); rules and limits that decide nothing (redundant, unreachable);
values that are broader than those of the extended policy (broader); layers that may be missing (degrade);
ways around wx (wx); what a ceiling lets a job bind (rw, bind).

A comment answers a warning: name in it the call, the layer or the field, and say why.";

impl PolicyCommand {
    /// Does it; answers the exit status.
    pub fn execute(self) -> ExitCode {
        match self.command {
            Command::List => list(),
            Command::Show { policy, resolved } => status(show(&policy, resolved)),
            Command::Check { policies } => each(&policies, check),
            Command::Lint { policies } => each(&policies, lint),
            Command::Explain { policy, json } => status(explain(&policy, json)),
            Command::Diff { first, second, json } => status(diff(&first, &second, json)),
            Command::Schema => {
                say::text(&policy::schema::text());
                ExitCode::SUCCESS
            }
        }
    }
}

/// The status of what has no findings of its own.
fn status(done: Result<u8>) -> ExitCode {
    match done {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say::error(&error);
            ExitCode::from(COULD_NOT)
        }
    }
}

/// The text of a policy, and what findings call it.
pub fn read(spec: &str) -> Result<(String, Vec<u8>)> {
    if policy::is_file_argument(spec) {
        return match policy::read_file(Path::new(spec)) {
            Ok(text) => Ok((spec.to_owned(), text)),
            Err(e) => {
                let message = format!("cannot read the policy {spec}: {}", io_text(&e));
                Err(Error::new(Kind::Policy, message))
            }
        };
    }
    match policy::builtin_text(spec) {
        Some(text) => Ok((format!("{spec} (built in)"), text.as_bytes().to_vec())),
        None => Err(policy::unknown_builtin(spec).into()),
    }
}

/// A policy that can be run, with its text.
pub fn locate(spec: &str) -> Result<Located> {
    let (name, text) = read(spec)?;
    Ok(Located::parse(&name, &text)?)
}

/// A policy that can be run. One that ships was read ahead of time.
pub fn load(spec: &str) -> Result<Policy> {
    if policy::is_file_argument(spec) || policy::builtin_text(spec).is_none() {
        return Ok(locate(spec)?.into_policy());
    }
    Ok(policy::load_builtin(spec)?)
}

fn list() -> ExitCode {
    for name in policy::builtin_names() {
        let text = policy::builtin_text(name).unwrap_or_default();
        let comment: Option<String> = serde_json::from_str::<serde_json::Value>(text)
            .ok()
            .and_then(|v| v["comment"].as_str().map(str::to_owned));
        say::text(&format!("{name:<12} {}\n", comment.unwrap_or_default()));
    }
    ExitCode::SUCCESS
}

fn show(spec: &str, resolved: bool) -> Result<u8> {
    let (name, text) = read(spec)?;
    if !resolved {
        if text.len() > policy::MAX_BYTES {
            let message = format!("{name} has more than {} bytes, which is no policy", policy::MAX_BYTES);
            return Err(Error::new(Kind::Policy, message));
        }
        say::text(&String::from_utf8_lossy(&text));
        return Ok(0);
    }
    let resolved = match policy::check(&name, &text)? {
        Some(policy) => policy.to_json(),
        // It has no command. What extends nothing is resolved as it stands.
        None => {
            let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
            if value.get("extends").is_some() {
                load(spec)?;
            }
            say::text(&String::from_utf8_lossy(&text));
            return Ok(0);
        }
    };
    let value: serde_json::Value = serde_json::from_str(&resolved).unwrap_or_default();
    say::text(&format!("{value:#}\n"));
    Ok(0)
}

/// The worst of several: could not read, findings, nothing.
fn each(specs: &[String], look: fn(&str, &[u8]) -> Option<Findings>) -> ExitCode {
    let mut worst = 0;
    for spec in specs {
        match read(spec) {
            Err(error) => {
                say::error(&error);
                worst = COULD_NOT;
            }
            Ok((name, text)) => {
                if let Some(findings) = look(&name, &text) {
                    say::findings(&findings);
                    worst = worst.max(FINDINGS);
                }
            }
        }
    }
    ExitCode::from(worst)
}

fn check(name: &str, text: &[u8]) -> Option<Findings> {
    match policy::check(name, text) {
        Err(findings) => return Some(findings),
        Ok(Some(policy)) => {
            let kind = if policy::is_ceiling(text) { "a good ceiling" } else { "good" };
            say::text(&format!("{name}: {kind}, {}\n", policy.digest));
        }
        Ok(None) => say::text(&format!("{name}: good, but only to be extended: it has no command\n")),
    }
    None
}

fn lint(name: &str, text: &[u8]) -> Option<Findings> {
    match policy::lint::lint(name, text) {
        Err(findings) | Ok(Some(findings)) => Some(findings),
        Ok(None) => {
            say::text(&format!("{name}: nothing to say\n"));
            None
        }
    }
}

/// What a file may hold.
enum Either {
    Policy(Box<Policy>),
    Ceiling(Box<Ceiling>),
}

impl Either {
    /// Reads it once: it may be a pipe.
    fn load(spec: &str) -> Result<Self> {
        if !policy::is_file_argument(spec) {
            return Ok(Self::Policy(Box::new(load(spec)?)));
        }
        let (name, text) = read(spec)?;
        Ok(if policy::is_ceiling(&text) {
            Self::Ceiling(Box::new(Ceiling::parse(&name, &text)?))
        } else {
            Self::Policy(Box::new(Located::parse(&name, &text)?.into_policy()))
        })
    }

    /// The policy, or the most that the ceiling allows.
    fn policy(&self) -> &Policy {
        match self {
            Self::Policy(policy) => policy,
            Self::Ceiling(ceiling) => ceiling.policy(),
        }
    }
}

fn explain(spec: &str, json: bool) -> Result<u8> {
    use policy::explain;
    let told = match (&Either::load(spec)?, json) {
        (Either::Ceiling(ceiling), true) => format!("{:#}\n", explain::ceiling_json(ceiling)),
        (Either::Ceiling(ceiling), false) => explain::ceiling_text(ceiling),
        (Either::Policy(policy), true) => format!("{:#}\n", explain::json(policy)),
        (Either::Policy(policy), false) => explain::text(policy),
    };
    say::text(&told);
    Ok(0)
}

fn diff(first: &str, second: &str, json: bool) -> Result<u8> {
    let (first, second) = (Either::load(first)?, Either::load(second)?);
    let diff = Diff::new(first.policy(), second.policy());
    if json {
        say::text(&format!("{:#}\n", diff.json()));
    } else {
        say::text(&diff.text());
    }
    Ok(if diff.is_empty() { 0 } else { FINDINGS })
}
