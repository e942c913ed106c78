//! Ids and capabilities of the calling process.

use super::{Result, raw};

/// No supplementary groups.
///
/// # References
/// `setgroups(2)`
pub fn clear_groups() -> Result<()> {
    // SAFETY: a length of 0 means the pointer is not looked at.
    unsafe { raw!(setgroups, 0, std::ptr::null::<u8>()) }.map(drop)
}

/// Real, effective and saved group id.
///
/// # References
/// `setresgid(2)`
pub fn set_gid(gid: u32) -> Result<()> {
    // SAFETY: takes numbers only.
    unsafe { raw!(setresgid, gid, gid, gid) }.map(drop)
}

/// Real, effective and saved user id. Clears dumpable and the parent-death signal
/// when the id changes.
///
/// # References
/// `setresuid(2)`
pub fn set_uid(uid: u32) -> Result<()> {
    // SAFETY: takes numbers only.
    unsafe { raw!(setresuid, uid, uid, uid) }.map(drop)
}

/// The ids with which files are made, and those only.
///
/// Neither call reports failure: the answer is the id before. Asking once more
/// with an id that cannot be set tells what is in force.
///
/// # References
/// `setfsuid(2)`, `setfsgid(2)`
pub fn set_fs_ids(uid: u32, gid: u32) -> Result<()> {
    // SAFETY: takes a number.
    unsafe { raw!(setfsgid, gid) }?;
    // SAFETY: takes a number; -1 is never valid, so this only asks.
    let now_gid = unsafe { raw!(setfsgid, u32::MAX) }?;
    // SAFETY: takes a number.
    unsafe { raw!(setfsuid, uid) }?;
    // SAFETY: takes a number; -1 is never valid, so this only asks.
    let now_uid = unsafe { raw!(setfsuid, u32::MAX) }?;
    if now_uid == uid as usize && now_gid == gid as usize { Ok(()) } else { Err(super::Errno::EPERM) }
}

/// `struct __user_cap_header_struct`, version 3.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// Empties the effective, permitted and inheritable sets.
///
/// # References
/// `capset(2)`
pub fn drop_all_capabilities() -> Result<()> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    let data = [0u32; 6];
    // SAFETY: a live version-3 header and the six words that belong to it.
    unsafe { raw!(capset, &raw const header, data.as_ptr()) }.map(drop)
}

#[cfg(feature = "ablation")]
fn set_capabilities(effective: u64, inheritable: u64) -> Result<()> {
    let header = CapHeader { version: CAPABILITY_VERSION_3, pid: 0 };
    #[allow(clippy::cast_possible_truncation)] // the lower half
    let low = |set: u64| set as u32;
    let high = |set: u64| (set >> 32) as u32;
    let data = [
        low(effective),
        low(effective),
        low(inheritable),
        high(effective),
        high(effective),
        high(inheritable),
    ];
    // SAFETY: a live version-3 header and the six words that belong to it.
    unsafe { raw!(capset, &raw const header, data.as_ptr()) }.map(drop)
}

/// Test builds only: everything, ready to be raised through an exec.
#[cfg(feature = "ablation")]
pub fn inherit_all_capabilities(last: u32) -> Result<()> {
    let all = (1u64 << (last + 1)) - 1;
    set_capabilities(all, all)
}

/// Test builds only: what installs a filter without `no_new_privs`; gone with the exec.
#[cfg(feature = "ablation")]
pub fn keep_one_capability() -> Result<()> {
    const CAP_SYS_ADMIN: u32 = 21;
    set_capabilities(1 << CAP_SYS_ADMIN, 0)
}
