//! An output stream: from the payload's pipe to where the caller wants it.

use crate::error::no_matter;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::PollFlags;
use nix::sys::eventfd::EventFd;

use super::terminal::Neutral;
use super::{CHUNK, Output, copy_of, set_nonblocking};

/// Linux's device number of `/dev/null`.
const DEV_NULL: u64 = nix::libc::makedev(1, 3);

/// What the pump and the supervisor share.
#[derive(Debug, Default)]
struct Shared {
    bytes: AtomicU64,
    truncated: AtomicBool,
    finished: AtomicBool,
    /// The caller could not be written to; 0 while it can.
    errno: AtomicI32,
    captured: Mutex<Vec<u8>>,
}

/// Where the bytes go.
#[derive(Debug)]
enum Sink {
    Null,
    Capture,
    /// Writing may block: only ever done by a thread of its own.
    File(File, Option<Neutral>),
}

/// One output stream.
#[derive(Debug)]
pub struct Drain {
    from: Option<File>,
    sink: Option<Sink>,
    cap: u64,
    cut: bool,
    shared: Arc<Shared>,
    wake: Arc<EventFd>,
}

/// What a turn of the pump came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    More,
    Empty,
    End,
}

impl Drain {
    pub(super) fn new(
        output: Output,
        from: OwnedFd,
        own: &impl AsFd,
        cap: u64,
        cut: bool,
        wake: &Arc<EventFd>,
    ) -> io::Result<Self> {
        let sink = match output {
            Output::Null => Sink::Null,
            Output::Capture => Sink::Capture,
            Output::Inherit => file_sink(copy_of(own.as_fd())?)?,
            Output::File(file) => file_sink(File::from(file))?,
        };
        if !matches!(sink, Sink::File(..)) {
            set_nonblocking(from.as_fd())?;
        }
        Ok(Self {
            from: Some(File::from(from)),
            sink: Some(sink),
            cap,
            cut,
            shared: Arc::default(),
            wake: Arc::clone(wake),
        })
    }

    /// What the supervisor's loop waits for, until a thread has taken over.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.from.as_ref().map(|f| (f.as_fd(), PollFlags::POLLIN))
    }

    /// The pipe can be read: moves what is there, or starts the thread that does.
    ///
    /// # Errors
    /// The pipe cannot be read, or no thread can be started.
    pub fn ready(&mut self) -> io::Result<()> {
        let (Some(mut from), Some(sink)) = (self.from.take(), self.sink.take()) else { return Ok(()) };
        let mut pump = Pump::new(self.cap, self.cut, &self.shared, &self.wake);
        match sink {
            Sink::File(file, neutral) => {
                std::thread::Builder::new().name("stockade-output".to_owned()).spawn(move || {
                    let mut to = Target::File(file, neutral);
                    while pump.turn(&mut from, &mut to) == Turn::More {}
                    drop(from);
                    to.flush();
                    pump.finish();
                })?;
            }
            sink => {
                let mut to = if matches!(sink, Sink::Null) { Target::Null } else { Target::Capture };
                loop {
                    match pump.turn(&mut from, &mut to) {
                        Turn::More => {}
                        Turn::Empty => break,
                        Turn::End => {
                            pump.finish();
                            return Ok(());
                        }
                    }
                }
                (self.from, self.sink) = (Some(from), Some(sink));
            }
        }
        Ok(())
    }

    /// Bytes handed on so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Acquire)
    }

    /// Whether there was more than the limit.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.shared.truncated.load(Ordering::Acquire)
    }

    /// Whether the end has come and everything was handed on.
    #[must_use]
    pub fn finished(&self) -> bool {
        self.shared.finished.load(Ordering::Acquire)
    }

    /// Why the caller could not be written to, except that it has gone.
    #[must_use]
    pub fn error(&self) -> Option<i32> {
        match self.shared.errno.load(Ordering::Acquire) {
            0 => None,
            errno => Some(errno),
        }
    }

    /// What was captured.
    #[must_use]
    pub fn take_captured(&self) -> Vec<u8> {
        std::mem::take(&mut *self.shared.captured.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// `/dev/null` needs no writing, a terminal needs its escape codes made harmless.
fn file_sink(file: File) -> io::Result<Sink> {
    let is_null = file.metadata().is_ok_and(|m| m.rdev() == DEV_NULL);
    if is_null {
        return Ok(Sink::Null);
    }
    let neutral = nix::unistd::isatty(&file).unwrap_or(false).then(Neutral::default);
    Ok(Sink::File(file, neutral))
}

/// Where a pump writes.
enum Target {
    Null,
    Capture,
    File(File, Option<Neutral>),
}

impl Target {
    /// The last bytes for a terminal; when they cannot be written, nothing of the payload's is lost.
    fn flush(&mut self) {
        if let Target::File(file, Some(neutral)) = self {
            no_matter(file.write_all(&neutral.finish()), "half a character, and its reader has gone");
        }
    }
}

/// Moves bytes and counts them.
struct Pump {
    cap: u64,
    cut: bool,
    buf: Box<[u8; CHUNK]>,
    shared: Arc<Shared>,
    wake: Arc<EventFd>,
}

impl Pump {
    fn new(cap: u64, cut: bool, shared: &Arc<Shared>, wake: &Arc<EventFd>) -> Self {
        Self { cap, cut, buf: Box::new([0; CHUNK]), shared: Arc::clone(shared), wake: Arc::clone(wake) }
    }

    fn turn(&mut self, from: &mut File, to: &mut Target) -> Turn {
        let n = match from.read(&mut self.buf[..]) {
            Ok(0) => return Turn::End,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Turn::More,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Turn::Empty,
            Err(_) => return Turn::End,
        };
        let before = self.shared.bytes.load(Ordering::Relaxed);
        let room = usize::try_from(self.cap.saturating_sub(before)).unwrap_or(usize::MAX);
        let kept = n.min(room);
        if kept > 0 {
            if let Err(e) = self.hand_on(kept, to) {
                return self.refused(&e);
            }
            self.shared.bytes.fetch_add(kept as u64, Ordering::Release);
        }
        if kept < n && !self.shared.truncated.swap(true, Ordering::AcqRel) {
            self.wake();
        }
        // With `kill` the box is about to die; with `cut` it goes on into the void.
        if kept < n && !self.cut { Turn::End } else { Turn::More }
    }

    fn hand_on(&mut self, n: usize, to: &mut Target) -> io::Result<()> {
        let bytes = &self.buf[..n];
        match to {
            Target::Null => Ok(()),
            Target::Capture => {
                self.shared.captured.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                Ok(())
            }
            Target::File(file, None) => file.write_all(bytes),
            Target::File(file, Some(neutral)) => file.write_all(&neutral.pass(bytes)),
        }
    }

    /// The caller cannot be written to. A reader that has gone is what it is bare: the pipe is closed
    /// and the payload gets `SIGPIPE`. Anything else loses output, which must not pass for success.
    fn refused(&self, e: &io::Error) -> Turn {
        if e.kind() != io::ErrorKind::BrokenPipe {
            self.shared.errno.store(e.raw_os_error().unwrap_or(libc::EIO), Ordering::Release);
        }
        Turn::End
    }

    fn finish(&self) {
        self.shared.finished.store(true, Ordering::Release);
        self.wake();
    }

    fn wake(&self) {
        no_matter(self.wake.write(1), "a counter that is full is as good as set");
    }
}
