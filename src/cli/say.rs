//! What people are told on standard error.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};

use stockade::Error;
use stockade::error::no_matter;
use stockade::report::Report;
use stockade::report::verdict::Verdict;

/// One line. Standard error may be full, or its reader gone: what is told here is
/// in the report and the status as well.
pub fn line(words: fmt::Arguments<'_>) {
    no_matter(writeln!(std::io::stderr(), "{words}"), "there is nobody to tell");
}

/// Whether standard error is a terminal that may show colours.
pub fn colours() -> bool {
    std::io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
        && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

fn painted(text: &str, code: &str) -> String {
    if colours() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// An error, and what to do about it.
pub fn error(error: &Error) {
    line(format_args!("stockade: {} {error}", painted("error:", "1;31")));
}

/// Why a box could not be had, where the report says so.
pub fn refusal(report: &Report) {
    let word = report.verdict.name();
    line(format_args!("stockade: {} {}", painted(&format!("{word}:"), "1;31"), report.reason));
}

/// The verdict in one line.
pub fn verdict(report: &Report) {
    let text = stockade::report::text::line(report);
    let colour = match report.verdict {
        Verdict::Ok => "32",
        Verdict::NonzeroExit | Verdict::Signaled => "33",
        _ => "31",
    };
    let (word, rest) = text.split_once(':').unwrap_or((&text, ""));
    line(format_args!("stockade: {}:{rest}", painted(word, colour)));
}

/// Notes and layers, for `-v`.
pub fn details(report: &Report) {
    for note in &report.notes {
        line(format_args!("stockade: note: {note}"));
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
