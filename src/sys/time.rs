//! Clocks and random bytes.

use super::{Result, raw};

/// Nanoseconds on the monotonic clock.
///
/// # References
/// `clock_gettime(2)`
#[must_use]
pub fn monotonic_ns() -> u64 {
    clock_ns(libc::CLOCK_MONOTONIC).unwrap_or(0)
}

/// CPU time of a whole process, its living threads' and its ended ones', in nanoseconds.
///
/// # References
/// `clock_getcpuclockid(3)`: the clock's number is made of the pid
pub fn process_cpu_ns(pid: i32) -> Result<u64> {
    const CPUCLOCK_SCHED: i32 = 2;
    clock_ns((!pid << 3) | CPUCLOCK_SCHED)
}

fn clock_ns(clock: i32) -> Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is a live, writable `struct timespec`.
    unsafe { raw!(clock_gettime, clock, &raw mut time) }?;
    #[allow(clippy::cast_sign_loss)] // neither part is ever negative
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Fills a buffer with random bytes.
///
/// # References
/// `getrandom(2)`
pub fn random(buf: &mut [u8]) -> Result<()> {
    let mut filled = 0;
    while filled < buf.len() {
        let rest = &mut buf[filled..];
        // SAFETY: the pointer and length are those of a live, writable buffer.
        match unsafe { raw!(getrandom, rest.as_mut_ptr(), rest.len(), 0) } {
            Ok(n) => filled += n,
            Err(super::Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Wakes the calling thread as exactly as the hardware can.
///
/// # References
/// `PR_SET_TIMERSLACK(2const)`
pub fn exact_timers() -> Result<()> {
    super::process::prctl(libc::PR_SET_TIMERSLACK, 1, 0).map(drop)
}
