//! The report of a command line that says no run: whoever reads it must not find
//! that of an earlier run in its place.

use std::ffi::{OsStr, OsString};

use stockade::error::{Error, Kind, io_text};
use stockade::report::write::Sink;
use stockade::sandbox::refusal_report;

use super::say;

/// Writes it where the words before the program ask for one; `run` describes the options.
pub fn report(run: &clap::Command, words: impl Iterator<Item = OsString>, wrong: &clap::Error) {
    // Of a place that cannot be written, there is something worse to tell.
    let Some(Ok(sink)) = place(run, words).map(|spec| Sink::open(&spec)) else { return };
    let text = wrong.to_string();
    let first: Vec<&str> = text.lines().take_while(|line| !line.is_empty()).map(str::trim).collect();
    let message = first.join(" ");
    let error = Error::new(Kind::Usage, message.strip_prefix("error: ").unwrap_or(&message));
    if let Err(e) = sink.write(&refusal_report(&error)) {
        say::error(&Error::new(Kind::Sandbox, format!("cannot write the report: {}", io_text(&e))));
    }
}

/// What `--report` names; nothing where two of them say different things.
fn place(run: &clap::Command, mut words: impl Iterator<Item = OsString>) -> Option<String> {
    let takes_value = |name: &str| {
        run.get_arguments().any(|arg| {
            let long = arg.get_long().is_some_and(|long| name.strip_prefix("--") == Some(long));
            let short = arg.get_short().is_some_and(|short| name == format!("-{short}"));
            (long || short) && arg.get_action().takes_values()
        })
    };
    let mut found: Option<String> = None;
    while let Some(word) = words.next() {
        // The program, or the end of the options: what follows is not ours.
        let Some(word) = word.to_str().filter(|w| w.len() > 1 && w.starts_with('-') && *w != "--") else {
            break;
        };
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(OsStr::new(value).to_owned())),
            None if takes_value(word) => (word, words.next()),
            None => (word, None),
        };
        if name == "--report" {
            let value = value?.into_string().ok()?;
            if found.is_some_and(|before| before != value) {
                return None;
            }
            found = Some(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn asked(words: &[&str]) -> Option<String> {
        let command = super::super::JustRun::command();
        let run = command.find_subcommand("run").unwrap();
        place(run, words.iter().map(OsString::from))
    }

    #[test]
    fn report_is_that_of_the_options_and_not_of_the_program() {
        let r = || Some("r.json".to_owned());
        assert_eq!(asked(&["--report", "r.json", "--nosuch", "x"]), r());
        assert_eq!(asked(&["--nosuch", "--report=r.json", "x"]), r());
        assert_eq!(asked(&["-p", "strict", "-q", "--memory", "64", "--report", "r.json"]), r());
        assert_eq!(asked(&["--report", "r.json", "--report", "r.json", "x"]), r());
        for none in [
            &["--nosuch", "x", "--report", "r.json"][..],
            &["--", "--report", "r.json"],
            &["--stdin", "--report", "r.json"],
            &["--report", "r.json", "--report", "s.json", "x"],
            &["--report"],
            &[],
        ] {
            assert_eq!(asked(none), None, "{none:?}");
        }
    }
}
