//! The word that all is to end, heard by every process of a batch.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};

use stockade::error::no_matter;
use stockade::sandbox::Cancel;

/// Asks all jobs to end. One byte that is never taken: a signal's number, or zero.
#[derive(Debug)]
pub struct Stop {
    to: OwnedFd,
    from: OwnedFd,
    said: AtomicBool,
}

impl Stop {
    /// # Errors
    /// No descriptor is left.
    pub fn new() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let (to, from) = socketpair(AddressFamily::Unix, SockType::Stream, None, flags)?;
        Ok(Self { to, from, said: AtomicBool::new(false) })
    }

    /// Because of a signal; the first one counts.
    pub fn because(&self, signal: i32) {
        self.say(u8::try_from(signal).unwrap_or(0));
    }

    /// Because things cannot go on.
    pub fn now(&self) {
        self.say(0);
    }

    fn say(&self, byte: u8) {
        if !self.said.swap(true, Ordering::AcqRel) {
            no_matter(send(self.to.as_raw_fd(), &[byte], MsgFlags::MSG_NOSIGNAL), "an empty socket takes it");
        }
    }

    /// Whether it was said.
    pub fn is_said(&self) -> bool {
        self.word().is_some()
    }

    fn word(&self) -> Option<u8> {
        let mut byte = [0];
        let peeked = recv(self.from.as_raw_fd(), &mut byte, MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT);
        (peeked == Ok(1)).then_some(byte[0])
    }
}

impl Cancel for Stop {
    fn fd(&self) -> BorrowedFd<'_> {
        self.from.as_fd()
    }

    fn signal(&self) -> Option<i32> {
        self.word().filter(|signal| *signal != 0).map(i32::from)
    }
}
