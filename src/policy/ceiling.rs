//! Ceilings: what a job's own policy may ask for at most.
//!
//! A ceiling is a policy with one more field. A job may ask for less in every
//! respect, and for more in none but those that `ceiling` names.
//!
//! Guarantees: exact for calls ([`super::compare`]); everything that asks for
//! more is found in one run, each with its place in the job's policy and in the
//! ceiling; what cannot be shown to be within the ceiling is not.
//!
//! Nothing here makes a system call: the caller says where a path really leads.

use std::path::{Path, PathBuf};

use super::compare::{Difference, Direction, differences};
use super::findings::{Collector, Finding, Findings};
use super::model::Policy;
use super::overrides::Overrides;
use super::read::{Free, RawCeiling};
use super::source::{Source, Span, Spanned, quote};
use super::{Checked, Located, Subject, check_document, names};
use crate::Layer;
use crate::sandbox::seccomp::Answer;

/// A ceiling that was read.
#[derive(Debug, Clone)]
pub struct Ceiling {
    name: String,
    policy: Located,
    more: RawCeiling,
}

/// What a request asks for besides its policy.
pub struct Asked<'a> {
    /// Limits, variables and layers of the command line.
    pub overrides: &'a Overrides,
    /// Files and directories of the host.
    pub binds: &'a [AskedBind],
    /// Where a path of the host really leads, all links followed. A path that
    /// leads nowhere is itself.
    pub real: &'a dyn Fn(&Path) -> PathBuf,
}

/// A file or directory of the host that is to be seen inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBind {
    /// The path on the host.
    pub host: PathBuf,
    /// How.
    pub way: Way,
}

/// How something of the host comes into a box.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is shown, and can be read.
    Read,
    /// It is shown, and can be written.
    Write,
    /// It is copied, which takes no more than reading it.
    Copy,
}

impl Ceiling {
    /// The ceiling in a text.
    ///
    /// # Errors
    /// Everything that is wrong with it, or that it is a plain policy.
    pub fn parse(display_name: &str, text: &[u8]) -> Result<Self, Findings> {
        let (mut collector, document) = super::resolve(display_name, text);
        let Some(document) = document else { return Err(super::refused(collector)) };
        let more = document.ceiling.good().cloned();
        if document.ceiling.is_absent() {
            let finding = Finding::at(document.open, "this is a policy, not a ceiling");
            collector.say(finding.help(
                "add `\"ceiling\": {}` to allow nothing beyond it, or name in it what a job may ask for besides",
            ));
        }
        match check_document(&document, &mut collector) {
            Some(Checked::Runnable(policy)) if collector.count() == 0 => {
                let policy = Located { policy: *policy, document, sources: collector.into_sources() };
                // Good, because there are no findings.
                let more = more.unwrap_or_default();
                return Ok(Self { name: display_name.to_owned(), policy, more });
            }
            Some(Checked::Partial) => {
                let finding =
                    Finding::at(document.open, "this ceiling has no `image`, `payload` and `command`");
                collector.say(finding.help("name a policy that can be run in `extends`, like `native`"));
            }
            _ => {}
        }
        Err(super::refused(collector))
    }

    /// The most that a job may ask for.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy.policy
    }

    /// What a job may ask for besides the policy, each list by its field.
    #[must_use]
    pub fn besides(&self) -> Vec<(&'static str, Vec<String>)> {
        let words = |list: &[Spanned<String>]| list.iter().map(|word| word.value.clone()).collect();
        let free = Free::ALL.iter().filter(|(_, free)| self.more.free.contains(free));
        vec![
            ("ro", words(&self.more.ro)),
            ("rw", words(&self.more.rw)),
            ("env", words(&self.more.env)),
            ("free", free.map(|(name, _)| (*name).to_owned()).collect()),
        ]
    }

    /// Whether a job stays below.
    ///
    /// # Errors
    /// Everything that it asks for beyond the ceiling; a [`crate::error::Kind::Usage`]
    /// error of an override is not judged here and must be seen to before.
    pub fn judge(&self, job: &Located, asked: &Asked<'_>) -> Result<(), Findings> {
        let in_force = job.policy.with_overrides(asked.overrides).unwrap_or_else(|_| job.policy.clone());
        let mut sources: Vec<Source> = job.sources.clone();
        let shift = u8::try_from(sources.len()).unwrap_or(u8::MAX);
        sources.extend(self.policy.sources.iter().cloned());
        let mut collector = Collector::of_sources(sources);
        for difference in self.differences(in_force) {
            if self.is_excess(&difference) {
                collector.say(self.excess(&difference, job, asked.overrides, shift));
            }
        }
        for bind in asked.binds {
            if let Some(finding) = self.bind(bind, asked.real) {
                collector.say(finding);
            }
        }
        match collector.finish() {
            None => Ok(()),
            Some(findings) => {
                let (count, plural) = (findings.count(), if findings.count() == 1 { "" } else { "s" });
                Err(findings
                    .headed(format!("{count} thing{plural} beyond the ceiling {}", quote(&self.name))))
            }
        }
    }

    /// The differences. What `exec` and `wx` do to calls is told once, of them.
    fn differences(&self, mut in_force: Policy) -> Vec<Difference> {
        let ceiling = &self.policy.policy;
        let is_call = |d: &Difference| matches!(d.subject, Subject::Call(_));
        let mut all: Vec<Difference> = differences(ceiling, &in_force);
        all.retain(|d| !is_call(d));
        (in_force.exec, in_force.wx) = (ceiling.exec, ceiling.wx);
        all.extend(differences(ceiling, &in_force).into_iter().filter(is_call));
        all
    }

    /// Whether a difference from the ceiling is one too many.
    fn is_excess(&self, d: &Difference) -> bool {
        let more = d.allows_more();
        match &d.subject {
            // Names of things inside, and which program of the image starts.
            Subject::Field("hostname" | "cwd" | "command" | "argv0") => false,
            Subject::Field("user.uid" | "user.gid") => !self.more.free.contains(&Free::User),
            // Whatever differs is another image.
            Subject::Field("image") => true,
            Subject::Field("on_violation" | "max_violations") => {
                more && !self.more.free.contains(&Free::Violations)
            }
            Subject::Variable(name) => (more || d.direction == Direction::Other) && !self.may_set(name),
            // A refused call that is no longer reported is one that nobody hears of.
            Subject::Call(_) => {
                let silent = d.cases.iter().any(|c| c.first == Answer::Notify);
                more || (silent && !self.more.free.contains(&Free::Violations))
            }
            Subject::Field(_) | Subject::Path(_) | Subject::Limit(_) | Subject::Degrade(_) => more,
        }
    }

    fn may_set(&self, name: &str) -> bool {
        self.more.env.iter().any(|pattern| match pattern.value.strip_suffix('*') {
            Some(beginning) => name.starts_with(beginning),
            None => name == pattern.value,
        })
    }

    /// One excess, where the job says it and where the ceiling does.
    fn excess(&self, d: &Difference, job: &Located, overrides: &Overrides, shift: u8) -> Finding {
        let option = asked_by_option(&d.subject, overrides);
        let what = match (&option, &d.subject) {
            (Some(option), _) => option.clone(),
            (None, subject) => subject.words(),
        };
        let message = format!("{what} goes beyond the ceiling");
        let place = if option.is_some() { None } else { job.place(&d.subject) };
        let finding = match place {
            Some(span) => Finding::at(span, message),
            None => Finding::nowhere(message),
        };
        let finding = match self.policy.place(&d.subject) {
            Some(span) => finding.note(span.shifted(shift), "the ceiling says it here"),
            None => finding,
        };
        finding.help(self.excess_help(d))
    }

    fn excess_help(&self, d: &Difference) -> String {
        let asked = format!("asked for: {}; at most: {}", d.second, d.first);
        if d.unknown {
            return format!("{asked}; the two have too many cases to compare: say it as the ceiling does");
        }
        let worst = d.cases.iter().find(|c| c.second == Answer::Allow);
        match (worst.or(d.cases.iter().find(|c| c.first == Answer::Notify)), &d.subject) {
            (Some(case), Subject::Call(nr)) if !names::arguments(*nr).is_empty() => {
                format!("{asked}; for example {}", names::describe_call(*nr, &case.example.args))
            }
            _ => asked,
        }
    }

    /// Whether a bind lies where the ceiling allows one.
    fn bind(&self, bind: &AskedBind, real: &dyn Fn(&Path) -> PathBuf) -> Option<Finding> {
        let host = real(&bind.host);
        let below =
            |list: &[Spanned<String>]| list.iter().any(|p| host.starts_with(real(Path::new(&p.value))));
        if below(&self.more.rw) || (bind.way != Way::Write && below(&self.more.ro)) {
            return None;
        }
        let (option, field, list) = match bind.way {
            Way::Read => ("--ro", "ro", &self.more.ro),
            Way::Write => ("--rw", "rw", &self.more.rw),
            Way::Copy => ("--work", "ro", &self.more.ro),
        };
        let leads =
            if host == bind.host { String::new() } else { format!(" (it leads to {})", host.display()) };
        let message =
            format!("{option} {}{leads} goes beyond the ceiling", quote(&bind.host.to_string_lossy()));
        let allowed: Vec<&str> = list.iter().map(|p| p.value.as_str()).collect();
        Some(Finding::nowhere(message).help(if allowed.is_empty() {
            format!("the ceiling allows no {option}: its `ceiling` has no `{field}`")
        } else {
            format!("the ceiling allows {option} for {} and what is below", super::suggest::list(&allowed))
        }))
    }

    /// Host directories that a job may write.
    pub(super) fn writable(&self) -> &[Spanned<String>] {
        &self.more.rw
    }

    /// Host files and directories that a job may read.
    pub(super) fn readable(&self) -> &[Spanned<String>] {
        &self.more.ro
    }

    /// The policy with its text.
    pub(super) fn located(&self) -> &Located {
        &self.policy
    }
}

/// The option that asks for it, if one does.
fn asked_by_option(subject: &Subject, o: &Overrides) -> Option<String> {
    let given = match subject {
        Subject::Limit("cpu_time") => o.cpu_ns.is_some(),
        Subject::Limit("wall_time") => o.wall_ns.is_some(),
        Subject::Limit("memory") => o.memory.is_some(),
        Subject::Limit("processes") => o.processes.is_some(),
        Subject::Limit("open_files") => o.open_files.is_some(),
        Subject::Limit("file_size") => o.file_size.is_some(),
        Subject::Limit("output") => o.output.is_some(),
        Subject::Limit("on_output") => o.on_output.is_some(),
        Subject::Limit("stack") => o.stack.is_some(),
        Subject::Path(path) => path == "/tmp" && o.tmp.is_some(),
        Subject::Variable(name) => o.env.iter().any(|e| e.0 == *name),
        Subject::Degrade(layer) => o.degrade.contains(layer),
        _ => false,
    };
    given.then(|| match subject {
        Subject::Limit(name) => format!("--{}", name.replace('_', "-")),
        Subject::Path(_) => "--tmp".to_owned(),
        Subject::Variable(name) => format!("--env {}", quote(name)),
        Subject::Degrade(layer) => format!("--degrade {}", layer_name(*layer)),
        other => other.words(),
    })
}

fn layer_name(layer: Layer) -> &'static str {
    layer.name()
}

impl Subject {
    /// What it is called in a finding.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Subject::Field(name) => format!("`{name}`"),
            Subject::Path(path) => format!("the path {}", quote(path)),
            Subject::Call(nr) => format!("`{}`", names::shown(*nr)),
            Subject::Limit(name) => format!("`{name}` of `limits`"),
            Subject::Variable(name) => format!("the variable {}", quote(name)),
            Subject::Degrade(layer) => format!("`{layer}` in `degrade`"),
        }
    }
}

impl Span {
    /// The same place when the texts stand behind `by` others.
    fn shifted(mut self, by: u8) -> Self {
        self.source = self.source.saturating_add(by);
        self
    }
}
