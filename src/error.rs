//! Why a run could not be started, told so that the reader can act on it.

use std::fmt;

/// What kind of failure it is; decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Wrong words on the command line, or a request that contradicts itself.
    Usage,
    /// The policy has findings.
    Policy,
    /// The program was not found.
    NotFound,
    /// The program is there and cannot be run (foreign, truncated, a script).
    NotRunnable,
    /// This host lacks something the policy demands.
    Host,
    /// A step of the set-up failed.
    Setup,
    /// The supervisor itself failed while a box was running.
    Sandbox,
}

impl Kind {
    /// The exit status that `stockade run` gives for it.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Kind::NotFound => 127,
            Kind::NotRunnable => 126,
            Kind::Usage | Kind::Policy | Kind::Host | Kind::Setup | Kind::Sandbox => 125,
        }
    }
}

/// An error with a one-line message (lower case, no trailing dot) and, where
/// there is one, a line that says what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    kind: Kind,
    message: String,
    help: Option<String>,
}

impl Error {
    /// An error of the given kind.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), help: None }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// What kind of failure it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The message, without the help.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it.
    #[must_use]
    pub fn help_text(&self) -> Option<&str> {
        self.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&with_help(&self.message, self.help_text()))
    }
}

impl std::error::Error for Error {}

/// A failure in words, and below it what to do about it, where that is known.
#[must_use]
pub fn with_help(words: &str, help: Option<&str>) -> String {
    match help {
        Some(help) => format!("{words}\n  help: {help}"),
        None => words.to_owned(),
    }
}

/// The result of everything that may refuse a run.
pub type Result<T> = std::result::Result<T, Error>;

/// An I/O error in a few lower-case words, without the number that the standard
/// library adds.
#[must_use]
pub fn io_text(error: &std::io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => errno_text(code),
        None => error.to_string(),
    }
}

/// An errno as its name and its meaning.
#[must_use]
pub fn errno_text(code: i32) -> String {
    let errno = nix::errno::Errno::from_raw(code);
    if errno == nix::errno::Errno::UnknownErrno {
        return format!("errno {code}");
    }
    format!("{errno:?}, {}", errno.desc().to_lowercase())
}

/// Takes note that a failure changes nothing, and why. The only way here to leave
/// a result unused.
pub fn no_matter<T, E>(_: std::result::Result<T, E>, _why: &'static str) {}
