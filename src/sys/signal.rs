//! Signal dispositions and masks.

use std::ffi::{CStr, CString};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

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

/// What this process becomes when a signal arrives: a program's path, its words
/// and its environment, each list ended by a null pointer.
struct Successor {
    program: CString,
    words: Vec<*const libc::c_char>,
    environment: Vec<*const libc::c_char>,
}

/// By signal number; what is here is never freed.
static SUCCESSORS: [AtomicPtr<Successor>; 32] = [const { AtomicPtr::new(ptr::null_mut()) }; 32];

/// From now on this process becomes another program at once when the signal
/// arrives, whatever it is doing: its threads are gone, its descriptors closed,
/// its locks free. `None`: there is no such signal, or it has no handlers.
///
/// # References
/// `sigaction(2)`, `signal-safety(7)` (`execve` may be called from a handler)
pub fn succeed_on(
    signal: i32,
    program: &CStr,
    words: Vec<CString>,
    environment: Vec<CString>,
) -> Option<Result<()>> {
    let place = SUCCESSORS.get(usize::try_from(signal).ok()?)?;
    let pointers = |all: Vec<CString>| -> Vec<*const libc::c_char> {
        let kept = all.into_iter().map(|word| word.into_raw().cast_const());
        kept.chain([ptr::null()]).collect()
    };
    let successor =
        Successor { program: program.to_owned(), words: pointers(words), environment: pointers(environment) };
    place.store(Box::into_raw(Box::new(successor)), Ordering::Release);
    let handler = become_successor as extern "C" fn(libc::c_int);
    let action = SigAction::new(SigHandler::Handler(handler), SaFlags::empty(), SigSet::empty());
    let signal = Signal::try_from(signal).ok()?;
    // SAFETY: the handler does nothing but load a pointer, execve and _exit, which are safe in handlers.
    Some(unsafe { sigaction(signal, &action) }.map(drop))
}

/// Handler only: no allocation, no locks, no formatting.
extern "C" fn become_successor(signal: libc::c_int) {
    let place = usize::try_from(signal).ok().and_then(|at| SUCCESSORS.get(at));
    let successor = place.map_or(ptr::null_mut(), |place| place.load(Ordering::Acquire));
    // SAFETY: null, or from `Box::into_raw` in `succeed_on`, never freed and not changed since.
    if let Some(successor) = unsafe { successor.as_ref() } {
        let (words, environment) = (successor.words.as_ptr(), successor.environment.as_ptr());
        // SAFETY: the path ends with NUL; both lists end with a null pointer, and what is in them is
        // from `CString::into_raw` and never freed.
        unsafe { libc::execve(successor.program.as_ptr(), words, environment) };
    }
    // SAFETY: no pointers; ends the process without running anything of it.
    unsafe { libc::_exit(128 + signal) };
}
