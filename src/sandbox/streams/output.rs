//! An output stream: from the payload's pipe to where the caller wants it.

use crate::error::{errno_text, no_matter};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nix::poll::PollFlags;
use nix::sys::eventfd::EventFd;

use super::caller::{self, Caller};
use super::terminal::Neutral;
use super::{CHUNK, Output, copy_of, set_nonblocking};
use crate::sys::{Errno, fd};

/// Linux's device number of `/dev/null`.
const DEV_NULL: u64 = nix::libc::makedev(1, 3);

/// Chunks moved on the supervisor's own thread before it looks at its limits again.
const CHUNKS_A_TURN: usize = 4;

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
    /// Writing may take its time: only ever done by a thread of its own.
    Caller(Caller, Option<Neutral>),
}

/// One output stream.
#[derive(Debug)]
pub struct Drain {
    moving: Option<(Pump, Sink)>,
    shared: Arc<Shared>,
    stop: Arc<EventFd>,
}

/// What a turn of the pump came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    More,
    Empty,
    End,
}

impl Drain {
    pub(super) fn new(from: OwnedFd, (cap, cut): (u64, bool), wake: &Arc<EventFd>) -> io::Result<Self> {
        set_nonblocking(from.as_fd())?;
        let shared = Arc::<Shared>::default();
        let stop = Arc::new(super::event()?);
        let pump = Pump {
            from: File::from(from),
            cap,
            kills: !cut,
            shared: Arc::clone(&shared),
            wake: Arc::clone(wake),
            stop: Arc::clone(&stop),
        };
        Ok(Self { moving: Some((pump, Sink::Null)), shared, stop })
    }

    pub(super) fn connect(&mut self, output: Output, own: &impl AsFd) -> io::Result<()> {
        let to = match output {
            Output::Null => Sink::Null,
            Output::Capture => Sink::Capture,
            Output::Inherit => caller_sink(copy_of(own.as_fd())?)?,
            Output::File(file) => caller_sink(File::from(file))?,
        };
        if let Some((_, sink)) = &mut self.moving {
            *sink = to;
        }
        Ok(())
    }

    /// What the supervisor's loop waits for, until a thread has taken over.
    #[must_use]
    pub fn interest(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        self.moving.as_ref().map(|(pump, _)| (pump.from.as_fd(), PollFlags::POLLIN))
    }

    /// The pipe can be read: moves some of what is there, or starts the thread that does.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn ready(&mut self) -> io::Result<()> {
        let Some((mut pump, sink)) = self.moving.take() else { return Ok(()) };
        let mut buf = Buffer::new();
        let mut to = match sink {
            Sink::Null => Target::Null,
            Sink::Capture => Target::Capture,
            Sink::Caller(caller, neutral) => {
                // A stream that was never used needs no thread to find that out.
                return match pump.read(&mut buf) {
                    Ok(0) => {
                        pump.finish();
                        Ok(())
                    }
                    Ok(_) => start(pump, buf, Target::Caller(caller, neutral)).inspect_err(|_| {
                        // Nobody else will say so, and the end of the run waits for it.
                        self.shared.finished.store(true, Ordering::Release);
                    }),
                    Err(_) => {
                        self.moving = Some((pump, Sink::Caller(caller, neutral)));
                        Ok(())
                    }
                };
            }
        };
        for _ in 0..CHUNKS_A_TURN {
            match pump.turn(&mut buf, &mut to) {
                Turn::More => {}
                Turn::Empty => break,
                Turn::End => {
                    pump.finish();
                    return Ok(());
                }
            }
        }
        self.moving = Some((pump, if matches!(to, Target::Null) { Sink::Null } else { Sink::Capture }));
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
    pub(super) fn failure(&self) -> Option<String> {
        match self.shared.errno.load(Ordering::Acquire) {
            0 => None,
            errno => Some(errno_text(errno)),
        }
    }

    /// Nothing more is handed on, whatever is still in the pipe or on its way.
    pub(super) fn abandon(&mut self) {
        if let Some((pump, _)) = self.moving.take() {
            pump.finish();
        }
        no_matter(self.stop.write(1), "a counter that is full is as good as set");
    }

    /// What was captured.
    #[must_use]
    pub fn take_captured(&self) -> Vec<u8> {
        std::mem::take(&mut *self.shared.captured.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A thread for a caller who may be slow, to whom `buf` is to be handed on first.
fn start(mut pump: Pump, mut buf: Buffer, mut to: Target) -> io::Result<()> {
    std::thread::Builder::new()
        .name("stockade-output".to_owned())
        .spawn(move || {
            caller::no_signals_here();
            let mut turn = pump.move_on(&buf, &mut to);
            loop {
                match turn {
                    Turn::More => {}
                    Turn::Empty if caller::wait(pump.from.as_fd(), PollFlags::POLLIN, &pump.stop) => {}
                    Turn::Empty | Turn::End => break,
                }
                turn = pump.turn(&mut buf, &mut to);
            }
            to.flush(&pump.stop);
            pump.finish();
        })
        .map(drop)
}

/// `/dev/null` needs no writing, a terminal needs its escape codes made harmless.
fn caller_sink(file: File) -> io::Result<Sink> {
    let is_null = file.metadata().is_ok_and(|m| m.rdev() == DEV_NULL);
    if is_null {
        return Ok(Sink::Null);
    }
    let neutral = nix::unistd::isatty(&file).unwrap_or(false).then(Neutral::default);
    Ok(Sink::Caller(Caller::new(file)?, neutral))
}

/// Where a pump writes.
enum Target {
    Null,
    Capture,
    Caller(Caller, Option<Neutral>),
}

impl Target {
    /// The last bytes for a terminal; when they cannot be written, nothing of the payload's is lost.
    fn flush(&mut self, stop: &EventFd) {
        if let Target::Caller(caller, Some(neutral)) = self {
            no_matter(caller.write_all(&neutral.finish(), stop), "half a character, and its reader has gone");
        }
    }
}

/// What is on its way.
struct Buffer(Vec<u8>);

impl Buffer {
    fn new() -> Self {
        Self(Vec::with_capacity(CHUNK))
    }
}

/// Moves bytes and counts them.
#[derive(Debug)]
struct Pump {
    from: File,
    cap: u64,
    /// Whether the box is killed at the limit.
    kills: bool,
    shared: Arc<Shared>,
    wake: Arc<EventFd>,
    stop: Arc<EventFd>,
}

impl Pump {
    fn read(&mut self, buf: &mut Buffer) -> io::Result<usize> {
        loop {
            match fd::read_anew(self.from.as_raw_fd(), &mut buf.0) {
                Err(Errno::EINTR) => {}
                answer => return Ok(answer?),
            }
        }
    }

    fn turn(&mut self, buf: &mut Buffer, to: &mut Target) -> Turn {
        match self.read(buf) {
            Ok(0) => Turn::End,
            Ok(_) => self.move_on(buf, to),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Turn::Empty,
            Err(_) => Turn::End,
        }
    }

    /// Hands on what was read, up to the limit. Beyond it everything goes into the void: with `cut` for
    /// good, else until the kill, so that the payload dies of that and not of a closed pipe.
    fn move_on(&mut self, buf: &Buffer, to: &mut Target) -> Turn {
        let n = buf.0.len();
        let before = self.shared.bytes.load(Ordering::Relaxed);
        let room = usize::try_from(self.cap.saturating_sub(before)).unwrap_or(usize::MAX);
        let kept = n.min(room);
        if kept > 0 {
            match self.hand_on(&buf.0[..kept], to) {
                Ok(true) => {}
                Ok(false) => return Turn::End,
                Err(e) => return self.refused(&e),
            }
            self.shared.bytes.fetch_add(kept as u64, Ordering::Release);
        }
        if kept < n && !self.shared.truncated.swap(true, Ordering::AcqRel) && self.kills {
            self.wake();
        }
        Turn::More
    }

    /// `Ok(false)`: told to stop before everything was handed on.
    fn hand_on(&self, bytes: &[u8], to: &mut Target) -> io::Result<bool> {
        match to {
            Target::Null => Ok(true),
            Target::Capture => {
                self.shared.captured.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                Ok(true)
            }
            Target::Caller(caller, None) => caller.write_all(bytes, &self.stop),
            Target::Caller(caller, Some(neutral)) => caller.write_all(&neutral.pass(bytes), &self.stop),
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

    /// The pipe closes, and the supervisor hears of it.
    fn finish(self) {
        drop(self.from);
        self.shared.finished.store(true, Ordering::Release);
        no_matter(self.wake.write(1), "a counter that is full is as good as set");
    }

    fn wake(&self) {
        no_matter(self.wake.write(1), "a counter that is full is as good as set");
    }
}
