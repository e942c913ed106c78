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
            if scaled % scale != 0 {
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
        let unit = self.units.iter().rev().find(|(_, worth)| value % worth == 0);
        unit.map_or_else(|| value.to_string(), |(name, worth)| format!("{}{name}", value / worth))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn duration_with_every_unit_is_nanoseconds() {
        let cases = [
            ("7ns", 7),
            ("7us", 7_000),
            ("250ms", 250_000_000),
            ("10s", 10_000_000_000),
            ("1.5s", 1_500_000_000),
            ("0.25h", 900_000_000_000),
            ("2m", 120_000_000_000),
            ("1h", 3_600_000_000_000),
            ("0s", 0),
            ("0.000000001s", 1),
            ("1.000000000000000000s", 1_000_000_000),
            ("18446744073709551615ns", u64::MAX),
        ];
        for (text, ns) in cases {
            assert_eq!(parse_duration(text), Ok(ns), "{text}");
        }
    }

    #[test]
    fn size_with_every_unit_is_bytes() {
        let cases = [
            ("0B", 0),
            ("512B", 512),
            ("1.5KiB", 1536),
            ("64MiB", 64 << 20),
            ("0.5GiB", 1 << 29),
            ("3TiB", 3 << 40),
            ("0.0009765625KiB", 1),
        ];
        for (text, bytes) in cases {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[track_caller]
    fn refused(result: Result<u64, UnitError>, message: &str, help: &str) {
        let error = result.unwrap_err();
        assert_eq!((error.message(), error.help()), (message, help));
    }

    #[test]
    fn size_in_ambiguous_units_is_refused_with_the_binary_one() {
        for (unit, right, worth) in [("KB", "KiB", 1_u64 << 10), ("M", "MiB", 1 << 20), ("g", "GiB", 1 << 30)]
        {
            let error = parse_size(&format!("10{unit}")).unwrap_err();
            assert_eq!(error.message(), format!("size `10{unit}` has an unknown unit"));
            assert!(error.help().starts_with(&format!("write `10{right}`: ")), "{error}");
            assert!(error.help().contains(&format!("`{right}` is {worth} bytes")), "{error}");
        }
    }

    #[test]
    fn text_without_a_unit_is_refused_naming_the_usual_one() {
        refused(
            parse_duration("250"),
            "duration `250` has no unit",
            "write `250s` if that is meant; units are `ns`, `us`, `ms`, `s`, `m`, `h`",
        );
        refused(
            parse_size("250"),
            "size `250` has no unit",
            "write `250MiB` if that is meant; units are `B`, `KiB`, `MiB`, `GiB`, `TiB`",
        );
    }

    #[test]
    fn text_that_is_no_number_is_refused() {
        refused(parse_duration(""), "the duration is empty", "write it like `1.5s`");
        refused(parse_duration("-1s"), "duration `-1s` is negative", "write it without a sign, like `1.5s`");
        refused(parse_size("+1MiB"), "size `+1MiB` has a sign", "write it without, like `64MiB`");
        refused(parse_duration("1 s"), "duration `1 s` has a space before its unit", "write `1s`");
        refused(parse_duration(" 1s"), "duration ` 1s` starts with a space", "write it like `1.5s`");
        refused(parse_duration("1..5s"), "duration `1..5s` is not a number", "write it like `1.5s`");
        refused(parse_duration(".5s"), "duration `.5s` is not a number", "write it like `1.5s`");
        refused(parse_duration("5.s"), "duration `5.s` is not a number", "write it like `1.5s`");
        refused(parse_duration("010s"), "duration `010s` starts with a zero", "write it with `10`");
        refused(
            parse_duration("1.5sec"),
            "duration `1.5sec` has an unknown unit",
            "write `1.5s`: the unit is called `s`",
        );
        refused(parse_size("64mib"), "size `64mib` has an unknown unit", "write `64MiB`");
        refused(
            parse_size("1e3B"),
            "size `1e3B` has an unknown unit `e3B`",
            "units are `B`, `KiB`, `MiB`, `GiB`, `TiB`",
        );
        refused(
            parse_duration("unlimited"),
            "duration `unlimited` is not a duration",
            "there is no unlimited; write a large duration like `1.5s`",
        );
    }

    #[test]
    fn value_that_cannot_be_held_is_refused() {
        let most = "the largest size that can be written is `18446744073709551615B`";
        for text in ["16777216TiB", "18446744073709551616B", "99999999999999999999999999TiB"] {
            refused(parse_size(text), &format!("size `{text}` is too large"), most);
        }
        assert_eq!(parse_size("16777215TiB"), Ok(16_777_215 << 40));
        let help = "write it in a smaller unit, down to `B`";
        refused(parse_size("1.5B"), "size `1.5B` is not a whole number of `B`", help);
        refused(parse_size("0.3KiB"), "size `0.3KiB` is not a whole number of `B`", help);
        let tiny = format!("0.{}1s", "0".repeat(60));
        assert!(parse_duration(&tiny).is_err());
    }

    #[test]
    fn format_uses_the_largest_unit_that_divides() {
        assert_eq!(format_duration(0), "0s");
        assert_eq!(format_duration(90_000_000_000), "90s");
        assert_eq!(format_duration(120_000_000_000), "2m");
        assert_eq!(format_duration(1_500_000_000), "1500ms");
        assert_eq!(format_size(0), "0B");
        assert_eq!(format_size(1536), "1536B");
        assert_eq!(format_size(64 << 20), "64MiB");
    }

    proptest! {
        #[test]
        fn printed_value_reads_back_as_itself(v: u64) {
            prop_assert_eq!(parse_duration(&format_duration(v)), Ok(v));
            prop_assert_eq!(parse_size(&format_size(v)), Ok(v));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in ".{0,40}") {
            if let Ok(v) = parse_size(&text) {
                prop_assert_eq!(parse_size(&format_size(v)), Ok(v));
            }
            let _ignored = parse_duration(&text);
        }

        #[test]
        fn number_with_any_suffix_is_exact_or_refused(whole in 0_u64..1_000_000, frac in 0_u64..1_000, unit in "(ns|us|ms|s|m|h)") {
            let text = format!("{whole}.{frac:03}{unit}");
            let worth: u128 = match unit.as_str() { "ns" => 1, "us" => 1_000, "ms" => 1_000_000, "s" => 1_000_000_000, "m" => 60_000_000_000, _ => 3_600_000_000_000 };
            let thousandths = (u128::from(whole) * 1000 + u128::from(frac)) * worth;
            match parse_duration(&text) {
                Ok(v) => prop_assert_eq!(u128::from(v) * 1000, thousandths),
                Err(_) => prop_assert!(thousandths % 1000 != 0 || thousandths / 1000 > u128::from(u64::MAX)),
            }
        }
    }
}
