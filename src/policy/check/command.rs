//! What the command, the payload and the working directory say about the
//! paths.

use super::super::findings::{Collector, Finding};
use super::super::model::{ImageSource, PathEntry, PathSource, Word};
use super::super::read::{Document, path_problem};
use super::super::source::{Spanned, quote};
use super::super::suggest;
use super::given;
use super::paths::below;

/// Judges what makes a policy runnable. False if nothing of it is there.
pub(super) fn check(document: &Document, paths: Option<&[PathEntry]>, collector: &mut Collector) -> bool {
    if let Some(paths) = paths {
        working_directory(document, paths, collector);
        payload(document, paths, collector);
    }
    argv0(document, collector);
    words(document, collector);
    let parts = [
        ("image", given(&document.image)),
        ("payload", given(&document.payload)),
        ("command", given(&document.command)),
    ];
    if parts.iter().all(|p| !p.1) {
        return false;
    }
    let missing: Vec<&str> = parts.iter().filter(|p| !p.1).map(|p| p.0).collect();
    if !missing.is_empty() {
        let finding = Finding::at(document.open, format!("this policy has no {}", suggest::list(&missing)));
        collector.say(finding.help("a policy that can be run has `image`, `payload` and `command`"));
    }
    true
}

/// The working directory must exist when the program starts.
fn working_directory(document: &Document, paths: &[PathEntry], collector: &mut Collector) {
    let Some(cwd) = document.cwd.spanned() else { return };
    if paths.iter().any(|p| p.at == cwd.value) {
        return;
    }
    // What is below the image only the image knows; everything else is empty
    // or not a place to be.
    let above = paths.iter().rev().find(|p| below(&cwd.value, &p.at));
    if let Some(above) = above
        && above.from != PathSource::Image
    {
        let message = format!("`cwd` {} does not exist when the program starts", quote(&cwd.value));
        collector
            .say(Finding::at(cwd.span, message).help(format!("use one of the paths, like `{}`", above.at)));
    }
}

/// The payload is one file directly in the directory that holds it.
fn payload(document: &Document, paths: &[PathEntry], collector: &mut Collector) {
    let Some(payload) = document.payload.spanned() else { return };
    let Some(holder) = paths.iter().find(|p| p.from == PathSource::Payload) else { return };
    let place = &payload.value.path;
    let direct = below(place, &holder.at)
        && place.strip_prefix(&holder.at).is_some_and(|rest| rest.matches('/').count() == 1);
    if !direct {
        let message = format!("the payload at {} is not directly in `{}`", quote(place), holder.at);
        let help = format!("`{}` is the path from `payload`: write `{}/NAME`", holder.at, holder.at);
        collector.say(Finding::at(payload.span, message).help(help));
    }
    if payload.value.executable && !holder.access.execute {
        let message = format!("the payload is executable, but `{}` has no access `execute`", holder.at);
        let help = "add `execute` to its access, or say `\"executable\": false`";
        collector.say(Finding::at(payload.span, message).help(help));
    }
}

fn argv0(document: &Document, collector: &mut Collector) {
    if let Some(argv0) = document.argv0.spanned()
        && argv0.value == Word::Args
    {
        let finding = Finding::at(argv0.span, "`argv0` cannot be `{args}`");
        collector.say(finding.help("it is one word: a literal, `{payload}` or `{given}`"));
    }
}

/// Which words a command has, and where.
fn words(document: &Document, collector: &mut Collector) {
    let Some(command) = document.command.spanned() else { return };
    for (word, name) in [(Word::Payload, "{payload}"), (Word::Args, "{args}")] {
        let mut places = command.value.iter().filter(|w| w.value == word);
        let first = places.next();
        if let (Some(first), Some(second)) = (first, places.next()) {
            let finding = Finding::at(second.span, format!("`{name}` is there twice"));
            collector.say(finding.note(first.span, "first here"));
        }
        if first.is_none() && word == Word::Payload {
            let finding = Finding::at(command.span, "`command` has no `{payload}`");
            collector
                .say(finding.help("it stands for the path of the payload in the box, and is there once"));
        }
    }
    for word in command.value.iter().filter(|w| w.value == Word::Given) {
        let finding = Finding::at(word.span, "`{given}` is not a word of `command`");
        collector.say(finding.help("it is what the caller wrote, and can only be `argv0`"));
    }
    if let Some(first) = command.value.first() {
        program(document, first, collector);
    }
}

/// The first word is what is executed.
fn program(document: &Document, first: &Spanned<Word>, collector: &mut Collector) {
    let finding = match &first.value {
        Word::Payload => match document.payload.spanned() {
            Some(payload) if !payload.value.executable => {
                Finding::at(payload.span, "the payload is not executable, but the command starts with it")
                    .note(first.span, "the command is here")
                    .help("leave out `\"executable\": false`, or start the command with the program that reads it")
            }
            _ => return,
        },
        Word::Args | Word::Given => Finding::at(first.span, "the first word of `command` must be a program")
            .help("write `{payload}` or an absolute path"),
        Word::Literal(path) => match path_problem(path) {
            Some((problem, help)) => {
                Finding::at(first.span, format!("the program {} {problem}", quote(path))).help(help)
            }
            None if document.image.good() == Some(&ImageSource::PayloadClosure) => {
                Finding::at(first.span, format!("the program {} is not in the image", quote(path)))
                    .help("the closure of the payload holds what the payload needs, nothing else: start with `{payload}`")
            }
            None => return,
        },
    };
    collector.say(finding);
}
