//! A single-use, immutable, minimal box for one untrusted program.
//!
//! See `docs/architecture.md` for the words used here and for the order in
//! which a box is set up.
#![deny(unsafe_code)]

#[cfg(not(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64")))]
compile_error!(
    "stockade runs on 64-bit Linux on x86 only: its filters, call tables and entry code are written for it"
);

pub mod error;
pub mod escape;
pub mod image;
pub mod layer;
pub mod policy;
pub mod report;
pub mod sandbox;
pub mod sys;

pub use error::Error;
pub use layer::Layer;
