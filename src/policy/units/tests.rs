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
    for (unit, right, worth) in [("KB", "KiB", 1_u64 << 10), ("M", "MiB", 1 << 20), ("g", "GiB", 1 << 30)] {
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
            Err(_) => prop_assert!(!thousandths.is_multiple_of(1000) || thousandths / 1000 > u128::from(u64::MAX)),
        }
    }
}
