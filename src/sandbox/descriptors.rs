//! Descriptors: three pipes, and nothing else, reach the payload.
//!
//! What is not known is closed by range, not by list: a directory of the host
//! that the caller forgot about would survive `pivot_root`. Before that, and
//! whatever becomes of it, all that is open is marked for the exec to close.

use std::os::fd::RawFd;

use super::child::{Failed, Steps};
use super::order::Step;
use crate::sys::fd;

/// First descriptor that is not one of the three streams.
pub const FIRST_OTHER: RawFd = 3;

/// Child only: the payload's pipes become descriptors 0 to 2.
///
/// The supervisor makes all its descriptors above 2, so that none is overwritten.
pub fn replace_stdio(steps: Steps) -> Result<(), Failed> {
    for (new, old) in steps.plan.stdio.iter().enumerate() {
        let target = RawFd::try_from(new).unwrap_or(RawFd::MAX);
        steps.nth(Step::Stdio, new, || fd::dup_onto(*old, target))?;
    }
    Ok(())
}

/// Child only: the exec closes everything that is open now but the three streams.
///
/// Nothing depends on what is kept or on who closes it later: a wall of its own.
pub fn close_at_exec(steps: Steps) -> Result<(), Failed> {
    steps.call(Step::CloseAtExec, || fd::close_range_at_exec(FIRST_OTHER.unsigned_abs(), u32::MAX))
}

/// Child only: closes everything above 2 but `keep`, which is ascending.
pub fn close_all_but(steps: Steps, step: Step, keep: &[RawFd]) -> Result<(), Failed> {
    let mut first = FIRST_OTHER;
    for (i, kept) in keep.iter().enumerate() {
        if *kept > first {
            steps.nth(step, i, || fd::close_range(first.unsigned_abs(), kept.unsigned_abs() - 1))?;
        }
        first = kept.saturating_add(1);
    }
    steps.nth(step, keep.len(), || fd::close_range(first.unsigned_abs(), u32::MAX))
}

/// Child only: the same for two descriptors in any order.
pub fn close_all(steps: Steps, step: Step, keep: &mut [RawFd; 2]) -> Result<(), Failed> {
    if keep[0] > keep[1] {
        keep.swap(0, 1);
    }
    close_all_but(steps, step, keep)
}
