//! Printing: text on standard output, progress on a terminal.

use std::cell::Cell;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use serde::Serialize;

use stockade::error::{Error, Kind, Result, io_text, no_matter};
use stockade::image::build::Progress;

/// Prints text. A reader that has gone away is nobody's error.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::new(Kind::Host, format!("standard output: {}", io_text(&error))))
        }
        _ => Ok(()),
    }
}

/// Prints a document as JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(Kind::Sandbox, format!("JSON: {error}")))?;
    print(&(text + "\n"))
}

/// One line on a terminal, which the next one replaces; nothing elsewhere.
pub struct OnTerminal {
    terminal: bool,
    last: Cell<Option<Instant>>,
}

/// How often the line changes: nobody reads faster.
const PACE: Duration = Duration::from_millis(100);

/// Columns of the line at most.
const WIDTH: usize = 100;

impl OnTerminal {
    pub fn new() -> Self {
        Self { terminal: std::io::stderr().is_terminal(), last: Cell::new(None) }
    }
}

impl Progress for OnTerminal {
    fn now(&self, what: &str) {
        if !self.terminal || self.last.get().is_some_and(|last| last.elapsed() < PACE) {
            return;
        }
        self.last.set(Some(Instant::now()));
        let shown: String = what.chars().map(|c| if c.is_control() { '?' } else { c }).take(WIDTH).collect();
        no_matter(write!(std::io::stderr(), "\r\x1b[K{shown}"), "nobody reads it");
    }
}

impl Drop for OnTerminal {
    fn drop(&mut self) {
        if self.terminal && self.last.get().is_some() {
            no_matter(write!(std::io::stderr(), "\r\x1b[K"), "nobody reads it");
        }
    }
}
