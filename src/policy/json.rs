//! Strict JSON with places.
//!
//! Guarantees: a text is accepted as JSON exactly when `serde_json` accepts it
//! (tested on random texts), so that nothing this project writes is refused
//! here and nothing is accepted here that another tool reads differently; no
//! text overflows the stack.
//!
//! Relies on two crates, because neither does both: `serde_json` decides what
//! is JSON (it is exact, but gives no places), `jsonc-parser` gives every
//! value its range (it lets control characters and unusual spaces through).

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::Path;

use jsonc_parser::ast::Value;
use jsonc_parser::{CollectOptions, ParseOptions};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// The longest policy. One is a few kilobytes; anything larger is not a policy, and every
/// finding costs a search through the text.
pub const MAX_BYTES: usize = 1 << 20;

/// Why a text is not JSON.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SyntaxError {
    /// Where, in bytes.
    pub(crate) range: Range<usize>,
    pub(crate) message: String,
    pub(crate) help: Option<String>,
}

impl SyntaxError {
    fn new(range: Range<usize>, message: impl Into<String>) -> Self {
        Self { range, message: message.into(), help: None }
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What a file holds, to be read as a policy or as a specification: no more of it than shows that it is too large,
/// since there are files without an end.
///
/// # Errors
/// As of the file system.
pub fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The text of a policy file.
///
/// # Errors
/// Too large, not UTF-8, or with a byte order mark.
pub(crate) fn decode(bytes: &[u8]) -> Result<&str, SyntaxError> {
    if bytes.len() > MAX_BYTES {
        let message = format!("the policy has more than {MAX_BYTES} bytes");
        return Err(
            SyntaxError::new(0..0, message).help("say only what differs from a built-in one, with `extends`")
        );
    }
    let text = std::str::from_utf8(bytes).map_err(|e| {
        // The place is counted in the text as it is shown, in which each bad
        // byte sequence has become one replacement character.
        let at = e.valid_up_to();
        SyntaxError::new(at..at + '\u{fffd}'.len_utf8(), "the policy is not UTF-8 here")
            .help("save the file as UTF-8")
    })?;
    if text.starts_with('\u{feff}') {
        return Err(SyntaxError::new(0..3, "the policy starts with a byte order mark")
            .help("save the file as UTF-8 without one"));
    }
    Ok(text)
}

/// The values of a JSON text with their ranges.
///
/// # Errors
/// The text is not JSON.
pub(crate) fn parse(text: &str) -> Result<Value<'_>, SyntaxError> {
    if text.trim_matches([' ', '\t', '\r', '\n']).is_empty() {
        return Err(SyntaxError::new(0..0, "the policy is empty")
            .help("start with `{ \"version\": 1, \"name\": \"…\", \"extends\": \"base\" }`"));
    }
    serde_json::from_str::<Syntax>(text).map_err(|e| syntax_error(text, &e))?;
    let strict = ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match jsonc_parser::parse_to_ast(text, &CollectOptions::default(), &strict) {
        Ok(parsed) => parsed.value.ok_or_else(|| SyntaxError::new(0..0, "the policy is empty")),
        Err(e) => {
            let message = e.kind().to_string().to_lowercase();
            Err(SyntaxError::new(e.range().start..e.range().end, message))
        }
    }
}

/// Turns serde_json's line, column and words into a range and ours.
fn syntax_error(text: &str, error: &serde_json::Error) -> SyntaxError {
    let line_start = match error.line() {
        0 | 1 => 0,
        line => text.match_indices('\n').nth(line - 2).map_or(text.len(), |(i, _)| i + 1),
    };
    // Columns are bytes, counted from one; zero is the end of the line before.
    let at = (line_start + error.column()).saturating_sub(1).min(text.len());
    let at = (0..=at).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let rest = text.get(at..).unwrap_or_default();
    let end = at + rest.chars().next().map_or(0, char::len_utf8);
    let full = error.to_string();
    let words = full.rsplit_once(" at line ").map_or(full.as_str(), |(words, _)| words);
    let (message, help) = explain(words, rest, text.get(..at).unwrap_or_default());
    let error = SyntaxError::new(at..end, message);
    match help {
        Some(help) => error.help(help),
        None => error,
    }
}

/// Our words for the frequent mistakes, serde_json's for the others.
fn explain(words: &str, rest: &str, before: &str) -> (String, Option<&'static str>) {
    if let Some(what) = words.strip_prefix("EOF while parsing ") {
        let help = "close it: count the brackets, braces and quotes";
        return (format!("the policy ends inside {}", article(what)), Some(help));
    }
    let first = rest.chars().next().unwrap_or(' ');
    let comment = rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with('#');
    let help = if comment {
        Some("JSON has no comments; rules and paths have a `comment` field for them")
    } else {
        match first {
            '\'' => Some("strings are written in double quotes"),
            '+' | '.' | 'N' | 'I' => Some("numbers are written like `12`, quantities like `\"64MiB\"`"),
            '0'..='9' if words == "invalid number" && before.ends_with('0') => {
                Some("a number does not start with `0`; write octal as `\"0644\"`")
            }
            'x' | 'X' if before.ends_with('0') => Some("write hexadecimal as a string: `\"0xf\"`"),
            'T' | 'F' => Some("write `true` or `false`"),
            '}' | ']' if words == "trailing comma" => Some("leave the comma out"),
            c if words == "key must be a string" && c.is_alphabetic() => {
                Some("put the field name in double quotes")
            }
            _ => None,
        }
    };
    let message = match words {
        "trailing comma" => "there is a comma after the last element".to_owned(),
        "trailing characters" => "there is more after the end of the policy".to_owned(),
        "recursion limit exceeded" => "the nesting is too deep".to_owned(),
        "key must be a string" => "a field name is expected here".to_owned(),
        "expected value" => "a value is expected here".to_owned(),
        w if w.starts_with("control character") => {
            "a string holds a line break or another control character".to_owned()
        }
        w => w.to_lowercase(),
    };
    (message, help)
}

fn article(what: &str) -> String {
    match what {
        "an object" | "a list" | "a string" | "a value" => what.replace("a list", "an array"),
        other => format!("a {other}"),
    }
}

/// Anything that is JSON; keeps nothing.
struct Syntax;

impl<'de> Deserialize<'de> for Syntax {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Syntax)
    }
}

impl<'de> Visitor<'de> for Syntax {
    type Value = Syntax;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Syntax, E> {
        Ok(Syntax)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Syntax, E> {
        Ok(Syntax)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Syntax, E> {
        Ok(Syntax)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Syntax, E> {
        Ok(Syntax)
    }

    fn visit_f64<E: serde::de::Error>(self, v: f64) -> Result<Syntax, E> {
        if v.is_finite() { Ok(Syntax) } else { Err(E::custom("number out of range")) }
    }

    fn visit_str<E>(self, _: &str) -> Result<Syntax, E> {
        Ok(Syntax)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Syntax, A::Error> {
        while seq.next_element::<Syntax>()?.is_some() {}
        Ok(Syntax)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Syntax, A::Error> {
        while let Some(Key) = map.next_key::<Key>()? {
            map.next_value::<Syntax>()?;
        }
        Ok(Syntax)
    }
}

/// A key of an object; keeps nothing.
struct Key;

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Key)
    }
}

impl Visitor<'_> for Key {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<Key, E> {
        Ok(Key)
    }
}

#[cfg(test)]
mod tests;
