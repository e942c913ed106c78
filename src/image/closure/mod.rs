//! The root of a single program: its loader, its libraries, three generated
//! files and the places to mount on; nothing else.
//!
//! Guarantees: nothing of the program's bytes but names reaches the host's file
//! system; the program itself is never stored; the same program, libraries and
//! request give the same image id everywhere and for every user. Where there is
//! no store, or it fails, the root comes as a list to copy from, with a note.
//!
//! Relies on: the system's library directories, in as far as they are root's
//! alone (see `trust`).

mod generated;
pub(crate) mod libraries;
mod memory;
mod record;
mod search;
#[cfg(test)]
mod tests;
pub(crate) mod trust;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::digest::{Digest, Hasher};
use super::elf::{self, Elf};
use super::layout::{Content, Contents, FILE_MODE, Layout, LayoutProblem, PROGRAM_MODE};
use super::manifest::{Header, Manifest, What};
use super::store::{Store, StoreProblem, Summary, summarise};
use super::{PrivateEntry, PrivateKind, Root, RootSource};
use crate::error::{Error, Kind, Result};
pub(crate) use generated::generated_files;
use libraries::Found;
pub use memory::Memory;
pub(crate) use record::image_of_record;
use record::{Proof, Recalled, Record};
use trust::Host;

/// Changes whenever the same request must give another root.
const RULES: &[u8] = b"stockade-closure/1";

/// How often everything is looked up anew because it changed meanwhile.
const TRIES: usize = 3;

/// For which program, and in what surroundings, a root is wanted.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The untrusted program, open for reading; its position is left alone.
    pub payload: &'a File,
    /// Absolute paths of directories to mount on; `/` needs no place.
    pub mount_dirs: &'a [&'a str],
    /// Absolute paths of files to mount on.
    pub mount_files: &'a [&'a str],
    /// User id inside the box.
    pub uid: u32,
    /// Group id inside the box.
    pub gid: u32,
    /// Whether the box has a loopback interface, and so a name for it.
    pub loopback: bool,
}

/// One library that a program needs, as it is found on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// The name that is looked up.
    pub name: PathBuf,
    /// Where it is.
    pub path: PathBuf,
    /// Who needs it: a library's name; `None`: the program, or its C library at run time.
    pub by: Option<PathBuf>,
}

/// The root for a program.
///
/// # Errors
/// [`Kind::NotRunnable`]: the program cannot be run, or asks for something that
/// is not the system's. [`Kind::Host`]: a library of the host cannot be used.
/// [`Kind::Usage`]: a mount point is no place in the root.
pub fn closure(store: Option<&Store>, request: &Request<'_>) -> Result<Root> {
    closure_on(&Host::system(), store, request)
}

/// The libraries that a program's root would hold, its loader not among them.
///
/// # Errors
/// As for [`closure`].
pub fn needs(payload: &File) -> Result<Vec<Need>> {
    let elf = elf::inspect(payload)?;
    let Some(interpreter) = elf.interpreter else { return Ok(Vec::new()) };
    let found = libraries::find(&Host::system(), &elf, interpreter)?;
    let name = |at: usize| found.libraries.get(at).map(|library| PathBuf::from(&library.name));
    let all = found.libraries.iter();
    Ok(all
        .map(|library| Need {
            name: PathBuf::from(&library.name),
            path: library.path.clone(),
            by: library.by.and_then(name),
        })
        .collect())
}

fn closure_on(host: &Host, store: Option<&Store>, request: &Request<'_>) -> Result<Root> {
    Ok(closure_and_proof(host, store, request)?.0)
}

/// With what its record was believed by, if there was one.
fn closure_and_proof(
    host: &Host,
    store: Option<&Store>,
    request: &Request<'_>,
) -> Result<(Root, Option<Proof>)> {
    let elf = elf::inspect(request.payload)?;
    let key = key(&elf, request);
    let mut notes = Vec::new();
    let kept = store.map(|store| Record::recall(host, store, &key));
    let (mut root, proof) = match kept {
        Some(Ok(Some(Recalled { image, summary, tree, proof }))) => {
            (root(&image, summary, RootSource::from(tree)), Some(proof))
        }
        Some(Err(problem)) => {
            notes.push(without_store(&problem));
            (build(host, None, request, &elf, &key)?, None)
        }
        _ => (build(host, store, request, &elf, &key)?, None),
    };
    notes.append(&mut root.notes);
    notes.extend(remarks(&elf));
    root.notes = notes;
    Ok((root, proof))
}

/// Everything that decides what the root holds, but the state of the host.
fn key(elf: &Elf, request: &Request<'_>) -> Digest {
    let mut hasher = Hasher::new();
    let mut list = |fields: BTreeSet<&[u8]>| {
        hasher.field(&fields.len().to_le_bytes());
        fields.into_iter().for_each(|field| hasher.field(field));
    };
    list([RULES].into());
    list(elf.interpreter.iter().map(|interpreter| interpreter.path().as_bytes()).collect());
    if !elf.is_static() {
        list(elf.needed.iter().map(|name| name.as_bytes()).collect());
        list(elf.imports.unwinds().then_some(b"unwinds".as_slice()).into_iter().collect());
    }
    list(request.mount_dirs.iter().map(|path| path.as_bytes()).collect());
    list(request.mount_files.iter().map(|path| path.as_bytes()).collect());
    hasher.field(&request.uid.to_le_bytes());
    hasher.field(&request.gid.to_le_bytes());
    hasher.field(&[u8::from(request.loopback)]);
    hasher.finish()
}

/// Looks everything up, and lays it out.
fn build(host: &Host, store: Option<&Store>, request: &Request<'_>, elf: &Elf, key: &Digest) -> Result<Root> {
    let mut changed = PathBuf::new();
    for _ in 0..TRIES {
        let mut found = match elf.interpreter {
            Some(interpreter) => Some(libraries::find(host, elf, interpreter)?),
            None => None,
        };
        let layout = lay_out(found.as_mut(), request)?;
        let (manifest, contents) = layout.seal(Header::default()).map_err(unsealed)?;
        // A system update while the libraries were read: bytes of two versions.
        if let Some(path) = found.as_ref().and_then(|found| found.changed(host)) {
            changed = path.into();
            continue;
        }
        let loader = found.as_ref().map(|found| found.interpreter.path());
        let mounts = request.mount_dirs.iter().chain(request.mount_files).copied();
        let mut summary = summarise(&manifest, loader, mounts);
        let image = manifest.digest();
        let source = match store.map(|store| keep(store, key, &manifest, &contents, &summary, found.as_ref()))
        {
            Some(Ok(tree)) => RootSource::from(tree),
            Some(Err(problem)) => {
                summary.notes.push(without_store(&problem));
                RootSource::Private(private(&manifest, contents))
            }
            None => RootSource::Private(private(&manifest, contents)),
        };
        summary.notes.extend(found.map(|found| found.notes).unwrap_or_default());
        return Ok(root(&image, summary, source));
    }
    let message = format!("the library {} changed again and again while it was read", changed.display());
    Err(Error::new(Kind::Host, message).help("run it again when the system update is done"))
}

/// Puts the parts together in memory.
fn lay_out(found: Option<&mut Found>, request: &Request<'_>) -> Result<Layout> {
    let mut layout = Layout::new();
    if let Some(found) = found {
        libraries_into(&mut layout, found).map_err(unsealed)?;
    }
    generated::add(&mut layout, request.uid, request.gid, request.loopback).map_err(unsealed)?;
    let no_place = |problem| match problem {
        LayoutProblem::Path(problem) => {
            Error::new(Kind::Usage, format!("nothing can be mounted at {problem}"))
                .help("mount it at another path")
        }
        other => unsealed(other),
    };
    for path in request.mount_dirs {
        layout.dir(path.as_bytes()).map_err(no_place)?;
    }
    for path in request.mount_files {
        layout.mount_file(path.as_bytes()).map_err(no_place)?;
    }
    Ok(layout)
}

fn libraries_into(layout: &mut Layout, found: &mut Found) -> std::result::Result<(), LayoutProblem> {
    let path = found.interpreter.path().as_bytes();
    let unread = |error| LayoutProblem::Read(path.to_vec(), error);
    let loader = Content::Opened(found.loader.file.try_clone().map_err(unread)?, found.loader.stamp.size());
    let mut bytes = Vec::new();
    loader
        .copy(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .map_err(unread)?;
    let home = found.home(&bytes);
    layout.file(path, PROGRAM_MODE, found.loader.stamp.mtime(), Content::Bytes(bytes))?;
    for library in &found.libraries {
        let stamp = library.trusted.stamp;
        let path = home.join(&library.name).into_os_string().into_encoded_bytes();
        let unread = |error| LayoutProblem::Read(path.clone(), error);
        let content = Content::Opened(library.trusted.file.try_clone().map_err(unread)?, stamp.size());
        layout.file(&path, FILE_MODE, stamp.mtime(), content)?;
    }
    for (name, target) in &found.aliases {
        layout.symlink(home.join(name).as_os_str().as_bytes(), target.as_bytes())?;
    }
    Ok(())
}

/// Lays it out in the store, and remembers it.
fn keep(
    store: &Store,
    key: &Digest,
    manifest: &Manifest,
    contents: &Contents,
    summary: &Summary,
    found: Option<&Found>,
) -> std::result::Result<super::store::Tree, StoreProblem> {
    store.make_room();
    store.check_room(key)?;
    let (tree, stamp) = store.materialise(manifest, contents)?;
    if let Some(record) = Record::new(key, &manifest.digest(), summary, stamp, found) {
        record.keep(store, key)?;
    }
    Ok(tree)
}

/// The same as a list to copy from: parents first.
fn private(manifest: &Manifest, mut contents: Contents) -> Vec<PrivateEntry> {
    let entries = manifest.entries().iter();
    entries
        .map(|entry| {
            let (mode, kind) = match &entry.what {
                What::Dir { mode } => (*mode, PrivateKind::Dir),
                What::Symlink { target } => {
                    (0o777, PrivateKind::Symlink(std::ffi::OsStr::from_bytes(target).into()))
                }
                What::File { mode, .. } => {
                    let content = contents.remove(&entry.path).unwrap_or(Content::Bytes(Vec::new()));
                    (*mode, PrivateKind::File(content))
                }
            };
            PrivateEntry { path: entry.path().into(), mode, mtime: entry.mtime, kind }
        })
        .collect()
}

fn root(image: &Digest, summary: Summary, source: RootSource) -> Root {
    let Summary { files, bytes, programs, top, notes } = summary;
    Root { id: image.id(), files, bytes, programs, source, top, notes }
}

/// What the reader should know about this very program.
fn remarks(elf: &Elf) -> Vec<String> {
    let mut notes = Vec::new();
    for (tag, path) in [("RPATH", &elf.rpath), ("RUNPATH", &elf.runpath)] {
        if let Some(path) = path.as_ref().filter(|_| !elf.is_static()) {
            let path = path.as_bytes().escape_ascii();
            notes.push(format!("the program's {tag} '{path}' was not followed, and not needed"));
        }
    }
    if elf.executable_stack {
        notes.push("the program asks for an executable stack".into());
    }
    if !elf.is_static() && elf.imports.loads_libraries() {
        notes.push(
            "the program can load libraries while it runs (dlopen): only those it needs are there".into(),
        );
    }
    notes
}

fn without_store(problem: &StoreProblem) -> String {
    format!("the root is a private copy, not kept: {problem} ({})", problem.help())
}

fn unsealed(problem: LayoutProblem) -> Error {
    match problem {
        LayoutProblem::Path(problem) => Error::new(Kind::Host, format!("the root cannot be made: {problem}")),
        LayoutProblem::Read(path, error) => {
            let message = format!("the library {} cannot be read: {error}", path.escape_ascii());
            Error::new(Kind::Host, message).help("run it again when the system update is done")
        }
    }
}
