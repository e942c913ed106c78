//! One file a subcommand: only wiring and printing.

mod batch;
mod doctor;
mod escape;
mod files;
mod image;
mod policy;
mod run;
mod say;
mod signals;
mod wrong;

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use stockade::sys::signal;

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

    /// Runs many programs: jobs as JSON lines on standard input, reports on standard output.
    Batch(batch::Batch),

    /// Makes, moves, shows and keeps images.
    Image(Box<image::Image>),

    /// Tells what this host can give a box, and what to do about the rest.
    Doctor(doctor::Doctor),

    /// Looks at policies: lists, shows, checks, explains and compares them.
    Policy(policy::PolicyCommand),

    /// Attacks this host from inside boxes, and sees whether they hold.
    EscapeCheck(escape::EscapeCheck),
}

/// What a launch needs of the command line: describing the other subcommands takes longer than
/// describing and reading this one.
#[derive(Debug, Parser)]
#[command(name = "stockade")]
struct JustRun {
    #[command(subcommand)]
    command: RunCommand,
}

#[derive(Debug, Subcommand)]
enum RunCommand {
    /// As in [`Command`].
    Run(Box<run::Run>),
}

/// Parses. Whatever is not a run that is right is for the whole description to answer.
fn parse() -> Result<Command, clap::Error> {
    if std::env::args_os().nth(1).is_some_and(|word| word == "run")
        && let Ok(JustRun { command: RunCommand::Run(run) }) = JustRun::try_parse()
    {
        return Ok(Command::Run(run));
    }
    Arguments::try_parse().map(|arguments| arguments.command)
}

/// A run that was asked for with words that make none is told like one that was refused.
fn report_wrong_words(wrong: &clap::Error) {
    let mut words = std::env::args_os().skip(1);
    let described = JustRun::command();
    if wrong.use_stderr()
        && words.next().is_some_and(|word| word == "run")
        && let Some(run) = described.find_subcommand("run")
    {
        wrong::report(run, words, wrong);
    }
}

/// The command line, for the manual pages and the completions of shells, which the tests make.
#[allow(dead_code, reason = "only a test asks for it")]
pub fn command() -> clap::Command {
    <Arguments as clap::CommandFactory>::command()
}

/// Parses, runs, and turns everything into a status.
pub fn main() -> ExitCode {
    stockade::sys::process::grow_heap_in_large_steps();
    // The payload of the escape check is this program itself, started with a private argument.
    let mut words = std::env::args_os().skip(1);
    match words.next() {
        Some(word) if word == stockade::escape::ARGUMENT => {
            return ExitCode::from(stockade::escape::start(&words.collect::<Vec<_>>()));
        }
        // What an interrupted `image build` becomes.
        Some(word) if word == image::SWEEP => return image::sweep(words),
        _ => {}
    }
    // A caller may have it end whoever writes more than its `ulimit -f`: an error can be told.
    let ignored = signal::set_disposition(libc::SIGXFSZ, signal::Disposition::Ignore);
    stockade::error::no_matter(ignored, "it matters to callers with such a limit only");
    let command = match parse() {
        Ok(command) => command,
        Err(e) => {
            let status = if e.use_stderr() { COULD_NOT } else { 0 };
            // Printing fails only when nobody reads it.
            stockade::error::no_matter(e.print(), "nobody reads it");
            report_wrong_words(&e);
            return ExitCode::from(status);
        }
    };
    let status = match command {
        Command::Run(run) => run.execute(),
        Command::Batch(batch) => batch.execute(),
        Command::Image(image) => image.execute(),
        Command::Doctor(doctor) => doctor.execute(),
        Command::Policy(policy) => policy.execute(),
        Command::EscapeCheck(check) => check.execute(),
    };
    if say::lost_output() { ExitCode::from(COULD_NOT) } else { status }
}
