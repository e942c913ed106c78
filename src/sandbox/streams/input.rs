//! Standard input: from where the caller says to the payload's pipe.

use crate::error::no_matter;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::{CHUNK, Input, STDIN_PIPE, copy_of, set_nonblocking};

/// Linux's device number of `/dev/null`.
const DEV_NULL: u64 = nix::libc::makedev(1, 3);

/// What is still to be handed in.
#[derive(Debug)]
enum Source {
    /// From memory, from here on.
    Bytes(Vec<u8>, usize),
    /// Reading may block: only ever done by a thread of its own.
    File(File),
}

/// Standard input.
#[derive(Debug)]
pub struct Feed {
    to: Option<File>,
    source: Option<Source>,
    stop: Option<EventFd>,
    bytes: Arc<AtomicU64>,
    wake: Arc<EventFd>,
}

impl Feed {
    pub(super) fn new(input: Input, to: OwnedFd, wake: &Arc<EventFd>) -> io::Result<Self> {
        set_nonblocking(to.as_fd())?;
        let mut feed = Self {
            to: Some(File::from(to)),
            source: None,
            stop: None,
            bytes: Arc::default(),
            wake: Arc::clone(wake),
        };
        match input {
            Input::Null => feed.to = None,
            Input::Bytes(bytes) => feed.start_with(bytes)?,
            Input::Inherit => feed.open_file(copy_of(io::stdin().as_fd())?)?,
            Input::File(file) => feed.open_file(File::from(file))?,
        }
        Ok(feed)
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
            io::Read::by_ref(&mut file).take(STDIN_PIPE as u64).read_to_end(&mut bytes)?;
            if bytes.len() < STDIN_PIPE {
                return self.start_with(bytes);
            }
            // It is growing: what was read fits into the empty pipe, the rest follows.
            if let Some(to) = &mut self.to {
                to.write_all(&bytes)?;
            }
        }
        self.source = Some(Source::File(file));
        Ok(())
    }

    fn start_with(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.source = Some(Source::Bytes(bytes, 0));
        self.write_bytes()
    }

    /// What the supervisor's loop waits for, until a thread has taken over.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        match (&self.source, &self.to) {
            (Some(Source::Bytes(..)), Some(to)) => Some((to.as_fd(), PollFlags::POLLOUT)),
            (Some(Source::File(file)), Some(_)) => Some((file.as_fd(), PollFlags::POLLIN)),
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
                self.write_bytes()
            }
            Some(Source::File(file)) => self.start_thread(file),
            None => Ok(()),
        }
    }

    fn write_bytes(&mut self) -> io::Result<()> {
        let (Some(Source::Bytes(bytes, at)), Some(to)) = (&mut self.source, &mut self.to) else {
            return Ok(());
        };
        while *at < bytes.len() {
            match to.write(&bytes[*at..]) {
                Ok(n) => {
                    *at += n;
                    self.bytes.fetch_add(n as u64, Ordering::Relaxed);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // The payload has closed its end: as bare, nobody minds.
                Err(_) => break,
            }
        }
        (self.source, self.to) = (None, None);
        Ok(())
    }

    fn start_thread(&mut self, mut file: File) -> io::Result<()> {
        let Some(mut to) = self.to.take() else { return Ok(()) };
        let stop = EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?;
        let stop_copy = stop.as_fd().try_clone_to_owned()?;
        let bytes = Arc::clone(&self.bytes);
        let wake = Arc::clone(&self.wake);
        std::thread::Builder::new().name("stockade-input".to_owned()).spawn(move || {
            let pumped = pump(&mut file, &mut to, &stop_copy, &bytes);
            no_matter(pumped, "the payload sees the end of its input, as bare");
            drop(to);
            no_matter(wake.write(1), "a counter that is full is as good as set");
        })?;
        self.stop = Some(stop);
        Ok(())
    }

    /// Bytes handed in so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The box is over.
    pub fn stop(&mut self) {
        (self.source, self.to) = (None, None);
        if let Some(stop) = self.stop.take() {
            no_matter(stop.write(1), "a counter that is full is as good as set");
        }
    }
}

/// Waits for either; `false`: told to stop.
fn wait(fd: BorrowedFd<'_>, flags: PollFlags, stop: &OwnedFd) -> io::Result<bool> {
    loop {
        let mut fds = [PollFd::new(fd, flags), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::NONE) {
            Err(nix::errno::Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
            Ok(_) => return Ok(!fds[1].any().unwrap_or(false)),
        }
    }
}

/// Reads only when there is something and writes only when there is room, so that
/// the thread always hears when it is told to stop.
fn pump(file: &mut File, to: &mut File, stop: &OwnedFd, bytes: &AtomicU64) -> io::Result<()> {
    let mut buf = vec![0u8; CHUNK];
    loop {
        // First room, then bytes: nothing is taken from the caller that cannot be handed in.
        if !wait(to.as_fd(), PollFlags::POLLOUT, stop)? || !wait(file.as_fd(), PollFlags::POLLIN, stop)? {
            return Ok(());
        }
        let n = match file.read(&mut buf) {
            Ok(0) => return Ok(()),
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            // The caller's own descriptor may be non-blocking, and somebody else may have been faster.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => continue,
            Err(e) => return Err(e),
        };
        let mut rest = &buf[..n];
        while !rest.is_empty() {
            if !wait(to.as_fd(), PollFlags::POLLOUT, stop)? {
                return Ok(());
            }
            match to.write(rest) {
                Ok(written) => {
                    rest = &rest[written..];
                    bytes.fetch_add(written as u64, Ordering::Relaxed);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e),
            }
        }
    }
}
