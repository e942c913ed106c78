//! Landlock's three calls.
//!
//! # References
//! `landlock(7)`, `landlock_create_ruleset(2)`, `landlock_add_rule(2)`,
//! `landlock_restrict_self(2)`

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::{Result, int, raw};

/// `struct landlock_ruleset_attr` up to ABI 6.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RulesetAttr {
    /// File-system rights that are denied unless a rule grants them.
    pub fs: u64,
    /// Network rights likewise.
    pub net: u64,
    /// Scopes that end at the domain.
    pub scoped: u64,
}

/// The ABI of this kernel. `EOPNOTSUPP`: switched off at boot; `ENOSYS`: not built.
pub fn abi() -> Result<u32> {
    const VERSION: u32 = 1;
    // SAFETY: a null attribute with the version flag only asks.
    let abi = unsafe { raw!(landlock_create_ruleset, std::ptr::null::<u8>(), 0, VERSION) }?;
    Ok(u32::try_from(abi).unwrap_or(0))
}

/// A new, empty ruleset.
///
/// A kernel that knows fewer fields takes the longer structure as long as what
/// it does not know is zero.
pub fn create_ruleset(attr: &RulesetAttr) -> Result<OwnedFd> {
    let size = size_of::<RulesetAttr>();
    // SAFETY: attr is a live structure of the size passed.
    let fd = unsafe { raw!(landlock_create_ruleset, std::ptr::from_ref(attr), size, 0) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Grants rights on everything below a path.
pub fn allow_beneath(ruleset: BorrowedFd<'_>, rights: u64, path: BorrowedFd<'_>) -> Result<()> {
    /// `struct landlock_path_beneath_attr`, which is packed.
    #[repr(C, packed)]
    struct PathBeneath {
        rights: u64,
        parent: i32,
    }
    const PATH_BENEATH: u32 = 1;
    let rule = PathBeneath { rights, parent: path.as_raw_fd() };
    // SAFETY: rule is a live structure of the kernel's layout for this rule type.
    unsafe { raw!(landlock_add_rule, ruleset.as_raw_fd(), PATH_BENEATH, &raw const rule, 0) }.map(drop)
}

/// Enforces a ruleset on the calling thread, for good.
pub fn restrict_self(ruleset: BorrowedFd<'_>, flags: u32) -> Result<()> {
    // SAFETY: takes numbers only.
    unsafe { raw!(landlock_restrict_self, ruleset.as_raw_fd(), flags) }.map(drop)
}
