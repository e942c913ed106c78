//! `stockade batch`.

mod jobs;
mod lines;
mod slots;
mod stop;
mod worker;

use std::io::IsTerminal as _;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use nix::poll::{PollFd, PollFlags, PollTimeout};

use stockade::Layer;
use stockade::error::{Error, Kind, Result, io_text, no_matter};
use stockade::sandbox::{Cancel as _, StoreChoice, cgroup};

use self::jobs::Defaults;
use self::slots::Desk;
use self::stop::Stop;
use self::worker::Worker;
use super::COULD_NOT;
use super::run::parse_layer;
use super::say;
use super::signals::Signals;

/// Most jobs at one time.
const MOST_SLOTS: usize = 1024;

/// How often a terminal is told how far things are.
const PROGRESS_MS: u16 = 200;

/// Options of `stockade batch`.
#[derive(Debug, Args)]
pub struct Batch {
    /// Jobs at one time [default: as many as there are CPUs].
    #[arg(long, value_name = "N", value_parser = parse_slots)]
    slots: Option<usize>,

    /// Reports come in the order of the jobs, not as they finish.
    #[arg(long)]
    in_order: bool,

    /// Each slot's programs keep to a CPU of its own, on different cores as far as there are any.
    #[arg(long)]
    pin: bool,

    /// The policy of jobs that name none: a built-in one, or a file (with '/' or ending in .json)
    /// [default: the image's own, else native].
    #[arg(short, long, value_name = "NAME|FILE.json")]
    policy: Option<String>,

    /// Runs although this host cannot give that layer in full; the reports say so.
    #[arg(long, value_name = "LAYER", value_parser = parse_layer)]
    degrade: Vec<Layer>,

    /// A delegated cgroup (v2) that contains the one stockade runs in.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,

    /// Where root file systems are kept [default: $STOCKADE_STORE, or stockade's place among the user's data].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// No line that tells how far things are, not even on a terminal.
    #[arg(short, long)]
    quiet: bool,
}

fn parse_slots(text: &str) -> std::result::Result<usize, String> {
    let wrong = || format!("'{text}' is not a whole number from 1 to {MOST_SLOTS}");
    text.parse().ok().filter(|n| (1..=MOST_SLOTS).contains(n)).ok_or_else(wrong)
}

impl Batch {
    /// Runs all jobs; answers the exit status.
    pub fn execute(self) -> ExitCode {
        match self.run() {
            Ok(status) => ExitCode::from(status),
            Err(error) => {
                say::error(&error);
                ExitCode::from(error.kind().exit_code())
            }
        }
    }

    fn run(self) -> Result<u8> {
        let host = |e: std::io::Error| Error::new(Kind::Host, io_text(&e));
        let no_thread =
            |e: std::io::Error| Error::new(Kind::Host, format!("cannot start a thread: {}", io_text(&e)));
        let signals = Signals::take()?;
        raise_descriptors();
        let cpus = slots::cpus_by_core();
        let slots = self.slots.unwrap_or(cpus.len()).max(1);
        let defaults = Defaults {
            policy: self.policy,
            degrade: self.degrade,
            cgroup: self.cgroup,
            store: self.store.map_or(StoreChoice::Default, StoreChoice::At),
        };
        // Told now, and not for each job.
        defaults.check()?;
        // Held, it stays found for the workers, which are not alone in their cgroup.
        let place = cgroup::find(defaults.cgroup.as_deref());
        let stop = Stop::new().map_err(host)?;
        let mut workers = Vec::new();
        for slot in 0..slots {
            let cpu = cpus.get(slot % cpus.len().max(1)).copied().filter(|_| self.pin);
            Worker::start(&defaults, &stop, cpu, &mut workers)?;
        }
        let desk = Arc::new(Desk::new(stop, self.in_order, slots).map_err(host)?);
        let mut threads = Vec::new();
        for (slot, worker) in workers.into_iter().enumerate() {
            let desk = Arc::clone(&desk);
            let name = format!("stockade-slot-{slot}");
            let thread = std::thread::Builder::new().name(name).spawn(move || desk.work(worker));
            threads.push(thread.map_err(no_thread)?);
        }
        let reader = {
            let desk = Arc::clone(&desk);
            std::thread::Builder::new().name("stockade-lines".to_owned()).spawn(move || desk.read_lines())
        };
        let reader = reader.map_err(no_thread)?;
        let progress = !self.quiet && std::io::stderr().is_terminal();
        watch(&desk, &signals, progress);
        no_matter(reader.join(), "what it has read is done");
        for thread in threads {
            no_matter(thread.join(), "its job is counted as unfinished");
        }
        drop(place);
        if progress {
            say::progress(format_args!("\r\x1b[K"));
        }
        Ok(status(&desk))
    }
}

/// Until all is done: signals, and a line for a terminal.
fn watch(desk: &Desk, signals: &Signals, progress: bool) {
    let timeout = if progress { PollTimeout::from(PROGRESS_MS) } else { PollTimeout::NONE };
    loop {
        let read = PollFlags::POLLIN;
        let mut fds = [PollFd::new(signals.fd(), read), PollFd::new(desk.done.as_fd(), read)];
        no_matter(nix::poll::poll(&mut fds, timeout), "interrupted, it looks again");
        if fds[0].any() == Some(true) {
            desk.stop.because(signals.signal().unwrap_or(libc::SIGTERM));
        }
        if fds[1].any() == Some(true) {
            return;
        }
        if progress {
            say::progress(format_args!("\r\x1b[K{}", desk.progress()));
        }
    }
}

/// 0: every line was a job that was run, whatever came of it. 1: one was not.
fn status(desk: &Desk) -> u8 {
    if let Some(error) = desk.failure() {
        say::error(&error);
        return COULD_NOT;
    }
    match desk.stop.signal() {
        Some(signal) => u8::try_from(128 + signal).unwrap_or(COULD_NOT),
        None => u8::from(desk.refused()),
    }
}

/// A box that waits takes some thirty descriptors.
fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        no_matter(setrlimit(Resource::RLIMIT_NOFILE, hard, hard), "a box that finds none says so");
    }
}
