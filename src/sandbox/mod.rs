//! The box: plan, layers, launch, supervision.

pub mod seccomp;
