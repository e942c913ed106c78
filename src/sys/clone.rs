//! Making processes.
//!
//! Two ways only: a copy of the whole process ([`copy`]), and a process that
//! shares the memory of its maker ([`share`]), which is what makes the second
//! and third process of a launch cheap. Both run a function that never returns.
//! Copies of a large process are made from a small one ([`super::template`]).
//!
//! # References
//! `clone3(2)`

use std::cell::UnsafeCell;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use super::{Errno, Result, int, raw, signal};

const CLONE_CLEAR_SIGHAND: u64 = 0x1_0000_0000;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// A child made by [`copy`].
#[derive(Debug)]
pub struct Child {
    /// Its pid in the caller's pid namespace.
    pub pid: i32,
    /// A descriptor for it.
    pub pidfd: OwnedFd,
}

/// Makes a copy of this process in the given new namespaces (`CLONE_NEW*`) and
/// runs `entry` in it. Signal handlers are reset in the copy, what was ignored
/// stays ignored, and all signals are blocked there: a handler of the caller's
/// must not run in it.
/// No signal tells of its end, which would interrupt one of the caller's waits.
///
/// `entry` runs in a copy that has only the calling thread: it must not
/// allocate, take a lock, or unwind.
pub fn copy<T: Sync>(namespaces: i32, data: &T, entry: fn(&'static T) -> !) -> Result<Child> {
    let mut pidfd: RawFd = -1;
    let mask = signal::set_mask(u64::MAX)?;
    #[allow(clippy::cast_sign_loss)] // flag bits
    let args = CloneArgs {
        flags: namespaces as u32 as u64 | CLONE_CLEAR_SIGHAND | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd) as u64,
        ..CloneArgs::default()
    };
    let made = copy_by(&args, data, entry);
    signal::set_mask(mask)?;
    let pid = made?;
    // SAFETY: the kernel has stored a new descriptor there, nobody else owns it.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Child { pid: int(pid), pidfd })
}

/// As [`copy`], for a process all of whose signals are blocked already, but what it makes is a sibling of it.
/// The kernel stores the sibling's pid in `told` before it runs.
pub(super) fn copy_beside<T: Sync>(
    namespaces: i32,
    told: &AtomicI32,
    data: &T,
    entry: fn(&'static T) -> !,
) -> Result<()> {
    #[allow(clippy::cast_sign_loss)] // flag bits
    let args = CloneArgs {
        flags: (namespaces | libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID) as u32 as u64
            | CLONE_CLEAR_SIGHAND,
        parent_tid: told.as_ptr() as u64,
        ..CloneArgs::default()
    };
    copy_by(&args, data, entry).map(drop)
}

/// Answers the pid of a copy that runs `entry`.
fn copy_by<T: Sync>(args: &CloneArgs, data: &T, entry: fn(&'static T) -> !) -> Result<usize> {
    // SAFETY: args is live and of the size passed. It asks for no shared memory, so the child continues
    // here on its own copy of this stack, as after fork(2).
    let pid = unsafe { raw!(clone3, ptr::from_ref(args), size_of::<CloneArgs>()) }?;
    if pid == 0 {
        // SAFETY: in this process `data` lives in a private copy that nobody drops: `entry` never
        // returns, so no frame above ever runs again. Hence 'static.
        let data = unsafe { &*ptr::from_ref(data) };
        entry(data)
    }
    Ok(pid)
}

/// Bytes of a [`Stack`]. The set-up functions use under 4 KiB in release and
/// under 32 in debug builds; pages that are not touched cost nothing.
const STACK_BYTES: usize = 256 * 1024;

/// A stack for one process made by [`share`].
pub struct Stack {
    bytes: Box<[UnsafeCell<std::mem::MaybeUninit<u8>>]>,
    used: AtomicBool,
}

// SAFETY: the bytes are only ever used by the one process that `used` hands them to.
unsafe impl Sync for Stack {}
// SAFETY: as above; nothing in it depends on a thread.
unsafe impl Send for Stack {}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

impl Default for Stack {
    fn default() -> Self {
        let mut bytes = Vec::with_capacity(STACK_BYTES);
        // SAFETY: the elements are `MaybeUninit`, for which any content is valid, and the capacity is
        // at least the new length.
        unsafe { bytes.set_len(STACK_BYTES) };
        Self { bytes: bytes.into_boxed_slice(), used: AtomicBool::new(false) }
    }
}

impl Stack {
    /// The memory that it has beside itself.
    pub fn pieces(&self, to: &mut super::template::Pieces) {
        to.room(self.bytes.as_ptr(), self.bytes.len());
    }
}

/// Where a process made by [`share`] starts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cgroup {
    /// In the cgroup of its maker.
    Inherit,
    /// In the cgroup behind this descriptor (v2), which is also the root of its
    /// own cgroup namespace.
    Leaf(RawFd),
}

/// Makes a sibling of this process (`CLONE_PARENT`) that shares its memory, and
/// runs `entry` in it on `stack`. Answers the sibling's pid.
///
/// The two run at the same time on one address space: `entry` must touch no
/// thread-local storage and nothing mutable that the maker touches. Hence
/// `'static` data that is `Sync`.
///
/// # Errors
/// `EBUSY` when the stack has been used before.
pub fn share<T: Sync>(
    data: &'static T,
    stack: &'static Stack,
    cgroup: Cgroup,
    entry: fn(&'static T) -> !,
) -> Result<i32> {
    if stack.used.swap(true, Ordering::Relaxed) {
        return Err(Errno::EBUSY);
    }
    let bytes = (stack.bytes.as_ptr() as usize, stack.bytes.len());
    // SAFETY: the bytes are there for good, and `used` makes us their only user.
    unsafe { on_stack(None, bytes, cgroup, data, entry) }
}

/// As [`share`], on a stack that is so many bytes from an address on. `told`: the two share their descriptors
/// as well, and the kernel stores the pid there before the sibling runs.
///
/// # Safety
/// The stack is memory that nobody else uses.
pub(super) unsafe fn on_stack<T: Sync>(
    told: Option<&AtomicI32>,
    (base, bytes): (usize, usize),
    cgroup: Cgroup,
    data: &'static T,
    entry: fn(&'static T) -> !,
) -> Result<i32> {
    /// What the trampoline gets: the two pointers, as they are in `share`'s frame.
    struct Start<T: 'static> {
        data: &'static T,
        entry: fn(&'static T) -> !,
    }

    extern "C" fn begin<T: Sync>(start: *const Start<T>) -> ! {
        // SAFETY: the pointer is to the top of this process's own stack, where `on_stack` has put a Start.
        let start = unsafe { start.read() };
        (start.entry)(start.data)
    }

    let base = base as u64;
    // The Start goes to the top of the stack, aligned to 64; the stack begins below it.
    let room = size_of::<Start<T>>() as u64;
    let top = (base + bytes as u64 - room) & !63;
    let start = top as *mut Start<T>;
    // SAFETY: `start` lies within the stack's bytes and is aligned, and the caller says that they are ours.
    unsafe { start.write(Start { data, entry }) };
    #[allow(clippy::cast_sign_loss)] // flag bits, a descriptor
    let (extra, cgroup) = match cgroup {
        Cgroup::Inherit => (0, 0),
        Cgroup::Leaf(fd) => (CLONE_INTO_CGROUP | libc::CLONE_NEWCGROUP as u64, fd as u64),
    };
    let more = told.map_or(0, |_| libc::CLONE_FILES | libc::CLONE_PARENT_SETTID);
    #[allow(clippy::cast_sign_loss)] // flag bits
    let args = CloneArgs {
        flags: (libc::CLONE_VM | libc::CLONE_PARENT | more) as u64 | extra,
        parent_tid: told.map_or(0, |word| word.as_ptr() as u64),
        stack: base,
        stack_size: top - base,
        cgroup,
        ..CloneArgs::default()
    };
    let answer: i64;
    // SAFETY: the child starts with its stack pointer at `top`, 64-byte aligned, calls `begin` with the
    // pointer to its Start, and never comes back; it touches no other part of this frame. In the parent
    // this is one plain system call that clobbers rcx and r11.
    unsafe {
        core::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => answer,
            in("rdi") &raw const args,
            in("rsi") size_of::<CloneArgs>(),
            in("r12") start,
            in("r13") begin::<T> as extern "C" fn(*const Start<T>) -> !,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    match i32::try_from(answer) {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(errno) => Err(Errno::from_raw(-errno)),
        Err(_) => Err(Errno::UnknownErrno),
    }
}
