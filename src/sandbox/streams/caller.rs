//! A descriptor of the caller's, used by a thread that always hears when it is
//! told to stop.
//!
//! `O_NONBLOCK` belongs to the open file, which the caller and others share: it is
//! never touched. The kernel is asked not to wait call by call (`RWF_NOWAIT`,
//! `MSG_DONTWAIT`). What knows neither (terminals, pipes before Linux 6.5) is
//! waited for first and then moved in pieces that fit.
//!
//! # References
//! `preadv2(2)`, `pipe(7)`

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::FileTypeExt as _;

use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::eventfd::EventFd;

use crate::error::no_matter;
use crate::sys::{Errno, fd, signal};

/// What a pipe that can be written at all takes without waiting (`PIPE_BUF`).
const PIPE_FITS: usize = 4096;

/// The same of a terminal: less than any terminal's own buffer.
const TERMINAL_FITS: usize = 256;

/// How a descriptor is used without waiting in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Files and disks: they take and give what there is.
    Plain,
    /// Asked call by call.
    NoWait,
    /// `MSG_DONTWAIT`.
    Socket,
    /// In pieces of at most so many bytes, when it is ready.
    Pieces(usize),
}

/// One descriptor of the caller's.
#[derive(Debug)]
pub struct Caller {
    file: File,
    way: Way,
}

impl Caller {
    /// # Errors
    /// Nothing can be known of the descriptor.
    pub fn new(file: File) -> io::Result<Self> {
        let kind = file.metadata()?.file_type();
        let way = match () {
            () if kind.is_fifo() => Way::NoWait,
            () if kind.is_socket() => Way::Socket,
            () if nix::unistd::isatty(&file).unwrap_or(false) => Way::Pieces(TERMINAL_FITS),
            () if kind.is_char_device() => Way::Pieces(PIPE_FITS),
            () => Way::Plain,
        };
        Ok(Self { file, way })
    }

    /// The descriptor, to be waited for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Writes everything; `false`: told to stop before.
    ///
    /// # Errors
    /// It cannot be written to.
    pub fn write_all(&mut self, mut bytes: &[u8], stop: &EventFd) -> io::Result<bool> {
        while !bytes.is_empty() {
            match self.write_some(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => {
                    if !wait(self.fd(), PollFlags::POLLOUT, stop) {
                        return Ok(false);
                    }
                }
                Err(e) => return Err(e.into()),
            }
        }
        Ok(true)
    }

    fn write_some(&mut self, bytes: &[u8]) -> Result<usize, Errno> {
        let raw = self.file.as_raw_fd();
        match self.way {
            Way::Plain => fd::write(raw, bytes),
            Way::Socket => fd::send_now(raw, bytes),
            Way::NoWait => match fd::write_now(raw, bytes) {
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                    self.way = Way::Pieces(PIPE_FITS);
                    self.write_some(bytes)
                }
                answer => answer,
            },
            Way::Pieces(most) => {
                if !ready_now(self.fd(), PollFlags::POLLOUT) {
                    return Err(Errno::EAGAIN);
                }
                fd::write(raw, &bytes[..bytes.len().min(most)])
            }
        }
    }

    /// Reads what there is; `EAGAIN`: nothing yet.
    pub fn read_some(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        let raw = self.file.as_raw_fd();
        match self.way {
            Way::Plain => fd::read(raw, buf),
            Way::Socket => fd::receive_now(raw, buf),
            Way::NoWait => match fd::read_now(raw, buf) {
                Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => {
                    self.way = Way::Pieces(PIPE_FITS);
                    self.read_some(buf)
                }
                answer => answer,
            },
            Way::Pieces(_) => {
                if !ready_now(self.fd(), PollFlags::POLLIN) {
                    return Err(Errno::EAGAIN);
                }
                fd::read(raw, buf)
            }
        }
    }
}

fn ready_now(fd: BorrowedFd<'_>, flags: PollFlags) -> bool {
    let mut fds = [PollFd::new(fd, flags)];
    // What cannot be polled is told by the call that follows.
    nix::poll::poll(&mut fds, PollTimeout::ZERO).map_or(true, |n| n > 0)
}

/// Waits for a descriptor; `false`: told to stop.
pub fn wait(fd: BorrowedFd<'_>, flags: PollFlags, stop: &EventFd) -> bool {
    loop {
        let mut fds = [PollFd::new(fd, flags), PollFd::new(stop.as_fd(), PollFlags::POLLIN)];
        match nix::poll::poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => {}
            // What cannot be polled is told by the call that follows.
            Err(_) => return true,
            Ok(_) => return fds[1].any() != Some(true),
        }
    }
}

/// For a thread of ours in somebody else's program: its signals are not for this thread,
/// and writing to a reader that has gone is an answer, not a signal.
pub fn no_signals_here() {
    no_matter(signal::set_mask(u64::MAX), "they are only blocked for good measure");
}
