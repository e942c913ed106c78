//! Descriptors: opening, copying, moving bytes.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::{Result, int, raw};

/// `struct open_how` of `openat2(2)`.
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// How `openat2` may walk a path; see `openat2(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolve(u64);

impl Resolve {
    /// Stay below the directory, follow no link of any kind.
    pub const BENEATH: Self =
        Self(libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS);
    /// The same, and no mount is entered.
    pub const SEALED: Self = Self(Self::BENEATH.0 | libc::RESOLVE_NO_XDEV);
    /// No link of any kind is followed, wherever the path leads.
    pub const NO_LINKS: Self = Self(libc::RESOLVE_NO_SYMLINKS | libc::RESOLVE_NO_MAGICLINKS);
    /// Symbolic links are followed, the kernel's magic ones are not.
    pub const PLAIN: Self = Self(libc::RESOLVE_NO_MAGICLINKS);
    /// The directory is the root of everything, for links and `..` as well.
    pub const IN_ROOT: Self = Self(libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS);
}

/// Opens `path` relative to `dir` with `O_CLOEXEC` and exactly `flags`.
///
/// # References
/// `openat2(2)`
pub fn openat2(dir: RawFd, path: &CStr, flags: i32, mode: u32, resolve: Resolve) -> Result<OwnedFd> {
    #[allow(clippy::cast_sign_loss)] // flag bits
    let how = OpenHow { flags: (flags | libc::O_CLOEXEC) as u64, mode: u64::from(mode), resolve: resolve.0 };
    // SAFETY: path is NUL-terminated and how is a live `struct open_how` of the size passed.
    let fd = unsafe { raw!(openat2, dir, path.as_ptr(), &raw const how, size_of::<OpenHow>()) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Opens `path` relative to `dir` with `O_CLOEXEC`, links followed.
///
/// # References
/// `openat(2)`
pub fn openat(dir: RawFd, path: &CStr, flags: i32, mode: u32) -> Result<OwnedFd> {
    // SAFETY: path is NUL-terminated.
    let fd = unsafe { raw!(openat, dir, path.as_ptr(), flags | libc::O_CLOEXEC, mode) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Device, inode, mode and, for device nodes, the device behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The file system's device number.
    pub dev: u64,
    /// The inode.
    pub ino: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// The device a node stands for.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
}

/// What stands behind a descriptor.
///
/// # References
/// `fstat(2)`
pub fn identity(fd: BorrowedFd<'_>) -> Result<Identity> {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the pointer is to a live, writable `struct stat`.
    unsafe { raw!(fstat, fd.as_raw_fd(), stat.as_mut_ptr()) }?;
    // SAFETY: all-zero bytes are a valid `struct stat`, and the kernel has filled it in.
    let stat = unsafe { stat.assume_init() };
    #[allow(clippy::cast_sign_loss)] // a size is never negative
    let size = stat.st_size as u64;
    Ok(Identity { dev: stat.st_dev, ino: stat.st_ino, mode: stat.st_mode, rdev: stat.st_rdev, size })
}

/// Makes `new` a copy of `old`, without close-on-exec.
///
/// # References
/// `dup2(2)`. `old == new` is not a copy and would keep close-on-exec: callers
/// make sure that they differ.
pub fn dup_onto(old: RawFd, new: RawFd) -> Result<()> {
    // SAFETY: acts on descriptor numbers only.
    unsafe { raw!(dup3, old, new, 0) }.map(drop)
}

/// A copy with close-on-exec whose number is at least `min`.
///
/// # References
/// `fcntl(2)`, `F_DUPFD_CLOEXEC`
pub fn dup_at_least(fd: BorrowedFd<'_>, min: RawFd) -> Result<OwnedFd> {
    // SAFETY: acts on descriptor numbers only.
    let fd = unsafe { raw!(fcntl, fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, min) }?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

/// Closes every descriptor from `first` to `last`.
///
/// Takes numbers, because the point is to close what nobody knows of.
///
/// # References
/// `close_range(2)`
pub fn close_range(first: u32, last: u32) -> Result<()> {
    // SAFETY: only called in a child that owns its descriptor table and uses none of these again.
    unsafe { raw!(close_range, first, last, 0) }.map(drop)
}

/// Marks every descriptor from `first` to `last` to be closed by the next exec.
///
/// # References
/// `close_range(2)`
pub fn close_range_at_exec(first: u32, last: u32) -> Result<()> {
    // SAFETY: takes numbers; only called in a child that owns its descriptor table.
    unsafe { raw!(close_range, first, last, libc::CLOSE_RANGE_CLOEXEC) }.map(drop)
}

/// Closes one descriptor by number.
///
/// # References
/// `close(2)`
pub fn close(fd: RawFd) -> Result<()> {
    // SAFETY: only called in a child on descriptors that no owner in that child uses again.
    unsafe { raw!(close, fd) }.map(drop)
}

/// Reads at most `buf.len()` bytes.
///
/// # References
/// `read(2)`
pub fn read(fd: RawFd, buf: &mut [u8]) -> Result<usize> {
    // SAFETY: the pointer and length are those of a live, writable buffer.
    unsafe { raw!(read, fd, buf.as_mut_ptr(), buf.len()) }
}

/// Reads as much as there is room for in `buf`, in the place of what it held. What is not read is not
/// touched: memory of a large buffer comes with its content.
///
/// # References
/// `read(2)`
pub fn read_anew(fd: RawFd, buf: &mut Vec<u8>) -> Result<usize> {
    buf.clear();
    // SAFETY: the pointer and length are those of a live, writable buffer.
    let n = unsafe { raw!(read, fd, buf.as_mut_ptr(), buf.capacity()) }?;
    // SAFETY: the kernel has written so many bytes there, and no more than there was room for.
    unsafe { buf.set_len(n) };
    Ok(n)
}

/// Writes at most `buf.len()` bytes.
///
/// # References
/// `write(2)`
pub fn write(fd: RawFd, buf: &[u8]) -> Result<usize> {
    // SAFETY: the pointer and length are those of a live buffer.
    unsafe { raw!(write, fd, buf.as_ptr(), buf.len()) }
}

/// The current position of a file, to the calls that take one.
const HERE: i64 = -1;

/// Reads what there is without waiting, whatever the open file's own flags are.
///
/// # Errors
/// `EAGAIN`: nothing yet. `EOPNOTSUPP`: it cannot be asked so.
///
/// # References
/// `preadv2(2)`, `RWF_NOWAIT`
pub fn read_now(fd: RawFd, buf: &mut [u8]) -> Result<usize> {
    let iov = libc::iovec { iov_base: buf.as_mut_ptr().cast(), iov_len: buf.len() };
    // SAFETY: one live iovec over a live, writable buffer.
    unsafe { raw!(preadv2, fd, &raw const iov, 1, HERE, 0, libc::RWF_NOWAIT) }
}

/// Writes what fits without waiting, whatever the open file's own flags are.
///
/// # Errors
/// `EAGAIN`: nothing fits. `EOPNOTSUPP`: it cannot be asked so.
///
/// # References
/// `pwritev2(2)`, `RWF_NOWAIT`
pub fn write_now(fd: RawFd, buf: &[u8]) -> Result<usize> {
    let iov = libc::iovec { iov_base: buf.as_ptr().cast_mut().cast(), iov_len: buf.len() };
    // SAFETY: one live iovec over a live buffer, which the kernel only reads.
    unsafe { raw!(pwritev2, fd, &raw const iov, 1, HERE, 0, libc::RWF_NOWAIT) }
}

/// Receives from a socket without waiting.
///
/// # References
/// `recvfrom(2)`, `MSG_DONTWAIT`
pub fn receive_now(socket: RawFd, buf: &mut [u8]) -> Result<usize> {
    let null = std::ptr::null::<u8>();
    // SAFETY: the pointer and length are those of a live, writable buffer; the sender is not asked for.
    unsafe { raw!(recvfrom, socket, buf.as_mut_ptr(), buf.len(), libc::MSG_DONTWAIT, null, null) }
}

/// Sends over a connected socket without waiting, and without a signal.
///
/// # References
/// `sendto(2)`, `MSG_DONTWAIT`
pub fn send_now(socket: RawFd, buf: &[u8]) -> Result<usize> {
    let (null, flags) = (std::ptr::null::<u8>(), libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    // SAFETY: the pointer and length are those of a live buffer; there is no address.
    unsafe { raw!(sendto, socket, buf.as_ptr(), buf.len(), flags, null, 0) }
}

/// Copies up to `count` bytes from a file at `*offset` into another, in the kernel.
///
/// # References
/// `sendfile(2)`
pub fn sendfile(to: RawFd, from: RawFd, offset: &mut i64, count: usize) -> Result<usize> {
    // SAFETY: offset is a live, writable `off_t`.
    unsafe { raw!(sendfile, to, from, std::ptr::from_mut(offset), count) }
}

/// Makes a regular file, directory entry or other node of the given mode.
///
/// # References
/// `mknodat(2)`
pub fn mknodat(dir: RawFd, path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: path is NUL-terminated.
    unsafe { raw!(mknodat, dir, path.as_ptr(), mode, 0) }.map(drop)
}

/// Makes a directory.
///
/// # References
/// `mkdirat(2)`
pub fn mkdirat(dir: RawFd, path: &CStr, mode: u32) -> Result<()> {
    // SAFETY: path is NUL-terminated.
    unsafe { raw!(mkdirat, dir, path.as_ptr(), mode) }.map(drop)
}

/// Makes a symbolic link.
///
/// # References
/// `symlinkat(2)`
pub fn symlinkat(target: &CStr, dir: RawFd, path: &CStr) -> Result<()> {
    // SAFETY: both strings are NUL-terminated.
    unsafe { raw!(symlinkat, target.as_ptr(), dir, path.as_ptr()) }.map(drop)
}

/// Sets permission bits exactly, whatever the umask.
///
/// # References
/// `fchmod(2)`
pub fn fchmod(fd: RawFd, mode: u32) -> Result<()> {
    // SAFETY: acts on a descriptor number only.
    unsafe { raw!(fchmod, fd, mode) }.map(drop)
}

/// Sets the modification time; the access time too.
///
/// # References
/// `utimensat(2)`
pub fn set_mtime(fd: RawFd, seconds: i64, nanos: u32) -> Result<()> {
    let time = libc::timespec { tv_sec: seconds, tv_nsec: i64::from(nanos) };
    let times = [time, time];
    // SAFETY: a null path means the descriptor itself; times is a live array of two.
    unsafe { raw!(utimensat, fd, std::ptr::null::<u8>(), times.as_ptr(), 0) }.map(drop)
}

/// Whether the other end of a socket or pipe has gone.
///
/// # References
/// `poll(2)`
pub fn hung_up(fd: RawFd) -> Result<bool> {
    let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
    // SAFETY: one live, writable `struct pollfd`, and no waiting.
    unsafe { raw!(poll, &raw mut poll, 1, 0) }?;
    Ok(poll.revents & (libc::POLLHUP | libc::POLLERR) != 0)
}

/// Waits until the reading end of a pipe whose writing end is `fd` has gone.
///
/// # References
/// `poll(2)`
pub fn wait_reader_gone(fd: RawFd) -> Result<()> {
    loop {
        let mut poll = libc::pollfd { fd, events: 0, revents: 0 };
        // SAFETY: one live, writable `struct pollfd`.
        match unsafe { raw!(poll, &raw mut poll, 1, -1i32) } {
            Err(super::Errno::EINTR) => {}
            Err(e) => return Err(e),
            Ok(_) => return Ok(()),
        }
    }
}

/// A control message that carries descriptors, with room for `N`.
#[repr(C, align(8))]
struct Rights<const N: usize> {
    header: libc::cmsghdr,
    fds: [RawFd; N],
}

/// Sends `data` together with descriptors over a local socket. `extra` are the
/// call's three unused arguments: the kernel ignores them, a filter sees them.
///
/// # References
/// `sendmsg(2)`, `unix(7)` (`SCM_RIGHTS`)
pub fn send_with_fds<const N: usize>(
    socket: RawFd,
    data: &[u8],
    fds: [RawFd; N],
    extra: [u32; 3],
) -> Result<()> {
    let mut iov = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let mut control = Rights {
        header: libc::cmsghdr {
            cmsg_len: size_of::<libc::cmsghdr>() + size_of::<[RawFd; N]>(),
            cmsg_level: libc::SOL_SOCKET,
            cmsg_type: libc::SCM_RIGHTS,
        },
        fds,
    };
    let message = libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut iov,
        msg_iovlen: 1,
        msg_control: (&raw mut control).cast(),
        msg_controllen: size_of::<Rights<N>>(),
        msg_flags: 0,
    };
    let [a, b, c] = extra;
    // SAFETY: message points at a live iovec over `data`, which the kernel only reads, and at one
    // well-formed control message.
    unsafe { raw!(sendmsg, socket, &raw const message, libc::MSG_NOSIGNAL, a, b, c) }.map(drop)
}

/// Receives into `data`, and the descriptors that came with it, close-on-exec:
/// answers how many bytes there were, and the descriptors, -1 where there is none.
/// They are the caller's to close.
///
/// # References
/// `recvmsg(2)`, `unix(7)` (`SCM_RIGHTS`)
pub fn recv_with_fds<const N: usize>(socket: RawFd, data: &mut [u8]) -> Result<(usize, [RawFd; N])> {
    let mut iov = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    let mut control =
        Rights { header: libc::cmsghdr { cmsg_len: 0, cmsg_level: 0, cmsg_type: 0 }, fds: [-1; N] };
    let mut message = libc::msghdr {
        msg_name: std::ptr::null_mut(),
        msg_namelen: 0,
        msg_iov: &raw mut iov,
        msg_iovlen: 1,
        msg_control: (&raw mut control).cast(),
        msg_controllen: size_of::<Rights<N>>(),
        msg_flags: 0,
    };
    // SAFETY: message points at a live iovec over the caller's buffer and at a live control buffer of the
    // size given.
    let n = unsafe { raw!(recvmsg, socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) }?;
    let carried = message.msg_controllen >= size_of::<libc::cmsghdr>()
        && control.header.cmsg_level == libc::SOL_SOCKET
        && control.header.cmsg_type == libc::SCM_RIGHTS;
    Ok((n, if carried { control.fds } else { [-1; N] }))
}

/// Receives into `data`, and the descriptor that came with it, if one did.
///
/// A peer that ends before it has read all that it was sent leaves an error behind, which is told
/// once, ahead of what the peer itself had said: not here.
///
/// # References
/// As [`recv_with_fds`]
pub fn recv_with_fd(socket: RawFd, data: &mut [u8]) -> Result<(usize, Option<OwnedFd>)> {
    let (n, [fd]) = match recv_with_fds::<1>(socket, data) {
        Err(super::Errno::ECONNRESET) => recv_with_fds::<1>(socket, data),
        other => other,
    }?;
    // SAFETY: the kernel has just installed this descriptor for us, nobody else owns it.
    let owned = (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) });
    Ok((n, owned))
}

/// The same file at a descriptor above 2, which the middle process replaces.
pub fn above_stdio(fd: OwnedFd) -> Result<OwnedFd> {
    if fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    use std::os::fd::AsFd as _;
    dup_at_least(fd.as_fd(), 3)
}

/// A pipe: reading end, writing end. Close-on-exec, both above 2.
///
/// # References
/// `pipe2(2)`
pub fn pipe() -> Result<(OwnedFd, OwnedFd)> {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    Ok((above_stdio(read)?, above_stdio(write)?))
}

/// A pair of connected sockets that keep message boundaries. Close-on-exec, both above 2.
///
/// # References
/// `socketpair(2)`, `SOCK_SEQPACKET`
pub fn socket_pair() -> Result<(OwnedFd, OwnedFd)> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
    let flags = SockFlag::SOCK_CLOEXEC;
    let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
    Ok((above_stdio(ours)?, above_stdio(theirs)?))
}

/// Takes over a descriptor that this process was started with, by its number:
/// answers a close-on-exec copy and closes the original.
///
/// # Errors
/// `EBADF`: there is none.
pub fn adopt(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: acts on descriptor numbers only.
    let fd = unsafe { raw!(fcntl, number, libc::F_DUPFD_CLOEXEC, 3) }?;
    close(number)?;
    // SAFETY: the kernel has just made this descriptor for us, nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(int(fd)) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_words_of_a_peer_that_did_not_read_are_received() {
        let (ours, theirs) = socket_pair().expect("a pair");
        write(ours.as_raw_fd(), b"unread").expect("written");
        write(theirs.as_raw_fd(), b"words").expect("written");
        drop(theirs);
        let mut bytes = [0; 16];
        let mut receive = || recv_with_fd(ours.as_raw_fd(), &mut bytes).map(|(n, _)| n);
        assert_eq!(receive(), Ok(5));
        assert_eq!(receive(), Ok(0));
    }

    #[test]
    fn error_comes_ahead_of_last_words_for_whoever_only_reads() {
        let (ours, theirs) = socket_pair().expect("a pair");
        write(ours.as_raw_fd(), b"unread").expect("written");
        write(theirs.as_raw_fd(), b"words").expect("written");
        drop(theirs);
        assert_eq!(read(ours.as_raw_fd(), &mut [0; 16]), Err(super::super::Errno::ECONNRESET));
    }
}
