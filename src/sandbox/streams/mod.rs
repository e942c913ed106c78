//! The payload's three streams: always pipes inside, pumped by the supervisor.
//!
//! The payload never holds a descriptor of the caller, nothing is ever set
//! non-blocking on a descriptor of the caller, and a reader or writer that is
//! slow never delays a kill: whatever might block on the caller's side runs in a
//! thread of its own, started when the stream first moves. Memory is bounded
//! however much is written.

mod caller;
mod input;
mod output;
pub(crate) mod terminal;

use crate::error::no_matter;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::sys::eventfd::{EfdFlags, EventFd};

pub use input::Feed;
pub use output::Drain;

use crate::sys;

/// Bytes moved at a time. With the pipe's own capacity below, no more than
/// 64 KiB of standard input are ever read ahead.
const CHUNK: usize = 32 * 1024;

/// Capacity of the payload's standard input.
const STDIN_PIPE: usize = 32 * 1024;

/// Where the payload's standard input comes from.
#[derive(Debug, Default)]
pub enum Input {
    /// The caller's own standard input.
    Inherit,
    /// Nothing: end of file at once.
    #[default]
    Null,
    /// An open file, pipe or socket.
    File(OwnedFd),
    /// These bytes.
    Bytes(Vec<u8>),
}

/// Where an output stream of the payload goes.
#[derive(Debug, Default)]
pub enum Output {
    /// The caller's own stream of the same name.
    Inherit,
    /// Nowhere; it is counted and capped all the same.
    #[default]
    Null,
    /// An open file, pipe or socket.
    File(OwnedFd),
    /// Into memory, up to the limit.
    Capture,
}

/// The payload's ends of the pipes.
#[derive(Debug)]
pub struct Inside {
    /// Its standard input, to read.
    pub stdin: OwnedFd,
    /// Its standard output, to write.
    pub stdout: OwnedFd,
    /// Its standard error, to write.
    pub stderr: OwnedFd,
}

impl Inside {
    /// In the order of the descriptors.
    #[must_use]
    pub fn numbers(&self) -> [RawFd; 3] {
        [self.stdin.as_raw_fd(), self.stdout.as_raw_fd(), self.stderr.as_raw_fd()]
    }
}

/// The supervisor's side of the three streams.
#[derive(Debug)]
pub struct Streams {
    /// Feeds standard input.
    pub stdin: Feed,
    /// Drains standard output.
    pub stdout: Drain,
    /// Drains standard error.
    pub stderr: Drain,
    wake: Arc<EventFd>,
}

/// Where the streams of a payload go, or come from.
#[derive(Debug, Default)]
pub struct Ends {
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
}

/// Makes the pipes; nothing moves before [`Streams::connect`].
///
/// # Errors
/// No descriptors are left.
pub fn open(cap: u64, cut: bool) -> io::Result<(Streams, Inside)> {
    let wake = Arc::new(event()?);
    let (in_read, in_write) = sys::fd::pipe()?;
    let (out_read, out_write) = sys::fd::pipe()?;
    let (err_read, err_write) = sys::fd::pipe()?;
    // By `/dev/stdin` and the like, the payload may open its own ends once more, although its user is
    // not the one who made them; the caller's ends it may not.
    sys::fd::fchmod(in_read.as_raw_fd(), 0o444)?;
    sys::fd::fchmod(out_write.as_raw_fd(), 0o222)?;
    sys::fd::fchmod(err_write.as_raw_fd(), 0o222)?;
    nix::fcntl::fcntl(
        &in_write,
        nix::fcntl::FcntlArg::F_SETPIPE_SZ(i32::try_from(STDIN_PIPE).unwrap_or(i32::MAX)),
    )?;
    let streams = Streams {
        stdin: Feed::new(in_write, &wake)?,
        stdout: Drain::new(out_read, (cap, cut), &wake)?,
        stderr: Drain::new(err_read, (cap, cut), &wake)?,
        wake,
    };
    Ok((streams, Inside { stdin: in_read, stdout: out_write, stderr: err_write }))
}

impl Streams {
    /// To the caller's ends.
    ///
    /// # Errors
    /// Nothing can be known of a descriptor, or there are none left.
    pub fn connect(&mut self, ends: Ends) -> io::Result<()> {
        self.stdin.connect(ends.stdin)?;
        self.stdout.connect(ends.stdout, &io::stdout())?;
        self.stderr.connect(ends.stderr, &io::stderr())
    }

    /// Ready to be read when a pump thread has something to say.
    #[must_use]
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes note of it.
    pub fn clear_wake(&self) {
        no_matter(self.wake.read(), "an empty counter is as good as a cleared one");
    }

    /// Whether everything that was written has been handed on.
    #[must_use]
    pub fn drained(&self) -> bool {
        self.stdout.finished() && self.stderr.finished()
    }

    /// What went wrong on the caller's side of a stream, so that the payload's bytes are lost: a run
    /// that lost some must not pass for a good one.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let outputs = [("output", &self.stdout), ("error", &self.stderr)];
        let lost = outputs.into_iter().find_map(|(which, stream)| {
            Some(format!("cannot write the payload's standard {which}: {}", stream.failure()?))
        });
        let missed = || Some(format!("cannot read the payload's standard input: {}", self.stdin.failure()?));
        lost.or_else(missed)
    }

    /// Gives up on what the caller's side has not taken.
    pub fn abandon(&mut self) {
        self.stdout.abandon();
        self.stderr.abandon();
    }

    /// No more input is handed in: the box is over.
    pub fn stop_input(&mut self) {
        self.stdin.stop();
    }
}

/// A counter that wakes whoever waits for it.
fn event() -> io::Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)
}

/// Makes our own end of a pipe non-blocking; the payload's end is another open
/// file description and is not affected.
fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK))?;
    Ok(())
}

/// A descriptor of ours for one of the caller's, so that the caller may do with
/// its own what it likes.
fn copy_of(fd: BorrowedFd<'_>) -> io::Result<File> {
    Ok(File::from(sys::fd::dup_at_least(fd, 3)?))
}
