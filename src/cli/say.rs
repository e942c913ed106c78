//! What people are told on standard error.

use std::io::{IsTerminal as _, Write as _};

use stockade::Error;
use stockade::policy::Findings;
use stockade::report::Report;
use stockade::report::verdict::Verdict;

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

/// Text on standard output. A reader that has gone away is nobody's error.
pub fn text(text: &str) {
    let mut out = std::io::stdout().lock();
    stockade::error::no_matter(out.write_all(text.as_bytes()).and_then(|()| out.flush()), "nobody reads it");
}

/// Findings, as a compiler shows them.
pub fn findings(findings: &Findings) {
    eprintln!("{}", if colours() { findings.coloured() } else { findings.to_string() }.trim_end());
    eprintln!();
    eprintln!("stockade: {}", findings.heading());
}

/// An error, and what to do about it.
pub fn error(error: &Error) {
    eprintln!("stockade: {} {error}", painted("error:", "1;31"));
}

/// Why a box could not be had, where the report says so.
pub fn refusal(report: &Report) {
    let word = report.verdict.name();
    eprintln!("stockade: {} {}", painted(&format!("{word}:"), "1;31"), report.reason);
}

/// The verdict in one line.
pub fn verdict(report: &Report) {
    let line = stockade::report::text::line(report);
    let colour = match report.verdict {
        Verdict::Ok => "32",
        Verdict::NonzeroExit | Verdict::Signaled => "33",
        _ => "31",
    };
    let (word, rest) = line.split_once(':').unwrap_or((&line, ""));
    eprintln!("stockade: {}:{rest}", painted(word, colour));
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
        eprintln!("stockade: explain: {}", explanation.line());
    }
    let more = told.len().saturating_sub(TOLD);
    if more > 0 {
        eprintln!("stockade: explain: and {more} more, in the report");
    }
    if told.is_empty() {
        eprintln!("stockade: explain: the policy stood in the way of nothing that the program needed");
    }
    if !rest.is_empty() {
        eprintln!("stockade: explain: {} more that programs do without, in the report", rest.len());
    }
}

/// Notes and layers, for `-v`.
pub fn details(report: &Report) {
    for note in &report.notes {
        eprintln!("stockade: note: {note}");
    }
    for (name, layer) in &report.layers {
        let facts = serde_json::Value::Object(layer.kernel.clone());
        let status = format!("{:?}", layer.status).to_lowercase();
        eprintln!("stockade: {name}: {status} {facts}");
    }
    for v in &report.violations {
        eprintln!("stockade: violation: {}({}) ×{} {}", v.syscall, v.args.join(", "), v.count, v.action);
    }
}
