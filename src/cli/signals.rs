//! Signals that end a run: they arrive as bytes of a descriptor, so that nothing
//! happens between two instructions.

use std::os::fd::{AsFd as _, BorrowedFd};

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use stockade::error::{Error, Kind, Result, errno_text};
use stockade::sandbox::Cancel;
use stockade::sys::signal::{Disposition, is_ignored, set_disposition};

/// What ends a run.
pub const ENDING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];

/// The ending signals, blocked and readable.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// From now on they end a run rather than this process. What the caller has had
    /// ignored (`nohup`, a background job of a plain shell) stays ignored. A stop
    /// from the terminal is ignored: a stopped supervisor enforces nothing. The ends
    /// of children are told, even to one whose caller wanted to hear of none.
    pub fn take() -> Result<Self> {
        let failed =
            |e: nix::errno::Errno| Error::new(Kind::Host, format!("signals: {}", errno_text(e as i32)));
        let mut set = SigSet::empty();
        for signal in ENDING {
            if !is_ignored(signal as i32).map_err(failed)? {
                set.add(signal);
            }
        }
        set.thread_block().map_err(failed)?;
        for stop in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            set_disposition(stop, Disposition::Ignore).map_err(failed)?;
        }
        // A caller that ignores it would have the kernel forget how the program ended.
        set_disposition(libc::SIGCHLD, Disposition::Default).map_err(failed)?;
        SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK).map(Self).map_err(failed)
    }
}

impl Cancel for Signals {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn signal(&self) -> Option<i32> {
        let info = self.0.read_signal().ok().flatten()?;
        i32::try_from(info.ssi_signo).ok()
    }
}
