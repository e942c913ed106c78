//! How soon a thread gets a CPU.

use super::{Result, raw};

/// `struct sched_attr`, up to where every kernel since 3.14 knows it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
}

const SCHED_FLAG_RESET_ON_FORK: u64 = 1;

/// The shortest slice that the kernel lets a thread ask for.
const SHORTEST_SLICE_NS: u64 = 100_000;

impl Attributes {
    /// Ahead of every thread without real-time priority; what it makes is not.
    /// Needs `CAP_SYS_NICE`.
    #[must_use]
    pub fn real_time() -> Self {
        #[allow(clippy::cast_sign_loss)] // a small constant
        let policy = libc::SCHED_FIFO as u32;
        Self { policy, flags: SCHED_FLAG_RESET_ON_FORK, priority: 1, ..Self::empty() }
    }

    /// The same share of a CPU as anybody, but it is never taken from another in the moment of waking up.
    #[must_use]
    pub fn patient() -> Self {
        #[allow(clippy::cast_sign_loss)] // a small constant
        let policy = libc::SCHED_BATCH as u32;
        Self { policy, ..Self::empty() }
    }

    /// The same share of a CPU, in the smallest pieces, which come sooner. Anybody
    /// may ask for it; before Linux 6.12 it changes nothing.
    #[must_use]
    pub const fn in_small_pieces(self) -> Self {
        Self { runtime: SHORTEST_SLICE_NS, ..self }
    }

    /// The same in slices a nanosecond longer or shorter: none where the kernel says
    /// nothing of slices, as before Linux 6.12, and for whatever goes ahead of others.
    #[must_use]
    pub fn in_other_slices(self) -> Option<Self> {
        (self.runtime != 0 && !self.is_real_time()).then_some(Self { runtime: self.runtime ^ 1, ..self })
    }

    /// The same, and still reset for whatever the thread makes: to take that back
    /// needs a capability, to take a priority back does not.
    #[must_use]
    pub const fn reset_on_fork(self) -> Self {
        Self { flags: self.flags | SCHED_FLAG_RESET_ON_FORK, ..self }
    }

    /// Whether it goes ahead of threads without real-time priority.
    #[must_use]
    pub fn is_real_time(&self) -> bool {
        let policy = i32::try_from(self.policy).unwrap_or(-1);
        [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE].contains(&policy)
    }

    /// Whether it is nothing but one among others, with no nice value of its own.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        i32::try_from(self.policy) == Ok(libc::SCHED_OTHER) && self.nice == 0
    }

    fn empty() -> Self {
        #[allow(clippy::cast_possible_truncation)] // 48 bytes
        let size = size_of::<Self>() as u32;
        Self { size, ..Self::default() }
    }

    /// Those of a thread; 0 is the calling one.
    ///
    /// # References
    /// `sched_getattr(2)`
    pub fn of(tid: i32) -> Result<Self> {
        let mut attributes = Self::empty();
        let size = size_of::<Self>();
        // SAFETY: the pointer is to a live, writable `struct sched_attr` of the size passed.
        unsafe { raw!(sched_getattr, tid, &raw mut attributes, size, 0) }?;
        Ok(attributes)
    }

    /// Gives them to a thread; 0 is the calling one.
    ///
    /// # References
    /// `sched_setattr(2)`
    pub fn give(&self, tid: i32) -> Result<()> {
        // SAFETY: the pointer is to a live `struct sched_attr` that says its own size.
        unsafe { raw!(sched_setattr, tid, std::ptr::from_ref(self), 0) }.map(drop)
    }
}
