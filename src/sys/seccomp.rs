//! Installing filters, and answering what they notify.
//!
//! # References
//! `seccomp(2)`, `seccomp_unotify(2)`

use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use seccompiler::sock_filter;

use super::{Errno, Result, int, raw};

const SET_MODE_FILTER: u32 = 1;
const FLAG_NEW_LISTENER: u32 = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;
const IOCTL_NOTIF_RECV: u32 = 0xc050_2100;
const IOCTL_NOTIF_SEND: u32 = 0xc018_2101;
const IOCTL_NOTIF_ID_VALID: u32 = 0x4008_2102;
/// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`: the kernel carries the call out.
const CONTINUE: u32 = 1;

/// `struct sock_fprog`.
#[repr(C)]
struct Program {
    len: u16,
    filter: *const sock_filter,
}

impl Program {
    fn new(filter: &[sock_filter]) -> Result<Self> {
        let len = u16::try_from(filter.len()).map_err(|_| Errno::E2BIG)?;
        Ok(Self { len, filter: filter.as_ptr() })
    }
}

/// Installs a filter on the calling thread, for good. Needs `no_new_privs`.
///
/// `extra` are the call's three unused arguments: the kernel ignores them, a
/// filter that is in force already sees them.
pub fn install(filter: &[sock_filter], extra: [u32; 3]) -> Result<()> {
    let program = Program::new(filter)?;
    let [a, b, c] = extra;
    // SAFETY: program points at a live slice of the length it names.
    unsafe { raw!(seccomp, SET_MODE_FILTER, 0, &raw const program, a, b, c) }.map(drop)
}

/// Installs a filter whose notifications arrive at the descriptor that is
/// answered (close-on-exec). A call that is being looked at can only be
/// interrupted by a fatal signal.
pub fn install_with_listener(filter: &[sock_filter]) -> Result<OwnedFd> {
    let program = Program::new(filter)?;
    let flags = FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV;
    // SAFETY: program points at a live slice of the length it names.
    let fd = unsafe { raw!(seccomp, SET_MODE_FILTER, flags, &raw const program) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// `struct seccomp_notif`: one call that waits for its answer.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Notification {
    /// Names this notification in the answer.
    pub id: u64,
    /// The calling thread, in the pid namespace of the listener's reader.
    pub pid: u32,
    flags: u32,
    /// The call's number.
    pub nr: i32,
    /// `AUDIT_ARCH_*`.
    pub arch: u32,
    /// Address of the instruction.
    pub instruction_pointer: u64,
    /// The arguments.
    pub args: [u64; 6],
}

/// Takes the next notification.
///
/// # Errors
/// `ENOENT`: the caller died meanwhile; try again later.
pub fn receive(listener: BorrowedFd<'_>) -> Result<Notification> {
    let mut n = Notification::default();
    // SAFETY: n is a live, zeroed, writable `struct seccomp_notif`.
    unsafe { raw!(ioctl, listener.as_raw_fd(), IOCTL_NOTIF_RECV, &raw mut n) }?;
    Ok(n)
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Response {
    id: u64,
    val: i64,
    error: i32,
    flags: u32,
}

impl Response {
    fn send(&self, listener: BorrowedFd<'_>) -> Result<()> {
        // SAFETY: self is a live `struct seccomp_notif_resp`.
        unsafe { raw!(ioctl, listener.as_raw_fd(), IOCTL_NOTIF_SEND, &raw const *self) }.map(drop)
    }
}

/// Answers a notification: the call fails with `errno` and is not executed.
pub fn refuse(listener: BorrowedFd<'_>, id: u64, errno: Errno) -> Result<()> {
    Response { id, val: 0, error: -(errno as i32), flags: 0 }.send(listener)
}

/// Answers a notification: the kernel carries the call out as it stands in the registers. What its
/// pointers lead to may have changed since it was looked at: only for a call that is allowed whatever
/// they lead to.
pub fn proceed(listener: BorrowedFd<'_>, id: u64) -> Result<()> {
    Response { id, val: 0, error: 0, flags: CONTINUE }.send(listener)
}

/// Whether the caller still waits: if so, its pid was nobody else's until now.
pub fn still_waits(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: id is a live 64-bit number.
    unsafe { raw!(ioctl, listener.as_raw_fd(), IOCTL_NOTIF_ID_VALID, &raw const id) }.is_ok()
}
