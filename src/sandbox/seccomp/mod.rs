//! The system call filter: from a policy to two short, proven programs.
//!
//! Guarantees: every call number, of every architecture, with every argument,
//! has the answer that [`decide`] reads off the policy, and [`prove`] can show
//! it for any policy. Relies on the kernel running both programs and taking
//! the stricter answer (seccomp(2), "returns the value of highest
//! precedence"), and on the answers being what the kernel documents.
//!
//! One exception is the kernel's: since 6.14 it runs no filter for `uretprobe`
//! and `uprobe` (335 and 336, `seccomp_uprobe_exception` in kernel/seccomp.c).
//! Called by hand they kill the process or fail.
//!
//! What a policy means for a call, first line that fits:
//!
//! 1. Not x86-64, or a number of 2^30 and above (the x32 table, -1): killed.
//! 2. A `violations` rule names it and all its conditions hold: notified.
//!    (This and the `violation` of line 5 let the hand-over pass, see below.)
//! 3. `execve` under `exec: launch-only`: allowed with the launch's nonce in
//!    arguments 3 to 5, which the kernel ignores; otherwise `EACCES`.
//! 4. `mmap`, `mprotect`, `pkey_mprotect` under `wx: deny`, where allowed at
//!    all: `EPERM` for memory both writable and executable.
//! 5. An `allow` rule names it: allowed, or what the rule's `otherwise` says.
//! 6. Anything else is `ENOSYS`, also a call newer than this program: libc
//!    then falls back to what it did before the call existed.
//!
//! There are two programs because the supervisor gets the listener's
//! descriptor from a process that is not dumpable any more, by a `sendmsg`
//! that the box itself must not have: *listener* notifies violations and
//! allows everything else, so the hand-over passes; *main* is loaded after it
//! and allows what the listener notifies, since `ERRNO` of one filter beats
//! `USER_NOTIF` of another. The hand-over itself, `sendmsg` and the `seccomp`
//! that loads the main program, runs under the listener: where these two would
//! be notified, nobody could answer yet, so they pass with the launch's nonce
//! in arguments 3 to 5, which they do not have.
//!
//! Path: `ir` lowers the policy to clauses per call, `graph` turns them
//! into decisions with seccompiler's code for each argument test, `reduce`
//! drops what a path already knows, `search` finds the call number,
//! `layout` makes instructions. None of them needs to be trusted: [`prove`]
//! compares the instructions with the policy.

mod again;
mod answer;
mod compare;
mod compile;
mod evaluate;
mod explain;
mod graph;
mod ir;
mod layout;
mod meaning;
mod prebuilt;
mod prove;
mod question;
mod reduce;
mod search;
mod solve;

pub use again::filters_of;
pub use answer::{Answer, EACCES, ENOSYS, EPERM};
pub use compare::{Case, TooManyCases, compare, table};
pub use compile::{Compiled, Filters, NONCE_WORDS, Program, compile, compile_explaining, compile_init};
pub use evaluate::{Call, Fault, check, constant, run, stack};
pub use explain::{Reply, UNSEEN, WATCHED, reply};
pub use meaning::{ArgumentTable, Rules, Width, decide};
pub use prebuilt::prebuilt;
pub use prove::{Counterexample, Proof, Refuted, prove, prove_explaining, prove_filters, prove_init};
pub use question::ARCH_X86_64;
pub use seccompiler::sock_filter;

/// The first call number that is never a call of the x86-64 table: bit 30
/// marks the x32 table (`__X32_SYSCALL_BIT`), whose numbers would otherwise
/// name the same calls past the filter, and everything above is nothing.
pub const FIRST_FOREIGN_CALL: u32 = 0x4000_0000;
