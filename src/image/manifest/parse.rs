//! Reading a manifest that may be hostile.
//!
//! Strict by construction: numbers, escapes and order have one accepted
//! spelling, so that no second text has the same meaning.

use std::fmt;
use std::str::FromStr;

use super::print::is_plain;
use super::{Digest, Entry, Header, MAX_BYTES, Manifest, ManifestProblem, VERSION_LINE, What};

/// Why bytes are not a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseProblem {
    /// A line that is not canonical.
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The lines are fine one by one, and not together.
    Content(ManifestProblem),
}

impl fmt::Display for ParseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { line, what } => write!(f, "line {line} of the manifest: {what}"),
            Self::Content(problem) => write!(f, "the manifest: {problem}"),
        }
    }
}

impl std::error::Error for ParseProblem {}

type Parsed<T> = Result<T, &'static str>;

pub(super) fn parse(bytes: &[u8]) -> Result<Manifest, ParseProblem> {
    if bytes.len() > MAX_BYTES {
        return Err(ParseProblem::Line { line: 1, what: "more than 64 MiB" });
    }
    let mut draft = Draft { stage: Stage::Version, header: Header::default(), entries: Vec::new() };
    let mut rest = bytes;
    let mut line = 0;
    while !rest.is_empty() {
        line += 1;
        let at = |what| ParseProblem::Line { line, what };
        let end =
            rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| at("the last line does not end"))?;
        draft.line(&rest[..end]).map_err(at)?;
        rest = &rest[end + 1..];
    }
    if draft.stage == Stage::Version {
        return Err(ParseProblem::Line { line: 1, what: "empty" });
    }
    // Not Manifest::new, which would sort: the order is part of the spelling.
    let manifest = Manifest { header: draft.header, entries: draft.entries };
    manifest.check().map_err(ParseProblem::Content)?;
    Ok(manifest)
}

/// Which records may come next; a later stage never returns to an earlier one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Version,
    Entry,
    Args,
    Env,
    Policy,
    Entries,
}

struct Draft {
    stage: Stage,
    header: Header,
    entries: Vec<Entry>,
}

impl Draft {
    fn line(&mut self, line: &[u8]) -> Parsed<()> {
        if self.stage == Stage::Version {
            self.stage = Stage::Entry;
            return if line == VERSION_LINE.as_bytes() { Ok(()) } else { Err("not 'stockade-image/1'") };
        }
        let mut fields = line.split(|byte| *byte == b' ');
        match fields.next().unwrap_or_default() {
            b"entry" => {
                self.advance(Stage::Entry, Stage::Args)?;
                self.header.entry = Some(word(&mut fields)?);
            }
            b"arg" => {
                self.advance(Stage::Args, Stage::Args)?;
                self.header.args.push(word(&mut fields)?);
            }
            b"env" => {
                self.advance(Stage::Env, Stage::Env)?;
                self.variable(&word(&mut fields)?)?;
            }
            b"policy" => {
                self.advance(Stage::Policy, Stage::Entries)?;
                let id = text(&mut fields)?;
                self.header.policy = Some(Digest::from_id(id).ok_or("not a digest")?);
            }
            kind @ (b"d" | b"f" | b"l") => {
                self.advance(Stage::Entries, Stage::Entries)?;
                self.entries.push(entry(kind, &mut fields)?);
            }
            _ => return Err("unknown record"),
        }
        if fields.next().is_some() { Err("too many fields") } else { Ok(()) }
    }

    fn advance(&mut self, at: Stage, next: Stage) -> Parsed<()> {
        if self.stage > at {
            return Err("this record comes too late, or twice");
        }
        self.stage = next;
        Ok(())
    }

    fn variable(&mut self, both: &[u8]) -> Parsed<()> {
        let at = both.iter().position(|byte| *byte == b'=').ok_or("a variable without '='")?;
        let (name, value) = (both[..at].to_vec(), both[at + 1..].to_vec());
        if self.header.env.last_key_value().is_some_and(|(last, _)| *last >= name) {
            return Err("variables must be sorted by name, each name once");
        }
        self.header.env.insert(name, value);
        Ok(())
    }
}

fn entry<'a>(kind: &[u8], fields: &mut impl Iterator<Item = &'a [u8]>) -> Parsed<Entry> {
    let mode = if kind == b"l" { 0 } else { octal(fields)? };
    let mtime = number::<i64>(fields)?;
    let what = match kind {
        b"d" => What::Dir { mode },
        b"f" => {
            let size = number(fields)?;
            let digest = text(fields)?.parse().map_err(|_| "not a digest")?;
            What::File { mode, size, digest }
        }
        _ => What::Symlink { target: word(fields)? },
    };
    Ok(Entry { path: word(fields)?, mtime, what })
}

fn text<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Parsed<&'a str> {
    let field = fields.next().ok_or("too few fields")?;
    std::str::from_utf8(field).map_err(|_| "not text")
}

/// A decimal number in its shortest spelling.
fn number<'a, N: FromStr + ToString>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Parsed<N> {
    let field = text(fields)?;
    let number: N = field.parse().map_err(|_| "not a number")?;
    if number.to_string() == field { Ok(number) } else { Err("not the shortest spelling of a number") }
}

fn octal<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Parsed<u16> {
    let field = text(fields)?;
    if field.len() != 4 || !field.bytes().all(|digit| (b'0'..=b'7').contains(&digit)) {
        return Err("not a mode of four octal digits");
    }
    u16::from_str_radix(field, 8).map_err(|_| "not a mode of four octal digits")
}

fn word<'a>(fields: &mut impl Iterator<Item = &'a [u8]>) -> Parsed<Vec<u8>> {
    let field = fields.next().ok_or("too few fields")?;
    let mut word = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'\\' {
            if !is_plain(byte) {
                return Err("a byte that must be escaped");
            }
            word.push(byte);
            continue;
        }
        let [b'x', high, low, tail @ ..] = rest else { return Err("an incomplete escape") };
        let (high, low) = (digit(*high)?, digit(*low)?);
        let value = high << 4 | low;
        if is_plain(value) {
            return Err("an escape of a byte that stands for itself");
        }
        word.push(value);
        rest = tail;
    }
    Ok(word)
}

fn digit(byte: u8) -> Parsed<u8> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err("an escape that is not two lower-case hexadecimal digits"),
    }
}
