//! What a ceiling lets a job bind.

use super::super::Ceiling;
use super::{Linted, comment_of};

/// Host directories of which no job should see the whole.
const WHOLE: &[&str] =
    &["/", "/home", "/root", "/etc", "/var", "/run", "/var/run", "/tmp", "/proc", "/sys", "/dev"];

/// Looks at the binds a ceiling allows.
pub(super) fn lint(linted: &mut Linted<'_>, ceiling: &Ceiling) {
    let said = comment_of(linted.text, Some("ceiling")).is_some();
    for path in ceiling.writable() {
        if !said {
            let message =
                format!("a job may write to the host below `{}`, and no comment says why", path.value);
            let help = "what a box leaves there is read by others; as an ordinary user it also keeps the caller's \
                        groups, which open files there: give `ceiling` a `comment`";
            linted.warn("rw", path.span, message, help);
        }
    }
    for path in ceiling.writable().iter().chain(ceiling.readable()) {
        if WHOLE.contains(&path.value.as_str()) {
            let message = format!("a job may ask for all of `{}`", path.value);
            let help = "as an ordinary user a box keeps the caller's groups, which open files there: name the \
                        directories that jobs need";
            linted.warn("bind", path.span, message, help);
        }
    }
}
