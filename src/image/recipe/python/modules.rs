//! A part of the standard library: the modules that were asked for, and what is
//! imported when they are loaded. What a function imports when it is called is
//! not found, but for what almost every use of a module calls.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::imports::{self, Import};
use crate::error::{Error, Kind, Result};
use crate::image::build::{Builder, unread};
use crate::policy::suggest;

/// What the interpreter and its built-in modules import by themselves: to start,
/// to decode and encode, to report errors, to parse times, to copy and to pickle.
const CORE: &[&str] = &[
    "_collections_abc",
    "_compat_pickle",
    "_sitebuiltins",
    "_strptime",
    "abc",
    "codecs",
    "collections.abc",
    "copyreg",
    "encodings.aliases",
    "encodings.ascii",
    "encodings.base64_codec",
    "encodings.cp1252",
    "encodings.cp437",
    "encodings.hex_codec",
    "encodings.iso8859_1",
    "encodings.iso8859_15",
    "encodings.latin_1",
    "encodings.punycode",
    "encodings.raw_unicode_escape",
    "encodings.unicode_escape",
    "encodings.utf_16",
    "encodings.utf_16_be",
    "encodings.utf_16_le",
    "encodings.utf_32",
    "encodings.utf_32_be",
    "encodings.utf_32_le",
    "encodings.utf_8",
    "encodings.utf_8_sig",
    "genericpath",
    "importlib.machinery",
    "importlib.util",
    "io",
    "linecache",
    "os",
    "pkgutil",
    "posixpath",
    "runpy",
    "site",
    "stat",
    "tokenize",
    "traceback",
    "types",
    "warnings",
    "zipimport",
];

/// What almost every use of a module imports later, or its compiled part by itself.
const LATER: &[(&str, &[&str])] = &[
    ("_decimal", &["collections", "numbers"]),
    ("_elementtree", &["copy", "xml.etree.ElementPath"]),
    ("_sqlite3", &["functools", "sqlite3.dump"]),
    ("_zoneinfo", &["zoneinfo._common", "zoneinfo._tzpath"]),
    ("argparse", &["copy", "shutil", "textwrap"]),
    ("asyncio", &["concurrent.futures.thread"]),
    ("concurrent.futures", &["concurrent.futures.process", "concurrent.futures.thread"]),
    ("datetime", &["_strptime"]),
    ("multiprocessing", &["multiprocessing.*"]),
    // Names of hosts are encoded so.
    ("socket", &["encodings.idna"]),
    ("ssl", &["_hashlib", "hashlib"]),
    ("sysconfig", &["_sysconfigdata__x86_64-linux-gnu"]),
    ("xml.dom.minidom", &["xml.dom.expatbuilder"]),
    ("xml.sax", &["xml.sax.expatreader"]),
    // Says that there is no such time zone only after it has looked there.
    ("zoneinfo", &["importlib.resources"]),
];

/// Imports that are done without, by who makes them: what stands in where a
/// compiled module is missing, what is in the interpreter already, what only
/// archives need, and OpenSSL's digests (4.7 MB of libcrypto for what the
/// interpreter has itself). Each is caught where it fails.
const GUARDED: &[(&str, &str)] = &[
    ("abc", "_py_abc"),
    ("decimal", "_pydecimal"),
    ("hashlib", "_hashlib"),
    ("hashlib", "logging"),
    ("hmac", "_hashlib"),
    ("random", "hashlib"),
    ("shutil", "bz2"),
    ("shutil", "lzma"),
];

/// What is imported and frozen into the interpreter, and never read from a file.
const FROZEN: &[&str] = &["importlib._bootstrap", "importlib._bootstrap_external"];

/// Modules that may be part of the interpreter, and then are no file.
const BUILT_IN: &[&str] = &[
    "_thread",
    "array",
    "atexit",
    "binascii",
    "builtins",
    "cmath",
    "errno",
    "faulthandler",
    "fcntl",
    "gc",
    "grp",
    "itertools",
    "marshal",
    "math",
    "posix",
    "pwd",
    "pyexpat",
    "select",
    "spwd",
    "sys",
    "syslog",
    "time",
    "unicodedata",
    "zlib",
];

/// Where a module is.
#[derive(Debug)]
enum File {
    /// Below the library, and whether it is the module of a package.
    Source(String, bool),
    /// In `lib-dynload`.
    Compiled(String),
}

/// The files of some modules.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    /// Sources, below the library.
    pub(super) sources: BTreeSet<String>,
    /// Names in `lib-dynload`.
    pub(super) compiled: BTreeSet<String>,
}

/// What the modules that were asked for are, and what they import.
pub(super) fn choose(builder: &Builder<'_, '_>, library: &str, named: &[String]) -> Result<Chosen> {
    let mut all = BTreeMap::new();
    list(builder, library, "", &mut all)?;
    for name in named {
        check(name, library, &all)?;
    }
    let mut chosen = Chosen::default();
    let mut done = BTreeSet::new();
    let mut todo: Vec<String> =
        CORE.iter().map(|name| (*name).to_owned()).chain(named.iter().cloned()).collect();
    while let Some(name) = todo.pop() {
        if !done.insert(name.clone()) {
            continue;
        }
        if let Some(package) = name.strip_suffix(".*") {
            let prefix = format!("{package}.");
            todo.push(package.to_owned());
            todo.extend(all.keys().filter(|module| module.starts_with(&prefix)).cloned());
            continue;
        }
        if let Some((package, _)) = name.rsplit_once('.') {
            todo.push(package.to_owned());
        }
        let later = LATER.iter().find(|(module, _)| *module == name).map_or(&[][..], |(_, later)| later);
        todo.extend(later.iter().map(|name| (*name).to_owned()));
        match all.get(&name) {
            Some(File::Compiled(file)) => {
                chosen.compiled.insert(file.clone());
            }
            Some(File::Source(file, package)) => {
                let path = Path::new(library).join(file);
                let bytes =
                    std::fs::read(builder.host.place(&path)).map_err(|error| unread(&path, &error))?;
                chosen.sources.insert(file.clone());
                let imports = imports::of(&String::from_utf8_lossy(&bytes));
                todo.extend(imports.iter().flat_map(|import| names(import, &name, *package)));
            }
            // Built in, of another system, or what a module defines.
            None => {}
        }
    }
    Ok(chosen)
}

/// Every module of a directory of the library, and of those below it.
fn list(
    builder: &Builder<'_, '_>,
    library: &str,
    below: &str,
    all: &mut BTreeMap<String, File>,
) -> Result<()> {
    let dir = Path::new(library).join(below);
    for entry in std::fs::read_dir(builder.host.place(&dir)).map_err(|error| unread(&dir, &error))? {
        let entry = entry.map_err(|error| unread(&dir, &error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let path = if below.is_empty() { name.clone() } else { format!("{below}/{name}") };
        let is_dir = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_dir && below.is_empty() && name == "lib-dynload" {
            compiled(builder, &dir.join(&name), all)?;
        } else if is_dir && !name.contains(['-', '.']) && !super::TESTS.contains(&name.as_str()) {
            list(builder, library, &path, all)?;
        } else if let Some(stem) = path.strip_suffix(".py") {
            let package = stem.strip_suffix("/__init__");
            all.insert(
                package.unwrap_or(stem).replace('/', "."),
                File::Source(path.clone(), package.is_some()),
            );
        }
    }
    Ok(())
}

fn compiled(builder: &Builder<'_, '_>, dir: &Path, all: &mut BTreeMap<String, File>) -> Result<()> {
    for entry in std::fs::read_dir(builder.host.place(dir)).map_err(|error| unread(dir, &error))? {
        let entry = entry.map_err(|error| unread(dir, &error))?;
        let Ok(file) = entry.file_name().into_string() else { continue };
        if let Some((module, _)) = file.split_once('.').filter(|_| file.ends_with(".so")) {
            all.insert(module.to_owned(), File::Compiled(file.clone()));
        }
    }
    Ok(())
}

fn check(name: &str, library: &str, all: &BTreeMap<String, File>) -> Result<()> {
    let module = name.strip_suffix(".*").unwrap_or(name);
    if all.contains_key(module) || BUILT_IN.contains(&module) {
        return Ok(());
    }
    let known: Vec<&str> = all.keys().map(String::as_str).filter(|known| !known.starts_with('_')).collect();
    let help = match suggest::nearest(module, known) {
        Some(near) => format!("did you mean '{near}'?"),
        None => format!("'ls {library}' shows them; what was added to it is included by its path"),
    };
    let message = format!("there is no module '{}' in {library}", module.escape_default());
    Err(Error::new(Kind::Usage, message).help(help))
}

/// The modules that an import of a module may mean.
fn names(import: &Import, of: &str, package: bool) -> Vec<String> {
    let mut parts: Vec<&str> = Vec::new();
    if import.level > 0 {
        parts = of.split('.').collect();
        let up = import.level - usize::from(package);
        parts.truncate(parts.len().saturating_sub(up));
    }
    parts.extend(import.module.split('.').filter(|part| !part.is_empty()));
    let module = parts.join(".");
    let inner = import
        .name
        .as_ref()
        .map(|name| if module.is_empty() { name.clone() } else { format!("{module}.{name}") });
    let is = |name: &str, what: &str| {
        name.strip_prefix(what).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    let wanted = |name: &String| {
        !name.is_empty()
            && !GUARDED.iter().any(|(by, what)| *by == of && is(name, what))
            && !FROZEN.iter().any(|what| is(name, what))
    };
    std::iter::once(module).chain(inner).filter(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_imports_are_of_the_package_that_they_stand_in() {
        let means = |level, module: &str, name: Option<&str>, of, package| {
            names(&Import { level, module: module.into(), name: name.map(str::to_owned) }, of, package)
        };
        assert_eq!(means(0, "a.b", None, "x.y", false), ["a.b"]);
        assert_eq!(means(0, "a", Some("b"), "x", true), ["a", "a.b"]);
        assert_eq!(means(1, "a", Some("b"), "x.y", false), ["x.a", "x.a.b"]);
        assert_eq!(means(1, "", Some("b"), "x.y", true), ["x.y", "x.y.b"]);
        assert_eq!(means(2, "", Some("b"), "x.y", true), ["x", "x.b"]);
        assert_eq!(means(9, "", Some("b"), "x.y", true), ["b"]);
        assert_eq!(means(0, "_hashlib", Some("scrypt"), "hashlib", false), Vec::<String>::new());
        assert_eq!(means(1, "_bootstrap", Some("spec"), "importlib.util", false), Vec::<String>::new());
        assert_eq!(means(0, "_hashlib2", None, "hashlib", false), ["_hashlib2"]);
        assert_eq!(means(0, "_hashlib", None, "other", false), ["_hashlib"]);
    }
}
