//! Processes: waiting, signalling, exec, attributes.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Errno, Result, int, raw};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called exit with this code.
    Exited(u8),
    /// This signal killed it, real-time ones included.
    Signaled(i32),
}

/// What the kernel says of a process that has ended, its waited-for
/// descendants included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// CPU time in user mode, nanoseconds, microsecond granularity.
    pub user_ns: u64,
    /// CPU time in the kernel, nanoseconds.
    pub system_ns: u64,
    /// Voluntary and involuntary context switches.
    pub switches: u64,
}

impl From<&libc::rusage> for Usage {
    #[allow(clippy::cast_sign_loss)] // none of these is ever negative
    fn from(r: &libc::rusage) -> Self {
        let ns = |t: &libc::timeval| t.tv_sec as u64 * 1_000_000_000 + t.tv_usec as u64 * 1_000;
        Self {
            user_ns: ns(&r.ru_utime),
            system_ns: ns(&r.ru_stime),
            switches: r.ru_nvcsw as u64 + r.ru_nivcsw as u64,
        }
    }
}

/// Waits for one child by its pidfd, and reaps it.
///
/// `waitid` itself, not the wrappers: those turn a death by a real-time signal
/// into `EINVAL` after the child has been reaped.
///
/// # Errors
/// `EAGAIN` when `block` is false and the child has not ended. `ECHILD` when
/// somebody else has reaped it.
///
/// # References
/// `waitid(2)`
pub fn wait(pidfd: BorrowedFd<'_>, block: bool) -> Result<(Ended, Usage)> {
    wait_id(libc::P_PIDFD, pidfd.as_raw_fd(), if block { 0 } else { libc::WNOHANG })
}

/// Whether a child has ended; it is not reaped.
///
/// # Errors
/// `ECHILD` when somebody else has reaped it.
///
/// # References
/// `waitid(2)`, `WNOWAIT`
pub fn has_ended(pidfd: BorrowedFd<'_>) -> Result<bool> {
    let look = libc::WNOHANG | libc::WNOWAIT;
    match wait_id(libc::P_PIDFD, pidfd.as_raw_fd(), look) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Waits for one child by its pid, of any clone flavour, and reaps it.
///
/// # References
/// `waitid(2)`, `__WALL`
pub fn wait_pid(pid: i32, block: bool) -> Result<(Ended, Usage)> {
    wait_id(libc::P_PID, pid, if block { 0 } else { libc::WNOHANG })
}

fn wait_id(kind: u32, id: i32, how: i32) -> Result<(Ended, Usage)> {
    let mut info = std::mem::MaybeUninit::<libc::siginfo_t>::zeroed();
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    let options = libc::WEXITED | libc::__WALL | how;
    loop {
        // SAFETY: both pointers are to live, writable structures of the kernel's types.
        match unsafe { raw!(waitid, kind, id, info.as_mut_ptr(), options, usage.as_mut_ptr()) } {
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
            Ok(_) => break,
        }
    }
    // SAFETY: all-zero bytes are a valid `siginfo_t`, and the kernel has filled it in.
    let info = unsafe { info.assume_init() };
    // SAFETY: all-zero bytes are a valid `struct rusage`, and the kernel has filled it in.
    let usage = unsafe { usage.assume_init() };
    // SAFETY: for SIGCHLD information (all that waitid gives) these fields are the valid ones.
    let pid = unsafe { info.si_pid() };
    if pid == 0 {
        return Err(Errno::EAGAIN);
    }
    // SAFETY: as above.
    let status = unsafe { info.si_status() };
    #[allow(clippy::cast_sign_loss, clippy::cast_possible_truncation)] // exit codes have 8 bits
    let ended =
        if info.si_code == libc::CLD_EXITED { Ended::Exited(status as u8) } else { Ended::Signaled(status) };
    Ok((ended, Usage::from(&usage)))
}

/// A descriptor for a process, which no later process can be mistaken for.
///
/// # References
/// `pidfd_open(2)`
pub fn pidfd_open(pid: i32) -> Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { raw!(pidfd_open, pid, 0) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Sends a signal to exactly the process behind a pidfd.
///
/// # References
/// `pidfd_send_signal(2)`
pub fn signal(pidfd: BorrowedFd<'_>, signal: i32) -> Result<()> {
    let null = std::ptr::null::<u8>();
    // SAFETY: a null siginfo means "as kill(2) does".
    unsafe { raw!(pidfd_send_signal, pidfd.as_raw_fd(), signal, null, 0) }.map(drop)
}

/// Which of the two a process is after [`fork`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forked {
    /// The copy.
    Child,
    /// The one that was there before, and the copy's pid.
    Parent(i32),
}

/// Makes a copy of this process, which must be of a single thread.
///
/// # Errors
/// `EBUSY`: it is not, and the copy could wait for ever for what another thread holds.
///
/// # References
/// `fork(2)`
pub fn fork() -> Result<Forked> {
    // Two entries of its own, and one for each thread.
    let threads = std::fs::metadata("/proc/self/task")
        .map_err(|e| Errno::from_raw(e.raw_os_error().unwrap_or(libc::EIO)))?;
    if std::os::unix::fs::MetadataExt::nlink(&threads) != 3 {
        return Err(Errno::EBUSY);
    }
    // SAFETY: there is no other thread, so the copy is as whole as this process.
    match Errno::result(unsafe { libc::fork() })? {
        0 => Ok(Forked::Child),
        pid => Ok(Forked::Parent(pid)),
    }
}

/// Ends this process at once: no destructor, no buffer, no handler.
///
/// # References
/// `exit_group(2)`
pub fn exit_now(code: i32) -> ! {
    loop {
        // SAFETY: takes a number, and does not return.
        let refused = unsafe { raw!(exit_group, code) };
        if refused.is_err() {
            // Only a filter without exit_group gets here: die in a way that no filter stops.
            // SAFETY: an undefined instruction ends the process with SIGILL.
            unsafe { core::arch::asm!("ud2", options(noreturn)) }
        }
    }
}

/// A NULL-terminated array of C strings, built before the clone.
#[derive(Debug)]
pub struct StringArray {
    /// Keeps the strings alive; never changed after `pointers` was made.
    strings: Vec<std::ffi::CString>,
    pointers: Vec<*const c_char>,
}

// SAFETY: the pointers point into `strings`, which is owned, never changed and never handed out
// mutably; sharing or sending the pair is sharing or sending plain immutable bytes.
unsafe impl Send for StringArray {}
// SAFETY: as above.
unsafe impl Sync for StringArray {}

impl StringArray {
    /// Of these strings, in this order.
    #[must_use]
    pub fn new(strings: Vec<std::ffi::CString>) -> Self {
        let pointers = strings.iter().map(|s| s.as_ptr()).chain(std::iter::once(std::ptr::null())).collect();
        Self { strings, pointers }
    }

    /// The memory that it has beside itself.
    pub fn pieces(&self, to: &mut super::template::Pieces) {
        to.content(&self.strings);
        self.strings.iter().for_each(|text| to.content(text.as_bytes_with_nul()));
        to.content(&self.pointers);
    }

    /// The strings, in order.
    #[must_use]
    pub fn strings(&self) -> &[std::ffi::CString] {
        &self.strings
    }
}

/// Replaces this process by `path`. Returns only on failure.
///
/// `extra` are the call's three unused arguments: the kernel ignores them, a
/// filter sees them.
///
/// # References
/// `execve(2)`
pub fn execve(path: &CStr, argv: &StringArray, envp: &StringArray, extra: [u32; 3]) -> Errno {
    let (argv, envp) = (argv.pointers.as_ptr(), envp.pointers.as_ptr());
    // SAFETY: path is NUL-terminated, argv and envp are NULL-terminated arrays of live C strings.
    match unsafe { raw!(execve, path.as_ptr(), argv, envp, extra[0], extra[1], extra[2]) } {
        Err(e) => e,
        Ok(_) => Errno::UnknownErrno,
    }
}

/// One `prctl(2)` whose arguments are all numbers.
pub fn prctl(option: i32, a: usize, b: usize) -> Result<usize> {
    // SAFETY: callers pass only options whose arguments are numbers.
    unsafe { raw!(prctl, option, a, b, 0, 0) }
}

/// Names the calling thread.
///
/// # References
/// `PR_SET_NAME(2const)`
pub fn set_name(name: &CStr) -> Result<()> {
    // SAFETY: name is NUL-terminated; the kernel reads at most 16 bytes up to the NUL.
    unsafe { raw!(prctl, libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }.map(drop)
}

/// This process dies when the thread that made it does.
pub fn die_with_parent() -> Result<()> {
    #[allow(clippy::cast_sign_loss)] // a signal number
    prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize, 0).map(drop)
}

/// Who made this process, or has inherited it.
pub fn parent() -> u32 {
    // SAFETY: it takes nothing.
    unsafe { raw!(getppid) }.ok().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0)
}

/// Whether others of the same user may read this process's memory and descriptors.
pub fn set_dumpable(dumpable: bool) -> Result<()> {
    prctl(libc::PR_SET_DUMPABLE, usize::from(dumpable), 0).map(drop)
}

/// A new session, without a terminal.
///
/// # References
/// `setsid(2)`
pub fn setsid() -> Result<()> {
    // SAFETY: takes no argument.
    unsafe { raw!(setsid) }.map(drop)
}

/// Leaves namespaces behind.
///
/// # References
/// `unshare(2)`
pub fn unshare(flags: i32) -> Result<()> {
    // SAFETY: only namespace flags are passed: no memory or descriptor is unshared.
    unsafe { raw!(unshare, flags) }.map(drop)
}

/// `setns(2)` into these namespaces of the process behind a pidfd.
pub fn join_namespaces(pidfd: RawFd, flags: i32) -> Result<()> {
    // SAFETY: takes two numbers; no memory or descriptor is unshared.
    unsafe { raw!(setns, pidfd, flags) }.map(drop)
}

/// Child only: sleeps until killed.
pub fn sleep_until_killed() -> ! {
    loop {
        // SAFETY: takes no argument.
        let woken = unsafe { raw!(pause) };
        if woken == Err(Errno::ENOSYS) {
            exit_now(0);
        }
    }
}

/// Host name of this UTS namespace.
///
/// # References
/// `sethostname(2)`
pub fn sethostname(name: &[u8]) -> Result<()> {
    // SAFETY: pointer and length are those of a live buffer.
    unsafe { raw!(sethostname, name.as_ptr(), name.len()) }.map(drop)
}

/// Domain name of this UTS namespace.
///
/// # References
/// `setdomainname(2)`
pub fn setdomainname(name: &[u8]) -> Result<()> {
    // SAFETY: pointer and length are those of a live buffer.
    unsafe { raw!(setdomainname, name.as_ptr(), name.len()) }.map(drop)
}

/// A fresh, empty session keyring.
///
/// # References
/// `keyctl(2)`, `KEYCTL_JOIN_SESSION_KEYRING`
pub fn join_fresh_session_keyring() -> Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: i32 = 1;
    // SAFETY: a null name means a new anonymous keyring.
    unsafe { raw!(keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>(), 0, 0, 0) }.map(drop)
}

/// Bytes that reading the session keyring would give: 4 for each key in it.
///
/// # References
/// `keyctl_read(3)`
pub fn session_keyring_length() -> Result<u32> {
    const KEYCTL_READ: i32 = 11;
    const KEY_SPEC_SESSION_KEYRING: i32 = -3;
    let nowhere = std::ptr::null::<u8>();
    // SAFETY: without a buffer only the length is told.
    let length = unsafe { raw!(keyctl, KEYCTL_READ, KEY_SPEC_SESSION_KEYRING, nowhere, 0, 0) }?;
    Ok(u32::try_from(length).unwrap_or(u32::MAX))
}

/// Plain Linux behaviour: address randomisation on, no quirk inherited.
///
/// # References
/// `personality(2)`
pub fn reset_personality() -> Result<()> {
    // SAFETY: takes a number.
    unsafe { raw!(personality, 0) }.map(drop)
}

/// Permission bits taken from what is created.
///
/// # References
/// `umask(2)`
pub fn umask(mask: u32) -> Result<()> {
    // SAFETY: takes a number.
    unsafe { raw!(umask, mask) }.map(drop)
}

/// Resources used by this process so far.
///
/// # References
/// `getrusage(2)`
pub fn own_usage() -> Result<Usage> {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a live, writable `struct rusage`.
    unsafe { raw!(getrusage, libc::RUSAGE_SELF, usage.as_mut_ptr()) }?;
    // SAFETY: all-zero bytes are a valid `struct rusage`, and the kernel has filled it in.
    Ok(Usage::from(&unsafe { usage.assume_init() }))
}

/// Brings the loopback device of this network namespace up.
///
/// # References
/// `netdevice(7)`, `SIOCSIFFLAGS`
pub fn loopback_up() -> Result<()> {
    #[repr(C)]
    struct IfReq {
        name: [u8; 16],
        flags: i16,
        pad: [u8; 22],
    }
    let mut name = [0u8; 16];
    name[0] = b'l';
    name[1] = b'o';
    #[allow(clippy::cast_possible_truncation)] // IFF_UP is bit 0
    let request = IfReq { name, flags: libc::IFF_UP as i16, pad: [0; 22] };
    // SAFETY: takes numbers only.
    let fd = unsafe { raw!(socket, libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(int(fd)) };
    // SAFETY: request is a live `struct ifreq` with its name and flags set.
    unsafe { raw!(ioctl, socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) }.map(drop)
}

/// Takes a copy of another process's descriptor.
///
/// # References
/// `pidfd_getfd(2)`
pub fn pidfd_getfd(pidfd: BorrowedFd<'_>, theirs: RawFd) -> Result<OwnedFd> {
    // SAFETY: takes numbers only.
    let fd = unsafe { raw!(pidfd_getfd, pidfd.as_raw_fd(), theirs, 0) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Sleeps until `word` is no longer `while_it_is`.
///
/// # References
/// `futex(2)`, `FUTEX_WAIT`
pub fn wait_for_change(word: &std::sync::atomic::AtomicU32, while_it_is: u32) -> Result<()> {
    wait_while(word, while_it_is, || Ok(()))
}

/// Sleeps until `word` is no longer `while_it_is`, or until `go_on` answers an error, which is asked before and
/// every so often.
///
/// # References
/// `futex(2)`, `FUTEX_WAIT`
pub fn wait_while(
    word: &std::sync::atomic::AtomicU32,
    while_it_is: u32,
    go_on: impl Fn() -> Result<()>,
) -> Result<()> {
    use std::sync::atomic::Ordering;
    let often = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    while word.load(Ordering::Acquire) == while_it_is {
        go_on()?;
        let null = std::ptr::null::<u8>();
        // SAFETY: word and often are live for the duration of the call.
        match unsafe { raw!(futex, word.as_ptr(), libc::FUTEX_WAIT, while_it_is, &raw const often, null, 0) }
        {
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR | Errno::ETIMEDOUT) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Sets `word` and wakes whoever waits for it in the same memory.
///
/// # References
/// `futex(2)`, `FUTEX_WAKE`
pub fn set_and_wake(word: &std::sync::atomic::AtomicU32, value: u32) -> Result<()> {
    word.store(value, std::sync::atomic::Ordering::Release);
    let null = std::ptr::null::<u8>();
    // SAFETY: word is live for the duration of the call.
    unsafe { raw!(futex, word.as_ptr(), libc::FUTEX_WAKE, i32::MAX, null, null, 0) }.map(drop)
}

/// The heap of this process grows in large steps and is not given back piece by piece: who lives for
/// milliseconds would spend a noticeable part of them on that.
///
/// # References
/// `mallopt(3)`
pub fn grow_heap_in_large_steps() {
    #[cfg(target_env = "gnu")]
    for (what, bytes) in [(libc::M_TOP_PAD, 512 << 10), (libc::M_TRIM_THRESHOLD, 8 << 20)] {
        // SAFETY: takes two numbers, and what it does not understand it refuses.
        let _taken = unsafe { libc::mallopt(what, bytes) };
    }
}
