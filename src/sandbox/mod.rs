//! The box: plan, layers, launch, supervision.
//!
//! One direction only: a policy and a request are compiled into a plan, the
//! children follow it, the supervisor compares what the kernel says with what
//! the plan expects, and what happened becomes evidence.

pub mod capabilities;
pub mod cgroup;
mod child;
mod clock;
mod compile;
mod descriptors;
mod frame;
pub mod host;
pub mod images;
mod inherited;
pub mod landlock;
mod launch;
mod meter;
pub mod namespaces;
pub mod order;
mod plan;
mod posture;
pub mod rlimits;
mod root;
mod run;
pub mod seccomp;
mod strays;
pub mod streams;
mod supervise;
mod verify;

pub use images::{RootChoice, StoreChoice};
pub use root::Bind;
pub use run::{Builder, Canceller, Outcome, Running, Sandbox, refusal_report};
pub use streams::{Input, Output};
pub use supervise::Cancel;
