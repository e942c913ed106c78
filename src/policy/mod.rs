//! Policies: reviewed data that says what a payload may see, call and use.
//!
//! Nothing here makes a system call.

pub mod model;
