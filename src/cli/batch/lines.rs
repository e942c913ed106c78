//! Lines of standard input, read by a thread that always hears when it is to stop.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use stockade::batch;
use stockade::sys::{Errno, fd};

/// Bytes read at a time.
const PIECE: usize = 64 * 1024;

/// Cuts what is read into lines.
#[derive(Debug, Default)]
pub struct Lines {
    held: Vec<u8>,
    /// Up to where the held bytes have been looked at.
    seen: usize,
    ended: bool,
}

impl Lines {
    /// The next line without its end; `None`: there is no more, or `stop` is readable.
    ///
    /// A line that is too long is cut a byte beyond the most that is allowed: enough
    /// to be refused, however long it is.
    ///
    /// # Errors
    /// Standard input cannot be read.
    pub fn next(&mut self, stop: BorrowedFd<'_>) -> io::Result<Option<Vec<u8>>> {
        let mut cut: Option<Vec<u8>> = None;
        loop {
            if let Some(at) = self.held[self.seen..].iter().position(|byte| *byte == b'\n') {
                let rest = self.held.split_off(self.seen + at + 1);
                let mut line = std::mem::replace(&mut self.held, rest);
                self.seen = 0;
                line.pop();
                return Ok(Some(cut.unwrap_or(line)));
            }
            self.seen = self.held.len();
            if self.seen > batch::MOST_BYTES {
                let mut long = std::mem::take(&mut self.held);
                self.seen = 0;
                long.truncate(batch::MOST_BYTES + 1);
                cut.get_or_insert(long);
            }
            if self.ended {
                let last = std::mem::take(&mut self.held);
                self.seen = 0;
                return Ok(cut.or((!last.is_empty()).then_some(last)));
            }
            if !self.read_more(stop)? {
                return Ok(None);
            }
        }
    }

    /// `false`: told to stop.
    fn read_more(&mut self, stop: BorrowedFd<'_>) -> io::Result<bool> {
        let stdin = io::stdin();
        let read = PollFlags::POLLIN;
        let mut fds = [PollFd::new(stdin.as_fd(), read), PollFd::new(stop, read)];
        match nix::poll::poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => return Ok(true),
            Err(e) => return Err(e.into()),
            Ok(_) if fds[1].any() == Some(true) => return Ok(false),
            Ok(_) => {}
        }
        let mut piece = vec![0u8; PIECE];
        match fd::read(stdin.as_raw_fd(), &mut piece) {
            Ok(0) => self.ended = true,
            Ok(n) => self.held.extend_from_slice(&piece[..n]),
            // The descriptor may be non-blocking, and somebody else may have been faster.
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(e) => return Err(e.into()),
        }
        Ok(true)
    }
}
