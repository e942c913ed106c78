//! What is wrong with a policy, told the way a compiler tells it.
//!
//! Guarantees: every finding of one run is kept, in the order of the text;
//! rendering is plain text unless colours are asked for; nothing a policy
//! says reaches the terminal unescaped.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::source::{Position, Source, Span};

/// Findings that are shown. A broken generator makes thousands; nobody reads
/// them, and each costs a search through the text.
const SHOWN: usize = 50;

/// One thing that is wrong, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    span: Option<Span>,
    message: String,
    help: Option<String>,
    note: Option<(Span, String)>,
    /// Of a warning: its short name.
    code: Option<&'static str>,
}

impl Finding {
    /// A finding at a place.
    pub(crate) fn at(span: Span, message: impl Into<String>) -> Self {
        Self { span: Some(span), message: message.into(), help: None, note: None, code: None }
    }

    /// A finding about no place in particular.
    pub(crate) fn nowhere(message: impl Into<String>) -> Self {
        Self { span: None, message: message.into(), help: None, note: None, code: None }
    }

    /// Makes it a warning of this short name.
    #[must_use]
    pub(crate) fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Adds a second place.
    #[must_use]
    pub(crate) fn note(mut self, span: Span, note: impl Into<String>) -> Self {
        self.note = Some((span, note.into()));
        self
    }

    /// What is wrong: lower case, no trailing dot.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The short name of a warning; nothing: it is an error.
    #[must_use]
    pub fn warning(&self) -> Option<&'static str> {
        self.code
    }
}

/// Everything that is wrong with one policy. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings {
    name: String,
    sources: Vec<Source>,
    items: Vec<Finding>,
    /// What is said of all of them; nothing: that the policy has so many.
    head: Option<String>,
}

impl Findings {
    /// One finding about a policy of which there is no text.
    pub(crate) fn of_name(name: &str, finding: Finding) -> Self {
        Self { name: name.to_owned(), sources: Vec::new(), items: vec![finding], head: None }
    }

    /// The same under another heading.
    #[must_use]
    pub(crate) fn headed(mut self, head: String) -> Self {
        self.head = Some(head);
        self
    }

    /// What there is, in one line.
    #[must_use]
    pub fn heading(&self) -> String {
        if let Some(head) = &self.head {
            return format!("policy `{}`: {head}", self.name);
        }
        let count = self.count();
        let plural = if count == 1 { "finding" } else { "findings" };
        format!("policy `{}` has {count} {plural}", self.name)
    }

    /// The findings, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.items.iter()
    }

    /// How many there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.items.len()
    }

    /// The file and the place of a finding, if it has one.
    #[must_use]
    pub fn place(&self, finding: &Finding) -> Option<(&str, Position)> {
        let span = finding.span?;
        let source = self.sources.get(usize::from(span.source))?;
        Some((&source.name, source.position(span.start())))
    }

    /// The same as [`fmt::Display`], with ANSI colours.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.render(&Style {
            error: "\x1b[1;31m",
            warning: "\x1b[1;33m",
            frame: "\x1b[1;34m",
            help: "\x1b[1;36m",
            off: "\x1b[0m",
        })
    }

    fn render(&self, style: &Style) -> String {
        let mut out = String::new();
        for (i, finding) in self.items.iter().take(SHOWN).enumerate() {
            if i > 0 {
                out.push('\n');
            }
            self.render_one(&mut out, style, finding);
        }
        if let Some(more) = self.items.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            push(&mut out, format_args!("\nand {more} more\n"));
        }
        out
    }

    fn render_one(&self, out: &mut String, style: &Style, finding: &Finding) {
        let Style { error, warning, frame, help, off } = style;
        match finding.code {
            None => push(out, format_args!("{error}error{off}: {}\n", finding.message)),
            Some(code) => push(out, format_args!("{warning}warning[{code}]{off}: {}\n", finding.message)),
        }
        let places = [finding.span, finding.note.as_ref().map(|n| n.0)];
        let lines = places.iter().flatten().filter_map(|s| self.position(*s)).map(|p| p.line);
        let gutter = lines.max().map_or(1, |n| n.to_string().len());
        if let Some(span) = finding.span {
            self.render_place(out, style, gutter, span);
        }
        if let Some((span, note)) = &finding.note {
            push(out, format_args!("{help}note{off}: {note}\n"));
            self.render_place(out, style, gutter, *span);
        }
        if let Some(text) = &finding.help {
            push(out, format_args!("{:gutter$} {frame}={off} {help}help{off}: {text}\n", ""));
        }
    }

    fn render_place(&self, out: &mut String, style: &Style, gutter: usize, span: Span) {
        let Style { error, frame, off, .. } = style;
        let (Some(source), Some(at)) = (self.sources.get(usize::from(span.source)), self.position(span))
        else {
            return;
        };
        let excerpt = source.excerpt(span);
        let empty = "";
        push(out, format_args!("{empty:gutter$}{frame}-->{off} {}:{}:{}\n", source.name, at.line, at.column));
        push(out, format_args!("{empty:gutter$} {frame}|{off}\n"));
        let line = excerpt.line.trim_end();
        let space = if line.is_empty() { "" } else { " " };
        push(out, format_args!("{frame}{:>gutter$} |{off}{space}{line}\n", at.line));
        let carets = "^".repeat(excerpt.carets);
        let indent = excerpt.indent;
        push(out, format_args!("{empty:gutter$} {frame}|{off} {empty:indent$}{error}{carets}{off}\n"));
    }

    fn position(&self, span: Span) -> Option<Position> {
        Some(self.sources.get(usize::from(span.source))?.position(span.start()))
    }
}

/// Escape sequences, or nothing.
struct Style {
    error: &'static str,
    warning: &'static str,
    frame: &'static str,
    help: &'static str,
    off: &'static str,
}

fn push(out: &mut String, what: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    if out.write_fmt(what).is_err() {
        out.push_str("<unprintable>");
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Style { error: "", warning: "", frame: "", help: "", off: "" }))
    }
}

impl std::error::Error for Findings {}

impl From<Findings> for crate::Error {
    fn from(findings: Findings) -> Self {
        let head = findings.heading();
        crate::Error::new(
            crate::error::Kind::Policy,
            format!("{head}\n\n{}", findings.to_string().trim_end()),
        )
    }
}

/// Gathers findings while a policy is read.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    sources: Vec<Source>,
    items: Vec<Finding>,
}

impl Collector {
    /// Adds a text; spans refer to it by the number returned.
    pub(crate) fn add_source(&mut self, name: &str, text: Cow<'static, str>) -> u8 {
        let number = u8::try_from(self.sources.len()).unwrap_or(u8::MAX);
        self.sources.push(Source { name: super::source::clean(name), text });
        number
    }

    /// Gathers findings about texts that were read before.
    pub(crate) fn of_sources(sources: Vec<Source>) -> Self {
        Self { sources, items: Vec::new() }
    }

    /// The texts, for findings of a later look.
    pub(crate) fn into_sources(self) -> Vec<Source> {
        self.sources
    }

    /// The name under which a text is shown.
    pub(crate) fn source_name(&self, source: u8) -> &str {
        self.sources.get(usize::from(source)).map_or("?", |s| &s.name)
    }

    /// Keeps a finding.
    pub(crate) fn say(&mut self, finding: Finding) {
        self.items.push(finding);
    }

    /// How many findings there are so far.
    pub(crate) fn count(&self) -> usize {
        self.items.len()
    }

    /// All findings in the order of the text, or nothing if there are none.
    pub(crate) fn finish(mut self) -> Option<Findings> {
        if self.items.is_empty() {
            return None;
        }
        self.items.sort_by_key(|f| f.span.map_or((u8::MAX, 0), |s| (s.source, s.start())));
        let name = self.source_name(0).to_owned();
        Some(Findings { name, sources: self.sources, items: self.items, head: None })
    }
}
