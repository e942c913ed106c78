//! Names of system calls, of their arguments, and of the kernel's constants.
//!
//! Guarantees: what a name means here is what the kernel of x86-64 means by
//! it; an argument's width is the one the kernel acts on, so that a filter
//! that compares in that width cannot be passed by setting bits above it.
//!
//! Relies on the `syscalls` crate for the numbers.
//!
//! Manual pages: syscalls(2), seccomp(2), and those of the calls themselves.

mod constants;
mod describe;
mod families;
mod table;

use constants::CONSTANTS;
pub use describe::{describe, describe_bits, describe_call};
use table::{CALLS, Call, Spec};

/// What an argument is, in the words of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Points to something a filter cannot see.
    Ptr,
    /// `umode_t`.
    Short,
    /// `int`, `unsigned int` and what is as wide.
    Int,
    /// `long`, `size_t`, `loff_t` and what is as wide.
    Long,
}

/// How a filter has to look at an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArgKind {
    /// Points to something a filter cannot see: no condition is possible.
    Pointer,
    /// The kernel reads the low 32 bits only: compare those.
    Int,
    /// The kernel reads all 64 bits.
    Long,
}

/// An argument of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arg {
    /// Which of the six, from 0.
    pub index: u8,
    /// How to look at it.
    pub kind: ArgKind,
    /// How many of its bits the kernel uses: 16 (`umode_t`, a special case of
    /// [`ArgKind::Int`]), 32 or 64. Conditions on 16-bit arguments are always
    /// resolved to masks of 16 bits, so a comparison in 32 bits is right.
    pub bits: u8,
}

/// More than the number of any call; the kernel adds one or two a year.
const NUMBERS: usize = 512;

/// No call has this number.
const NONE: u16 = u16::MAX;

/// Where in [`CALLS`] each number is.
static BY_NUMBER: [u16; NUMBERS] = by_number();

#[allow(clippy::cast_possible_truncation, reason = "no TryFrom in const; the table has 400 entries")]
const fn by_number() -> [u16; NUMBERS] {
    let mut index = [NONE; NUMBERS];
    let mut i = 0;
    while i < CALLS.len() {
        index[CALLS[i].number as usize] = i as u16;
        i += 1;
    }
    index
}

fn call(number: u32) -> Option<&'static Call> {
    let index = BY_NUMBER.get(usize::try_from(number).ok()?)?;
    CALLS.get(usize::from(*index))
}

/// The number of a call.
#[must_use]
pub fn number(name: &str) -> Option<u32> {
    let index = CALLS.binary_search_by(|c| c.name.cmp(name)).ok()?;
    CALLS.get(index).map(|c| c.number)
}

/// The name of a call.
#[must_use]
pub fn name(number: u32) -> Option<&'static str> {
    call(number).map(|c| c.name)
}

/// The name of a call, or its number for a call this table does not have.
#[must_use]
pub fn shown(number: u32) -> String {
    name(number).map_or_else(|| format!("syscall_{number}"), str::to_owned)
}

/// Every call, by name.
pub fn all() -> impl Iterator<Item = (&'static str, u32)> {
    CALLS.iter().map(|c| (c.name, c.number))
}

/// An argument of a call by its name in the manual page.
#[must_use]
pub fn argument(number: u32, name: &str) -> Option<Arg> {
    let specs = call(number)?.args;
    let index = specs.iter().position(|s| s.names.split('|').any(|n| n == name))?;
    let (kind, bits) = match specs.get(index)?.kind {
        Kind::Ptr => (ArgKind::Pointer, 64),
        Kind::Short => (ArgKind::Int, 16),
        Kind::Int => (ArgKind::Int, 32),
        Kind::Long => (ArgKind::Long, 64),
    };
    Some(Arg { index: u8::try_from(index).ok()?, kind, bits })
}

/// The names of a call's arguments, in order.
#[must_use]
pub fn arguments(number: u32) -> Vec<&'static str> {
    call(number).map_or_else(Vec::new, |c| c.args.iter().map(first_name).collect())
}

/// Every name that an argument of some call has, sorted.
#[must_use]
pub fn all_arguments() -> Vec<&'static str> {
    let specs = CALLS.iter().flat_map(|c| c.args).filter(|s| s.kind != Kind::Ptr);
    let mut names: Vec<&str> = specs.flat_map(|s| s.names.split('|')).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn first_name(spec: &Spec) -> &'static str {
    spec.names.split('|').next().unwrap_or(spec.names)
}

/// The value of a constant. A negative one stands for its two's complement in
/// the width of the argument.
#[must_use]
pub fn constant(name: &str) -> Option<i64> {
    let index = CONSTANTS.binary_search_by(|c| c.0.cmp(name)).ok()?;
    CONSTANTS.get(index).map(|c| c.1)
}

/// The constants that make sense for an argument of a call; all constants
/// for an argument that is not known to belong to a family.
pub fn constants_for(number: u32, arg: &str) -> impl Iterator<Item = &'static str> {
    let family = family(number, arg);
    CONSTANTS.iter().map(|c| c.0).filter(move |name| in_family(family, name))
}

/// Whether a constant makes sense for an argument of a call.
#[must_use]
pub fn constant_fits(number: u32, arg: &str, name: &str) -> bool {
    in_family(family(number, arg), name)
}

/// Prefixes of the constants of an argument.
type Family = Option<&'static [&'static str]>;

fn family(number: u32, arg: &str) -> Family {
    let call = call(number)?;
    let spec = call.args.iter().find(|s| s.names.split('|').any(|n| n == arg))?;
    families::family(call.name, first_name(spec))
}

fn in_family(family: Family, name: &str) -> bool {
    family.is_none_or(|prefixes| prefixes.iter().any(|p| name.starts_with(p)))
}

#[cfg(test)]
mod tests;
