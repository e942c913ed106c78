//! The processes that make boxes and watch the jobs in them: one for each slot, of
//! a single thread, and small (see [`stockade::sandbox::Solo`]).
//!
//! What goes over the socket: to the worker, a line's number, its length and itself;
//! back, whether it stands for a job that was run, the answer's length and itself.

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::net::UnixStream;

use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use serde::Serialize;

use stockade::batch::{Id, Job};
use stockade::error::{Error, Kind, Result, errno_text, io_text, no_matter};
use stockade::report::Report;
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Solo, refusal_report};
use stockade::sys::process::{self, Forked};

use super::jobs::{Defaults, Policies};
use super::stop::Stop;

/// A line's answer, as it is written.
#[derive(Debug)]
pub struct Answer {
    /// Whether it was a job, and was run.
    pub ran: bool,
    /// The line.
    pub text: Vec<u8>,
}

/// The other side of a slot.
#[derive(Debug)]
pub struct Worker {
    pid: i32,
    socket: UnixStream,
}

impl Worker {
    /// Starts one. Called before this process has any other thread; `before` are those that are there.
    ///
    /// # Errors
    /// There can be no process.
    pub fn start(defaults: &Defaults, stop: &Stop, cpu: Option<usize>, before: &mut Vec<Self>) -> Result<()> {
        let failed = |e: io::Error| Error::new(Kind::Host, format!("a slot's process: {}", io_text(&e)));
        let (here, there) = UnixStream::pair().map_err(failed)?;
        match process::fork() {
            Ok(Forked::Parent(pid)) => {
                before.push(Self { pid, socket: here });
                Ok(())
            }
            Ok(Forked::Child) => {
                // Each hears of its end by the end of its own socket.
                drop(here);
                before.clear();
                process::exit_now(i32::from(serve_apart(there, defaults, stop, cpu).is_err()))
            }
            Err(e) => {
                Err(Error::new(Kind::Host, format!("a slot's process: fork: {}", errno_text(e as i32))))
            }
        }
    }

    /// What comes of a line.
    ///
    /// # Errors
    /// The process has died.
    pub fn ask(&mut self, number: u64, line: &[u8]) -> Result<Answer> {
        exchange(&mut self.socket, number, line).map_err(|e| {
            Error::new(Kind::Sandbox, format!("the process of a slot has died: {}", io_text(&e)))
                .help("see the kernel's log for who has killed it; its boxes are gone with it")
        })
    }

    /// Waits for its end, which comes when nobody asks it any more.
    pub fn end(self) {
        drop(self.socket);
        no_matter(process::wait_pid(self.pid, true), "it has died, and that was told");
    }
}

fn exchange(socket: &mut UnixStream, number: u64, line: &[u8]) -> io::Result<Answer> {
    send(socket, number, line)?;
    let (ran, text) = receive(socket)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(Answer { ran: ran != 0, text })
}

fn send(socket: &mut UnixStream, number: u64, bytes: &[u8]) -> io::Result<()> {
    let mut message = Vec::with_capacity(16 + bytes.len());
    message.extend(number.to_ne_bytes());
    message.extend((bytes.len() as u64).to_ne_bytes());
    message.extend(bytes);
    socket.write_all(&message)
}

/// `None`: the other side has ended.
fn receive(socket: &mut UnixStream) -> io::Result<Option<(u64, Vec<u8>)>> {
    let (mut number, mut length) = ([0; 8], [0; 8]);
    match socket.read_exact(&mut number) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    socket.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    let length = u64::from_ne_bytes(length);
    socket.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((u64::from_ne_bytes(number), bytes)))
}

/// In a thread that shares an empty network with its boxes, while the process as such stays in the
/// host's: they are attested not to be in that.
///
/// And in a session of its own. The kernel shares a CPU among sessions before it does among their
/// processes (`sched(7)`, autogroup): whatever else is busy in the caller's does not keep the one
/// waiting that enforces limits. What a terminal or a group is told, the batch hears, and says.
fn serve_apart(socket: UnixStream, defaults: &Defaults, stop: &Stop, cpu: Option<usize>) -> io::Result<()> {
    process::die_with_parent()?;
    process::setsid()?;
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("stockade-slot".to_owned());
        let serving = thread.spawn_scoped(scope, || serve(socket, defaults, stop, cpu))?;
        serving.join().unwrap_or_else(|_| Err(io::Error::other("the slot's thread panicked")))
    })
}

/// The worker's side, until there are no more lines.
fn serve(mut socket: UnixStream, defaults: &Defaults, stop: &Stop, cpu: Option<usize>) -> io::Result<()> {
    // What a signal wants, the batch hears, and says.
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&SigSet::all()), None)?;
    // The batch's own lines are not for its boxes.
    let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for stdio in [0, 1] {
        stockade::sys::fd::dup_onto(null.as_raw_fd(), stdio)?;
    }
    let (solo, policies) = (Solo::new(), Policies::default());
    let run = |job| solo.run_with(defaults.request(job, &policies, cpu)?, stop).map(|outcome| outcome.report);
    while let Some((number, line)) = receive(&mut socket)? {
        let words = match Job::parse(&line, number) {
            Ok(job) => {
                let id = job.id.clone();
                Words::ended(number, id, run(job).unwrap_or_else(|error| refusal_report(&error)))
            }
            Err(error) => Words::no_job(number, Job::id_of(&line), &error),
        };
        send(&mut socket, u64::from(words.ran()), &words.line()?)?;
        solo.make_ahead(socket.as_fd());
    }
    Ok(())
}

/// What comes back for a line.
#[derive(Debug, Serialize)]
struct Words {
    /// Which line it was, counted from one.
    line: u64,
    /// What the job is called.
    id: Option<Id>,
    /// Why the line is no job.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// With which status `stockade run` would have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_status: Option<u8>,
    /// What came of the job.
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<Report>,
}

impl Words {
    fn no_job(line: u64, id: Option<Id>, error: &Error) -> Self {
        let (message, help) = (error.message().to_owned(), error.help_text().map(str::to_owned));
        Self { line, id, error: Some(message), help, exit_status: None, report: None }
    }

    fn ended(line: u64, id: Option<Id>, report: Report) -> Self {
        let exit_status = Some(report.exit_status);
        Self { line, id, error: None, help: None, exit_status, report: Some(report) }
    }

    /// Whether it was a job, and was run.
    fn ran(&self) -> bool {
        self.report.as_ref().is_some_and(|report| {
            report.verdict < Verdict::SetupFailed || report.verdict == Verdict::Cancelled
        })
    }

    fn line(&self) -> serde_json::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// The answer for a line whose worker has died.
pub fn lost(line: u64, text: &[u8], error: &Error) -> Answer {
    let words = Words::ended(line, Job::id_of(text), refusal_report(error));
    Answer { ran: false, text: words.line().unwrap_or_default() }
}
