//! One file a subcommand: only wiring and printing.

mod image;
mod run;
mod say;
mod signals;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Status of everything that could not be done (not clap's 2).
const COULD_NOT: u8 = 125;

const AFTER_HELP: &str = "\
Exit status of run: the program's own; 128+N when it died of signal N; 124 for every limit and violation;
125 when stockade itself could not run it; 126 and 127 when PROGRAM cannot be run or is not there;
128+N when stockade was stopped by signal N.";

/// Run one untrusted program in a single-use, immutable, minimal box.
#[derive(Debug, Parser)]
#[command(name = "stockade", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one program under every layer, and report what the kernel showed.
    Run(Box<run::Run>),

    /// Makes, moves, shows and keeps images.
    Image(Box<image::Image>),
}

/// Parses, runs, and turns everything into a status.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(e) => {
            let status = if e.use_stderr() { COULD_NOT } else { 0 };
            // Printing fails only when nobody reads it.
            stockade::error::no_matter(e.print(), "nobody reads it");
            return ExitCode::from(status);
        }
    };
    match arguments.command {
        Command::Run(run) => run.execute(),
        Command::Image(image) => image.execute(),
    }
}
