//! Policies: reviewed data that says what a payload may see, call and use.
//!
//! Nothing here makes a system call.

mod findings;
mod json;
pub mod model;
pub mod names;
mod source;
mod suggest;
pub mod units;
