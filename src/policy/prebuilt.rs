//! The policies that ship, read and compiled ahead of time.
//!
//! Reading and compiling `native` costs a launch 0.5 ms, and comes to the same
//! each time. `policies/prebuilt/NAME.bin` has what comes of it: first the
//! [`Policy`], then the instructions of its filters, which only
//! `sandbox::seccomp` understands.
//!
//! Guarantees: what is there is what the policy's text means and what the
//! compiler makes of it; a test compares them. What cannot be decoded is read
//! from the text, as a file would be.

use super::Policy;

/// Name and prebuilt form of each policy that can be run.
const PREBUILT: &[(&str, &[u8])] = &[
    ("native", include_bytes!("../../policies/prebuilt/native.bin")),
    ("strict", include_bytes!("../../policies/prebuilt/strict.bin")),
    ("go", include_bytes!("../../policies/prebuilt/go.bin")),
    ("python", include_bytes!("../../policies/prebuilt/python.bin")),
    ("node", include_bytes!("../../policies/prebuilt/node.bin")),
    ("java", include_bytes!("../../policies/prebuilt/java.bin")),
    ("perl", include_bytes!("../../policies/prebuilt/perl.bin")),
    ("ruby", include_bytes!("../../policies/prebuilt/ruby.bin")),
    ("lua", include_bytes!("../../policies/prebuilt/lua.bin")),
    ("compile-c", include_bytes!("../../policies/prebuilt/compile-c.bin")),
    ("compile-cpp", include_bytes!("../../policies/prebuilt/compile-cpp.bin")),
    ("compile-rust", include_bytes!("../../policies/prebuilt/compile-rust.bin")),
    ("compile-go", include_bytes!("../../policies/prebuilt/compile-go.bin")),
    ("compile-java", include_bytes!("../../policies/prebuilt/compile-java.bin")),
    ("ci", include_bytes!("../../policies/prebuilt/ci.bin")),
];

/// A policy that ships.
#[must_use]
pub fn policy(name: &str) -> Option<Policy> {
    policy_and_filters(name).map(|(policy, _)| policy)
}

/// A policy that ships, and its filters as they were encoded.
#[must_use]
pub fn policy_and_filters(name: &str) -> Option<(Policy, &'static [u8])> {
    let (_, bytes) = PREBUILT.iter().find(|p| p.0 == name)?;
    postcard::take_from_bytes(bytes).ok()
}
