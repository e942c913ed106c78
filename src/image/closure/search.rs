//! Looking up one library: where, in which order, and what counts as found.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::libraries::Library;
use super::trust::{Distrust, Host, State, Trusted};
use crate::error::{Error, Kind, Result};
use crate::image::elf::{self, Elf, ElfProblem, Interpreter};

/// glibc's directories on Debian and its kin, then those of everybody else. A
/// loader searches some of them only; the others hold nothing on its system.
const GLIBC: &[&str] =
    &["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"];

/// musl's: Debian's, where nothing else lies, then those compiled in.
const MUSL: &[&str] =
    &["/lib/x86_64-linux-musl", "/usr/lib/x86_64-linux-musl", "/lib", "/usr/local/lib", "/usr/lib"];

/// Where the system's libraries are, in the order of search.
pub(crate) const fn directories(interpreter: Interpreter) -> &'static [&'static str] {
    match interpreter {
        Interpreter::Glibc => GLIBC,
        Interpreter::Musl => MUSL,
    }
}

/// A library that is there and must not be used.
pub(crate) fn unusable(path: &Path, why: &Distrust) -> Error {
    Error::new(Kind::Host, format!("the library {} cannot be used: {why}", path.display())).help(why.help())
}

/// A search that remembers everything it looked at.
#[derive(Debug)]
pub(crate) struct Lookup<'a> {
    host: &'a Host,
    interpreter: Interpreter,
    /// The system's directories without links, of which what they hold must lie below.
    real: Vec<PathBuf>,
    pub(crate) looked_at: BTreeMap<PathBuf, Option<State>>,
    /// Libraries for other machines, passed over as the loader does.
    pub(crate) skipped: BTreeSet<PathBuf>,
    pub(crate) notes: BTreeSet<String>,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(host: &'a Host, interpreter: Interpreter) -> Self {
        // One that is not trusted is reported when something is found in it.
        let real =
            directories(interpreter).iter().filter_map(|dir| host.resolve(Path::new(dir)).ok().flatten());
        Self {
            host,
            interpreter,
            real: real.map(|(path, _)| path).collect(),
            looked_at: BTreeMap::new(),
            skipped: BTreeSet::new(),
            notes: BTreeSet::new(),
        }
    }

    /// Finds a name in a library's own places, then in the system's directories.
    ///
    /// `blame` is who is at fault when there is something by this name that is
    /// no library: a program may name anything, a library should not.
    pub(crate) fn find(
        &mut self,
        name: &OsStr,
        own: &[PathBuf],
        blame: Kind,
    ) -> Result<Option<(PathBuf, Trusted, Elf)>> {
        for dir in own {
            match self.look(dir, name) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                // A place that is not root's alone is as good as absent.
                Err(Refused::Distrust(path, why)) => {
                    self.notes.insert(format!("{} was passed over: {why}", path.display()));
                }
                Err(refused) => return Err(refused.error(blame)),
            }
        }
        for dir in directories(self.interpreter) {
            let found = self.look(Path::new(dir), name).map_err(|refused| refused.error(blame))?;
            let Some((path, trusted, elf)) = found else { continue };
            if !self.real.iter().any(|dir| trusted.real.starts_with(dir)) {
                let message = format!(
                    "the library {} leads out of the system's: {}",
                    path.display(),
                    trusted.real.display()
                );
                return Err(Error::new(Kind::Host, message).help("install it as a file, not as a link"));
            }
            return Ok(Some((path, trusted, elf)));
        }
        Ok(None)
    }

    fn look(
        &mut self,
        dir: &Path,
        name: &OsStr,
    ) -> std::result::Result<Option<(PathBuf, Trusted, Elf)>, Refused> {
        if !self.looked_at.contains_key(dir) {
            self.looked_at.insert(dir.into(), self.host.state(dir));
        }
        let path = dir.join(name);
        if self.host.is_absent(&path) {
            return Ok(None);
        }
        let trusted = match self.host.open(&path) {
            Ok(Some(trusted)) => trusted,
            Ok(None) => {
                // A link that leads nowhere may lead somewhere tomorrow.
                self.looked_at.insert(path, None);
                return Ok(None);
            }
            Err(why) => return Err(Refused::Distrust(path, why)),
        };
        match elf::inspect_library(&trusted.file) {
            Ok(elf) => Ok(Some((path, trusted, elf))),
            Err(
                ElfProblem::Bits32(_) | ElfProblem::X32 | ElfProblem::BigEndian(_) | ElfProblem::Foreign(_),
            ) => {
                self.looked_at.insert(path.clone(), Some(trusted.stamp));
                self.skipped.insert(path);
                Ok(None)
            }
            Err(problem) => Err(Refused::Broken(path, problem)),
        }
    }
}

/// Something is there, and cannot be used.
enum Refused {
    Distrust(PathBuf, Distrust),
    Broken(PathBuf, ElfProblem),
}

impl Refused {
    fn error(self, blame: Kind) -> Error {
        let (path, why) = match self {
            Self::Distrust(path, Distrust::Irregular(real)) => {
                (path, format!("{} is not a regular file", real.display()))
            }
            Self::Distrust(path, why) => return unusable(&path, &why),
            Self::Broken(path, problem) => (path, problem.to_string().replace("the program", "it")),
        };
        let error = Error::new(blame, format!("the library {} cannot be used: {why}", path.display()));
        match blame {
            Kind::NotRunnable => error.help("link the program against a shared library, or statically"),
            _ => error.help("install the package that holds it again"),
        }
    }
}

/// Where the loader looks for what a library needs, before the system's
/// directories; `by` is the library, `None` the program itself, whose own words
/// count only if it is given.
pub(crate) fn own_places(
    interpreter: Interpreter,
    program: Option<(&Elf, &Path)>,
    libraries: &[Library],
    by: Option<usize>,
) -> Vec<PathBuf> {
    let mut chain: Vec<(&Elf, &Path)> = Vec::new();
    let mut next = by;
    while let Some(library) = next.and_then(|at| libraries.get(at)) {
        chain.push((&library.elf, &library.path));
        next = library.by;
    }
    chain.extend(program);
    let mut places = Vec::new();
    for (at, (elf, path)) in chain.into_iter().enumerate() {
        let Elf { rpath, runpath, .. } = elf;
        let list = match (interpreter, runpath) {
            // Its RUNPATH is for its own needs, and switches RPATH off.
            (Interpreter::Glibc, Some(runpath)) if at == 0 => return expand(runpath.as_bytes(), path),
            (Interpreter::Glibc, Some(_)) => None,
            (Interpreter::Glibc, None) => rpath.as_ref(),
            // To musl both are the same, and are inherited.
            (Interpreter::Musl, _) => runpath.as_ref().or(rpath.as_ref()),
        };
        places.extend(list.iter().flat_map(|list| expand(list.as_bytes(), path)));
    }
    places
}

/// The absolute directories of a search list. Empty and relative ones mean the
/// working directory, `$PLATFORM` means this very processor: both are left out.
fn expand(list: &[u8], library: &Path) -> Vec<PathBuf> {
    let origin = library.parent().unwrap_or(Path::new("/")).as_os_str().as_bytes();
    let lib: &[u8] = if origin.ends_with(b"/x86_64-linux-gnu") { b"lib/x86_64-linux-gnu" } else { b"lib64" };
    let mut places = Vec::new();
    for place in list.split(|byte| *byte == b':') {
        let mut expanded = Vec::new();
        let mut rest = place;
        while let Some((&byte, tail)) = rest.split_first() {
            let token = [
                (b"$ORIGIN".as_slice(), origin),
                (b"${ORIGIN}".as_slice(), origin),
                (b"$LIB".as_slice(), lib),
                (b"${LIB}".as_slice(), lib),
            ]
            .into_iter()
            .find(|(token, _)| rest.starts_with(token));
            match token {
                Some((token, value)) => {
                    expanded.extend_from_slice(value);
                    rest = &rest[token.len()..];
                }
                None => {
                    expanded.push(byte);
                    rest = tail;
                }
            }
        }
        if expanded.starts_with(b"/") && !expanded.contains(&b'$') {
            places.push(PathBuf::from(OsStr::from_bytes(&expanded)));
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_list_expands_what_it_names_and_drops_the_rest() {
        let library = Path::new("/usr/lib/x86_64-linux-gnu/liba.so");
        let list = b"$ORIGIN/a:${ORIGIN}/../b:relative::/opt/$LIB:/opt/$PLATFORM:/plain";
        let expected = [
            "/usr/lib/x86_64-linux-gnu/a",
            "/usr/lib/x86_64-linux-gnu/../b",
            "/opt/lib/x86_64-linux-gnu",
            "/plain",
        ];
        assert_eq!(expand(list, library), expected.map(PathBuf::from));
        assert_eq!(expand(b"/opt/$LIB", Path::new("/usr/lib64/liba.so")), ["/opt/lib64"].map(PathBuf::from));
    }
}
