//! Filters under the running kernel: children that load them and try calls.

use std::ptr;

use stockade::sandbox::seccomp::sock_filter;

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Exit(i32),
    Signal(i32),
}

/// Numbers that a child leaves for its parent.
pub struct Shared {
    start: *mut i64,
    length: usize,
}

impl Shared {
    pub fn new(length: usize) -> Self {
        let length = length.max(1);
        let bytes = length * size_of::<i64>();
        // SAFETY: a new anonymous mapping, nothing is passed that the call reads or writes.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(start, libc::MAP_FAILED);
        Self { start: start.cast(), length }
    }

    pub fn set(&self, index: usize, value: i64) {
        assert!(index < self.length);
        // SAFETY: within the mapping made in `new`, which lives as long as `self`.
        let place = unsafe { self.start.add(index) };
        // SAFETY: as above; aligned, since the mapping is page aligned and `i64`s follow each other.
        unsafe { place.write_volatile(value) };
    }

    pub fn get(&self, index: usize) -> i64 {
        assert!(index < self.length);
        // SAFETY: within the mapping made in `new`, which lives as long as `self`.
        let place = unsafe { self.start.add(index) };
        // SAFETY: as above; a new mapping is all zero, so any place may be read.
        unsafe { place.read_volatile() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped, and nobody has a reference into it.
        unsafe { libc::munmap(self.start.cast(), self.length * size_of::<i64>()) };
    }
}

/// Runs `work` in a forked child and waits for it. `work` must not allocate or
/// lock: other threads of the parent may have held locks when it was forked.
pub fn in_child(work: impl FnOnce()) -> End {
    // SAFETY: the child only runs `work`, which keeps to the rule above, and leaves.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0, "fork failed");
    if pid == 0 {
        work();
        // SAFETY: leaves without running anything of the parent's.
        unsafe { libc::_exit(0) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call, `pid` is our own child and not yet waited for.
    let waited = unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(waited, pid);
    if libc::WIFSIGNALED(status) {
        End::Signal(libc::WTERMSIG(status))
    } else {
        End::Exit(libc::WEXITSTATUS(status))
    }
}

/// A call with whatever number and arguments; minus `errno` when it fails.
pub fn call(nr: u32, args: [u64; 6]) -> i64 {
    let result: i64;
    let [a, b, c, d, e, f] = args;
    // SAFETY: the caller chose arguments for which the call neither writes
    // memory nor has another effect; the clobbers are those of the instruction.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") u64::from(nr) => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            out("rcx") _, out("r11") _,
            options(nostack),
        );
    }
    result
}

/// `getpid` through the 32-bit entry.
pub fn call_32_getpid() -> i64 {
    let result: i64;
    // SAFETY: number 20 of the 32-bit table has no arguments and no effect;
    // the 32-bit entry clears r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("rax") 20_i64 => result,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
            options(nostack),
        );
    }
    result
}

/// Child only: promises never to gain privileges, which loading a filter needs.
pub fn no_new_privs() -> bool {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 }
}

/// Child only: loads a filter, with the nonce where the listener looks for it.
pub fn load(code: &[sock_filter], nonce: [u32; 3]) -> bool {
    load_with(code, 0, nonce) == 0
}

/// Child only: loads a filter and returns the descriptor of its listener.
pub fn load_listener(code: &[sock_filter]) -> i64 {
    let flags = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    load_with(code, flags, [0; 3])
}

/// Child only: dies of SIGALRM after so many milliseconds.
pub fn die_after(milliseconds: i64) {
    let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let once = libc::timeval { tv_sec: 0, tv_usec: milliseconds * 1000 };
    let timer = libc::itimerval { it_interval: never, it_value: once };
    // SAFETY: `timer` outlives the call, which only reads it.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &timer, ptr::null_mut()) };
}

fn load_with(code: &[sock_filter], flags: libc::c_ulong, nonce: [u32; 3]) -> i64 {
    let Ok(len) = u16::try_from(code.len()) else { return -1 };
    // `sock_filter` is repr(C) with the kernel's four fields.
    let program = libc::sock_fprog { len, filter: code.as_ptr().cast_mut().cast() };
    // SAFETY: `program` and the instructions it points to outlive the call, which only reads them.
    unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            ptr::from_ref(&program),
            nonce[0],
            nonce[1],
            nonce[2],
        )
    }
}

/// Nanoseconds of a clock that only goes forward.
pub fn now() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` outlives the call.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}
