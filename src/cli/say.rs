//! What people are told on standard error.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use stockade::Error;
use stockade::error::{io_text, no_matter};
use stockade::policy::Findings;
use stockade::report::Report;
use stockade::report::verdict::Verdict;

/// One line. Standard error may be full, or its reader gone: what is told here is
/// in the report and the status as well.
pub fn line(words: fmt::Arguments<'_>) {
    no_matter(writeln!(std::io::stderr(), "{words}"), "there is nobody to tell");
}

/// What is under way: on the line that the next words of it take the place of.
pub fn progress(words: fmt::Arguments<'_>) {
    let mut out = std::io::stderr();
    no_matter(out.write_fmt(words).and_then(|()| out.flush()), "it is only progress");
}

/// Whether standard error is a terminal that may show colours.
pub fn colours() -> bool {
    may_colour(std::io::stderr().is_terminal())
}

/// Whether a stream may show colours.
fn may_colour(terminal: bool) -> bool {
    terminal
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

fn painted(text: &str, code: &str) -> String {
    if colours() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A word for standard output, coloured on a terminal.
pub fn on_stdout(text: &str, code: &str) -> String {
    if may_colour(std::io::stdout().is_terminal()) {
        format!("\x1b[{code}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

/// Whether something for standard output could not be written.
static LOST: AtomicBool = AtomicBool::new(false);

/// Text on standard output. A reader that has gone away is nobody's error; a full disk is told, once.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(e) = written.map_err(|e| (e.kind() != std::io::ErrorKind::BrokenPipe).then_some(e))
        && let Some(e) = e
        && !LOST.swap(true, Ordering::Relaxed)
    {
        line(format_args!("stockade: {} standard output: {}", painted("error:", "1;31"), io_text(&e)));
    }
}

/// Whether something for standard output could not be written, and was wanted.
pub fn lost_output() -> bool {
    LOST.load(Ordering::Relaxed)
}

/// Findings, as a compiler shows them.
pub fn findings(findings: &Findings) {
    line(format_args!("{}", if colours() { findings.coloured() } else { findings.to_string() }.trim_end()));
    line(format_args!(""));
    line(format_args!("stockade: {}", findings.heading()));
}

/// Text that may hold names and bytes of others: nothing in it acts on a terminal.
fn harmless(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            c if c.is_control() => out.extend(c.escape_default()),
            c => out.push(c),
        }
    }
    out
}

/// An error, and what to do about it.
pub fn error(error: &Error) {
    line(format_args!("stockade: {} {}", painted("error:", "1;31"), harmless(&error.to_string())));
}

/// Why a box could not be had, where the report says so.
pub fn refusal(report: &Report) {
    let word = report.verdict.name();
    line(format_args!("stockade: {} {}", painted(&format!("{word}:"), "1;31"), harmless(&report.reason)));
}

/// The verdict in one line.
pub fn verdict(report: &Report) {
    let text = harmless(&stockade::report::text::line(report));
    let colour = match report.verdict {
        Verdict::Ok => "32",
        Verdict::NonzeroExit | Verdict::Signaled => "33",
        _ => "31",
    };
    let (word, rest) = text.split_once(':').unwrap_or((&text, ""));
    line(format_args!("stockade: {}:{rest}", painted(word, colour)));
}

/// Explanations that are told; the report has them all.
const TOLD: usize = 20;
const TOLD_OF_EXPECTED: usize = 3;

/// What the policy stood in the way of: a line for each, the likely cause first.
pub fn explanations(report: &Report) {
    let Some(all) = report.explanations.as_ref().filter(|_| report.verdict < Verdict::SetupFailed) else {
        return;
    };
    let (mut told, mut rest): (Vec<_>, Vec<_>) = all.iter().partition(|e| e.expected.is_none());
    if told.is_empty() && report.verdict != Verdict::Ok {
        // What programs usually do without may be what this one does not, if it was asked for at the end.
        told = rest.drain(..rest.len().min(TOLD_OF_EXPECTED)).collect();
    }
    for explanation in told.iter().take(TOLD) {
        line(format_args!("stockade: explain: {}", explanation.line()));
    }
    let more = told.len().saturating_sub(TOLD);
    if more > 0 {
        line(format_args!("stockade: explain: and {more} more, in the report"));
    }
    if told.is_empty() {
        line(format_args!(
            "stockade: explain: the policy stood in the way of nothing that the program needed"
        ));
    }
    if !rest.is_empty() {
        line(format_args!("stockade: explain: {} more that programs do without, in the report", rest.len()));
    }
}

/// Notes and layers, for `-v`.
pub fn details(report: &Report) {
    for note in &report.notes {
        line(format_args!("stockade: note: {}", harmless(note)));
    }
    for (name, layer) in &report.layers {
        let facts = serde_json::Value::Object(layer.kernel.clone());
        let status = format!("{:?}", layer.status).to_lowercase();
        line(format_args!("stockade: {name}: {status} {facts}"));
    }
    for v in &report.violations {
        line(format_args!(
            "stockade: violation: {}({}) ×{} {}",
            v.syscall,
            v.args.join(", "),
            v.count,
            v.action
        ));
    }
}
