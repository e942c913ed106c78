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

/// As many CPUs as the C library has room for.
const MOST_CPUS: usize = 1024;

/// A set of CPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpus([u64; MOST_CPUS / 64]);

impl Cpus {
    /// Those that the calling thread may use. A kernel that knows of more than
    /// there is room for answers `EINVAL`.
    ///
    /// # References
    /// `sched_getaffinity(2)`
    pub fn of_caller() -> Result<Self> {
        let mut cpus = Self([0; MOST_CPUS / 64]);
        let size = size_of::<Self>();
        // SAFETY: the pointer is to live, writable memory of the size passed.
        unsafe { raw!(sched_getaffinity, 0, size, &raw mut cpus.0) }?;
        Ok(cpus)
    }

    /// Child too: the same without the one that the calling thread is on.
    ///
    /// # References
    /// `getcpu(2)`
    pub fn but_this(mut self) -> Result<Self> {
        let mut cpu = 0u32;
        let nowhere = std::ptr::null_mut::<u32>();
        // SAFETY: one pointer is to a live, writable `unsigned int`, the others are null.
        unsafe { raw!(getcpu, &raw mut cpu, nowhere, nowhere) }?;
        let cpu = cpu as usize;
        if let Some(word) = self.0.get_mut(cpu / 64) {
            *word &= !(1 << (cpu % 64));
        }
        Ok(self)
    }

    /// Child too: how many.
    pub fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// Child too: a thread may use these and no others from now on; 0 is the
    /// calling one.
    ///
    /// # References
    /// `sched_setaffinity(2)`
    pub fn give(&self, tid: i32) -> Result<()> {
        // SAFETY: the pointer is to live memory of the size passed.
        unsafe { raw!(sched_setaffinity, tid, size_of::<Self>(), &raw const self.0) }.map(drop)
    }
}
