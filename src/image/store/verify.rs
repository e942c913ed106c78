//! Comparing a tree with its manifest.
//!
//! Guarantees: every file is opened below the tree without following a link, so
//! that what is compared is what the box would see; everything that is missing,
//! added or different is listed.

use std::collections::{BTreeSet, HashSet};
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

use nix::sys::stat::SFlag;

use super::at::{Dir, Stat};
use super::{Store, StoreProblem};
use crate::image::digest::Digest;
use crate::image::layout::Content;
use crate::image::manifest::{Entry, Manifest, What};

/// The most differences that are listed; a tree with more is not looked at further.
const MAX_MISMATCHES: usize = 1000;

/// What a verification saw.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Regular files that were compared.
    pub files: u64,
    /// Their size in all.
    pub bytes: u64,
    /// What is not as the manifest says.
    pub mismatches: Vec<Mismatch>,
}

impl Checked {
    /// Whether the tree is exactly the manifest's.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// One difference between a tree and its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mismatch {
    /// Path in the image.
    pub path: PathBuf,
    /// In what respect: `presence`, `type`, `mode`, `size`, `mtime`, `owner`, `target`, `digest`.
    pub what: &'static str,
    /// What the manifest says.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, what, expected, found } = self;
        write!(f, "{}: {what} is {found}, and should be {expected}", path.display())
    }
}

struct Verifier {
    full: bool,
    uid: u32,
    checked: Checked,
}

impl Store {
    /// Compares types, modes, sizes, times and link targets with the manifest,
    /// at about 2 µs a file. Finds everything but bytes that were changed with
    /// size and time put back; inode numbers and ctime are left out, because a
    /// hard link from another image changes the latter.
    ///
    /// # Errors
    /// The manifest or the tree is missing or cannot be read.
    pub fn verify_stat(&self, digest: &Digest) -> Result<Checked, StoreProblem> {
        self.verify(digest, false)
    }

    /// The same, and reads every file again and compares its SHA-256.
    ///
    /// # Errors
    /// The manifest or the tree is missing or cannot be read.
    pub fn verify_full(&self, digest: &Digest) -> Result<Checked, StoreProblem> {
        self.verify(digest, true)
    }

    /// Compares an image: each tree that it is laid out in and, with `full`, its
    /// objects where it is laid out in none.
    ///
    /// # Errors
    /// The manifest is missing, or something cannot be read.
    pub fn verify_image(&self, image: &Digest, full: bool) -> Result<Checked, StoreProblem> {
        let laid_out: BTreeSet<Digest> = self
            .views()?
            .into_iter()
            .filter(|(_, of, _)| of == image)
            .map(|(_, _, laid_out)| laid_out)
            .chain([*image])
            .collect();
        let mut found = Vec::new();
        for tree in laid_out {
            if self.tree(&tree)?.is_some() {
                found.push(self.verify(&tree, full)?);
            }
        }
        // Files of a tree are links to the objects: once read, they need not be again.
        let mut checked = self.verify_objects(image, full && found.is_empty())?;
        checked.mismatches.extend(found.into_iter().flat_map(|found| found.mismatches));
        let mut seen = HashSet::new();
        checked.mismatches.retain(|mismatch| seen.insert(mismatch.clone()));
        Ok(checked)
    }

    /// Compares the objects of an image with its manifest.
    fn verify_objects(&self, image: &Digest, full: bool) -> Result<Checked, StoreProblem> {
        let path = self.path().join("manifests").join(image.to_string());
        let missing = StoreProblem::Damaged { path, why: "it is missing".into() };
        let manifest = self.manifest(image)?.ok_or(missing)?;
        let mut verifier =
            Verifier { full, uid: nix::unistd::geteuid().as_raw(), checked: Checked::default() };
        for entry in manifest.entries() {
            let What::File { mode, size, digest } = &entry.what else { continue };
            verifier.checked.files += 1;
            verifier.checked.bytes += size;
            let content = match self.content(digest, *mode, *size) {
                Ok(content) => content,
                Err(StoreProblem::Damaged { why, .. }) => {
                    verifier.mismatch(&entry.path, "object", digest, why);
                    continue;
                }
                Err(problem) => return Err(problem),
            };
            if full {
                let found =
                    content.digest().map_or_else(|error| error.to_string(), |found| found.to_string());
                if found != digest.to_string() {
                    verifier.mismatch(&entry.path, "digest", digest, found);
                }
            }
            if verifier.checked.mismatches.len() >= MAX_MISMATCHES {
                break;
            }
        }
        Ok(verifier.checked)
    }

    fn verify(&self, digest: &Digest, full: bool) -> Result<Checked, StoreProblem> {
        let name = OsString::from(digest.to_string());
        let missing = |place: &str| StoreProblem::Damaged {
            path: self.path().join(place).join(&name),
            why: "it is missing".into(),
        };
        let manifest = self.manifest(digest)?.ok_or_else(|| missing("manifests"))?;
        let trees = self.top.dir(OsStr::new("trees"))?.ok_or_else(|| missing("trees"))?;
        let tree = trees.dir(&name)?.ok_or_else(|| missing("trees"))?;
        let uid = nix::unistd::geteuid().as_raw();
        let mut verifier = Verifier { full, uid, checked: Checked::default() };
        if tree.names()? != ["empty", "root"] || !tree.existing(OsStr::new("empty"))?.names()?.is_empty() {
            verifier.mismatch(b"/", "presence", "'root' and an empty 'empty' beside it", "something else");
        }
        if let (Some(entry), Some(stat)) = (manifest.entries().first(), tree.stat(OsStr::new("root"))?) {
            verifier.compare(entry, &stat);
        }
        verifier.walk(&tree, &manifest)?;
        Ok(verifier.checked)
    }
}

impl Verifier {
    fn mismatch(&mut self, path: &[u8], what: &'static str, expected: impl ToString, found: impl ToString) {
        let path = PathBuf::from(OsString::from_vec(path.to_vec()));
        let (expected, found) = (expected.to_string(), found.to_string());
        self.checked.mismatches.push(Mismatch { path, what, expected, found });
    }

    /// Directory by directory, each opened from the one above it.
    fn walk(&mut self, tree: &Dir, manifest: &Manifest) -> Result<(), StoreProblem> {
        let mut todo = vec![Vec::new()];
        while let Some(path) = todo.pop() {
            if self.checked.mismatches.len() >= MAX_MISMATCHES {
                break;
            }
            let Some(dir) = self.descend(tree, &path)? else { continue };
            let inside = children(manifest, &path);
            let mut extra: BTreeSet<OsString> = dir.names()?.into_iter().collect();
            for entry in inside {
                let name = OsStr::from_bytes(entry.path.get(path.len() + 1..).unwrap_or_default());
                extra.remove(name);
                match dir.stat(name)? {
                    None => self.mismatch(&entry.path, "presence", "there", "missing"),
                    Some(stat) if self.compare(entry, &stat) => {
                        self.content(&dir, name, entry)?;
                        if matches!(entry.what, What::Dir { .. }) {
                            todo.push(entry.path.clone());
                        }
                    }
                    Some(_) => {}
                }
            }
            for name in extra {
                let path = [&path, b"/".as_slice(), name.as_bytes()].concat();
                self.mismatch(&path, "presence", "absent", "there");
            }
        }
        Ok(())
    }

    /// Opens a directory of the image; the root's path is empty here.
    fn descend(&mut self, tree: &Dir, path: &[u8]) -> Result<Option<Dir>, StoreProblem> {
        let mut dir = tree.existing(OsStr::new("root"))?;
        if path.is_empty() {
            return Ok(Some(dir));
        }
        for name in path.split(|byte| *byte == b'/').skip(1) {
            match dir.inner(OsStr::from_bytes(name)) {
                Ok(Some(next)) => dir = next,
                Ok(None) => return Ok(None),
                Err(problem) => {
                    self.mismatch(path, "type", "a directory", problem);
                    return Ok(None);
                }
            }
        }
        Ok(Some(dir))
    }

    /// Everything that lstat(2) tells; whether the type is right.
    fn compare(&mut self, entry: &Entry, stat: &Stat) -> bool {
        let (kind, mode, size) = match &entry.what {
            What::Dir { mode } => (SFlag::S_IFDIR, Some(*mode), None),
            What::File { mode, size, .. } => (SFlag::S_IFREG, Some(*mode), Some(*size)),
            What::Symlink { .. } => (SFlag::S_IFLNK, None, None),
        };
        if stat.kind != kind {
            self.mismatch(&entry.path, "type", kind_name(kind), kind_name(stat.kind));
            return false;
        }
        if stat.uid != self.uid {
            self.mismatch(&entry.path, "owner", self.uid, stat.uid);
        }
        if let Some(mode) = mode.filter(|mode| *mode != stat.mode) {
            self.mismatch(&entry.path, "mode", format!("{mode:04o}"), format!("{:04o}", stat.mode));
        }
        if let Some(size) = size.filter(|size| *size != stat.size) {
            self.mismatch(&entry.path, "size", size, stat.size);
        }
        if stat.mtime != (entry.mtime, 0) {
            let found = format!("{}.{:09}", stat.mtime.0, stat.mtime.1);
            self.mismatch(&entry.path, "mtime", entry.mtime, found);
        }
        true
    }

    fn content(&mut self, dir: &Dir, name: &OsStr, entry: &Entry) -> Result<(), StoreProblem> {
        match &entry.what {
            What::Dir { .. } => {}
            What::Symlink { target } => {
                let found = dir.read_link(name)?;
                if found.as_bytes() != target {
                    self.mismatch(
                        &entry.path,
                        "target",
                        target.escape_ascii(),
                        found.as_bytes().escape_ascii(),
                    );
                }
            }
            What::File { size, digest, .. } => {
                self.checked.files += 1;
                self.checked.bytes += size;
                if self.full {
                    let found = digest_of(dir, name)?;
                    if found.as_ref() != Ok(digest) {
                        let found = found.map_or_else(|why| why, |digest| digest.to_string());
                        self.mismatch(&entry.path, "digest", digest, found);
                    }
                }
            }
        }
        Ok(())
    }
}

/// The digest of the bytes that are there, or why there is none.
fn digest_of(dir: &Dir, name: &OsStr) -> Result<Result<Digest, String>, StoreProblem> {
    let Some(file) = dir.open(name)? else { return Ok(Err("missing".into())) };
    let size = match file.metadata() {
        Ok(meta) => meta.len(),
        Err(error) => return Ok(Err(error.to_string())),
    };
    Ok(Content::Opened(file, size).digest().map_err(|error| error.to_string()))
}

/// The entries directly in the directory of this path (the root's is empty).
fn children<'m>(manifest: &'m Manifest, path: &[u8]) -> impl Iterator<Item = &'m Entry> {
    let prefix = [path, b"/"].concat();
    let entries = manifest.entries();
    let start = entries.partition_point(|entry| entry.path < prefix);
    let below = entries.get(start..).unwrap_or_default();
    let len = prefix.len();
    below
        .iter()
        .take_while(move |entry| entry.path.starts_with(&prefix))
        .filter(move |entry| entry.path.len() > len && !entry.path[len..].contains(&b'/'))
}

fn kind_name(kind: SFlag) -> &'static str {
    match kind {
        SFlag::S_IFDIR => "a directory",
        SFlag::S_IFREG => "a regular file",
        SFlag::S_IFLNK => "a symbolic link",
        _ => "something else",
    }
}
