//! Standard input: from where the caller says to the payload's pipe.

use crate::error::{errno_text, no_matter};
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::EventFd;

use super::caller::{self, Caller};
use super::{CHUNK, Input, STDIN_PIPE, copy_of, set_nonblocking};
use crate::sys::Errno;

/// Linux's device number of `/dev/null`.
const DEV_NULL: u64 = nix::libc::makedev(1, 3);

/// How often a terminal is asked that is somebody else's for the time being.
const BACKGROUND_MS: u8 = 200;

/// What is still to be handed in.
#[derive(Debug)]
enum Source {
    /// From memory, from here on.
    Bytes(Vec<u8>, usize),
    /// Reading may take its time: only ever done by a thread of its own.
    Caller(Caller),
}

/// What the pump and the supervisor share.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    /// The caller's side could not be read; 0 while it can.
    errno: AtomicI32,
}

/// Standard input.
#[derive(Debug)]
pub struct Feed {
    to: Option<File>,
    source: Option<Source>,
    stop: Arc<EventFd>,
    shared: Arc<Shared>,
    wake: Arc<EventFd>,
}

impl Feed {
    pub(super) fn new(to: OwnedFd, wake: &Arc<EventFd>) -> io::Result<Self> {
        set_nonblocking(to.as_fd())?;
        Ok(Self {
            to: Some(File::from(to)),
            source: None,
            stop: Arc::new(super::event()?),
            shared: Arc::default(),
            wake: Arc::clone(wake),
        })
    }

    pub(super) fn connect(&mut self, input: Input) -> io::Result<()> {
        match input {
            Input::Null => self.to = None,
            Input::Bytes(bytes) => self.start_with(bytes),
            Input::Inherit => self.open_file(copy_of(io::stdin().as_fd())?)?,
            Input::File(file) => self.open_file(File::from(file))?,
        }
        Ok(())
    }

    /// A small file goes into the pipe at once, with no thread at all.
    fn open_file(&mut self, mut file: File) -> io::Result<()> {
        let meta = file.metadata()?;
        if meta.rdev() == DEV_NULL {
            self.to = None;
            return Ok(());
        }
        if meta.is_file() && meta.len() < STDIN_PIPE as u64 {
            let mut bytes = Vec::new();
            if let Err(e) = Read::take(&mut file, STDIN_PIPE as u64).read_to_end(&mut bytes) {
                self.shared.unreadable(&e);
                self.to = None;
                return Ok(());
            }
            if bytes.len() < STDIN_PIPE {
                self.start_with(bytes);
                return Ok(());
            }
            // It is growing: what was read fits into the empty pipe, the rest follows.
            if let Some(to) = &mut self.to {
                to.write_all(&bytes)?;
                self.shared.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        }
        self.source = Some(Source::Caller(Caller::new(file)?));
        Ok(())
    }

    fn start_with(&mut self, bytes: Vec<u8>) {
        self.source = Some(Source::Bytes(bytes, 0));
        self.write_bytes();
    }

    /// What the supervisor's loop waits for, until a thread has taken over.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match (&self.source, &self.to) {
            (Some(Source::Bytes(..)), Some(to)) => Some((to.as_fd(), PollFlags::POLLOUT)),
            (Some(Source::Caller(caller)), Some(_)) => Some((caller.fd(), PollFlags::POLLIN)),
            _ => None,
        }
    }

    /// Something can be moved: moves it, or starts the thread that does.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn ready(&mut self) -> io::Result<()> {
        match self.source.take() {
            Some(Source::Bytes(bytes, at)) => {
                self.source = Some(Source::Bytes(bytes, at));
                self.write_bytes();
                Ok(())
            }
            Some(Source::Caller(caller)) => self.start_thread(caller),
            None => Ok(()),
        }
    }

    fn write_bytes(&mut self) {
        let (Some(Source::Bytes(bytes, at)), Some(to)) = (&mut self.source, &mut self.to) else { return };
        while *at < bytes.len() {
            match to.write(&bytes[*at..]) {
                Ok(n) => {
                    *at += n;
                    self.shared.bytes.fetch_add(n as u64, Ordering::Relaxed);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                // The payload has closed its end: as bare, nobody minds.
                Err(_) => break,
            }
        }
        (self.source, self.to) = (None, None);
    }

    fn start_thread(&mut self, mut from: Caller) -> io::Result<()> {
        let Some(mut to) = self.to.take() else { return Ok(()) };
        let stop = Arc::clone(&self.stop);
        let shared = Arc::clone(&self.shared);
        let wake = Arc::clone(&self.wake);
        std::thread::Builder::new()
            .name("stockade-input".to_owned())
            .spawn(move || {
                caller::no_signals_here();
                if let Err(e) = pump(&mut from, &mut to, &stop, &shared) {
                    shared.unreadable(&e);
                }
                drop(to);
                no_matter(wake.write(1), "a counter that is full is as good as set");
            })
            .map(drop)
    }

    /// Bytes handed in so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Why the payload has seen the end of its input before it was there.
    pub(super) fn failure(&self) -> Option<String> {
        self.error().filter(|errno| !never_readable(*errno)).map(errno_text)
    }

    /// Why there never was any input: what the caller has handed over cannot be read at all.
    #[must_use]
    pub fn note(&self) -> Option<String> {
        let errno = self.error().filter(|errno| never_readable(*errno))?;
        Some(format!(
            "standard input cannot be read ({}): the program saw its end at once",
            errno_text(errno)
        ))
    }

    fn error(&self) -> Option<i32> {
        Some(self.shared.errno.load(Ordering::Acquire)).filter(|errno| *errno != 0)
    }

    /// The box is over.
    pub fn stop(&mut self) {
        (self.source, self.to) = (None, None);
        no_matter(self.stop.write(1), "a counter that is full is as good as set");
    }
}

/// A directory, or a descriptor that is only open for writing: bare, the first read would fail.
fn never_readable(errno: i32) -> bool {
    errno == libc::EISDIR || errno == libc::EBADF
}

impl Shared {
    fn unreadable(&self, e: &io::Error) {
        self.errno.store(e.raw_os_error().unwrap_or(libc::EIO), Ordering::Release);
    }
}

/// Hands in what the caller's side gives; neither side is waited in, so that the thread always hears
/// when it is told to stop.
fn pump(from: &mut Caller, to: &mut File, stop: &EventFd, shared: &Shared) -> io::Result<()> {
    let mut buf = vec![0u8; CHUNK];
    loop {
        // First room, then bytes: nothing is taken from the caller that cannot be handed in.
        let (room, some) = (PollFlags::POLLOUT, PollFlags::POLLIN);
        if !caller::wait(to.as_fd(), room, stop) || !caller::wait(from.fd(), some, stop) {
            return Ok(());
        }
        let n = match from.read_some(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            // The caller's own descriptor may be non-blocking, and somebody else may have been faster.
            Err(Errno::EINTR | Errno::EAGAIN) => continue,
            Err(Errno::EIO) if in_background(from.fd()) => {
                if told_within(stop, BACKGROUND_MS) {
                    return Ok(());
                }
                continue;
            }
            Err(Errno::EIO) if gone(from.fd()) => return Ok(()),
            Err(e) => return Err(e.into()),
        };
        let mut rest = &buf[..n];
        while !rest.is_empty() {
            match to.write(rest) {
                Ok(written) => {
                    rest = &rest[written..];
                    shared.bytes.fetch_add(written as u64, Ordering::Relaxed);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !caller::wait(to.as_fd(), room, stop) {
                        return Ok(());
                    }
                }
                // The payload has closed its end: as bare, nobody minds.
                Err(_) => return Ok(()),
            }
        }
    }
}

/// Whether it is a terminal that another process group reads from at the moment: with its signal
/// ignored, reading answers `EIO`.
fn in_background(fd: BorrowedFd<'_>) -> bool {
    nix::unistd::tcgetpgrp(fd).is_ok_and(|group| group != nix::unistd::getpgrp())
}

/// Whether the other end has gone.
fn gone(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

fn told_within(stop: &EventFd, ms: u8) -> bool {
    let mut fds = [PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
    nix::poll::poll(&mut fds, PollTimeout::from(ms)).is_ok_and(|n| n > 0)
}
