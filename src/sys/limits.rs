//! Resource limits of one process.

use super::{Result, raw};

/// Sets a limit of the calling process, soft and hard alike: a soft limit alone
/// is advice.
///
/// # References
/// `prlimit64(2)`
pub fn set(resource: u32, value: u64) -> Result<()> {
    let limit = [value, value];
    let null = std::ptr::null::<u8>();
    // SAFETY: limit is a live `struct rlimit64` (soft, hard); the old value is not asked for.
    unsafe { raw!(prlimit64, 0, resource, limit.as_ptr(), null) }.map(drop)
}

/// Soft and hard limit of a process.
///
/// # References
/// `prlimit64(2)`
pub fn get(pid: i32, resource: u32) -> Result<(u64, u64)> {
    let mut limit = [0u64; 2];
    let null = std::ptr::null::<u8>();
    // SAFETY: limit is a live, writable `struct rlimit64`; nothing is set.
    unsafe { raw!(prlimit64, pid, resource, null, limit.as_mut_ptr()) }?;
    Ok((limit[0], limit[1]))
}
