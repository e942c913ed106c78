//! The box: plan, layers, launch, supervision.
//!
//! One direction only: a policy and a request are compiled into a plan, the
//! children follow it, the supervisor compares what the kernel says with what
//! the plan expects, and what happened becomes evidence.

#[cfg(feature = "ablation")]
mod ablation;
pub(crate) mod blockers;
mod capabilities;
#[doc(hidden)] // it knows more than a launch asks of it
pub mod cgroup;
mod child;
mod clock;
mod compile;
mod descriptors;
mod digesting;
pub(crate) mod explain;
pub(crate) mod frame;
pub(crate) mod host;
pub mod images;
mod inherited;
#[cfg(feature = "fault-injection")]
mod inject;
pub(crate) mod landlock;
mod late;
mod launch;
mod meter;
pub(crate) mod namespaces;
pub mod order;
mod out;
mod plan;
mod pool;
pub(crate) mod posture;
pub(crate) mod procfs;
pub(crate) mod rlimits;
pub(crate) mod root;
mod run;
pub mod seccomp;
mod small;
mod spread;
mod strays;
pub(crate) mod streams;
mod supervise;
mod traces;
mod urgency;
mod verify;
mod walk;
mod watch;
mod work;

#[cfg(test)]
pub(crate) use small::kept_now as kept_by_a_template;

pub use images::{RootChoice, StoreChoice};
pub use out::{Collected, Out, Skipped};
pub use pool::{Pool, Solo};
pub use root::Bind;
pub use run::{Builder, Canceller, Outcome, Running, Sandbox, refusal_report};
pub use streams::{Input, Output};
pub use supervise::Cancel;
pub use work::{Brought, Work};
