//! The report: what is told to the caller, and how it is decided.
//!
//! [`verdict`] is a pure function of [`Evidence`]; [`model`] is the document.
//! Nothing here makes a system call but writing the finished report.

pub mod evidence;
pub mod explanation;
pub mod model;
pub mod text;
pub mod verdict;
pub mod write;

pub use evidence::{Evidence, Kill, Rule};
pub use model::Report;
pub use verdict::{Decision, Verdict};
