//! `{memory:75%}`: a part of the memory limit inside a word of the command or
//! the value of a variable, for runtimes that size their heaps by the machine's
//! memory and cannot see the box's.

/// How a place-holder begins.
const OPEN: &str = "{memory:";

/// How it ends: in bytes, or in whole MiB.
const ENDS: [(&str, u64); 2] = [("%}", 1), ("%MiB}", 1 << 20)];

/// What is wrong with the place-holders of a text, and what to write.
pub(super) fn problem(text: &str) -> Option<(&'static str, String)> {
    let help = || "write `{memory:75%}` for bytes or `{memory:75%MiB}`, 1 to 100 percent".to_owned();
    let mut rest = text;
    while let Some(at) = rest.find(OPEN.trim_end_matches(':')) {
        match parse(&rest[at..]) {
            Some((_, _, length)) => rest = &rest[at + length..],
            None => return Some(("has a place-holder for memory that makes no sense", help())),
        }
    }
    None
}

/// The text with its place-holders filled in for a memory limit of so many bytes.
#[must_use]
pub fn fill_in(text: &str, memory: u64) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        out.push_str(&rest[..at]);
        let Some((percent, unit, length)) = parse(&rest[at..]) else {
            out.push_str(OPEN);
            rest = &rest[at + OPEN.len()..];
            continue;
        };
        // No heap has no bytes at all.
        let share = (u128::from(memory) * u128::from(percent) / 100 / u128::from(unit)).max(1);
        out.push_str(&share.to_string());
        rest = &rest[at + length..];
    }
    out.push_str(rest);
    out
}

/// Percent, unit in bytes and length of a place-holder that the text begins with.
fn parse(text: &str) -> Option<(u64, u64, usize)> {
    let inside = text.strip_prefix(OPEN)?;
    let digits = inside.bytes().take_while(u8::is_ascii_digit).count();
    let percent: u64 = inside[..digits].parse().ok().filter(|percent| (1..=100).contains(percent))?;
    let after = &inside[digits..];
    let (end, unit) = ENDS.into_iter().find(|(end, _)| after.starts_with(end))?;
    Some((percent, unit, OPEN.len() + digits + end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn share_place_holders_are_filled_in_by_the_memory_limit() {
        let gib = 1 << 30;
        assert_eq!(fill_in("-Xmx{memory:50%}", gib), "-Xmx536870912");
        assert_eq!(fill_in("--max-old-space-size={memory:75%MiB}", gib), "--max-old-space-size=768");
        assert_eq!(fill_in("{memory:1%}{memory:100%MiB}b", gib), "107374181024b");
        assert_eq!(fill_in("a{b}c", gib), "a{b}c");
        assert_eq!(fill_in("{memory:1%MiB}", 4096), "1");
        assert_eq!(fill_in("{memory:100%}", u64::MAX), u64::MAX.to_string());
    }

    #[test]
    fn share_that_makes_no_sense_is_a_problem() {
        for good in ["", "x", "{payload}", "{memory:1%}", "a{memory:100%MiB}b{memory:5%}"] {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "{memory}",
            "{memory:0%}",
            "{memory:101%}",
            "{memory:50}",
            "{memory:%}",
            "{memory:5%KiB}",
            "{memory:-1%}",
            "{memory:5%}{memory:x%}",
        ] {
            assert!(problem(bad).is_some(), "{bad}");
        }
    }
}
