//! A run that is to be explained: the supervisor hears of what is refused.
//!
//! Guarantees: what can succeed is what can succeed without it. The programs of
//! [`super::compile_explaining`] notify every call that the policy refuses, and of those that it allows
//! the ones in [`WATCHED`]; [`super::prove_explaining`] shows that nothing else passes. A notified call is
//! answered by [`reply`], from its registers alone, which cannot change while it waits: it proceeds only
//! if the policy means so, the programs of an ordinary run would let it pass as well, and it is one of
//! [`WATCHED`], none of which acts on anything but the box's own files, descriptors and processes. What
//! a pointer leads to is read for the report and decides nothing.
//!
//! What is lost is the kernel's own answer: without its supervisor, a refused call is answered ENOSYS.

use super::answer::{Answer, ENOSYS};
use super::compile::{Filters, NONCE_WORDS};
use super::evaluate::{Call, stack};
use super::meaning::{Rules, decide};

/// Calls that the launcher makes between the two programs, when nobody answers yet: `rt_sigprocmask`,
/// `getrusage` and `close_range`. The kernel answers them as always, and nobody hears of them.
pub const UNSEEN: [u32; 3] = [14, 98, 436];

/// Allowed calls that are looked at, because they can fail for what the policy does not give: a path,
/// a right on it, a network, a descriptor, a process, bytes of a file, memory that is locked.
pub const WATCHED: [u32; 55] = [
    2,   // open
    4,   // stat
    6,   // lstat
    21,  // access
    22,  // pipe
    32,  // dup
    41,  // socket
    42,  // connect
    49,  // bind
    53,  // socketpair
    56,  // clone
    57,  // fork
    58,  // vfork
    59,  // execve
    76,  // truncate
    77,  // ftruncate
    80,  // chdir
    82,  // rename
    83,  // mkdir
    84,  // rmdir
    85,  // creat
    86,  // link
    87,  // unlink
    88,  // symlink
    89,  // readlink
    90,  // chmod
    132, // utime
    133, // mknod
    137, // statfs
    149, // mlock
    151, // mlockall
    235, // utimes
    257, // openat
    258, // mkdirat
    259, // mknodat
    262, // newfstatat
    263, // unlinkat
    264, // renameat
    265, // linkat
    266, // symlinkat
    267, // readlinkat
    268, // fchmodat
    269, // faccessat
    280, // utimensat
    283, // timerfd_create
    285, // fallocate
    290, // eventfd2
    291, // epoll_create1
    293, // pipe2
    316, // renameat2
    319, // memfd_create
    325, // mlock2
    332, // statx
    439, // faccessat2
    452, // fchmodat2
];

/// How the supervisor answers a notified call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply {
    /// The kernel carries it out.
    Proceed,
    /// It fails so.
    Fail(u16),
    /// A violation, as in an ordinary run.
    Violation,
}

/// How a notified call is answered: as the policy means it. `ordinary` are the programs that a run
/// without explanations would have, with the same nonce.
#[must_use]
pub fn reply(ordinary: &Filters, rules: &Rules<'_>, nonce: [u32; NONCE_WORDS], call: &Call) -> Reply {
    match decide(rules, nonce, call) {
        Answer::Errno(errno) => Reply::Fail(errno),
        Answer::Notify => Reply::Violation,
        Answer::Allow if WATCHED.contains(&call.nr) && passes(ordinary, call) => Reply::Proceed,
        Answer::Allow | Answer::Kill => Reply::Fail(ENOSYS),
    }
}

/// A second opinion: the programs themselves, and not what they were made from.
fn passes(ordinary: &Filters, call: &Call) -> bool {
    stack(&ordinary.in_order(), call).is_ok_and(|value| Answer::from_return(value) == Some(Answer::Allow))
}
