//! What programs and libraries need: loaders, libraries, interpreters.

use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::capture::{Role, Taken, shown};
use super::{Builder, script, unread};
use crate::error::{Error, Kind, Result};
use crate::image::closure::libraries::{self, Found};
use crate::image::elf::{self, Elf, Interpreter};
use crate::image::recipe;
use crate::image::store::Why;

/// How often the kernel goes from a script to its interpreter.
const DEEPEST: usize = 5;

/// Where every loader looks by itself.
const SYSTEM: [&str; 6] =
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu"];

/// musl's library by the name that Alpine's programs need it under.
const MUSL_LIBC: &str = "libc.musl-x86_64.so.1";

/// Which recipe a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Follow<'r> {
    /// The one that knows it, if any.
    Known,
    /// This one.
    This(&'r str),
    /// None: only what the file itself says it needs.
    Nothing,
}

impl Builder<'_, '_> {
    /// Takes a program and everything it needs to run.
    pub(crate) fn program(
        &mut self,
        path: &Path,
        at: Option<&Path>,
        why: Why,
        follow: Follow<'_>,
    ) -> Result<Taken> {
        self.program_at_depth(path, at, why, follow, 0)
    }

    fn program_at_depth(
        &mut self,
        path: &Path,
        at: Option<&Path>,
        why: Why,
        follow: Follow<'_>,
        depth: usize,
    ) -> Result<Taken> {
        if depth > DEEPEST {
            let message = format!("{}: more than {DEEPEST} interpreters, one for the other", path.display());
            return Err(Error::new(Kind::NotRunnable, message).help("the kernel does not start it either"));
        }
        self.progress.now(&format!("looking at {}", path.display()));
        let taken = self.take(path, at, Role::Program, why)?;
        let mut head = [0; script::LONGEST];
        let read = read_start(&taken.file, &mut head).map_err(|error| unread(path, &error))?;
        match script::parse(&head[..read]) {
            Err(why) => {
                let message = format!("{}: its first line {why}", path.display());
                return Err(Error::new(Kind::NotRunnable, message).help("write '#!' and an absolute path"));
            }
            Ok(Some(line)) => {
                self.interpreter(&taken, &line, depth)?;
                return Ok(taken);
            }
            Ok(None) => self.close_program(&taken)?,
        }
        let name = match follow {
            Follow::Nothing => return Ok(taken),
            Follow::This(name) => Some(name),
            Follow::Known => taken.trusted.then(|| recipe::for_program(&taken.real)).flatten(),
        };
        if let Some(name) = name {
            recipe::follow(self, name, &taken)?;
        }
        Ok(taken)
    }

    /// What a script is read by.
    fn interpreter(&mut self, taken: &Taken, line: &script::Line, depth: usize) -> Result<()> {
        let why = || Why::Interpreter { of: shown(&taken.at) };
        let first = self.program_at_depth(&line.interpreter, None, why(), Follow::Known, depth + 1);
        let first = first.map_err(|error| blame(error, taken))?;
        let Some(name) = line.by_env.as_ref().filter(|_| first.real.file_name().is_some_and(|n| n == "env"))
        else {
            return Ok(());
        };
        let found = if name.as_bytes().contains(&b'/') {
            Some(PathBuf::from(name))
        } else {
            self.search.iter().map(|dir| dir.join(name)).find(|path| self.exists(path))
        };
        let Some(found) = found else {
            let dirs: Vec<_> = self.search.iter().map(|dir| dir.display().to_string()).collect();
            let message =
                format!("{}: '{}' is not in {}", taken.real.display(), name.display(), dirs.join(":"));
            return Err(Error::new(Kind::NotRunnable, message)
                .help("install it, or write its absolute path into the script's first line"));
        };
        self.program_at_depth(&found, None, why(), Follow::Known, depth + 1)
            .map_err(|error| blame(error, taken))?;
        Ok(())
    }

    /// The loader and the libraries of a program.
    fn close_program(&mut self, taken: &Taken) -> Result<()> {
        if !self.closed.insert(taken.real.clone()) {
            return Ok(());
        }
        let elf = elf::inspect(&taken.file).map_err(|problem| blame(problem.into(), taken))?;
        let Some(interpreter) = elf.interpreter else { return Ok(()) };
        let found = self.needs(taken, &elf, interpreter)?;
        let why = Why::Interpreter { of: shown(&taken.at) };
        self.take(Path::new(interpreter.path()), None, Role::Program, why)?;
        self.libraries(taken, &found)
    }

    /// What a file that is no program by itself needs, if it is code at all.
    pub(crate) fn close(&mut self, taken: &Taken) -> Result<()> {
        let mut magic = [0; 4];
        let read = read_start(&taken.file, &mut magic).map_err(|error| unread(&taken.real, &error))?;
        if read < 4 || &magic != b"\x7fELF" || self.closed.contains(&taken.real) {
            return Ok(());
        }
        let executable = elf::inspect(&taken.file).is_ok_and(|elf| elf.soname.is_none());
        let mut needed = Vec::new();
        let closed = if executable {
            self.close_program(taken)
        } else {
            self.closed.insert(taken.real.clone());
            match elf::inspect_library(&taken.file) {
                Ok(elf) => {
                    let musl = elf.needed.iter().any(|name| name == MUSL_LIBC);
                    let interpreter = if musl { Interpreter::Musl } else { Interpreter::Glibc };
                    needed.clone_from(&elf.needed);
                    self.needs(taken, &elf, interpreter).and_then(|found| self.libraries(taken, &found))
                }
                // Object files, foreign code: bytes like others.
                Err(_) => Ok(()),
            }
        };
        // Nobody has asked for this very file: the image is not worth less for it.
        match closed {
            Err(error) if error.kind() != Kind::Usage => {
                // Parts of a runtime find each other: its program has loaded them.
                if needed.iter().any(|name| self.has_beside_the_system(name)) {
                    return Ok(());
                }
                self.note(format!("{} may not work: {}", taken.at.display(), error.message()));
                Ok(())
            }
            other => other,
        }
    }

    /// Whether a library of this name is in the image, where no loader looks by itself.
    fn has_beside_the_system(&self, name: &std::ffi::OsStr) -> bool {
        let elsewhere = |dir: &[u8]| !SYSTEM.iter().any(|system| system.as_bytes() == dir);
        let end = [b"/", name.as_bytes()].concat();
        self.draft.iter().any(|(path, _)| path.strip_suffix(end.as_slice()).is_some_and(elsewhere))
    }

    fn needs(&mut self, taken: &Taken, elf: &Elf, interpreter: Interpreter) -> Result<Found> {
        let found = if taken.trusted {
            libraries::find_trusted(&self.host, elf, &taken.real, interpreter)
        } else {
            libraries::find(&self.host, elf, interpreter)
        };
        let found = found.map_err(|error| blame(error, taken))?;
        self.seen.extend(found.stamps.iter().map(|(path, state)| (path.clone(), *state)));
        found.notes.iter().for_each(|note| self.note(note.clone()));
        Ok(found)
    }

    fn libraries(&mut self, taken: &Taken, found: &Found) -> Result<()> {
        for library in &found.libraries {
            let by = match library.by.and_then(|by| found.libraries.get(by)) {
                Some(other) => shown(&other.path),
                None => shown(&taken.at),
            };
            let opened = library.by.is_none() && library.name == libraries::UNWINDER;
            let why = if opened { Why::Opened { by } } else { Why::Needed { by } };
            let real = library.trusted.real.clone();
            self.library(&library.path, why)?;
            self.closed.insert(real);
        }
        for alias in &found.alias_paths {
            self.library(alias, Why::Needed { by: shown(&taken.at) })?;
        }
        Ok(())
    }
}

/// The first bytes of a file.
fn read_start(file: &std::fs::File, head: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < head.len() {
        match file.read_at(&mut head[done..], done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// The same error, with the file it is about in front.
fn blame(error: Error, taken: &Taken) -> Error {
    let message = format!("{}: {}", taken.real.display(), error.message());
    let again = Error::new(error.kind(), message);
    match error.help_text() {
        Some(help) => again.help(help),
        None => again,
    }
}
