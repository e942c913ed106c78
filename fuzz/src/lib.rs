//! What each fuzz target checks. `cargo fuzz` runs these on mutated bytes, and
//! `tests/fuzz_seeds.rs` on the seeds, with the stable compiler.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, reason = "a target fails by panicking")]

pub mod bytes;
pub mod calls;
pub mod elf;
pub mod frame;
pub mod json;
pub mod manifest;
pub mod oci;
pub mod policy;
pub mod proc;
pub mod pump;
pub mod report;
pub mod seccomp;
pub mod spec;
pub mod tar;
pub mod terminal;
pub mod verdict;

/// Looks at the bytes of one input; panics when something is wrong.
pub type Check = fn(&[u8]);

/// Every target by its name, which is that of its seeds' directory.
pub const TARGETS: [(&str, Check); 15] = [
    ("calls", calls::check),
    ("elf", elf::check),
    ("frame", frame::check),
    ("json", json::check),
    ("manifest", manifest::check),
    ("oci", oci::check),
    ("policy", policy::check),
    ("proc", proc::check),
    ("pump", pump::check),
    ("report", report::check),
    ("seccomp", seccomp::check),
    ("spec", spec::check),
    ("tar", tar::check),
    ("terminal", terminal::check),
    ("verdict", verdict::check),
];
