//! Views: an image with the places that something is mounted on.
//!
//! A policy's mount points must exist in the root, and the root cannot be
//! changed. So they are part of the tree that is mounted: a second manifest,
//! made of the image's and of empty directories and files. The image's id stays
//! what it is, and a launch looks at one small record and one stamp, whatever
//! the number of files.

use std::ffi::OsStr;

use serde::{Deserialize, Serialize};

use super::tree::{Tree, TreeStamp};
use super::{Store, StoreProblem};
use crate::error::{Error, Kind};
use crate::image::TopEntry;
use crate::image::digest::{Digest, Hasher};
use crate::image::layout::{DIR_MODE, FILE_MODE, MADE_AT};
use crate::image::manifest::{Entry, Manifest, What};

/// Changes whenever the same image and places must give another tree.
const RULES: &[u8] = b"stockade-view/1";

/// The most bytes of a record.
const MAX_RECORD: u64 = 1 << 20;

/// Where something is to be mounted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Mounts<'a> {
    /// Absolute paths of directories.
    pub(crate) dirs: &'a [&'a str],
    /// Absolute paths of files.
    pub(crate) files: &'a [&'a str],
}

/// A tree to mount, and what the reader of a report wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct View {
    rules: String,
    image: String,
    /// The manifest of the tree.
    laid_out: String,
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) programs: u64,
    pub(crate) top: Vec<TopEntry>,
    stamp: TreeStamp,
}

/// A view, and its tree, held.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) view: View,
    pub(crate) tree: Tree,
    /// The manifest that the tree is laid out after.
    pub(crate) laid_out: Digest,
    /// Whether the tree was compared with its manifest just now, byte by byte.
    pub(crate) read: bool,
}

impl Mounts<'_> {
    fn key(&self, image: &Digest) -> Digest {
        let mut hasher = Hasher::new();
        hasher.field(RULES);
        hasher.field(image.id().as_bytes());
        for list in [self.dirs, self.files] {
            let mut list = list.to_vec();
            list.sort_unstable();
            hasher.field(&(list.len() as u64).to_le_bytes());
            list.iter().for_each(|path| hasher.field(path.as_bytes()));
        }
        hasher.finish()
    }

    /// The image's manifest with these places in it; the same one where nothing
    /// is missing.
    pub(crate) fn add_to(&self, manifest: &Manifest) -> Result<Manifest, Error> {
        let mut entries = manifest.entries().to_vec();
        let mut wanted: Vec<(&str, bool)> = self.dirs.iter().map(|path| (*path, true)).collect();
        wanted.extend(self.files.iter().map(|path| (*path, false)));
        for (path, dir) in wanted {
            let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
            for end in ends {
                let here = path.get(..end).unwrap_or(path);
                let (last, want_dir) = (end == path.len(), end < path.len() || dir);
                let found = entries.iter().find(|entry| entry.path == here.as_bytes());
                match found.map(|entry| &entry.what) {
                    None => entries.push(made(here, want_dir)),
                    Some(What::Dir { .. }) if want_dir => {}
                    Some(What::File { .. }) if !want_dir => {}
                    Some(what) => return Err(no_place(path, here, last, what)),
                }
            }
        }
        let header = manifest.header().clone();
        Manifest::new(header, entries).map_err(|problem| {
            Error::new(Kind::Usage, format!("nothing can be mounted at {problem}"))
                .help("mount it at another path")
        })
    }
}

fn made(path: &str, dir: bool) -> Entry {
    let what = if dir {
        What::Dir { mode: DIR_MODE }
    } else {
        What::File { mode: FILE_MODE, size: 0, digest: Digest::of(b"") }
    };
    Entry { path: path.as_bytes().to_vec(), mtime: MADE_AT, what }
}

/// A link at the place of a mount leads the mount elsewhere: the oldest way out
/// of a container.
fn no_place(path: &str, here: &str, last: bool, what: &What) -> Error {
    let found = match what {
        What::Symlink { target } => format!("a symbolic link to '{}'", target.escape_ascii()),
        What::Dir { .. } => "a directory".to_owned(),
        What::File { .. } => "a file".to_owned(),
    };
    let at = if last { "it".to_owned() } else { format!("'{here}'") };
    Error::new(Kind::Usage, format!("nothing can be mounted at '{path}': {at} is {found} in the image"))
        .help("use an image without it, or mount at another path")
}

impl Store {
    /// The image with places to mount on, laid out.
    ///
    /// # Errors
    /// The image is not here or damaged, a place is none, the store is full.
    pub(crate) fn view(&self, image: &Digest, mounts: Mounts<'_>) -> Result<Seen, Error> {
        let key = mounts.key(image);
        self.note_use("images", image);
        if let Some(seen) = self.recall_view(&key, image).map_err(unusable)? {
            return Ok(seen);
        }
        let manifest = self.manifest(image).map_err(unusable)?;
        let Some(manifest) = manifest else {
            return Err(Error::new(Kind::Usage, format!("there is no image {}", image.id()))
                .help("'stockade image list' shows what there is"));
        };
        let laid_out = mounts.add_to(&manifest)?;
        self.make_view(&key, image, &laid_out, mounts).map_err(unusable)
    }

    fn recall_view(&self, key: &Digest, image: &Digest) -> Result<Option<Seen>, StoreProblem> {
        let Some(view) = self.document::<View>("views", key, MAX_RECORD)? else { return Ok(None) };
        if view.rules.as_bytes() != RULES || view.image != image.to_string() {
            return Ok(None);
        }
        let Ok(laid_out) = view.laid_out.parse() else { return Ok(None) };
        match self.tree(&laid_out)? {
            Some((tree, stamp)) if stamp == view.stamp => {
                Ok(Some(Seen { view, tree, laid_out, read: false }))
            }
            _ => Ok(None),
        }
    }

    fn make_view(
        &self,
        key: &Digest,
        image: &Digest,
        manifest: &Manifest,
        mounts: Mounts<'_>,
    ) -> Result<Seen, StoreProblem> {
        let mut writer = self.writer()?;
        let empty = crate::image::layout::Content::Bytes(Vec::new());
        for entry in manifest.entries() {
            if matches!(entry.what, What::File { mode: FILE_MODE, size: 0, .. }) {
                writer.put(&empty, Digest::of(b""), FILE_MODE, entry.mtime)?;
            }
        }
        let (tree, stamp) = writer.materialise(manifest)?;
        let census = self.card(image)?.map(|card| card.census);
        let summary = summarise(manifest, None, mounts.dirs.iter().chain(mounts.files).copied());
        let (files, bytes, programs) = match census {
            Some(census) => (census.files, census.bytes, census.programs.len() as u64),
            None => (summary.files, summary.bytes, summary.programs),
        };
        let laid_out = manifest.digest();
        let view = View {
            rules: String::from_utf8_lossy(RULES).into_owned(),
            image: image.to_string(),
            laid_out: laid_out.to_string(),
            files,
            bytes,
            programs,
            top: summary.top,
            stamp,
        };
        if let Ok(json) = serde_json::to_vec(&view) {
            let dir = self.top.ensure(OsStr::new("views"))?;
            self.put(&dir, OsStr::new(&key.to_string()), &json, false)?;
        }
        Ok(Seen { view, tree, laid_out, read: true })
    }

    /// Forgets which trees belong to what, so that they are read again, whole,
    /// before they are used: a damaged object may be linked in any of them.
    pub(super) fn forget_views(&self) -> Result<(), StoreProblem> {
        for place in ["views", "closures"] {
            let Some(dir) = self.top.dir(OsStr::new(place))? else { continue };
            for name in dir.names()? {
                dir.remove(&name)?;
            }
        }
        Ok(())
    }

    /// The images and trees of all views, by key.
    pub(super) fn views(&self) -> Result<Vec<(Digest, Digest, Digest)>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("views"))? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for key in dir.names()?.iter().filter_map(|name| name.to_str()?.parse::<Digest>().ok()) {
            let bytes = self.read(&dir, OsStr::new(&key.to_string()), MAX_RECORD)?;
            let view = bytes.and_then(|bytes| serde_json::from_slice::<View>(&bytes).ok());
            let ids = view.and_then(|view| Some((view.image.parse().ok()?, view.laid_out.parse().ok()?)));
            if let Some((image, laid_out)) = ids {
                all.push((key, image, laid_out));
            }
        }
        Ok(all)
    }
}

fn unusable(problem: StoreProblem) -> Error {
    Error::new(Kind::Host, problem.to_string()).help(problem.help())
}

/// What a root consists of, in numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) files: u64,
    pub(crate) bytes: u64,
    pub(crate) programs: u64,
    pub(crate) top: Vec<TopEntry>,
    pub(crate) notes: Vec<String>,
}

/// Counts what a manifest holds. Every file with an execute bit but the loader
/// counts as a program.
pub(crate) fn summarise<'a>(
    manifest: &Manifest,
    loader: Option<&str>,
    mounts: impl Iterator<Item = &'a str>,
) -> Summary {
    let mounts: Vec<&[u8]> = mounts.map(str::as_bytes).collect();
    let mut summary = Summary::default();
    let mut tops = std::collections::HashMap::new();
    for entry in manifest.entries().iter().skip(1) {
        let mut program = false;
        if let What::File { mode, size, .. } = &entry.what {
            program = mode & 0o111 != 0;
            summary.files += 1;
            summary.bytes += size;
            summary.programs += u64::from(program && loader.map(str::as_bytes) != Some(&entry.path));
        }
        let first = entry.relative().split(|byte| *byte == b'/').next().unwrap_or_default();
        if entry.relative().len() > first.len() {
            // Its top directory sorts before it, but not always right before it.
            if let Some(top) = tops.get(first).and_then(|at: &usize| summary.top.get_mut(*at)) {
                top.has_program |= program;
            }
            continue;
        }
        // A link needs no rule: what it leads to has one. A name that cannot be
        // written in a rule gets none, and what is below it cannot be opened.
        let name = match std::str::from_utf8(entry.relative()) {
            Ok(name) if !matches!(entry.what, What::Symlink { .. }) => name.to_owned(),
            _ => continue,
        };
        let below = [entry.path.as_slice(), b"/"].concat();
        tops.insert(first, summary.top.len());
        summary.top.push(TopEntry {
            name,
            is_dir: matches!(entry.what, What::Dir { .. }),
            has_program: program,
            is_mount: mounts.contains(&entry.path.as_slice()),
            holds_mounts: mounts.iter().any(|path| path.starts_with(&below)),
        });
    }
    summary
}
