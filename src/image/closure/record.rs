//! What is kept of a closure, so that the next launch need not look it up.
//!
//! Guarantees: a record is believed only while every file and directory that
//! led to it is as it was (device, inode, size, mtime, ctime; nothing where
//! nothing was), and its tree is the one that was made. It catches every change
//! of a library, of a link to it, and every new file in a directory that was
//! searched. It does not watch the directories above those: only root can
//! change them, and a change of a file shows in the file itself.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Summary;
use super::libraries::Found;
use super::trust::{Host, State};
use crate::image::TopEntry;
use crate::image::digest::Digest;
use crate::image::store::{Store, StoreProblem, Tree, TreeStamp};

/// The version of this format.
const VERSION: u32 = 1;

/// A record that holds.
pub(super) struct Recalled {
    pub(super) image: Digest,
    pub(super) summary: Summary,
    pub(super) tree: Tree,
    pub(super) proof: Proof,
}

/// What must be as it was.
#[derive(Debug)]
pub(super) struct Proof {
    seen: Vec<Seen>,
    stamp: TreeStamp,
}

impl Proof {
    /// Whether it is, with the tree at this path.
    pub(super) fn holds(&self, host: &Host, tree: &Path) -> bool {
        still_so(host, &self.seen) && TreeStamp::at(tree) == Some(self.stamp)
    }
}

/// A path that was looked at, and what was there.
type Seen = (String, Option<State>);

fn still_so(host: &Host, seen: &[Seen]) -> bool {
    seen.iter().all(|(path, state)| host.state(path.as_ref()) == *state)
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    version: u32,
    key: String,
    image: String,
    files: u64,
    bytes: u64,
    programs: u64,
    top: Vec<TopEntry>,
    notes: Vec<String>,
    tree: TreeStamp,
    /// Every path that was looked at, and what was there.
    seen: Vec<Seen>,
}

impl Record {
    /// A record; `None`: what was seen may not be kept.
    pub(super) fn new(
        key: &Digest,
        image: &Digest,
        summary: &Summary,
        tree: TreeStamp,
        found: Option<&Found>,
    ) -> Option<Self> {
        let now = State::now()?;
        let mut seen = Vec::new();
        for (path, state) in found.iter().flat_map(|found| &found.stamps) {
            if state.is_some_and(|state| !state.is_settled(now)) {
                return None;
            }
            seen.push((path.to_str()?.to_owned(), *state));
        }
        Some(Self {
            version: VERSION,
            key: key.to_string(),
            image: image.to_string(),
            files: summary.files,
            bytes: summary.bytes,
            programs: summary.programs,
            top: summary.top.clone(),
            notes: found.map(|found| found.notes.clone()).unwrap_or_default(),
            tree,
            seen,
        })
    }

    /// Keeps it.
    pub(super) fn keep(&self, store: &Store, key: &Digest) -> Result<(), StoreProblem> {
        match serde_json::to_vec(self) {
            Ok(bytes) => store.put_record(key, &bytes),
            Err(error) => Err(StoreProblem::Damaged { path: store.path().into(), why: error.to_string() }),
        }
    }

    /// The record of this key, if it still holds; anything else is no record.
    pub(super) fn recall(host: &Host, store: &Store, key: &Digest) -> Result<Option<Recalled>, StoreProblem> {
        let Some(bytes) = store.record(key)? else { return Ok(None) };
        let Ok(record) = serde_json::from_slice::<Self>(&bytes) else { return Ok(None) };
        let Ok(image) = record.image.parse::<Digest>() else { return Ok(None) };
        if record.version != VERSION || record.key != key.to_string() {
            return Ok(None);
        }
        if !still_so(host, &record.seen) {
            return Ok(None);
        }
        match store.tree(&image)? {
            Some((tree, stamp)) if stamp == record.tree => {
                store.note_use("closures", key);
                let Self { files, bytes, programs, top, notes, seen, .. } = record;
                let summary = Summary { files, bytes, programs, top, notes };
                Ok(Some(Recalled { image, summary, tree, proof: Proof { seen, stamp } }))
            }
            _ => Ok(None),
        }
    }
}

/// The image that a kept record stands for, whether it still holds or not.
pub(crate) fn image_of_record(store: &Store, key: &Digest) -> Option<Digest> {
    let bytes = store.record(key).ok().flatten()?;
    serde_json::from_slice::<Record>(&bytes).ok()?.image.parse().ok()
}
