//! Policies: reviewed data that says what a payload may see, call and use.
//!
//! ```text
//! text ─ json ─▶ values ─ read ─▶ Document ─ merge (extends) ─▶ check ─▶ Policy
//! ```
//!
//! A policy that ships is read ahead of time, when it changes (`prebuilt`).
//!
//! Guarantees: a [`Policy`] exists only if nothing is wrong with its text and
//! that of the policy it extends; everything that is wrong is found in one
//! run, each with its place and what to do about it. Nothing here makes a
//! system call: callers read the files.

pub mod amend;
mod bounds;
mod builtin;
pub mod ceiling;
mod check;
pub mod compare;
mod demands;
pub mod diff;
pub mod explain;
pub(crate) mod findings;
pub(crate) mod json;
pub mod lint;
mod located;
mod merge;
pub mod model;
pub mod names;
mod overrides;
pub(crate) mod prebuilt;
mod print;
pub(crate) mod read;
pub mod schema;
pub(crate) mod share;
pub(crate) mod source;
pub(crate) mod suggest;
pub mod units;
mod wording;

pub use builtin::{builtin_names, builtin_text};
pub use ceiling::Ceiling;
pub use findings::{Finding, Findings};
pub use json::{MAX_BYTES, read_file};
pub use located::{Located, Subject};
pub use model::Policy;
pub use overrides::Overrides;
pub use source::Position;

use check::{Checked, check as check_document};
use findings::Collector;
use print::digest;
use read::{Document, Field, Reader};
use source::Span;

/// How many policies may be below one: a file extends `compile-c`, which extends
/// `compile`, which extends `base`. Only policies that ship are extended, so that
/// this is what they need.
const DEEPEST: u8 = 3;

/// Whether an argument names a file and not a policy that ships.
#[must_use]
pub fn is_file_argument(argument: &str) -> bool {
    argument.contains('/') || argument.ends_with(".json")
}

/// A policy that ships, by its name.
///
/// # Errors
/// There is none of that name, or it is only there to be extended.
pub fn load_builtin(name: &str) -> Result<Policy, Findings> {
    match prebuilt::policy(name) {
        Some(policy) => Ok(policy),
        None => Located::builtin(name).map(Located::into_policy),
    }
}

/// What is said where there is no policy of that name.
#[must_use]
pub fn unknown_builtin(name: &str) -> Findings {
    let known: Vec<&str> = builtin_names().collect();
    let help = match suggest::nearest(name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            format!("there are {}; a file has a `/` in its name or ends in `.json`", suggest::list(&known))
        }
    };
    let finding = Finding::nowhere(format!("there is no policy {}", source::quote(name))).help(help);
    Findings::of_name(name, finding)
}

/// The policy in a text. `display_name` is what findings call it.
///
/// # Errors
/// Everything that is wrong with it, or that it cannot be run.
pub fn parse(display_name: &str, text: &[u8]) -> Result<Policy, Findings> {
    Located::parse(display_name, text).map(Located::into_policy)
}

/// Whether a text is a good policy, runnable or only there to be extended
/// (`None`).
///
/// # Errors
/// Everything that is wrong with it.
pub fn check(display_name: &str, text: &[u8]) -> Result<Option<Policy>, Findings> {
    let (mut collector, document) = resolve(display_name, text);
    match document.and_then(|d| check_document(&d, &mut collector)) {
        Some(Checked::Runnable(policy)) => finish(collector, Some(*policy)),
        Some(Checked::Partial) => finish(collector, None),
        None => Err(refused(collector)),
    }
}

/// Whether a text has a `ceiling`, and is to be read as one. False for what is
/// not JSON.
#[must_use]
pub fn is_ceiling(text: &[u8]) -> bool {
    let value = json::decode(text).ok().and_then(|text| json::parse(text).ok());
    matches!(value, Some(jsonc_parser::ast::Value::Object(object))
        if object.properties.iter().any(|p| p.name.as_str() == "ceiling"))
}

/// The result if there are no findings.
fn finish<T>(collector: Collector, result: T) -> Result<T, Findings> {
    match collector.finish() {
        None => Ok(result),
        Some(findings) => Err(findings),
    }
}

/// The findings of a policy that came to nothing.
fn refused(collector: Collector) -> Findings {
    let name = collector.source_name(0).to_owned();
    // Every way to nothing has said why; if one has not, that is said.
    collector.finish().unwrap_or_else(|| {
        Findings::of_name(&name, Finding::nowhere("this policy could not be read, and no finding says why"))
    })
}

/// What findings call a policy that ships.
fn shipped(name: &str) -> String {
    format!("{name} (built in)")
}

/// Reads a text and what it extends, merged.
fn resolve(display_name: &str, bytes: &[u8]) -> (Collector, Option<Document>) {
    let mut collector = Collector::default();
    let document = match json::decode(bytes) {
        Ok(text) => {
            let source = collector.add_source(display_name, text.to_owned().into());
            resolve_text(&mut collector, source, text, 0)
        }
        Err(error) => {
            let shown = bytes.get(..bytes.len().min(json::MAX_BYTES)).unwrap_or_default();
            let source =
                collector.add_source(display_name, String::from_utf8_lossy(shown).into_owned().into());
            collector.say(syntax(source, error));
            None
        }
    };
    (collector, document)
}

/// Reads the text of a source and what it extends, merged.
fn resolve_text(collector: &mut Collector, source: u8, text: &str, depth: u8) -> Option<Document> {
    let value = match json::parse(text) {
        Ok(value) => value,
        Err(error) => {
            collector.say(syntax(source, error));
            return None;
        }
    };
    let document = read::read(&mut Reader::new(collector, source), &value)?;
    let extends = match &document.extends {
        Field::Absent => return Some(merge::alone(document, collector)),
        // What the policy says cannot be judged without what it extends.
        Field::Bad => return None,
        Field::Good(extends) => extends.clone(),
    };
    let Some(parent) = builtin_text(&extends.value).filter(|_| depth < DEEPEST) else {
        let known: Vec<&str> = builtin_names().collect();
        let message = format!("there is no policy {} to extend", source::quote(&extends.value));
        collector.say(Finding::at(extends.span, message).help(suggest::help(&extends.value, &known)));
        return None;
    };
    let source = collector.add_source(&shipped(&extends.value), parent.into());
    let parent = resolve_text(collector, source, parent, depth + 1)?;
    Some(merge::merge(document, parent, &extends.value, collector))
}

fn syntax(source: u8, error: json::SyntaxError) -> Finding {
    let span = Span::new(source, error.range.start, error.range.end);
    let finding = Finding::at(span, error.message);
    match error.help {
        Some(help) => finding.help(help),
        None => finding,
    }
}

#[cfg(test)]
mod tests;
