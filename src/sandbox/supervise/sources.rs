//! Everything that may have something to say, in one wait.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags};
use nix::sys::time::TimeSpec;

use super::Supervisor;
use crate::sandbox::meter::Meter;
use crate::sys::Errno;

/// Which descriptor woke the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Payload,
    Init,
    Listener,
    Memory,
    Cancel,
    Stdin,
    Stdout,
    Stderr,
    Pumps,
}

impl Supervisor<'_> {
    /// Waits until something has happened, or for so long. The payload's end comes first.
    pub(super) fn wait(&self, timeout: Duration) -> io::Result<Vec<(Source, PollFlags)>> {
        let sources = self.sources();
        let mut fds: Vec<PollFd<'_>> =
            sources.iter().map(|(_, fd, flags)| PollFd::new(*fd, *flags)).collect();
        match nix::poll::ppoll(&mut fds, Some(TimeSpec::from_duration(timeout)), None) {
            Err(Errno::EINTR) => return Ok(Vec::new()),
            Err(e) => return Err(e.into()),
            Ok(_) => {}
        }
        let events = fds.iter().map(|fd| fd.revents().unwrap_or(PollFlags::empty()));
        let named = sources.iter().zip(events).map(|((source, ..), events)| (*source, events));
        Ok(named.filter(|(_, events)| !events.is_empty()).collect())
    }

    fn sources(&self) -> Vec<(Source, BorrowedFd<'_>, PollFlags)> {
        let read = PollFlags::POLLIN;
        let launched = &self.launched;
        let mut sources = Vec::with_capacity(10);
        sources.push((Source::Payload, launched.payload.pidfd.as_fd(), read));
        sources.push((Source::Pumps, self.streams.wake_fd(), read));
        // A box that is being killed has nothing more to say of itself.
        if self.killed_ns.is_none() {
            sources.push((Source::Init, launched.init.pidfd.as_fd(), read));
            if let Meter::Cgroup { leaf, .. } = &self.meter
                && let Some((fd, flags)) = leaf.memory_event()
            {
                sources.push((Source::Memory, fd, flags));
            }
        }
        if !self.told_to_end {
            sources.push((Source::Cancel, self.cancel.fd(), read));
        }
        if let Some(listener) = &launched.listener {
            sources.push((Source::Listener, listener.as_fd(), read));
        }
        let streams = [
            (Source::Stdin, self.streams.stdin.interest()),
            (Source::Stdout, self.streams.stdout.interest()),
            (Source::Stderr, self.streams.stderr.interest()),
        ];
        sources.extend(streams.into_iter().filter_map(|(source, interest)| {
            let (fd, flags) = interest?;
            Some((source, fd, flags))
        }));
        sources
    }
}
