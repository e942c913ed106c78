//! The policies that ship, embedded.

/// Name and text of each, the one to start from first.
const POLICIES: &[(&str, &str)] = &[
    ("base", include_str!("../../policies/base.json")),
    ("native", include_str!("../../policies/native.json")),
    ("strict", include_str!("../../policies/strict.json")),
    ("go", include_str!("../../policies/go.json")),
    ("python", include_str!("../../policies/python.json")),
    ("node", include_str!("../../policies/node.json")),
    ("java", include_str!("../../policies/java.json")),
    ("perl", include_str!("../../policies/perl.json")),
    ("ruby", include_str!("../../policies/ruby.json")),
    ("lua", include_str!("../../policies/lua.json")),
    ("compile", include_str!("../../policies/compile.json")),
    ("compile-c", include_str!("../../policies/compile-c.json")),
    ("compile-cpp", include_str!("../../policies/compile-cpp.json")),
    ("compile-rust", include_str!("../../policies/compile-rust.json")),
    ("compile-go", include_str!("../../policies/compile-go.json")),
    ("compile-java", include_str!("../../policies/compile-java.json")),
    ("ci", include_str!("../../policies/ci.json")),
];

/// The names of the policies that ship.
pub fn builtin_names() -> impl Iterator<Item = &'static str> {
    POLICIES.iter().map(|p| p.0)
}

/// The text of a policy that ships, as it is in the file.
#[must_use]
pub fn builtin_text(name: &str) -> Option<&'static str> {
    POLICIES.iter().find(|p| p.0 == name).map(|p| p.1)
}
