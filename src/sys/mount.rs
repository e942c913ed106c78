//! Mounts, through descriptors rather than paths.
//!
//! # References
//! `fsopen(2)`, `fsconfig(2)`, `fsmount(2)`, `open_tree(2)`, `move_mount(2)`,
//! `mount_setattr(2)`, `pivot_root(2)`

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Result, int, raw};

const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const OPEN_TREE_CLONE: u32 = 1;
#[allow(clippy::cast_sign_loss)] // flag bits
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
#[allow(clippy::cast_sign_loss)] // flag bits
const AT_RECURSIVE: u32 = libc::AT_RECURSIVE as u32;
#[allow(clippy::cast_sign_loss)] // flag bits
const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH as u32;

/// Per-mount attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attr(u64);

impl Attr {
    /// No attribute.
    pub const NONE: Self = Self(0);
    /// Nothing can be written.
    pub const RDONLY: Self = Self(libc::MOUNT_ATTR_RDONLY);
    /// Set-id bits and file capabilities have no effect.
    pub const NOSUID: Self = Self(libc::MOUNT_ATTR_NOSUID);
    /// Device nodes cannot be opened.
    pub const NODEV: Self = Self(libc::MOUNT_ATTR_NODEV);
    /// Programs cannot be executed, nor mapped executable.
    pub const NOEXEC: Self = Self(libc::MOUNT_ATTR_NOEXEC);
    /// Symbolic links are not followed.
    pub const NOSYMFOLLOW: Self = Self(libc::MOUNT_ATTR_NOSYMFOLLOW);

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Without those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether all of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

/// Starts a new file system of a type.
pub fn fsopen(kind: &CStr) -> Result<OwnedFd> {
    // SAFETY: kind is NUL-terminated.
    let fd = unsafe { raw!(fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Sets one option.
pub fn fsconfig_string(fs: BorrowedFd<'_>, key: &CStr, value: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated.
    unsafe { raw!(fsconfig, fs.as_raw_fd(), FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr(), 0) }.map(drop)
}

/// Sets one option that has no value.
pub fn fsconfig_flag(fs: BorrowedFd<'_>, key: &CStr) -> Result<()> {
    let null = std::ptr::null::<u8>();
    // SAFETY: key is NUL-terminated, and a flag has no value.
    unsafe { raw!(fsconfig, fs.as_raw_fd(), FSCONFIG_SET_FLAG, key.as_ptr(), null, 0) }.map(drop)
}

/// Makes the superblock.
pub fn fsconfig_create(fs: BorrowedFd<'_>) -> Result<()> {
    let null = std::ptr::null::<u8>();
    // SAFETY: the command takes neither key nor value.
    unsafe { raw!(fsconfig, fs.as_raw_fd(), FSCONFIG_CMD_CREATE, null, null, 0) }.map(drop)
}

/// A detached mount of a file system made with [`fsopen`].
pub fn fsmount(fs: BorrowedFd<'_>, attr: Attr) -> Result<OwnedFd> {
    // SAFETY: acts on a descriptor and flag bits only.
    let fd = unsafe { raw!(fsmount, fs.as_raw_fd(), FSMOUNT_CLOEXEC, attr.0) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// A detached copy of the mount that shows `path`, of that place only or with
/// all mounts below it.
pub fn open_tree_clone(dir: RawFd, path: &CStr, recursive: bool) -> Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE
        | OPEN_TREE_CLOEXEC
        | if path.is_empty() { AT_EMPTY_PATH } else { 0 }
        | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: path is NUL-terminated.
    let fd = unsafe { raw!(open_tree, dir, path.as_ptr(), flags) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Attaches a detached mount on the place that `onto` was opened at.
pub fn attach(mount: BorrowedFd<'_>, onto: BorrowedFd<'_>) -> Result<()> {
    attach_raw(mount.as_raw_fd(), onto)
}

/// [`attach`] for a mount that is known by its descriptor's number.
pub fn attach_raw(mount: RawFd, onto: BorrowedFd<'_>) -> Result<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are the empty string.
    unsafe { raw!(move_mount, mount, c"".as_ptr(), onto.as_raw_fd(), c"".as_ptr(), flags) }.map(drop)
}

/// `struct mount_attr`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns_fd: u64,
}

fn setattr(dir: RawFd, path: &CStr, flags: u32, attr: &MountAttr) -> Result<()> {
    let size = size_of::<MountAttr>();
    // SAFETY: path is NUL-terminated and attr a live `struct mount_attr` of the size passed.
    unsafe { raw!(mount_setattr, dir, path.as_ptr(), flags, std::ptr::from_ref(attr), size) }.map(drop)
}

/// Adds attributes to the mount behind `mount`.
pub fn set_attr(mount: BorrowedFd<'_>, set: Attr, recursive: bool) -> Result<()> {
    set_attr_raw(mount.as_raw_fd(), set, recursive)
}

/// [`set_attr`] for a mount that is known by its descriptor's number.
pub fn set_attr_raw(mount: RawFd, set: Attr, recursive: bool) -> Result<()> {
    let attr = MountAttr { set: set.0, clear: 0, propagation: 0, userns_fd: 0 };
    setattr(mount, c"", AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 }, &attr)
}

/// Adds attributes to a mount and to all below it, and cuts them off from the
/// mounts that they are copies of: a copy of a shared mount is shared.
pub fn set_attr_and_cut_off_raw(mount: RawFd, set: Attr) -> Result<()> {
    let attr = MountAttr { set: set.0, clear: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    setattr(mount, c"", AT_EMPTY_PATH | AT_RECURSIVE, &attr)
}

/// Shows files through the ids of a user namespace. Only on a detached mount that
/// was never shown anywhere.
///
/// # References
/// `mount_setattr(2)`, `MOUNT_ATTR_IDMAP`
pub fn set_idmap(mount: BorrowedFd<'_>, userns: BorrowedFd<'_>) -> Result<()> {
    #[allow(clippy::cast_sign_loss)] // a descriptor
    let userns_fd = userns.as_raw_fd() as u64;
    let attr = MountAttr { set: libc::MOUNT_ATTR_IDMAP, clear: 0, propagation: 0, userns_fd };
    setattr(mount.as_raw_fd(), c"", AT_EMPTY_PATH, &attr)
}

/// Ends all propagation between this mount namespace and any other.
pub fn make_all_private() -> Result<()> {
    let attr = MountAttr { set: 0, clear: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    setattr(libc::AT_FDCWD, c"/", AT_RECURSIVE, &attr)
}

/// Makes the working directory the root and stacks the old root on top of it,
/// at `/`, ready for [`detach_cwd`].
///
/// # References
/// `pivot_root(2)`, "pivot_root(".", ".")"
pub fn pivot_root_to_cwd() -> Result<()> {
    // SAFETY: both strings are NUL-terminated.
    unsafe { raw!(pivot_root, c".".as_ptr(), c".".as_ptr()) }.map(drop)
}

/// Detaches the mount that covers the working directory, with all below it.
pub fn detach_cwd() -> Result<()> {
    // SAFETY: the string is NUL-terminated.
    unsafe { raw!(umount2, c".".as_ptr(), libc::MNT_DETACH) }.map(drop)
}

/// Changes the working directory.
pub fn chdir(path: &CStr) -> Result<()> {
    // SAFETY: path is NUL-terminated.
    unsafe { raw!(chdir, path.as_ptr()) }.map(drop)
}

/// Changes the working directory to an open one.
pub fn fchdir(dir: BorrowedFd<'_>) -> Result<()> {
    fchdir_raw(dir.as_raw_fd())
}

/// [`fchdir`] for a directory that is known by its descriptor's number.
pub fn fchdir_raw(dir: RawFd) -> Result<()> {
    // SAFETY: acts on a descriptor number only.
    unsafe { raw!(fchdir, dir) }.map(drop)
}

/// Type of the file system behind a descriptor (`PROC_SUPER_MAGIC` and the like).
///
/// # References
/// `fstatfs(2)`
pub fn fs_type(fd: BorrowedFd<'_>) -> Result<i64> {
    let mut buf = std::mem::MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the pointer is to a live, writable `struct statfs`.
    unsafe { raw!(fstatfs, fd.as_raw_fd(), buf.as_mut_ptr()) }?;
    // SAFETY: all-zero bytes are a valid `struct statfs`, and the kernel has filled it in.
    Ok(unsafe { buf.assume_init() }.f_type)
}
