//! Durations and sizes: a number and a unit, never one without the other.
//!
//! Guarantees: nothing is rounded and nothing overflows silently; a size is
//! never a power of ten; what [`format_duration`] and [`format_size`] print,
//! [`parse_duration`] and [`parse_size`] read back as the same number.

use std::fmt;

/// Why a text is not a duration or a size. Stands alone: the message quotes
/// the text, the help says what to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitError {
    message: String,
    help: String,
}

impl UnitError {
    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to write instead.
    #[must_use]
    pub fn help(&self) -> &str {
        &self.help
    }
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  help: {}", self.message, self.help)
    }
}

impl std::error::Error for UnitError {}

/// A kind of quantity: its units from small to large, and its words.
struct Quantity {
    /// What one of it is called.
    name: &'static str,
    /// Units with their worth in the smallest, ascending.
    units: &'static [(&'static str, u64)],
    /// The unit that a text without one most likely meant.
    usual: &'static str,
    /// What a zero is printed with.
    zero: &'static str,
    /// Units that people write, and what to write instead.
    slips: &'static [(&'static str, &'static str)],
    /// An example, for texts beyond repair.
    example: &'static str,
}

const DURATION: Quantity = Quantity {
    name: "duration",
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ],
    usual: "s",
    zero: "s",
    slips: &[
        ("µs", "us"),
        ("μs", "us"),
        ("sec", "s"),
        ("secs", "s"),
        ("second", "s"),
        ("seconds", "s"),
        ("min", "m"),
        ("mins", "m"),
        ("minute", "m"),
        ("minutes", "m"),
        ("hr", "h"),
        ("hour", "h"),
        ("hours", "h"),
        ("msec", "ms"),
        ("millis", "ms"),
        ("usec", "us"),
    ],
    example: "1.5s",
};

const SIZE: Quantity = Quantity {
    name: "size",
    units: &[("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("TiB", 1 << 40)],
    usual: "MiB",
    zero: "B",
    slips: &[
        ("K", "KiB"),
        ("KB", "KiB"),
        ("Ki", "KiB"),
        ("M", "MiB"),
        ("MB", "MiB"),
        ("Mi", "MiB"),
        ("G", "GiB"),
        ("GB", "GiB"),
        ("Gi", "GiB"),
        ("T", "TiB"),
        ("TB", "TiB"),
        ("Ti", "TiB"),
        ("bytes", "B"),
        ("byte", "B"),
    ],
    example: "64MiB",
};

/// Nanoseconds of a duration such as `250ms`, `1.5s` or `2m`; units are `ns`,
/// `us`, `ms`, `s`, `m` (minutes) and `h`.
///
/// # Errors
/// No unit, an unknown one, a sign, a space, a fraction that is no whole
/// number of nanoseconds, or more than 2^64 of them.
pub fn parse_duration(text: &str) -> Result<u64, UnitError> {
    DURATION.parse(text)
}

/// Bytes of a size such as `512B`, `1.5KiB` or `64MiB`; units are `B`, `KiB`,
/// `MiB`, `GiB` and `TiB`.
///
/// # Errors
/// No unit, an unknown or ambiguous one (`KB`, `M`), a sign, a space, a
/// fraction that is no whole number of bytes, or more than 2^64 of them.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    SIZE.parse(text)
}

/// The shortest exact text of a duration: the largest unit that divides it.
#[must_use]
pub fn format_duration(ns: u64) -> String {
    DURATION.format(ns)
}

/// The shortest exact text of a size: the largest unit that divides it.
#[must_use]
pub fn format_size(bytes: u64) -> String {
    SIZE.format(bytes)
}

impl Quantity {
    fn parse(&self, text: &str) -> Result<u64, UnitError> {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        if number.is_empty() {
            return Err(self.no_number(text));
        }
        let worth = self.worth(text, number, unit)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || (number.contains('.') && !digits(fraction)) {
            return Err(self.error(text, "is not a number", format!("write it like `{}`", self.example)));
        }
        if whole.len() > 1 && whole.starts_with('0') {
            let plain = whole.trim_start_matches('0');
            let plain = if plain.is_empty() { "0" } else { plain };
            return Err(self.error(text, "starts with a zero", format!("write it with `{plain}`")));
        }
        self.value(text, whole, fraction, worth)
    }

    /// The value of the digits in the smallest unit.
    fn value(&self, text: &str, whole: &str, fraction: &str, worth: u64) -> Result<u64, UnitError> {
        let too_large = || {
            let most = self.format(u64::MAX);
            self.error(
                text,
                "is too large",
                format!("the largest {} that can be written is `{most}`", self.name),
            )
        };
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let fraction = fraction.trim_end_matches('0');
        let inexact = || {
            let (smallest, _) = self.units.first().copied().unwrap_or_default();
            let help = format!("write it in a smaller unit, down to `{smallest}`");
            self.error(text, &format!("is not a whole number of `{smallest}`"), help)
        };
        let mut part = 0;
        if !fraction.is_empty() {
            // A unit is worth at most 3.6e12, so that anything with more than
            // this many decimals cannot be whole; and 10^18 fits.
            let places = u32::try_from(fraction.len()).ok().filter(|p| *p <= 18).ok_or_else(inexact)?;
            let scale = 10_u128.pow(places);
            let digits: u128 = fraction.parse().map_err(|_| inexact())?;
            let scaled = digits * u128::from(worth);
            if !scaled.is_multiple_of(scale) {
                return Err(inexact());
            }
            part = u64::try_from(scaled / scale).map_err(|_| too_large())?;
        }
        whole.checked_mul(worth).and_then(|v| v.checked_add(part)).ok_or_else(too_large)
    }

    fn worth(&self, text: &str, number: &str, unit: &str) -> Result<u64, UnitError> {
        if let Some((_, worth)) = self.units.iter().find(|u| u.0 == unit) {
            return Ok(*worth);
        }
        let all: Vec<&str> = self.units.iter().map(|u| u.0).collect();
        let all = super::suggest::list(&all);
        if unit.is_empty() {
            let help = format!("write `{number}{}` if that is meant; units are {all}", self.usual);
            return Err(self.error(text, "has no unit", help));
        }
        if unit.starts_with(char::is_whitespace) {
            let help = format!("write `{number}{}`", unit.trim());
            return Err(self.error(text, "has a space before its unit", help));
        }
        if let Some((slip, right)) = self.slips.iter().find(|s| s.0.eq_ignore_ascii_case(unit)) {
            let worth = self.units.iter().find(|u| u.0 == *right).map_or(0, |u| u.1);
            let why = if self.name == "size" && *right != "B" {
                format!(
                    "`{slip}` means a power of ten to some and of two to others; `{right}` is {worth} bytes"
                )
            } else {
                format!("the unit is called `{right}`")
            };
            return Err(self.error(text, "has an unknown unit", format!("write `{number}{right}`: {why}")));
        }
        if let Some((right, _)) = self.units.iter().find(|u| u.0.eq_ignore_ascii_case(unit)) {
            return Err(self.error(text, "has an unknown unit", format!("write `{number}{right}`")));
        }
        let message = format!("has an unknown unit {}", super::source::quote(unit));
        Err(self.error(text, &message, format!("units are {all}")))
    }

    fn no_number(&self, text: &str) -> UnitError {
        let example = self.example;
        match text.trim().to_ascii_lowercase().as_str() {
            "" => UnitError {
                message: format!("the {} is empty", self.name),
                help: format!("write it like `{example}`"),
            },
            "unlimited" | "infinity" | "inf" | "none" | "max" => {
                let help = format!("there is no unlimited; write a large {} like `{example}`", self.name);
                self.error(text, &format!("is not a {}", self.name), help)
            }
            t if t.starts_with('-') => {
                self.error(text, "is negative", format!("write it without a sign, like `{example}`"))
            }
            t if t.starts_with('+') => {
                self.error(text, "has a sign", format!("write it without, like `{example}`"))
            }
            _ if text.starts_with(char::is_whitespace) => {
                self.error(text, "starts with a space", format!("write it like `{example}`"))
            }
            _ => self.error(text, "is not a number with a unit", format!("write it like `{example}`")),
        }
    }

    fn error(&self, text: &str, what: &str, help: String) -> UnitError {
        UnitError { message: format!("{} {} {what}", self.name, super::source::quote(text)), help }
    }

    fn format(&self, value: u64) -> String {
        if value == 0 {
            return format!("0{}", self.zero);
        }
        let unit = self.units.iter().rev().find(|(_, worth)| value.is_multiple_of(*worth));
        unit.map_or_else(|| value.to_string(), |(name, worth)| format!("{}{name}", value / worth))
    }
}

#[cfg(test)]
mod tests;
