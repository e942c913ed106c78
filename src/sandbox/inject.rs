//! Test builds only (feature `fault-injection`): named steps of the set-up fail
//! with a named errno, and their calls are not made.
//!
//! `STOCKADE_INJECT="overlay-create:EPERM,mount-tmpfs#1:ENOSPC"`: a step, perhaps
//! the index of what it is about, and the answer it gets.

use std::sync::OnceLock;

use super::order::Step;
use super::plan::Inject;
use crate::error::{Error, Kind, Result};
use crate::sys::Errno;

/// Where the faults are named.
const VARIABLE: &str = "STOCKADE_INJECT";

/// Highest errno of this architecture.
const LAST_ERRNO: i32 = 133;

/// The faults asked for.
///
/// # Errors
/// A fault that does not exist: a test must not pass because it was misspelt.
pub fn from_environment() -> Result<Vec<Inject>> {
    let Some(text) = std::env::var_os(VARIABLE) else { return Ok(Vec::new()) };
    let text = text.to_string_lossy().into_owned();
    let one = |spec: &str| {
        parse(spec).ok_or_else(|| Error::new(Kind::Usage, format!("{VARIABLE}: no such fault: '{spec}'")))
    };
    text.split(',').filter(|spec| !spec.is_empty()).map(one).collect()
}

fn parse(spec: &str) -> Option<Inject> {
    let (place, errno) = spec.split_once(':')?;
    let (name, index) = match place.split_once('#') {
        Some((name, index)) => (name, Some(index.parse().ok()?)),
        None => (place, None),
    };
    let errno = (1..=LAST_ERRNO).find(|n| format!("{:?}", Errno::from_raw(*n)) == errno)?;
    Some(Inject { step: Step::from_name(name)?, index, errno })
}

/// The answer that one of the supervisor's own steps gets instead of being made.
pub fn own(step: Step, index: usize) -> Option<Errno> {
    static FAULTS: OnceLock<Vec<Inject>> = OnceLock::new();
    // What does not parse has been refused before any step is made.
    let faults = FAULTS.get_or_init(|| from_environment().unwrap_or_default());
    answer(faults, step, index)
}

/// Child too: the answer that a step gets instead of being made.
pub fn answer(faults: &[Inject], step: Step, index: usize) -> Option<Errno> {
    let hit = faults.iter().find(|f| f.step == step && f.index.is_none_or(|i| i as usize == index))?;
    Some(Errno::from_raw(hit.errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fault_is_a_step_an_index_and_an_errno() {
        let fault = Inject { step: Step::MountTmpfs, index: Some(2), errno: libc::ENOSPC };
        assert_eq!(parse("mount-tmpfs#2:ENOSPC"), Some(fault));
        assert_eq!(answer(&[fault], Step::MountTmpfs, 2), Some(Errno::ENOSPC));
        assert_eq!(answer(&[fault], Step::MountTmpfs, 1), None);
        assert_eq!(answer(&[fault], Step::OverlayCreate, 2), None);
        let any = parse("overlay-create:EPERM").unwrap();
        assert_eq!(answer(&[any], Step::OverlayCreate, 7), Some(Errno::EPERM));
    }

    #[test]
    fn fault_that_does_not_exist_is_none() {
        for spec in ["overlay-create", "overlay-creat:EPERM", "overlay-create:EPREM", "mount-tmpfs#x:EIO", ""]
        {
            assert_eq!(parse(spec), None, "{spec}");
        }
    }
}
