//! Specifications: what an image is to be made of, as reviewed data.
//!
//! Strict, like policies, and with their diagnostics: everything that is wrong
//! is found in one run, each with its place and what to do about it. Nothing
//! here looks at the host's files.
//!
//! ```json
//! {
//!   "version": 1,
//!   "name": "calc",
//!   "comment": "The calculator of the second exercise.",
//!   "programs": ["/usr/bin/python3", { "host": "build/helper", "at": "/usr/bin/helper", "recipe": "none" }],
//!   "recipes": ["ca-certificates", { "recipe": "locale", "names": ["de_DE.UTF-8"] }],
//!   "include": ["/srv/tables/*.csv", { "host": "calc", "at": "/app/calc", "except": ["tests/**"] }],
//!   "files": [{ "at": "/etc/motd", "text": "hello\n" }],
//!   "links": [{ "at": "/usr/bin/python", "to": "python3" }],
//!   "entry": ["/usr/bin/python3", "-I", "/app/calc/main.py", "{args}"],
//!   "env": { "LANG": "C.UTF-8" },
//!   "policy": "python"
//! }
//! ```

use std::path::{Path, PathBuf};

use jsonc_parser::ast::Value;

use super::request::{Include, Made, Program, Request};
use crate::error::{Error, Kind, Result};
use crate::image::recipe;
use crate::policy::findings::{Collector, Finding, Findings};
use crate::policy::json;
use crate::policy::model::Word;
use crate::policy::read::Reader;
use crate::policy::source::{Span, Spanned, quote};

/// The version of the shape described here.
const VERSION: u64 = 1;

const KNOWN: &[&str] = &[
    "version", "name", "comment", "programs", "recipes", "include", "files", "links", "entry", "env",
    "policy",
];

/// The word for "no recipe".
const NO_RECIPE: &str = "none";

/// What a specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// What the image is called unless somebody says otherwise.
    pub name: String,
    /// What it is for.
    pub comment: String,
    /// A built-in policy, or a file beside the specification.
    pub policy: Option<String>,
    /// The rest, but for the policy's text. Paths of the host may be relative.
    pub request: Request,
}

/// Reads a specification. `display_name` is what findings call it.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(display_name: &str, bytes: &[u8]) -> std::result::Result<Spec, Findings> {
    let mut collector = Collector::default();
    let spec = match json::decode(bytes) {
        Ok(text) => {
            let source = collector.add_source(display_name, text.to_owned().into());
            match json::parse(text) {
                Ok(value) => read(&mut Reader::new(&mut collector, source), &value),
                Err(error) => {
                    collector.say(syntax(source, error));
                    None
                }
            }
        }
        Err(error) => {
            let shown = bytes.get(..bytes.len().min(json::MAX_BYTES)).unwrap_or_default();
            let text = String::from_utf8_lossy(shown).into_owned();
            let source = collector.add_source(display_name, text.into());
            collector.say(syntax(source, error));
            None
        }
    };
    match (collector.finish(), spec) {
        (Some(findings), _) => Err(findings),
        (None, Some(spec)) => Ok(spec),
        (None, None) => Err(Findings::of_name(
            display_name,
            Finding::nowhere("this specification could not be read, and no finding says why"),
        )),
    }
}

/// The words are those of policies.
fn syntax(source: u8, error: json::SyntaxError) -> Finding {
    let ours =
        |text: String| text.replace("the policy", "the specification").replace("a policy", "a specification");
    let finding = Finding::at(Span::new(source, error.range.start, error.range.end), ours(error.message));
    match error.help {
        Some(help) if help.starts_with("start with") => finding
            .help("start with `{ \"version\": 1, \"name\": \"…\", \"comment\": \"…\", \"programs\": […] }`"),
        Some(help) => finding.help(ours(help)),
        None => finding,
    }
}

/// Findings as an error that can be shown.
#[must_use]
pub fn refused(display_name: &str, findings: &Findings) -> Error {
    let count = findings.count();
    let plural = if count == 1 { "finding" } else { "findings" };
    let text = findings.to_string();
    Error::new(
        Kind::Usage,
        format!("specification `{display_name}` has {count} {plural}\n\n{}", text.trim_end()),
    )
}

fn read(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Spec> {
    let fields = reader.fields(value, "a specification", KNOWN)?;
    reader.require(&fields, "a specification", &["version", "name", "comment"]);
    if let Some(value) = fields.get("version")
        && let Some(version) = reader.integer(value, "`version`")
        && version.value != VERSION
    {
        let finding = Finding::at(version.span, format!("unknown version {}", version.value));
        reader.say(finding.help(format!("this program reads version {VERSION}")));
    }
    let name = fields.get("name").and_then(|value| image_name(reader, value));
    let comment = fields.get("comment").and_then(|value| text(reader, value, "`comment`"));
    let mut request = Request::default();
    if let Some(value) = fields.get("programs") {
        request.programs = list(reader, value, "`programs`", program);
    }
    if let Some(value) = fields.get("recipes") {
        request.recipes = list(reader, value, "`recipes`", standing_recipe);
    }
    if let Some(value) = fields.get("include") {
        request.includes = list(reader, value, "`include`", include);
    }
    if let Some(value) = fields.get("files") {
        request.files = list(reader, value, "`files`", made);
    }
    if let Some(value) = fields.get("links") {
        request.links = list(reader, value, "`links`", link);
    }
    if let Some(value) = fields.get("entry") {
        request.entry = entry(reader, value);
    }
    if let Some(value) = fields.get("env") {
        request.env = reader.environment(value).unwrap_or_default();
    }
    let policy = fields.get("policy").and_then(|value| text(reader, value, "`policy`"));
    let holds = ["programs", "recipes", "include", "files"].iter().any(|name| fields.get(name).is_some());
    if !holds {
        let finding = Finding::at(fields.open, "this specification puts nothing into the image");
        reader.say(finding.help("say what it holds: `programs`, `recipes`, `include` or `files`"));
    }
    Some(Spec { name: name?, comment: comment?, policy, request })
}

/// The good elements of a list.
fn list<T>(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    what: &str,
    one: impl Fn(&mut Reader<'_>, &Value<'_>) -> Option<T>,
) -> Vec<T> {
    let elements = reader.elements(value, what).unwrap_or_default();
    elements.iter().filter_map(|element| one(reader, element)).collect()
}

fn image_name(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let name = reader.string(value, "`name`")?;
    match crate::image::store::check_name(name.value) {
        Ok(()) => Some(name.value.to_owned()),
        Err(problem) => {
            let finding =
                Finding::at(name.span, format!("{} cannot be the name of an image", quote(name.value)));
            reader.say(finding.help(problem.help()));
            None
        }
    }
}

/// A string that says something.
fn text(reader: &mut Reader<'_>, value: &Value<'_>, what: &str) -> Option<String> {
    let text = reader.string(value, what)?;
    if text.value.trim().is_empty() || text.value.contains('\0') {
        reader.say(Finding::at(text.span, format!("{what} says nothing")));
        return None;
    }
    Some(text.value.to_owned())
}

/// A path in the image: absolute and normalised.
fn place(reader: &mut Reader<'_>, value: &Value<'_>, what: &str) -> Option<Spanned<String>> {
    let path = reader.path(value, what)?;
    if path.value == "/" {
        reader.say(Finding::at(path.span, format!("{what} is the root itself")).help("name a path below it"));
        return None;
    }
    Some(path)
}

fn is_string(value: &Value<'_>) -> bool {
    matches!(value, Value::StringLit(_))
}

fn program(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Program> {
    if is_string(value) {
        let path = text(reader, value, "a program")?;
        return Some(Program { path: path.into(), ..Program::default() });
    }
    let fields = reader.fields(value, "a program", &["host", "at", "recipe", "modules", "comment"])?;
    reader.require(&fields, "a program", &["host"]);
    reader.optional_comment(&fields);
    let host = fields.get("host").and_then(|value| text(reader, value, "`host`"));
    let at = fields.get("at").map(|value| place(reader, value, "`at`").map(|path| PathBuf::from(path.value)));
    let recipe = fields.get("recipe").map(|value| {
        let known: Vec<(&str, &str)> =
            recipe::NAMES.iter().map(|name| (*name, *name)).chain([(NO_RECIPE, "")]).collect();
        reader.choice(value, "`recipe`", &known).map(|name| name.value.to_owned())
    });
    let modules = fields.get("modules").map(|value| list(reader, value, "`modules`", module));
    Some(Program { path: host?.into(), at: flatten(at)?, recipe: flatten(recipe)?, modules })
}

/// `a`, `a.b`, or `a.*` for all of a package.
fn module(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<String> {
    let name = reader.string(value, "a module")?;
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(|c: char| c.is_ascii_digit())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if name.value.strip_suffix(".*").unwrap_or(name.value).split('.').all(plain) {
        return Some(name.value.to_owned());
    }
    let finding = Finding::at(name.span, format!("{} is not the name of a module", quote(name.value)));
    reader.say(finding.help("write `json`, `xml.dom`, or `asyncio.*` for all of a package"));
    None
}

/// Absent is fine, bad is not.
fn flatten<T>(field: Option<Option<T>>) -> Option<Option<T>> {
    match field {
        None => Some(None),
        Some(Some(value)) => Some(Some(value)),
        Some(None) => None,
    }
}

fn standing_recipe(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<(String, Vec<String>)> {
    let known: Vec<(&str, &str)> = recipe::ALONE.iter().map(|name| (*name, *name)).collect();
    if is_string(value) {
        let name = reader.choice(value, "a recipe", &known)?;
        if name.value == "locale" {
            reader.say(
                Finding::at(name.span, "`locale` has no names")
                    .help("write { \"recipe\": \"locale\", \"names\": [\"C.UTF-8\"] }"),
            );
            return None;
        }
        return Some((name.value.to_owned(), Vec::new()));
    }
    let fields = reader.fields(value, "a recipe", &["recipe", "names", "comment"])?;
    reader.require(&fields, "a recipe", &["recipe"]);
    reader.optional_comment(&fields);
    let name = fields.get("recipe").and_then(|value| reader.choice(value, "`recipe`", &known));
    let names = match fields.get("names") {
        Some(value) => list(reader, value, "`names`", |reader, value| text(reader, value, "a name")),
        None => Vec::new(),
    };
    Some((name?.value.to_owned(), names))
}

fn include(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Include> {
    if is_string(value) {
        return Some(Include { host: text(reader, value, "a path")?, ..Include::default() });
    }
    let fields = reader.fields(value, "`include`", &["host", "at", "only", "except", "comment"])?;
    reader.require(&fields, "this", &["host"]);
    reader.optional_comment(&fields);
    let host = fields.get("host").and_then(|value| text(reader, value, "`host`"));
    let at = fields.get("at").map(|value| place(reader, value, "`at`").map(|path| PathBuf::from(path.value)));
    let mut patterns = |name: &str| match fields.get(name) {
        Some(value) => {
            list(reader, value, &format!("`{name}`"), |reader, value| text(reader, value, "a pattern"))
        }
        None => Vec::new(),
    };
    let (only, except) = (patterns("only"), patterns("except"));
    Some(Include { host: host?, at: flatten(at)?, only, except })
}

fn made(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<Made> {
    let fields = reader.fields(value, "a file", &["at", "text", "executable", "comment"])?;
    reader.require(&fields, "a file", &["at", "text"]);
    reader.optional_comment(&fields);
    let at = fields.get("at").and_then(|value| place(reader, value, "`at`"));
    let text =
        fields.get("text").and_then(|value| reader.string(value, "`text`")).map(|text| text.value.to_owned());
    let executable =
        fields.get("executable").map(|value| reader.boolean(value, "`executable`").map(|b| b.value));
    Some(Made { at: at?.value, text: text?, executable: flatten(executable)?.unwrap_or_default() })
}

fn link(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<(String, String)> {
    let fields = reader.fields(value, "a link", &["at", "to", "comment"])?;
    reader.require(&fields, "a link", &["at", "to"]);
    reader.optional_comment(&fields);
    let at = fields.get("at").and_then(|value| place(reader, value, "`at`"));
    let to = fields.get("to").and_then(|value| text(reader, value, "`to`"));
    Some((at?.value, to?))
}

/// What is started: a program of the image or the payload, then its arguments.
fn entry(reader: &mut Reader<'_>, value: &Value<'_>) -> Option<(String, Vec<String>)> {
    let elements = reader.elements(value, "`entry`")?;
    let words: Vec<Option<Spanned<Word>>> =
        elements.iter().map(|element| reader.word(element, "a word of `entry`")).collect();
    let words: Vec<Spanned<Word>> = words.into_iter().collect::<Option<_>>()?;
    let mut good = true;
    for name in [Word::Payload, Word::Args] {
        let mut places = words.iter().filter(|word| word.value == name);
        if let (Some(first), Some(second)) = (places.next(), places.next()) {
            let finding = Finding::at(second.span, format!("`{}` is there twice", shown(&name)));
            reader.say(finding.note(first.span, "first here"));
            good = false;
        }
    }
    if let Some(given) = words.iter().find(|word| word.value == Word::Given) {
        let help = "it is what the caller wrote, and only a policy's `argv0` can be that";
        reader.say(Finding::at(given.span, "`{given}` is not a word of `entry`").help(help));
        good = false;
    }
    let first = words.first()?;
    match &first.value {
        Word::Literal(path) if !path.starts_with('/') => {
            let finding = Finding::at(first.span, format!("the program {} is not absolute", quote(path)));
            reader.say(finding.help("write its path in the image, like `/usr/bin/python3`"));
            good = false;
        }
        Word::Args | Word::Given => {
            let finding = Finding::at(first.span, "the first word of `entry` must be a program");
            reader.say(finding.help("write an absolute path of the image, or `{payload}`"));
            good = false;
        }
        Word::Literal(_) | Word::Payload => {}
    }
    let mut texts = words.iter().map(|word| shown(&word.value));
    let program = texts.next()?;
    good.then(|| (program, texts.collect()))
}

fn shown(word: &Word) -> String {
    match word {
        Word::Literal(text) => text.clone(),
        Word::Payload => "{payload}".into(),
        Word::Args => "{args}".into(),
        Word::Given => "{given}".into(),
    }
}

impl Spec {
    /// The request, with the policy's text, and paths seen from the directory of
    /// the specification.
    ///
    /// # Errors
    /// The policy has findings.
    pub fn into_request(self, dir: &Path, policy: Option<String>) -> Result<Request> {
        let mut request = self.request;
        for program in &mut request.programs {
            program.path = dir.join(&program.path);
        }
        for include in &mut request.includes {
            if !include.host.starts_with('/') {
                let Some(dir) = dir.to_str() else {
                    let message = format!("the directory {} is not UTF-8", dir.display());
                    return Err(Error::new(Kind::Usage, message).help("write absolute paths"));
                };
                include.host = format!("{}/{}", dir.trim_end_matches('/'), include.host);
            }
        }
        request.policy = policy;
        Ok(request)
    }
}
