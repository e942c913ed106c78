//! Texts, places in them, and how a place is shown.
//!
//! Guarantees that no byte of a policy reaches a terminal as a control
//! character: a shown line is made of printable characters, one column each,
//! and never longer than [`WINDOW`].

use std::borrow::Cow;

/// Columns of a source line that are shown at most. A policy may be one long
/// line; the part around the place is what matters.
const WINDOW: usize = 100;

/// Columns shown before the place when a line has to be cut.
const BEFORE: usize = 40;

/// A place in one of the texts that findings refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// Which text: 0 is the policy itself, 1 what it extends, and so on.
    pub(crate) source: u8,
    /// First byte; texts are far smaller than 4 GiB.
    start: u32,
    /// One past the last byte.
    end: u32,
}

impl Span {
    /// Bytes `start..end` of a text.
    pub(crate) fn new(source: u8, start: usize, end: usize) -> Self {
        let small = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { source, start: small(start), end: small(end) }
    }

    /// First byte.
    pub(crate) fn start(self) -> usize {
        usize::try_from(self.start).unwrap_or(usize::MAX)
    }

    /// One past the last byte.
    pub(crate) fn end(self) -> usize {
        usize::try_from(self.end).unwrap_or(usize::MAX)
    }
}

/// A value and where it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spanned<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
}

impl<T> Spanned<T> {
    pub(crate) fn new(value: T, span: Span) -> Self {
        Self { value, span }
    }
}

/// A line and a column, both counted from one; a column is a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// A text by the name under which findings show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) name: String,
    /// Borrowed where it is part of the program.
    pub(crate) text: Cow<'static, str>,
}

/// One line of a text, cut and cleaned, and what to underline in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    pub(crate) line: String,
    pub(crate) indent: usize,
    pub(crate) carets: usize,
}

impl Source {
    /// Where a byte offset is. Offsets past the end mean the end.
    pub(crate) fn position(&self, offset: usize) -> Position {
        let start = self.line_start(offset);
        let before = self.text.get(..start).unwrap_or_default();
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let column = self.text.get(start..self.clamp(offset)).unwrap_or_default().chars().count() + 1;
        Position { line, column }
    }

    /// The line that holds the start of `span`, with what to underline.
    pub(crate) fn excerpt(&self, span: Span) -> Excerpt {
        let (from, to) = (self.clamp(span.start()), self.clamp(span.end()));
        let line_start = self.line_start(from);
        let rest = self.text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let line_end = line_start + line.len();
        let columns = |a: usize, b: usize| self.text.get(a..b).map_or(0, |s| s.chars().count());
        let place = columns(line_start, from.min(line_end));
        let width = columns(from.min(line_end), to.min(line_end)).max(1);

        let shown: Vec<char> = line.chars().map(printable).collect();
        if shown.len() <= WINDOW {
            return Excerpt { line: shown.into_iter().collect(), indent: place, carets: width };
        }
        let first = place.saturating_sub(BEFORE);
        let last = (first + WINDOW).min(shown.len());
        let mut cut = String::new();
        if first > 0 {
            cut.push('…');
        }
        cut.extend(shown.get(first..last).unwrap_or_default());
        if last < shown.len() {
            cut.push('…');
        }
        let indent = place - first + usize::from(first > 0);
        Excerpt { line: cut, indent, carets: width.min(last.saturating_sub(place)).max(1) }
    }

    fn line_start(&self, offset: usize) -> usize {
        let head = self.text.get(..self.clamp(offset)).unwrap_or_default();
        head.rfind('\n').map_or(0, |i| i + 1)
    }

    /// The nearest character boundary at or below `offset`.
    fn clamp(&self, offset: usize) -> usize {
        let mut at = offset.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }
}

/// Stands for `c` on a terminal, in exactly one column.
fn printable(c: char) -> char {
    match c {
        '\t' => ' ',
        // Bidirectional overrides and zero-width characters would make the
        // line look different from what it says.
        '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{ad}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// A file name that is safe to show.
pub(crate) fn clean(name: &str) -> String {
    name.chars().map(printable).collect()
}

/// Quotes what a policy says for use in a message: no control characters, and
/// no more than 60 characters of it.
pub(crate) fn quote(text: &str) -> String {
    const MOST: usize = 60;
    if text.is_empty() {
        return "the empty string".to_owned();
    }
    let mut quoted = String::from("`");
    for (i, c) in text.chars().enumerate() {
        if i == MOST {
            quoted.push('…');
            break;
        }
        if c.is_control() || printable(c) == '\u{fffd}' {
            quoted.extend(c.escape_unicode());
        } else {
            quoted.push(c);
        }
    }
    quoted.push('`');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source { name: "t".into(), text: text.to_owned().into() }
    }

    fn span(start: usize, end: usize) -> Span {
        Span::new(0, start, end)
    }

    #[test]
    fn position_after_newlines_counts_lines_and_characters() {
        let s = source("a\nbé\r\n\tx");
        assert_eq!(s.position(0), Position { line: 1, column: 1 });
        assert_eq!(s.position(2), Position { line: 2, column: 1 });
        assert_eq!(s.position(5), Position { line: 2, column: 3 });
        assert_eq!(s.position(8), Position { line: 3, column: 2 });
        assert_eq!(s.position(999), Position { line: 3, column: 3 });
    }

    #[test]
    fn excerpt_of_a_long_line_is_cut_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let e = source(&text).excerpt(span(500, 504));
        assert!(e.line.starts_with('…') && e.line.ends_with('…'));
        let under: String = e.line.chars().skip(e.indent).take(e.carets).collect();
        assert_eq!(under, "HERE");
        assert!(e.line.chars().count() <= WINDOW + 2);
    }

    #[test]
    fn excerpt_of_a_span_over_lines_stops_at_the_line_end() {
        let e = source("x {\n}\n").excerpt(span(2, 5));
        assert_eq!(e, Excerpt { line: "x {".into(), indent: 2, carets: 1 });
    }

    #[test]
    fn control_characters_are_never_shown() {
        let e = source("\u{1b}[31mred\u{202e}\t").excerpt(span(0, 1));
        assert_eq!(e.line, "\u{fffd}[31mred\u{fffd} ");
        assert_eq!(quote("a\u{1b}b"), "`a\\u{1b}b`");
        assert_eq!(quote(&"x".repeat(61)), format!("`{}…`", "x".repeat(60)));
    }
}
