//! Signal dispositions and masks.

use super::{Result, raw};

/// The kernel's `struct sigaction` on x86-64.
#[repr(C)]
struct KernelSigaction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

/// `SA_NOCLDWAIT` (asm-generic/signal-defs.h).
const NO_CHILD_WAIT: u64 = 2;

/// Bytes of the kernel's signal set.
const SIGSET_BYTES: usize = 8;

/// What the kernel does when a signal arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// The signal's own default.
    Default,
    /// Nothing.
    Ignore,
}

/// Sets how one signal is treated.
///
/// # References
/// `rt_sigaction(2)`
pub fn set_disposition(signal: i32, disposition: Disposition) -> Result<()> {
    let handler = match disposition {
        Disposition::Default => libc::SIG_DFL,
        Disposition::Ignore => libc::SIG_IGN,
    };
    let action = KernelSigaction { handler, flags: 0, restorer: 0, mask: 0 };
    let null = std::ptr::null::<u8>();
    // SAFETY: action is live and in the kernel's own layout; no handler function is installed.
    unsafe { raw!(rt_sigaction, signal, &raw const action, null, SIGSET_BYTES) }.map(drop)
}

/// What is in force for a signal.
fn action(signal: i32) -> Result<KernelSigaction> {
    let mut action = KernelSigaction { handler: 0, flags: 0, restorer: 0, mask: 0 };
    let null = std::ptr::null::<u8>();
    // SAFETY: action is live, writable and in the kernel's own layout; nothing is installed.
    unsafe { raw!(rt_sigaction, signal, null, &raw mut action, SIGSET_BYTES) }?;
    Ok(action)
}

/// Whether this process ignores a signal.
///
/// # References
/// `rt_sigaction(2)`
pub fn is_ignored(signal: i32) -> Result<bool> {
    Ok(action(signal)?.handler == libc::SIG_IGN)
}

/// Whether the kernel forgets how children of this process end: SIGCHLD is
/// ignored, or `SA_NOCLDWAIT` is set for it.
///
/// # References
/// `rt_sigaction(2)`, `wait(2)` "NOTES"
pub fn forgets_children() -> Result<bool> {
    let action = action(libc::SIGCHLD)?;
    Ok(action.handler == libc::SIG_IGN || action.flags & NO_CHILD_WAIT != 0)
}

/// Blocks or unblocks signals of the calling thread: exactly the bits of `mask`
/// (signal N is bit N - 1) are blocked afterwards. Answers the mask before.
///
/// # References
/// `rt_sigprocmask(2)`
pub fn set_mask(mask: u64) -> Result<u64> {
    let mut old = 0u64;
    let how = libc::SIG_SETMASK;
    // SAFETY: both pointers are to live 8-byte sets, which is the size passed.
    unsafe { raw!(rt_sigprocmask, how, &raw const mask, &raw mut old, SIGSET_BYTES) }?;
    Ok(old)
}
