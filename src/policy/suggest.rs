//! "did you mean": the nearest of a set of known words.

/// Words longer than this get no suggestion: comparing costs the product of
/// the lengths, and no known word is as long.
const LONGEST: usize = 48;

/// The candidate nearest to `word`, if one is near enough to be a slip of the
/// pen: the same but for case, at most a third of the letters wrong, or only
/// the beginning written.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = word.chars().take(LONGEST + 1).collect();
    if wanted.is_empty() || wanted.len() > LONGEST {
        return None;
    }
    let mut best: Option<(usize, &str)> = None;
    let mut beginning = None;
    for candidate in candidates {
        if candidate.eq_ignore_ascii_case(word) {
            return Some(candidate);
        }
        if word.len() >= 3 && candidate.starts_with(word) && beginning.is_none() {
            beginning = Some(candidate);
        }
        let known: Vec<char> = candidate.chars().collect();
        let allowed = (wanted.len().max(known.len()) / 3).max(1);
        if known.len().abs_diff(wanted.len()) > allowed {
            continue;
        }
        let distance = distance(&wanted, &known);
        // A word that shares no letter with the candidate is not a slip.
        if distance <= allowed && distance < wanted.len() && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, word)| word).or(beginning)
}

/// Insertions, deletions, replacements and swaps of neighbours (optimal
/// string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let mut least = (last[j] + usize::from(x != y)).min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *x == b[j - 1] && a[i - 1] == *y {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
        before = last;
        last = row;
    }
    last.last().copied().unwrap_or_default()
}

/// Help for an unknown word: the nearest known one, or all of them when there
/// are few.
pub(crate) fn help(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => format!("known here: {}", list(known)),
    }
}

/// The words in back-quotes, separated by commas.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<String> = words.iter().map(|w| format!("`{w}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_of_a_misspelt_word_is_the_word() {
        let calls = ["open", "openat", "read", "readv", "write", "fcntl"];
        assert_eq!(nearest("opne", calls), Some("open"));
        assert_eq!(nearest("opanat", calls), Some("openat"));
        assert_eq!(nearest("READ", calls), Some("read"));
        assert_eq!(nearest("fctnl", calls), Some("fcntl"));
        assert_eq!(nearest("mem", ["cpu_time", "memory"]), Some("memory"));
    }

    #[test]
    fn nearest_of_an_unrelated_word_is_none() {
        assert_eq!(nearest("banana", ["open", "read"]), None);
        assert_eq!(nearest("", ["a", "b"]), None);
        assert_eq!(nearest("x", ["a", "b"]), None);
        assert_eq!(nearest(&"a".repeat(10_000), ["a", "b"]), None);
    }

    #[test]
    fn distance_counts_a_swap_as_one() {
        let d = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        assert_eq!(d("ab", "ba"), 1);
        assert_eq!(d("kitten", "sitting"), 3);
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("abc", ""), 3);
        assert_eq!(d("same", "same"), 0);
    }
}
