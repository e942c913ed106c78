//! A single-use, immutable, minimal box for one untrusted program.
//!
//! A [`Policy`](policy::Policy) says what a program may see, call and use. A
//! [`Sandbox`](sandbox::Sandbox) makes a box for one run of one program under
//! it, and answers a [`Report`](report::Report) of what happened and of what the
//! kernel showed to be in force.
//!
//! ```
//! use stockade::Layer;
//! use stockade::policy::load_builtin;
//! use stockade::report::verdict::Verdict;
//! use stockade::sandbox::{Input, Output, Sandbox};
//!
//! # fn main() -> Result<(), stockade::Error> {
//! let outcome = Sandbox::builder(load_builtin("native")?, "/usr/bin/sort")
//!     .stdin(Input::Bytes(b"pear\napple\n".to_vec()))
//!     .stdout(Output::Capture)
//!     // Ordinary users often have no cgroup; without this line that would be an error.
//!     .degrade(Layer::Cgroup)
//!     .run()?;
//! assert_eq!(outcome.report.verdict, Verdict::Ok);
//! assert_eq!(outcome.stdout, b"apple\npear\n");
//! # Ok(())
//! # }
//! ```
//!
//! [`spawn`](sandbox::Builder::spawn) comes back when the program runs:
//!
//! ```
//! use stockade::policy::{Overrides, load_builtin};
//! use stockade::report::verdict::Verdict;
//! use stockade::{Layer, sandbox::Sandbox};
//!
//! # fn main() -> Result<(), stockade::Error> {
//! let limits = Overrides { wall_ns: Some(60_000_000_000), ..Overrides::default() };
//! let policy = load_builtin("native")?.with_overrides(&limits)?;
//! let running = Sandbox::builder(policy, "/usr/bin/sleep").args(["50"]).degrade(Layer::Cgroup).spawn()?;
//! running.kill();
//! let outcome = running.wait()?;
//! assert_eq!(outcome.report.verdict, Verdict::Cancelled);
//! # Ok(())
//! # }
//! ```
//!
//! # What is an error, and what is a verdict
//!
//! A request that is refused before anything was made is an [`Error`], which
//! says what to do about it. Everything after that is a verdict: also a step of
//! the set-up that failed ([`SetupFailed`](report::verdict::Verdict::SetupFailed)),
//! because a box that was begun has a cleanup to tell of.
//!
//! # What a caller should know
//!
//! - The thread that calls [`run`](sandbox::Builder::run) is the box's parent:
//!   when it ends, so does the box. `spawn` has a thread of its own for that.
//! - SIGCHLD may not be ignored and `SA_NOCLDWAIT` not be set: the kernel would
//!   forget how the program ended, and the request is refused. Other children
//!   are never waited for.
//! - The children are made from a copy of the caller's memory and make system
//!   calls only; other threads and their locks do not matter. A thread's first
//!   launch copies all of it, which costs some 40 µs for each MiB that the caller
//!   has written. From its second on, boxes are made from a small process that the
//!   thread keeps until it ends: it has none of that memory, shows as `template`
//!   among the children, and `waitpid(2)` does not tell of it.
//!
//! # Words
//!
//! `docs/architecture.md` has the words used here, and the order in which a box
//! is set up; [`sandbox::order`] is that order.
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64")))]
compile_error!(
    "stockade runs on 64-bit Linux on x86 only: its filters, call tables and entry code are written for it"
);

pub mod batch;
pub mod doctor;
pub mod error;
pub mod escape;
#[doc(hidden)]
pub mod fuzzing;
pub mod image;
pub mod layer;
pub mod policy;
pub mod report;
pub mod sandbox;
// For the program of this package; a library that wants raw system calls has better ones.
#[doc(hidden)]
pub mod sys;

pub use error::Error;
pub use layer::Layer;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
