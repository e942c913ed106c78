//! Names that a box has given to its files: which of them may become names on
//! the host, and how the others are told.

/// The longest path below the collected directory.
pub const LONGEST: usize = 1024;

/// Characters that change the direction of the text around them: a name would
/// read as another.
const fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether one component may become a name on the host.
#[must_use]
pub fn is_safe(name: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(name) else { return false };
    !text.is_empty()
        && text != "."
        && text != ".."
        && !text.contains('/')
        && !text.chars().any(|c| c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}'))
}

/// A path in one line of printable characters, from which its bytes can be told
/// again: `\\` is a backslash, `\xNN` a byte.
#[must_use]
pub fn shown(path: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(path.len());
    let byte = |out: &mut String, b: u8| {
        crate::error::no_matter(write!(out, "\\x{b:02x}"), "a string takes everything");
    };
    for chunk in path.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c == '\\' {
                out.push_str("\\\\");
            } else if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}') {
                let mut buf = [0; 4];
                c.encode_utf8(&mut buf).bytes().for_each(|b| byte(&mut out, b));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|b| byte(&mut out, *b));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_a_terminal_or_a_shell_of_old_would_misread_is_unsafe() {
        for good in ["main", "a.out", "-rf", "a b", "ünï", "...", ".git", "a'b\"c$d", "日本"] {
            assert!(is_safe(good.as_bytes()), "{good}");
        }
        for bad in [
            &b""[..],
            b".",
            b"..",
            b"a/b",
            b"a\nb",
            b"\x1b[2J",
            b"a\0",
            b"\x7f",
            b"\xff",
            b"a\xc3",
            "a\u{85}".as_bytes(),
            "a\u{202e}b".as_bytes(),
            "\u{2028}".as_bytes(),
        ] {
            assert!(!is_safe(bad), "{bad:?}");
        }
    }

    #[test]
    fn shown_name_is_one_line_and_keeps_every_byte() {
        assert_eq!(shown(b"a/b c"), "a/b c");
        assert_eq!(shown(b"a\nb"), "a\\x0ab");
        assert_eq!(shown(b"a\\x0ab"), "a\\\\x0ab");
        assert_eq!(shown(b"\xff\xc3\xa9"), "\\xffé");
        assert_eq!(shown("\u{202e}".as_bytes()), "\\xe2\\x80\\xae");
    }
}
