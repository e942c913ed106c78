//! Images: the trusted, immutable root file systems.
//!
//! A root holds what its program needs to run and nothing else: a program that
//! is not there cannot be used by an attacker. [`closure()`] makes the root of a
//! single program; [`store`] keeps roots between launches; a [`manifest`] names
//! one by its content.
// Without import and export, parts of the store have no user.
#![cfg_attr(not(feature = "images"), allow(dead_code, unused_imports))]

pub mod build;
pub mod census;
pub mod closure;
pub mod diff;
pub mod digest;
mod draft;
pub mod elf;
#[cfg(feature = "images")]
pub mod export;
mod hygiene;
#[cfg(feature = "images")]
pub mod import;
mod layout;
pub mod manifest;
pub mod packages;
pub mod recipe;
pub mod slim;
pub mod store;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub(crate) use closure::trust::State as FileState;
pub use closure::{Memory, Need, Request, closure, needs};
pub use layout::Content;
pub use store::{Store, StoreProblem};

/// A root file system, ready to be mounted or copied.
#[derive(Debug)]
pub struct Root {
    /// `sha256:` and the digest of its manifest.
    pub id: String,
    /// Regular files in it, the loader among them.
    pub files: u64,
    /// Their size in all.
    pub bytes: u64,
    /// Files that can be executed, without the loader.
    pub programs: u64,
    /// Where it comes from.
    pub source: RootSource,
    /// What lies directly in `/`, by name.
    pub top: Vec<TopEntry>,
    /// What the reader should know about how it came about.
    pub notes: Vec<String>,
}

/// Where a root comes from.
#[derive(Debug)]
pub enum RootSource {
    /// A tree of the store: open `path`, compare device and inode, and mount an
    /// overlay with `lowerdir=root:empty` relative to it.
    Tree {
        /// `trees/<hex>`, without symbolic links.
        path: PathBuf,
        /// Its device.
        dev: u64,
        /// Its inode.
        ino: u64,
        /// Keeps it from being removed.
        hold: store::Hold,
    },
    /// There is no store: make these, in this order, parents first. The first
    /// one is the root directory itself.
    Private(Vec<PrivateEntry>),
    /// The same, with every [`PrivateKind::Stored`] content in one nameless file,
    /// in order, one right after the other.
    Packed {
        /// What to make.
        entries: Vec<PrivateEntry>,
        /// The contents.
        pack: std::fs::File,
    },
}

impl From<store::Tree> for RootSource {
    fn from(store::Tree { path, dev, ino, hold }: store::Tree) -> Self {
        Self::Tree { path, dev, ino, hold }
    }
}

/// One thing to make in a private root.
#[derive(Debug)]
pub struct PrivateEntry {
    /// Absolute path in the box.
    pub path: PathBuf,
    /// Permission bits, at most 0777; without meaning for a link.
    pub mode: u16,
    /// Last change, in whole seconds since 1970; set directories' after filling them.
    pub mtime: i64,
    /// What it is.
    pub kind: PrivateKind,
}

/// What a private root's entry is.
#[derive(Debug)]
pub enum PrivateKind {
    /// A directory.
    Dir,
    /// A regular file with this content.
    File(Content),
    /// A regular file with this content, which lies in the pack.
    Stored {
        /// Its digest, which was compared.
        digest: digest::Digest,
        /// Its permission bits.
        mode: u16,
        /// Its size.
        size: u64,
    },
    /// A symbolic link to this target.
    Symlink(PathBuf),
}

/// What lies directly in `/`: what rules are made of that go by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopEntry {
    /// Its name.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Whether a file with an execute bit lies in it (or it is one); the loader counts.
    pub has_program: bool,
    /// Whether something is to be mounted on it: it needs a rule of its own.
    pub is_mount: bool,
    /// Whether something is to be mounted below it: a rule for it would reach there.
    pub holds_mounts: bool,
}
