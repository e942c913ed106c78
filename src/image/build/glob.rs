//! Patterns of paths: `*` and `?` within a name, `[a-z]`, `**` over any number
//! of names.

/// Whether a path, split into names, fits a pattern, split into names.
pub(crate) fn path_fits(pattern: &[&str], path: &[&str]) -> bool {
    // Which suffixes of the path fit the rest of the pattern, pattern by pattern
    // from the end: no pattern can make this slow.
    let mut fits = vec![false; path.len() + 1];
    fits[path.len()] = true;
    for part in pattern.iter().rev() {
        let mut next = vec![false; path.len() + 1];
        for at in (0..=path.len()).rev() {
            next[at] = if *part == "**" {
                fits[at] || (at < path.len() && next[at + 1])
            } else {
                at < path.len() && fits[at + 1] && name_fits(part, path[at])
            };
        }
        fits = next;
    }
    fits[0]
}

/// Whether one name fits one part of a pattern.
fn name_fits(pattern: &str, name: &str) -> bool {
    let pattern = parse(pattern);
    let name: Vec<char> = name.chars().collect();
    let mut fits = vec![false; name.len() + 1];
    fits[name.len()] = true;
    for piece in pattern.iter().rev() {
        let mut next = vec![false; name.len() + 1];
        for at in (0..=name.len()).rev() {
            next[at] = match piece {
                Piece::Any => fits[at] || (at < name.len() && next[at + 1]),
                Piece::One(test) => at < name.len() && fits[at + 1] && test.takes(name[at]),
            };
        }
        fits = next;
    }
    fits[0]
}

enum Piece {
    Any,
    One(Test),
}

enum Test {
    Everything,
    Char(char),
    Set { ranges: Vec<(char, char)>, inverted: bool },
}

impl Test {
    fn takes(&self, c: char) -> bool {
        match self {
            Self::Everything => true,
            Self::Char(wanted) => *wanted == c,
            Self::Set { ranges, inverted } => {
                ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != *inverted
            }
        }
    }
}

fn parse(pattern: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest: Vec<char> = pattern.chars().rev().collect();
    while let Some(c) = rest.pop() {
        pieces.push(match c {
            '*' => Piece::Any,
            '?' => Piece::One(Test::Everything),
            '\\' => Piece::One(Test::Char(rest.pop().unwrap_or('\\'))),
            '[' => Piece::One(set(&mut rest).unwrap_or(Test::Char('['))),
            other => Piece::One(Test::Char(other)),
        });
    }
    pieces
}

/// What stands between brackets; `None`: they are not closed, and mean themselves.
fn set(rest: &mut Vec<char>) -> Option<Test> {
    let close = rest.iter().rposition(|c| *c == ']')?;
    // A bracket right at the start is one of the set.
    let (start, inverted) = match rest.last() {
        Some('!' | '^') => (rest.len() - 1, true),
        _ => (rest.len(), false),
    };
    let close = if close + 1 == start { rest[..close].iter().rposition(|c| *c == ']')? } else { close };
    let inside: Vec<char> = rest[close + 1..start].iter().rev().copied().collect();
    rest.truncate(close);
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            ranges.push((inside[at], inside[at + 2]));
            at += 3;
        } else {
            ranges.push((inside[at], inside[at]));
            at += 1;
        }
    }
    Some(Test::Set { ranges, inverted })
}

/// Whether a text has anything in it that a pattern gives a meaning to.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '\\'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, path: &str) -> bool {
        let split = |text: &'static str| -> Vec<&'static str> { text.split('/').collect() };
        let (pattern, path) = (pattern.to_owned().leak(), path.to_owned().leak());
        path_fits(&split(pattern), &split(path))
    }

    #[test]
    fn pattern_takes_what_it_says() {
        for (pattern, path) in [
            ("a", "a"),
            ("*.py", "x.py"),
            ("*.py", ".py"),
            ("a?c", "abc"),
            ("**", "a/b/c"),
            ("**/*.py", "x.py"),
            ("**/*.py", "a/b/x.py"),
            ("a/**/z", "a/z"),
            ("a/**/z", "a/b/c/z"),
            ("[a-c]x", "bx"),
            ("[!a-c]x", "dx"),
            ("[]]x", "]x"),
            ("[!]]x", "ax"),
            ("\\*", "*"),
            ("[", "["),
            ("ü*", "über"),
        ] {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn pattern_takes_nothing_else() {
        for (pattern, path) in [
            ("a", "b"),
            ("*", "a/b"),
            ("*.py", "a/x.py"),
            ("a?c", "ac"),
            ("a/**/z", "a/b"),
            ("[a-c]x", "dx"),
            ("[!a-c]x", "ax"),
            ("\\*", "x"),
            ("", "a"),
            ("**/tests/**", "a/testsuite/b"),
        ] {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn pattern_made_to_be_slow_is_not() {
        let pattern = "*a".repeat(200);
        let start = std::time::Instant::now();
        assert!(!fits(&format!("**/**/**/**/{pattern}b"), &"a".repeat(4000)));
        assert!(start.elapsed() < std::time::Duration::from_secs(5));
    }
}
