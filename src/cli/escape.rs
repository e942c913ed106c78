//! `stockade escape-check`.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};

use stockade::Layer;
use stockade::error::{Error, Kind, Result, io_text};
use stockade::escape::{self, Event, Outcome, print};
use stockade::policy::{self, units};
use stockade::sandbox::Cancel as _;

use super::COULD_NOT;
use super::say;
use super::signals::Signals;

/// How the result is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One line for each attack.
    Table,
    /// For programs.
    Json,
    /// For CI.
    Junit,
}

/// Options of `stockade escape-check`.
#[derive(Debug, Args)]
pub struct EscapeCheck {
    /// A built-in policy, or a file (an argument with '/' or ending in .json).
    #[arg(short, long, value_name = "NAME|FILE.json", default_value = "native")]
    policy: String,

    /// Only these attacks, or sections: --only KY-01 FS.
    #[arg(long, value_name = "ID", num_args = 1..)]
    only: Vec<String>,

    /// Shows every attack, or those of --only, and tries none.
    #[arg(long)]
    list: bool,

    /// How the result is printed.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,

    /// Runs the boxes although this host cannot give that layer in full.
    #[arg(long, value_name = "LAYER", value_parser = super::run::parse_layer, num_args = 1..)]
    degrade: Vec<Layer>,

    /// Has another sandbox run the payload, for a comparison: a command before the payload's own.
    #[arg(long, value_name = "COMMAND", hide = true, value_delimiter = ' ', allow_hyphen_values = true)]
    through: Vec<String>,

    /// Gives up an attack that takes longer, with its control: it is inconclusive. A multiple of two minutes
    /// stands for a host that is as many times slower, where the attacks wait as much longer.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = units::parse_duration)]
    attack_time: u64,

    /// Attacks from boxes that are made ahead, as those of stockade batch: others wait and work beside them.
    #[arg(long, conflicts_with = "through")]
    warm: bool,

    /// A delegated cgroup (v2) that contains the one stockade runs in.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
}

impl EscapeCheck {
    /// Runs the battery; answers the exit status.
    pub fn execute(self) -> ExitCode {
        let done = if self.list { self.show().map(|()| true) } else { self.check() };
        match done {
            Ok(good) => ExitCode::from(u8::from(!good)),
            Err(error) => {
                say::error(&error);
                ExitCode::from(COULD_NOT)
            }
        }
    }

    fn show(&self) -> Result<()> {
        let attacks = escape::listed(&self.only)?;
        match self.format {
            Format::Table => say::text(&print::list(&attacks)),
            Format::Json => say::text(&format!("{:#}\n", print::list_json(&attacks))),
            Format::Junit => {
                return Err(Error::new(Kind::Usage, "a list of attacks is no result of tests")
                    .help("--format json has the list for programs; junit needs a check, without --list"));
            }
        }
        Ok(())
    }

    fn check(self) -> Result<bool> {
        if self.attack_time == 0 {
            return Err(Error::new(Kind::Usage, "without any time no attack comes to its end")
                .help("leave --attack-time out, or give it seconds, for example 10s"));
        }
        let policy = if policy::is_file_argument(&self.policy) {
            let (name, text) = super::policy::read(&self.policy)?;
            policy::parse(&name, &text)?;
            (name, Some(text))
        } else {
            policy::load_builtin(&self.policy)?;
            (self.policy.clone(), None)
        };
        let program = std::env::current_exe()
            .map_err(|e| Error::new(Kind::Host, format!("where is this program: {}", io_text(&e))))?;
        let options = escape::Options {
            policy,
            only: self.only,
            degrade: self.degrade.into_iter().collect::<BTreeSet<_>>(),
            cgroup: self.cgroup,
            through: self.through,
            warm: self.warm,
            program,
            patience: Duration::from_nanos(self.attack_time),
        };
        let signals = Signals::take()?;
        let mut progress = Progress { shown: false };
        let summary = escape::check(&options, signals.fd(), &mut |event| progress.tell(&event));
        progress.clear();
        let summary = summary?;
        match self.format {
            Format::Table => say::text(&print::table(&summary)),
            Format::Json => say::text(&format!("{:#}\n", print::json(&summary))),
            Format::Junit => say::text(&print::junit(&summary)),
        }
        if self.format != Format::Table {
            say::line(format_args!("stockade: {}", print::line(&summary)));
        }
        Ok(summary.is_good())
    }
}

/// What is under way, on a terminal.
struct Progress {
    shown: bool,
}

impl Progress {
    fn tell(&mut self, event: &Event<'_>) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        match event {
            Event::Begins(id, n, of) => {
                say::progress(format_args!("\r\x1b[K[{n}/{of}] {id}"));
                self.shown = true;
            }
            Event::Judged(one) if one.outcome == Outcome::Leaked => {
                say::line(format_args!("\r\x1b[K{} leaked: {}", one.id, one.saw.escape_default()));
            }
            Event::Judged(_) => {}
        }
    }

    fn clear(&mut self) {
        if self.shown {
            say::progress(format_args!("\r\x1b[K"));
        }
    }
}
