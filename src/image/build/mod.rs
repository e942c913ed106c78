//! Making an image out of files of this host.
//!
//! Guarantees: nothing that is copied is executed; everything in the image has
//! a reason that `why` can tell; what does not belong into any image (see
//! `hygiene`) is refused where it was named and left out, and listed, where it
//! merely lay in a directory. Paths in the image are those of the host, links
//! on the way included, so that everything finds everything as it does there.
//!
//! The same files make the same image, whoever makes it and wherever.

pub(crate) mod capture;
pub(crate) mod closure;
mod finish;
pub(crate) mod glob;
pub(crate) mod request;
mod script;
pub mod spec;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::closure::trust::{Distrust, Host, State};
use super::draft::{Draft, NoPlace};
use super::layout::{Content, LayoutProblem};
use super::store::{LeftOut, StoreProblem, Writer};
use crate::error::{Error, Kind, Result};

pub use finish::Built;
#[cfg(feature = "images")]
pub(crate) use finish::{Kept, count};
pub use request::{Include, Made, Program, Request};

/// Told what is being done, now and then: building takes seconds.
pub trait Progress {
    /// What is being done now.
    fn now(&self, what: &str);
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn now(&self, _: &str) {}
}

/// An image being made.
pub(crate) struct Builder<'a, 's> {
    /// Files of the system: root's alone, and so trusted.
    pub(crate) host: Host,
    /// The same files, whoever owns them: for what the caller has named.
    anyone: Host,
    pub(crate) writer: &'a mut Writer<'s>,
    pub(crate) draft: Draft,
    pub(crate) progress: &'a dyn Progress,
    /// Where `/usr/bin/env` looks.
    pub(crate) search: Vec<PathBuf>,
    left_out: BTreeSet<LeftOut>,
    notes: BTreeSet<String>,
    set_id: u64,
    /// Where files lie that are elsewhere in the image: by path in the image.
    origins: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What the image depends on, for those who ask whether it is still true.
    pub(crate) seen: BTreeMap<PathBuf, Option<State>>,
    /// Files whose needs have been met.
    closed: BTreeSet<PathBuf>,
    /// Recipes that have been followed, with the program they were for.
    pub(crate) followed: BTreeSet<(&'static str, PathBuf)>,
    /// The modules that are wanted of the next runtime that a recipe knows; the
    /// recipe takes them.
    pub(crate) modules: Option<Vec<String>>,
}

impl<'a, 's> Builder<'a, 's> {
    pub(crate) fn new(host: Host, writer: &'a mut Writer<'s>, progress: &'a dyn Progress) -> Self {
        Self {
            anyone: host.whoevers(),
            host,
            writer,
            draft: Draft::new(),
            progress,
            search: ["/usr/bin", "/bin"].map(PathBuf::from).to_vec(),
            left_out: BTreeSet::new(),
            notes: BTreeSet::new(),
            set_id: 0,
            origins: BTreeMap::new(),
            seen: BTreeMap::new(),
            closed: BTreeSet::new(),
            followed: BTreeSet::new(),
            modules: None,
        }
    }

    /// What the reader should know.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.insert(note.into());
    }

    /// Something is not in the image.
    pub(crate) fn leave_out(&mut self, path: &Path, why: impl Into<String>) {
        let path = path.as_os_str().as_bytes().escape_ascii().to_string();
        self.left_out.insert(LeftOut { path, why: why.into() });
    }

    /// Whether there is anything at a path of the host.
    pub(crate) fn exists(&self, path: &Path) -> bool {
        self.host.state(path).is_some()
    }

    /// Adds a file that is made, not copied.
    pub(crate) fn made(&mut self, at: &str, bytes: &[u8], mode: u16) -> Result<()> {
        let content = Content::Bytes(bytes.to_vec());
        let digest = super::digest::Digest::of(bytes);
        self.writer.put(&content, digest, mode, super::layout::MADE_AT).map_err(unusable)?;
        let what = super::manifest::What::File { mode, size: bytes.len() as u64, digest };
        let why = Some(super::store::Why::Made);
        let node = super::draft::Node { what, mtime: super::layout::MADE_AT, why };
        self.draft.put(at.as_bytes(), node).map_err(|problem| misplaced(Path::new(at), &problem))
    }
}

/// The store's fault.
pub(crate) fn unusable(problem: StoreProblem) -> Error {
    Error::new(Kind::Host, problem.to_string()).help(problem.help())
}

/// Two things at one place.
pub(crate) fn misplaced(path: &Path, problem: &NoPlace) -> Error {
    let shown = path.as_os_str().as_bytes().escape_ascii();
    Error::new(Kind::Usage, format!("nothing can be put at '{shown}' in the image: {}", problem.words()))
}

/// A file of the host that is not taken.
pub(crate) fn distrusted(path: &Path, why: &Distrust) -> Error {
    Error::new(Kind::Host, format!("{} cannot be taken: {why}", path.display())).help(why.help())
}

/// A file that could not be read.
pub(crate) fn unread(path: &Path, error: &std::io::Error) -> Error {
    Error::new(Kind::Host, format!("{} cannot be read: {}", path.display(), crate::error::io_text(error)))
}

impl From<LayoutProblem> for Error {
    fn from(problem: LayoutProblem) -> Self {
        match problem {
            LayoutProblem::Path(problem) => {
                Error::new(Kind::Usage, format!("the image cannot be made: {problem}"))
            }
            LayoutProblem::Read(path, error) => unread(Path::new(OsStr::from_bytes(&path)), &error),
        }
    }
}
