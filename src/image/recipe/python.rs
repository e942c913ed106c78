//! CPython: the standard library and its compiled modules, without what was
//! added on this host (no `site-packages`, no `.pth`), and without what needs a
//! screen or serves to test Python itself.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::missing;
use crate::error::{Error, Kind, Result};
use crate::image::build::Builder;
use crate::image::build::capture::Taken;
use crate::image::store::Why;

const RECIPE: &str = "python3";

/// Parts of the library that no box needs, by name at its top.
const WITHOUT: &[&str] = &[
    "test",
    "idlelib",
    "tkinter",
    "turtledemo",
    "turtle.py",
    "ensurepip",
    "lib2to3",
    "venv",
    "pydoc_data",
    "distutils",
    "curses",
    "dist-packages",
    "site-packages",
    "sitecustomize.py",
    "antigravity.py",
    "this.py",
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
    "_dbm",
    "_gdbm",
];

pub(super) fn follow(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    super::data::plain_locale(builder, RECIPE)?;
    let version = version(&program.real)?;
    let library = format!("/usr/lib/python{version}");
    if !builder.exists(Path::new(&format!("{library}/encodings/__init__.py"))) {
        return Err(missing(RECIPE, &library, &format!("libpython{version}-minimal")));
    }
    let config = format!("config-{version}");
    let sources = |names: &[&str], dir: bool| {
        let (first, last) =
            (names.first().copied().unwrap_or_default(), names.last().copied().unwrap_or_default());
        let wanted = !WITHOUT.contains(&first) && !first.starts_with(&config) && first != "lib-dynload";
        let tests = names.iter().any(|name| TESTS.contains(name));
        wanted && !tests && last != "__pycache__" && (dir || last.ends_with(".py"))
    };
    builder.part(RECIPE, &library, "standard library", &sources)?;
    let modules = |names: &[&str], dir: bool| {
        let name = names.last().copied().unwrap_or_default();
        !dir && name.ends_with(".so") && !WITHOUT_MODULES.iter().any(|start| name.starts_with(start))
    };
    builder.part_if_there(RECIPE, &format!("{library}/lib-dynload"), "compiled modules", &modules)?;
    compiled(builder, Path::new(&library), &version)?;
    // Without it, OpenSSL takes versions of TLS that Debian does not.
    builder.part_if_there(RECIPE, "/usr/lib/ssl/openssl.cnf", "defaults of OpenSSL", &|_, _| true)?;
    // zoneinfo has no data of its own.
    super::data::all_time_zones(builder, RECIPE)
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
