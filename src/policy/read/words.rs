//! Single words and short lists: names, paths, ids, the command, the
//! environment.

use std::collections::{BTreeMap, BTreeSet};

use jsonc_parser::ast::Value;

use super::super::findings::Finding;
use super::super::model::Word;
use super::super::source::{Spanned, quote};
use super::super::{share, suggest};
use super::Reader;
use crate::Layer;

/// The longest path that is used without an allocation after `clone`.
const PATH_MOST: usize = 1023;

/// The kernel's limit for one component of a path.
const NAME_MOST: usize = 255;

/// The kernel's limit for one `NAME=value` of the environment, and for one
/// argument (`MAX_ARG_STRLEN`), with the NUL at its end.
const STRING_MOST: usize = 131_071;

/// What is wrong with a path that must be absolute and normalised, and what
/// to write instead.
pub(crate) fn path_problem(path: &str) -> Option<(&'static str, String)> {
    let parts = || path.split('/').filter(|p| !p.is_empty() && *p != ".");
    let normal = || format!("write `/{}`", parts().collect::<Vec<_>>().join("/"));
    if path.is_empty() {
        return Some(("is empty", "write an absolute path like `/tmp`".into()));
    }
    if path.chars().any(char::is_control) {
        return Some(("holds a control character", "use printable characters only".into()));
    }
    if !path.starts_with('/') {
        return Some(("is not absolute", normal()));
    }
    if parts().any(|p| p == "..") {
        return Some(("goes up with `..`", "write where it ends up".into()));
    }
    if path != "/" && (path.ends_with('/') || path.contains("//") || path.split('/').any(|p| p == ".")) {
        return Some(("is not normalised", normal()));
    }
    if path.len() > PATH_MOST || parts().any(|p| p.len() > NAME_MOST) {
        let help = format!("{PATH_MOST} bytes are the most, {NAME_MOST} for each component");
        return Some(("is too long", help));
    }
    None
}

impl Reader<'_> {
    /// An absolute, normalised path.
    pub(crate) fn path(&mut self, value: &Value<'_>, what: &str) -> Option<Spanned<String>> {
        let text = self.string(value, what)?;
        if let Some((problem, help)) = path_problem(text.value) {
            let shown = if text.value.is_empty() { String::new() } else { format!(" {}", quote(text.value)) };
            self.say(Finding::at(text.span, format!("{what}{shown} {problem}")).help(help));
            return None;
        }
        Some(Spanned::new(text.value.to_owned(), text.span))
    }

    /// The name of a policy; it appears in reports and on command lines.
    pub(crate) fn policy_name(&mut self, value: &Value<'_>) -> Option<Spanned<String>> {
        const MOST: usize = 64;
        let text = self.string(value, "`name`")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let starts = text.value.starts_with(|c: char| c.is_ascii_alphanumeric());
        if text.value.len() > MOST
            || !starts
            || !text.value.chars().all(fits)
            || text.value.ends_with(".json")
        {
            let finding =
                Finding::at(text.span, format!("{} cannot be the name of a policy", quote(text.value)));
            let help =
                "use letters, digits, `-`, `_` and `.`, a letter or digit first, 64 at most, no `.json`";
            self.say(finding.help(help));
            return None;
        }
        Some(Spanned::new(text.value.to_owned(), text.span))
    }

    pub(super) fn hostname(&mut self, value: &Value<'_>) -> Option<Spanned<String>> {
        const MOST: usize = 64;
        let text = self.string(value, "`hostname`")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        let edge = |c: char| matches!(c, '-' | '.');
        let name = text.value;
        if name.is_empty()
            || name.len() > MOST
            || !name.chars().all(fits)
            || name.starts_with(edge)
            || name.ends_with(edge)
        {
            let finding = Finding::at(text.span, format!("{} cannot be a host name", quote(name)));
            self.say(finding.help("use 1 to 64 letters, digits, `-` and `.`, the last two not at an end"));
            return None;
        }
        Some(Spanned::new(name.to_owned(), text.span))
    }

    /// A user or group id inside; 0 would be root there.
    pub(super) fn id(&mut self, value: &Value<'_>, what: &str) -> Option<Spanned<u32>> {
        let number = self.integer(value, what)?;
        let problem = match u32::try_from(number.value) {
            Ok(0) => ("is 0: root", "write the id of an ordinary user, like 1000"),
            // (uid_t)-1 means "do not change" to every call that takes an id.
            Ok(u32::MAX) | Err(_) => ("is not an id", "the largest is 4294967294"),
            Ok(id) => return Some(Spanned::new(id, number.span)),
        };
        self.say(Finding::at(number.span, format!("{what} {}", problem.0)).help(problem.1));
        None
    }

    /// The words of a command line, place-holders recognised.
    pub(super) fn command(&mut self, value: &Value<'_>) -> Option<Vec<Spanned<Word>>> {
        let elements = self.elements(value, "`command`")?;
        let words: Vec<_> = elements.iter().map(|e| self.word(e, "a word of `command`")).collect();
        words.into_iter().collect()
    }

    /// One word: a literal or exactly one place-holder.
    pub(crate) fn word(&mut self, value: &Value<'_>, what: &str) -> Option<Spanned<Word>> {
        let text = self.string(value, what)?;
        let holders = [("{payload}", Word::Payload), ("{args}", Word::Args), ("{given}", Word::Given)];
        if let Some((_, word)) = holders.iter().find(|h| h.0 == text.value) {
            return Some(Spanned::new(word.clone(), text.span));
        }
        let names: Vec<&str> = holders.iter().map(|h| h.0).collect();
        let problem = if let Some(part) = names.iter().find(|n| text.value.contains(**n)) {
            let help =
                "a place-holder is a word of its own; write an argument and a place-holder as two words";
            Some((format!("`{part}` stands inside another word"), help.to_owned()))
        } else if let Some((problem, help)) = share::problem(text.value) {
            Some((format!("{what} {problem}"), help))
        } else if text.value.starts_with('{')
            && text.value.ends_with('}')
            && !text.value.starts_with("{memory:")
        {
            Some((format!("unknown place-holder {}", quote(text.value)), suggest::help(text.value, &names)))
        } else if text.value.contains('\0') || text.value.len() > STRING_MOST {
            let help = format!("a word has at most {STRING_MOST} bytes, and none of them is NUL");
            Some((format!("{what} cannot be an argument"), help))
        } else {
            None
        };
        if let Some((message, help)) = problem {
            self.say(Finding::at(text.span, message).help(help));
            return None;
        }
        Some(Spanned::new(Word::Literal(text.value.to_owned()), text.span))
    }

    /// The whole environment. May be empty.
    pub(crate) fn environment(&mut self, value: &Value<'_>) -> Option<BTreeMap<String, String>> {
        let fields = self.members(value, "`env`")?;
        let mut env = BTreeMap::new();
        let mut good = true;
        for (name, key, value) in &fields.entries {
            if let Some((problem, help)) = env_name_problem(name) {
                self.say(Finding::at(*key, format!("{} {problem}", quote(name))).help(help));
                good = false;
                continue;
            }
            let Some(text) = self.string(value, &format!("the value of {}", quote(name))) else {
                good = false;
                continue;
            };
            if let Some((problem, help)) = env_value_problem(name, text.value) {
                self.say(
                    Finding::at(text.span, format!("the value of {} {problem}", quote(name))).help(help),
                );
                good = false;
                continue;
            }
            env.insert((*name).to_owned(), text.value.to_owned());
        }
        good.then_some(env)
    }

    /// Layers the policy runs without where the host cannot give them.
    pub(super) fn degrade(&mut self, value: &Value<'_>) -> Option<Spanned<BTreeSet<Layer>>> {
        let Value::Array(array) = value else {
            self.wrong_type(value, "`degrade`", "an array");
            return None;
        };
        let known: Vec<(&str, Layer)> = Layer::ALL.iter().map(|l| (l.name(), *l)).collect();
        let mut layers = BTreeSet::new();
        let mut good = true;
        for element in &array.elements {
            match self.choice(element, "a layer of `degrade`", &known) {
                Some(layer) if layers.insert(layer.value) => {}
                Some(layer) => {
                    self.say(Finding::at(layer.span, format!("`{}` is listed twice", layer.value)));
                    good = false;
                }
                None => good = false,
            }
        }
        let span = self.span(array.range);
        good.then(|| Spanned::new(layers, span))
    }
}

/// What is wrong with the name of an environment variable.
pub(in super::super) fn env_name_problem(name: &str) -> Option<(&'static str, &'static str)> {
    let help = "a name is not empty and holds neither `=` nor NUL";
    if name.is_empty() {
        Some(("is not the name of a variable", help))
    } else if name.contains('=') {
        Some(("holds `=`", help))
    } else if name.contains('\0') {
        Some(("holds a NUL", help))
    } else {
        None
    }
}

/// What is wrong with the value of an environment variable.
pub(in super::super) fn env_value_problem(name: &str, value: &str) -> Option<(&'static str, String)> {
    if let Some(problem) = share::problem(value) {
        return Some(problem);
    }
    if value.contains('\0') {
        Some(("holds a NUL", "no program could see what follows it".into()))
    } else if name.len() + 1 + value.len() > STRING_MOST {
        Some(("is too long", format!("name and value have at most {} bytes together", STRING_MOST - 1)))
    } else {
        None
    }
}
