//! CPython: the standard library and its compiled modules, without what was
//! added on this host (no `site-packages`, no `.pth`), and without what needs a
//! screen or serves to test Python itself.

mod imports;
mod modules;

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use self::modules::Chosen;
use super::missing;
use crate::error::{Error, Kind, Result};
use crate::image::build::Builder;
use crate::image::build::capture::Taken;
use crate::image::store::Why;

const RECIPE: &str = "python3";

/// For `why`.
const LIBRARY: &str = "standard library";
const COMPILED: &str = "compiled modules";

/// Parts of the library that no box needs, by name at its top.
const WITHOUT: &[&str] = &[
    // Python's own tests and jokes.
    "test",
    "antigravity.py",
    "this.py",
    "__phello__",
    "__hello__.py",
    // They need a screen or a terminal.
    "idlelib",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "curses",
    "webbrowser.py",
    // They install, convert and document other modules.
    "ensurepip",
    "lib2to3",
    "venv",
    "zipapp.py",
    "distutils",
    "pydoc_data",
    "pydoc.py",
    "pyclbr.py",
    "modulefinder.py",
    // They speak with servers, or are some: a box has no network.
    "asynchat.py",
    "asyncore.py",
    "cgi.py",
    "cgitb.py",
    "ftplib.py",
    "imaplib.py",
    "mailbox.py",
    "mailcap.py",
    "nntplib.py",
    "poplib.py",
    "smtpd.py",
    "smtplib.py",
    "telnetlib.py",
    "wsgiref",
    "xmlrpc",
    // Other systems', or for interpreters without compiled modules.
    "_aix_support.py",
    "_bootsubprocess.py",
    "_osx_support.py",
    "_pydecimal.py",
    "_pyio.py",
    "crypt.py",
    "msilib",
    "nturl2path.py",
    // What was added on this host.
    "dist-packages",
    "site-packages",
    "sitecustomize.py",
];

/// The same, below its top.
const WITHOUT_BELOW: &[&[&str]] = &[
    &["asyncio", "proactor_events.py"],
    &["asyncio", "windows_events.py"],
    &["asyncio", "windows_utils.py"],
    &["ctypes", "macholib"],
    &["encodings", "mbcs.py"],
    &["encodings", "oem.py"],
    &["multiprocessing", "popen_spawn_win32.py"],
];

/// Directories of tests, wherever they are.
const TESTS: &[&str] = &["test", "tests", "idle_test"];

/// Compiled modules that are tests, want hardware or a terminal, or bring a
/// database of their own that nothing else reads.
const WITHOUT_MODULES: &[&str] = &[
    "_test",
    "_ctypes_test",
    "_xxtestfuzz",
    "_xxsubinterpreters",
    "xxlimited",
    "_tkinter",
    "ossaudiodev",
    "nis",
    "_curses",
    "readline",
    "_crypt",
    "_dbm",
    "_gdbm",
];

pub(super) fn follow(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    let version = version(&program.real)?;
    let library = format!("/usr/lib/python{version}");
    let there = |name: &str| builder.exists(Path::new(&format!("{library}/encodings/{name}")));
    // An image that this recipe has made, and that is to be made smaller.
    let sourceless = !there("__init__.py") && there("__init__.pyc");
    if !sourceless && !there("__init__.py") {
        return Err(missing(RECIPE, &library, &format!("libpython{version}-minimal")));
    }
    match builder.modules.take() {
        None => {
            super::data::plain_locale(builder, RECIPE)?;
            whole(builder, &library, &version, sourceless)?;
        }
        Some(named) => {
            // A third of a megabyte, without which Python speaks UTF-8 by itself.
            if named.iter().any(|name| name == "locale") {
                super::data::plain_locale(builder, RECIPE)?;
            }
            let chosen = modules::choose(builder, &library, &named)?;
            part(builder, &library, &chosen)?;
        }
    }
    compiled(builder, Path::new(&library), &version)?;
    if builder.draft.iter().any(|(path, _)| path.ends_with(b"/libssl.so.3")) {
        // Without it, OpenSSL takes versions of TLS that Debian does not.
        builder.part_if_there(RECIPE, "/usr/lib/ssl/openssl.cnf", "defaults of OpenSSL", &|_, _| true)?;
    }
    // It has no data of its own.
    let zones = format!("{library}/zoneinfo/__init__.pyc").into_bytes();
    let source = format!("{library}/zoneinfo/__init__.py").into_bytes();
    if builder.draft.get(&zones).or(builder.draft.get(&source)).is_some() {
        super::data::all_time_zones(builder, RECIPE)?;
    }
    Ok(())
}

/// The standard library, but for what no box needs.
fn whole(builder: &mut Builder<'_, '_>, library: &str, version: &str, sourceless: bool) -> Result<()> {
    let config = format!("config-{version}");
    let sources = |names: &[&str], dir: bool| {
        let (first, last) =
            (names.first().copied().unwrap_or_default(), names.last().copied().unwrap_or_default());
        let wanted = !WITHOUT.contains(&first) && !first.starts_with(&config) && first != "lib-dynload";
        let tests = names.iter().any(|name| TESTS.contains(name));
        wanted
            && !tests
            && !WITHOUT_BELOW.contains(&names)
            && last != "__pycache__"
            && (dir || last.ends_with(".py") || sourceless && last.ends_with(".pyc"))
    };
    builder.part(RECIPE, library, LIBRARY, &sources)?;
    let modules = |names: &[&str], dir: bool| {
        let name = names.last().copied().unwrap_or_default();
        !dir && name.ends_with(".so") && !WITHOUT_MODULES.iter().any(|start| name.starts_with(start))
    };
    builder.part_if_there(RECIPE, &format!("{library}/lib-dynload"), COMPILED, &modules)
}

/// Some modules of the standard library.
fn part(builder: &mut Builder<'_, '_>, library: &str, chosen: &Chosen) -> Result<()> {
    let sources = |names: &[&str], dir: bool| {
        let path = names.join("/");
        let leads = || chosen.sources.iter().any(|source| source.starts_with(&format!("{path}/")));
        if dir { leads() } else { chosen.sources.contains(&path) }
    };
    builder.part(RECIPE, library, LIBRARY, &sources)?;
    let modules =
        |names: &[&str], dir: bool| !dir && names.last().is_some_and(|name| chosen.compiled.contains(*name));
    builder.part_if_there(RECIPE, &format!("{library}/lib-dynload"), COMPILED, &modules)
}

/// `3.11` of `/usr/bin/python3.11`.
fn version(real: &Path) -> Result<String> {
    let name = real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.strip_prefix("python").unwrap_or_default();
    if version.split('.').count() == 2 && version.split('.').all(|part| part.parse::<u32>().is_ok()) {
        return Ok(version.to_owned());
    }
    let message =
        format!("the recipe {RECIPE} needs a program called python3.N, and {} is not", real.display());
    Err(Error::new(Kind::Host, message).help("name /usr/bin/python3"))
}

/// Compiled modules stand in for their sources, where they are of these very
/// sources: half the bytes, and nothing that would be compiled anew at each
/// start, in vain, because nothing can be written. Tracebacks do not show lines
/// of the library then.
fn compiled(builder: &mut Builder<'_, '_>, library: &Path, version: &str) -> Result<()> {
    let tag = format!("cpython-{}", version.replace('.', ""));
    let prefix = library.as_os_str().as_encoded_bytes().to_vec();
    let sources: Vec<PathBuf> = builder
        .draft
        .iter()
        .filter(|(path, _)| path.starts_with(&prefix) && path.ends_with(b".py"))
        .filter_map(|(path, _)| String::from_utf8(path.clone()).ok().map(PathBuf::from))
        .collect();
    let mut stale = 0_u32;
    for source in sources {
        let (Some(dir), Some(stem)) = (source.parent(), source.file_stem().and_then(|stem| stem.to_str()))
        else {
            continue;
        };
        let cache = dir.join("__pycache__").join(format!("{stem}.{tag}.pyc"));
        match is_of(&builder.host.place(&cache), &builder.host.place(&source)) {
            Some(true) => {
                let why =
                    Why::Recipe { recipe: RECIPE.to_owned(), part: "standard library, compiled".to_owned() };
                builder.stand_in(&source, &cache, &dir.join(format!("{stem}.pyc")), why)?;
            }
            Some(false) => stale += 1,
            None => {}
        }
    }
    if stale > 0 {
        builder
            .note(format!("{stale} compiled files of the host do not fit their sources and were left out"));
    }
    builder.prune_below(library);
    Ok(())
}

/// Whether a compiled file was made from this source as it is now; `None`: there
/// is none. See PEP 552: a magic number, flags, and the source's time and size,
/// or a hash that nobody checks.
fn is_of(cache: &Path, source: &Path) -> Option<bool> {
    let file = File::open(cache).ok()?;
    let mut head = [0; 16];
    file.read_exact_at(&mut head, 0).ok()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    match word(4) {
        0 => {
            let meta = std::fs::metadata(source).ok()?;
            // Both are kept modulo 2^32.
            let low = |number: u64| u32::try_from(number & u64::from(u32::MAX)).unwrap_or(u32::MAX);
            Some(word(8) == low(meta.mtime().cast_unsigned()) && word(12) == low(meta.size()))
        }
        1 => Some(true),
        _ => Some(false),
    }
}
