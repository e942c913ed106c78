//! Which libraries a program needs, and which files of the host they are.
//!
//! Guarantees: a program's own words are names only. They are looked up in the
//! fixed directories of the system and nowhere else: no path, no RPATH, no
//! RUNPATH, no environment, no `ld.so.cache`, no `ld.so.conf`. The directories
//! that an administrator adds to the last are left out on purpose: an untrusted
//! program could pick from them, and the same program would get another root on
//! the next machine. A library that is found is trusted, and what it needs is
//! looked up as the loader would, RPATH and RUNPATH included, in places that
//! belong to root alone.
//!
//! `glibc-hwcaps` variants are never taken: a root made on one machine must
//! start on every other, and be the same.
//!
//! See ld.so(8), and `_dl_map_object` in glibc's elf/dl-load.c.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::search::{self, Lookup};
use super::trust::{Host, State, Trusted};
use crate::error::{Error, Kind, Result};
use crate::image::elf::{Elf, ElfProblem, Interpreter};

/// What pthread_cancel, pthread_exit and backtrace open at run time.
pub(crate) const UNWINDER: &str = "libgcc_s.so.1";

/// glibc's own library, which imports the unwinder lazily by itself.
const LIBC: &str = "libc.so.6";

/// The most libraries of one program; the largest desktop programs have 300.
const MAX_LIBRARIES: usize = 1024;

/// The most bytes of libraries: a program must not fill the store by naming them.
const MAX_BYTES: u64 = 1 << 30;

/// One library, as it was found.
#[derive(Debug)]
pub(crate) struct Library {
    /// The name that was looked up, and its file name in the box.
    pub(crate) name: OsString,
    /// Where it was found.
    pub(crate) path: PathBuf,
    pub(crate) trusted: Trusted,
    pub(crate) elf: Elf,
    /// Who needs it first; `None`: the program.
    pub(crate) by: Option<usize>,
}

/// Everything a program needs, found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) interpreter: Interpreter,
    pub(crate) loader: Trusted,
    pub(crate) libraries: Vec<Library>,
    /// Further names of files that are there already: name, target.
    pub(crate) aliases: BTreeMap<OsString, OsString>,
    /// Where those names were found.
    pub(crate) alias_paths: Vec<PathBuf>,
    /// Everything that was looked at; nothing at a path is an answer, too.
    pub(crate) stamps: BTreeMap<PathBuf, Option<State>>,
    pub(crate) notes: Vec<String>,
}

/// Looks up everything that a program needs that may be anybody's.
pub(crate) fn find(host: &Host, program: &Elf, interpreter: Interpreter) -> Result<Found> {
    find_from(host, program, None, interpreter)
}

/// Looks up everything that a file of the system needs, its own RPATH and
/// RUNPATH included; `real` is where it lies, without links.
pub(crate) fn find_trusted(host: &Host, file: &Elf, real: &Path, interpreter: Interpreter) -> Result<Found> {
    find_from(host, file, Some(real), interpreter)
}

fn find_from(host: &Host, program: &Elf, trusted: Option<&Path>, interpreter: Interpreter) -> Result<Found> {
    let path = Path::new(interpreter.path());
    let loader = match host.open(path) {
        Ok(Some(loader)) => loader,
        Ok(None) => return Err(ElfProblem::MissingInterpreter(interpreter.path()).into()),
        Err(why) => return Err(search::unusable(path, &why)),
    };
    let found = Found {
        interpreter,
        stamps: BTreeMap::from([(path.into(), Some(loader.stamp))]),
        loader,
        libraries: Vec::new(),
        aliases: BTreeMap::new(),
        alias_paths: Vec::new(),
        notes: Vec::new(),
    };
    let mut finder =
        Finder { program, trusted, lookup: Lookup::new(host, interpreter), known: BTreeSet::new(), found };
    finder.known.extend(path.file_name().map(OsStr::to_os_string));
    // Sorted: the order in which a program lists its needs must not change the root.
    let mut first: Vec<_> = program.needed.clone();
    first.sort();
    for name in first {
        finder.need(&name, None)?;
    }
    finder.follow(0)?;
    finder.unwinder()?;
    let Finder { lookup, mut found, .. } = finder;
    for (path, state) in lookup.looked_at {
        found.stamps.insert(path, state);
    }
    found.notes.extend(lookup.notes);
    Ok(found)
}

struct Finder<'a> {
    program: &'a Elf,
    /// Where the program lies, if what it says about places is believed.
    trusted: Option<&'a Path>,
    lookup: Lookup<'a>,
    /// Names that are satisfied: looked up, or the SONAME of what was found.
    known: BTreeSet<OsString>,
    found: Found,
}

impl Finder<'_> {
    /// What the libraries from this one on need, breadth first like the loader.
    fn follow(&mut self, from: usize) -> Result<()> {
        let mut at = from;
        while let Some(library) = self.found.libraries.get(at) {
            for name in library.elf.needed.clone() {
                self.need(&name, Some(at))?;
            }
            at += 1;
        }
        Ok(())
    }

    fn need(&mut self, name: &OsStr, by: Option<usize>) -> Result<()> {
        if self.known.contains(name) || self.is_loader(name) {
            return Ok(());
        }
        let bytes = name.as_bytes();
        if bytes.contains(&b'/') || matches!(bytes, b"" | b"." | b"..") {
            return Err(self.not_a_name(name, by));
        }
        let program = self.trusted.map(|path| (self.program, path));
        let own = search::own_places(self.found.interpreter, program, &self.found.libraries, by);
        let blame = if by.is_none() && self.trusted.is_none() { Kind::NotRunnable } else { Kind::Host };
        match self.lookup.find(name, &own, blame)? {
            None => Err(self.missing(name, by)),
            Some((path, trusted, elf)) => {
                self.add(Library { name: name.to_os_string(), path, trusted, elf, by });
                self.check_size()
            }
        }
    }

    fn add(&mut self, library: Library) {
        let inode = library.trusted.stamp.inode();
        self.known.insert(library.name.clone());
        self.found.stamps.insert(library.path.clone(), Some(library.trusted.stamp));
        // The loader knows a file by its inode: a second name must not load it twice.
        let same = self.found.libraries.iter().find(|other| other.trusted.stamp.inode() == inode);
        if inode == self.found.loader.stamp.inode() {
            self.found.alias_paths.push(library.path);
            self.found.aliases.insert(library.name, self.found.interpreter.path().into());
        } else if let Some(same) = same {
            self.found.alias_paths.push(library.path);
            self.found.aliases.insert(library.name, same.name.clone());
        } else {
            self.known.extend(library.elf.soname.clone());
            if library.elf.executable_stack {
                self.found
                    .notes
                    .push(format!("the library {} asks for an executable stack", library.path.display()));
            }
            self.found.libraries.push(library);
        }
    }

    /// Whether a name means the loader itself, which is there already.
    fn is_loader(&self, name: &OsStr) -> bool {
        /// The names that musl answers itself, whatever follows the dot.
        const MUSL: [&str; 7] = ["libc.", "libpthread.", "librt.", "libm.", "libdl.", "libutil.", "libxnet."];
        self.found.interpreter == Interpreter::Musl
            && MUSL.iter().any(|own| name.as_bytes().starts_with(own.as_bytes()))
    }

    /// Adds what glibc opens by itself when stacks are unwound.
    fn unwinder(&mut self) -> Result<()> {
        let name = OsStr::new(UNWINDER);
        if self.found.interpreter != Interpreter::Glibc || self.known.contains(name) {
            return Ok(());
        }
        let others = self.found.libraries.iter().filter(|library| library.name != LIBC);
        if !others.map(|library| &library.elf).chain([self.program]).any(|elf| elf.imports.unwinds()) {
            return Ok(());
        }
        let from = self.found.libraries.len();
        match self.lookup.find(name, &[], Kind::Host)? {
            Some((path, trusted, elf)) => {
                self.add(Library { name: name.into(), path, trusted, elf, by: None });
                self.follow(from)?;
                self.check_size()
            }
            None => {
                let note =
                    format!("this host has no {UNWINDER}: ending or cancelling a thread aborts the program");
                self.found.notes.push(note);
                Ok(())
            }
        }
    }

    fn check_size(&self) -> Result<()> {
        let bytes: u64 = self.found.libraries.iter().map(|library| library.trusted.stamp.size()).sum();
        let count = self.found.libraries.len();
        if count <= MAX_LIBRARIES && bytes <= MAX_BYTES {
            return Ok(());
        }
        let message = format!("the program needs more than {count} libraries of {bytes} bytes in all");
        let help = format!("at most {MAX_LIBRARIES} libraries and {MAX_BYTES} bytes are put into one root");
        Err(Error::new(Kind::NotRunnable, message).help(help))
    }

    /// "the program needs 'x'", or which library does.
    fn who_needs(&self, name: &OsStr, by: Option<usize>) -> (Kind, String) {
        let name = name.as_bytes().escape_ascii();
        match by.and_then(|by| self.found.libraries.get(by)) {
            None => match self.trusted {
                None => (Kind::NotRunnable, format!("the program needs the library '{name}'")),
                Some(path) => (Kind::Host, format!("{} needs the library '{name}'", path.display())),
            },
            Some(library) => (Kind::Host, format!("the library {} needs '{name}'", library.path.display())),
        }
    }

    fn not_a_name(&self, name: &OsStr, by: Option<usize>) -> Error {
        let (kind, who) = self.who_needs(name, by);
        let what = if name.as_bytes().contains(&b'/') { "a path" } else { "no name of a library" };
        Error::new(
            kind,
            format!("{who}, which is {what}; only names are looked up, in the system's directories"),
        )
        .help("link it by name (-lNAME, with a plain SONAME), or link the program statically")
    }

    fn missing(&self, name: &OsStr, by: Option<usize>) -> Error {
        let (kind, who) = self.who_needs(name, by);
        let mut message = format!("{who}, which is in none of the system's library directories");
        if let Some(other) = self.lookup.skipped.iter().find(|path| path.file_name() == Some(name)) {
            message = format!("{message} ({} is for another machine)", other.display());
        }
        let own = [("RUNPATH", &self.program.runpath), ("RPATH", &self.program.rpath)];
        if let (None, None, Some((tag, Some(path)))) =
            (by, self.trusted, own.iter().find(|(_, path)| path.is_some()))
        {
            let path = path.as_bytes().escape_ascii();
            message = format!("{message}; the program's {tag} '{path}' is not followed");
        }
        let directories = search::directories(self.found.interpreter).join(", ");
        Error::new(kind, message).help(format!(
            "link the program statically, or install the package that puts the library into one of {directories}"
        ))
    }
}

impl Found {
    /// The directory in the box where the loader looks first, without a cache.
    ///
    /// Every library lies in it, wherever it was found: RPATH and RUNPATH lead
    /// nowhere in the box, and the loader's own directories come after them.
    pub(crate) fn home(&self, loader: &[u8]) -> PathBuf {
        if self.interpreter == Interpreter::Musl {
            return "/lib".into();
        }
        let libc = self.libraries.iter().find(|library| library.name == LIBC).or(self.libraries.first());
        let beside = libc.and_then(|library| library.trusted.real.parent()).unwrap_or(Path::new("/lib64"));
        let known = search::directories(Interpreter::Glibc).iter().map(Path::new);
        let compiled_in = directories_in(loader);
        let mut candidates = known.chain([beside]);
        candidates.find(|dir| compiled_in.contains(dir)).unwrap_or(beside).into()
    }

    /// What changed since it was looked up.
    pub(crate) fn changed(&self, host: &Host) -> Option<&Path> {
        self.stamps.iter().find(|(path, state)| host.state(path) != **state).map(|(path, _)| path.as_path())
    }
}

/// The directories that the loader has compiled in: `/lib64/` and a NUL, not
/// the tail of a longer path.
fn directories_in(loader: &[u8]) -> BTreeSet<&Path> {
    /// Longer than any directory that is asked for.
    const LONGEST: usize = 64;
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    let mut directories = BTreeSet::new();
    for (at, byte) in loader.iter().enumerate() {
        if *byte != b'/' || at.checked_sub(1).is_some_and(|before| in_path(loader[before])) {
            continue;
        }
        let rest = &loader[at..loader.len().min(at + LONGEST)];
        if let Some(path) = rest.split(|byte| *byte == 0).next().filter(|path| path.len() < rest.len())
            && let Some(path) = path.strip_suffix(b"/")
        {
            directories.insert(Path::new(OsStr::from_bytes(path)));
        }
    }
    directories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directory_in_the_loader_is_found_only_as_a_whole() {
        let loader = b"/first/\0x/no/\0\0/usr/lib64/\0/file\0/lib/x86_64-linux-gnu/\0\x01/odd/\0/unended/";
        let expected = ["/first", "/usr/lib64", "/lib/x86_64-linux-gnu", "/odd"];
        assert_eq!(directories_in(loader), expected.iter().map(Path::new).collect());
    }
}
