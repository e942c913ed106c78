//! `stockade doctor`: what this host can give a box, and what to do about the rest.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use stockade::doctor::{self, Payload, Status};

use super::{COULD_NOT, say};

/// Options of `stockade doctor`.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct Doctor {
    /// For programs.
    #[arg(long)]
    json: bool,
}

const AFTER_HELP: &str = "\
PASS as it should be; NOTE worth knowing, weakens nothing; DEGRADED a run needs --degrade; FAIL no box can be had.
Exit status: 0 a run under native gets every layer in full, 1 there are findings, 125 nothing could be tried.";

impl Doctor {
    /// Looks, tells; answers the exit status.
    pub fn execute(self) -> ExitCode {
        if let Some(error) = doctor::cannot_try() {
            say::error(&error);
            return ExitCode::from(COULD_NOT);
        }
        // The run is of this program itself: it is there, and it needs what a payload needs.
        let payload = Payload {
            program: PathBuf::from("/proc/self/exe"),
            args: vec!["--version".into()],
            prints: format!("stockade {}\n", env!("CARGO_PKG_VERSION")).into_bytes(),
        };
        let found = doctor::examine(&payload);
        if self.json {
            say::text(&format!("{:#}\n", found.json()));
        } else {
            say::text(&found.text(&paint));
        }
        ExitCode::from(u8::from(!found.is_good()))
    }
}

fn paint(status: Status) -> String {
    let colour = match status {
        Status::Pass => "32",
        Status::Note => "36",
        Status::Degraded => "33",
        Status::Fail => "31",
    };
    say::on_stdout(status.word(), colour)
}
