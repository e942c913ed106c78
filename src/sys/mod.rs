//! Every raw system call and every `unsafe` block of the project.
//!
//! The wrappers allocate nothing, take no lock and never touch the C library's
//! `errno`: all of them may run between clone and exec, also in a process that
//! shares its memory with another. They do no policy: each is one call, with
//! typed arguments and the kernel's answer.
//!
//! # References
//! `syscalls(2)` and the manual page named like each function.
#![allow(unsafe_code)]

pub mod clone;
pub mod creds;
pub mod fd;
pub mod init;
pub mod landlock;
pub mod limits;
pub mod mount;
pub mod probe;
pub mod process;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod template;
pub mod time;
pub mod words;

pub use nix::errno::Errno;

/// What the kernel answered.
pub type Result<T> = std::result::Result<T, Errno>;

/// One raw system call. Expands to an expression that is unsafe to evaluate.
macro_rules! raw {
    ($nr:ident $(, $arg:expr)* $(,)?) => {
        syscalls::syscall!(syscalls::Sysno::$nr $(, $arg)*)
            .map_err(|e| nix::errno::Errno::from_raw(e.into_raw()))
    };
}
pub(crate) use raw;

/// A descriptor or process id out of a successful call.
///
/// The kernel hands these out as `int`: the upper half is zero.
#[allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
pub(crate) const fn int(answer: usize) -> i32 {
    answer as i32
}
