//! Readers of foreign bytes that are nobody's interface, as the fuzz targets and
//! the replay of their seeds reach them. Nothing here is promised to stay.

use std::ops::Range;

use jsonc_parser::ast::Value as Ast;
use serde_json::Value;

use crate::policy::json;
use crate::sandbox::frame::Frame;
use crate::sandbox::posture::{self, Status};
use crate::sandbox::streams::terminal::Neutral;

/// What the reader of policies makes of a JSON text; else where the text is wrong.
///
/// # Errors
/// The text is not JSON.
pub fn read_json(text: &str) -> Result<Value, Range<usize>> {
    json::parse(text).map(|value| as_serde(&value)).map_err(|error| error.range)
}

/// A value of the reader as serde_json would say it.
pub(crate) fn as_serde(value: &Ast<'_>) -> Value {
    match value {
        Ast::NullKeyword(_) => Value::Null,
        Ast::BooleanLit(b) => Value::Bool(b.value),
        Ast::StringLit(s) => Value::String(s.value.clone().into_owned()),
        // The reader keeps numbers as they are written.
        Ast::NumberLit(n) => serde_json::from_str(n.value).unwrap_or(Value::Null),
        Ast::Array(a) => Value::Array(a.elements.iter().map(as_serde).collect()),
        Ast::Object(o) => Value::Object(
            o.properties.iter().map(|p| (p.name.as_str().to_owned(), as_serde(&p.value))).collect(),
        ),
    }
}

/// What a terminal is shown for these chunks of output.
#[must_use]
pub fn neutralise(chunks: &[&[u8]]) -> Vec<u8> {
    let mut neutral = Neutral::default();
    let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| neutral.pass(chunk)).collect();
    out.extend(neutral.finish());
    out
}

/// A record of the set-up, decoded and encoded again; `None` when it is refused.
#[must_use]
pub fn frame(bytes: &[u8]) -> Option<Vec<u8>> {
    Frame::decode(bytes).map(|frame| frame.encode().to_vec())
}

/// Place, type and whether it is connected to others, of each mount that a text
/// in the form of mountinfo tells of.
#[must_use]
pub fn mounts(text: &str) -> Vec<(String, String, bool)> {
    posture::parse_mountinfo(text).into_iter().map(|m| (m.at, m.kind, m.propagates)).collect()
}

/// A field of a text in the form of `/proc/<pid>/status`.
#[must_use]
pub fn status_field(text: &str, key: &str) -> String {
    Status::parse(text).get(key).to_owned()
}
