//! The box: plan, layers, launch, supervision.
//!
//! One direction only: a policy and a request are compiled into a [`plan`], the
//! children follow it, the supervisor compares what the kernel says with what
//! the plan expects, and what happened becomes evidence.

pub mod capabilities;
pub mod cgroup;
mod child;
mod descriptors;
mod frame;
mod inherited;
pub mod landlock;
pub mod namespaces;
pub mod order;
mod plan;
pub mod rlimits;
mod root;
