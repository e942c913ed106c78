//! How slow this host may be. Attacks wait for a while, are given so much time, or look at how long
//! something takes; where everything takes several times as long, as under an emulator, so do these.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// How long one attack with its control may take where nothing is slow.
const USUAL: Duration = Duration::from_secs(120);

/// Of this process.
static TIMES: AtomicU32 = AtomicU32::new(1);

/// How many times slower than usual a host is whose attacks may take this long.
#[must_use]
pub fn times_of(patience: Duration) -> u32 {
    const MOST: u64 = 1000;
    u32::try_from((patience.as_secs() / USUAL.as_secs()).clamp(1, MOST)).unwrap_or(1)
}

/// Tells this process how many times slower its host is.
pub fn set(times: u32) {
    TIMES.store(times.max(1), Ordering::Relaxed);
}

/// What this process was told.
#[must_use]
pub fn times() -> u32 {
    TIMES.load(Ordering::Relaxed)
}

/// A time that is as long here as `usual` is elsewhere.
#[must_use]
pub fn stretched(usual: Duration) -> Duration {
    usual.saturating_mul(times())
}

/// The same in nanoseconds.
#[must_use]
pub fn stretched_ns(usual: u64) -> u64 {
    usual.saturating_mul(u64::from(times()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_above_the_usual_one_tells_how_slow_the_host_is() {
        let times = |seconds| times_of(Duration::from_secs(seconds));
        assert_eq!([times(0), times(10), times(120), times(239)], [1; 4]);
        assert_eq!([times(240), times(960), times(u64::MAX)], [2, 8, 1000]);
    }
}
