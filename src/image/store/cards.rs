//! What is known of an image besides its manifest: a card with the numbers, and
//! a longer account of why each file is in it.
//!
//! Neither is part of the image's id: the same image may come about in several
//! ways, and the last one is told.

use std::collections::BTreeMap;
use std::ffi::OsStr;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{Store, StoreProblem};
use crate::image::census::Census;
use crate::image::digest::Digest;
use crate::image::manifest::Header;

/// The version of both documents.
const VERSION: u32 = 1;

/// The most bytes of a card, and of an account (some 400,000 paths).
const MAX_CARD: u64 = 1 << 20;
const MAX_ABOUT: u64 = 256 << 20;

/// How an image came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Made {
    /// From files of this host.
    Build,
    /// From an archive or a directory.
    Import,
    /// By a policy's recipe.
    Recipe,
    /// From another image.
    Slim,
}

impl Made {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Import => "import",
            Self::Recipe => "recipe",
            Self::Slim => "slim",
        }
    }
}

/// An image in short.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    version: u32,
    /// How it came about.
    pub made: Made,
    /// From what.
    pub source: String,
    /// The manifest's header, in the manifest's spelling.
    pub header: String,
    /// What is in it, counted.
    pub census: Census,
    /// Packages that something was kept of.
    pub packages: u64,
    /// Things that were left out, or taken without what made them special.
    pub left_out: u64,
    /// Set-id bits that were taken away.
    pub set_id_stripped: u64,
}

/// Why something is in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kept", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Why {
    /// It was asked for as a program.
    Program,
    /// It loads or interprets another file.
    Interpreter {
        /// Which.
        of: String,
    },
    /// DT_NEEDED of another file.
    Needed {
        /// Whose.
        by: String,
    },
    /// Another file opens it while it runs.
    Opened {
        /// Which.
        by: String,
    },
    /// A link on the way to what was wanted.
    Link {
        /// What was wanted.
        to: String,
    },
    /// A recipe knows that it is needed.
    Recipe {
        /// Which recipe.
        recipe: String,
        /// As what.
        part: String,
    },
    /// It was asked for by path or pattern.
    Include {
        /// As written.
        pattern: String,
    },
    /// Made, not copied.
    Made,
    /// It was in a layer of an archive.
    Layer {
        /// Which, from 1.
        layer: u32,
    },
    /// It was in the directory or archive that was imported.
    Imported,
}

impl Why {
    /// In words.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Self::Program => "asked for as a program".into(),
            Self::Interpreter { of } => format!("starts {of}"),
            Self::Needed { by } => format!("needed by {by} (DT_NEEDED)"),
            Self::Opened { by } => format!("opened at run time by {by}"),
            Self::Link { to } => format!("on the way to {to}"),
            Self::Recipe { recipe, part } => format!("recipe {recipe}: {part}"),
            Self::Include { pattern } => format!("included as {pattern}"),
            Self::Made => "made, not copied".into(),
            Self::Layer { layer } => format!("in layer {layer} of what was imported"),
            Self::Imported => "in what was imported".into(),
        }
    }

    /// The path that it is there for, if there is one.
    #[must_use]
    pub fn because_of(&self) -> Option<&str> {
        match self {
            Self::Interpreter { of: path }
            | Self::Needed { by: path }
            | Self::Opened { by: path }
            | Self::Link { to: path } => Some(path),
            _ => None,
        }
    }
}

/// Something that is not in an image, or not as it was.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Where it was.
    pub path: String,
    /// Why.
    pub why: String,
}

/// A package of which something was kept.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Package {
    /// `deb`, `apk`, `rpm` or `pypi`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The architecture it is for; empty where that is unknown.
    pub arch: String,
    /// The distribution it comes from, as in os-release's ID; empty: unknown.
    pub distribution: String,
    /// Files of it in the image.
    pub kept: u64,
    /// Files that it has in all; 0: unknown.
    pub files: u64,
}

/// The long account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct About {
    version: u32,
    /// Why each path is there; directories only where something was asked for by them.
    pub why: BTreeMap<String, Why>,
    /// Packages that something was kept of, by kind and name.
    pub packages: Vec<Package>,
    /// Which of them a path belongs to, counted from 0.
    pub owners: BTreeMap<String, u32>,
    /// What was left out.
    pub left_out: Vec<LeftOut>,
    /// What the reader should know.
    pub notes: Vec<String>,
}

impl About {
    /// The package that a path belongs to.
    #[must_use]
    pub fn package_of(&self, path: &str) -> Option<&Package> {
        self.packages.get(usize::try_from(*self.owners.get(path)?).ok()?)
    }

    /// An account.
    #[must_use]
    pub const fn new(
        why: BTreeMap<String, Why>,
        packages: Vec<Package>,
        owners: BTreeMap<String, u32>,
        left_out: Vec<LeftOut>,
        notes: Vec<String>,
    ) -> Self {
        Self { version: VERSION, why, packages, owners, left_out, notes }
    }
}

impl Card {
    /// A card of an image and its account.
    #[must_use]
    pub fn new(
        made: Made,
        source: String,
        header: &Header,
        census: Census,
        about: &About,
        set_id: u64,
    ) -> Self {
        Self {
            version: VERSION,
            made,
            source,
            header: header.to_text(),
            census,
            packages: about.packages.len() as u64,
            left_out: about.left_out.len() as u64,
            set_id_stripped: set_id,
        }
    }
}

impl Store {
    /// An image's card; `None`: there is none, or of another version.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn card(&self, image: &Digest) -> Result<Option<Card>, StoreProblem> {
        let card: Option<Card> = self.document("images", image, MAX_CARD)?;
        Ok(card.filter(|card| card.version == VERSION))
    }

    /// An image's long account; `None`: there is none, or of another version.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn about(&self, image: &Digest) -> Result<Option<About>, StoreProblem> {
        let about: Option<About> = self.document("about", image, MAX_ABOUT)?;
        Ok(about.filter(|about| about.version == VERSION))
    }

    /// The images that have a card, by id.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn images(&self) -> Result<Vec<Digest>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("images"))? else { return Ok(Vec::new()) };
        Ok(dir.names()?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Keeps both.
    pub(crate) fn put_card(&self, image: &Digest, card: &Card, about: &About) -> Result<(), StoreProblem> {
        let hex = image.to_string();
        let json = |bytes: serde_json::Result<Vec<u8>>| {
            bytes.map_err(|error| StoreProblem::Damaged { path: self.path().into(), why: error.to_string() })
        };
        let about = json(serde_json::to_vec(about))?;
        let card = json(serde_json::to_vec(card))?;
        // The card last: an image that has one has everything.
        self.put(&self.top.ensure(OsStr::new("about"))?, OsStr::new(&hex), &about, false)?;
        self.put(&self.top.ensure(OsStr::new("images"))?, OsStr::new(&hex), &card, true)
    }

    /// The canonical text of a policy; `None`: it is not here.
    ///
    /// # Errors
    /// It cannot be read, or its bytes are not those of its name.
    pub fn policy(&self, digest: &Digest) -> Result<Option<Vec<u8>>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("policies"))? else { return Ok(None) };
        let Some(bytes) = self.read(&dir, OsStr::new(&digest.to_string()), MAX_CARD)? else {
            return Ok(None);
        };
        let found = Digest::of(&bytes);
        if found == *digest {
            return Ok(Some(bytes));
        }
        let path = dir.path().join(digest.to_string());
        Err(StoreProblem::Damaged { path, why: format!("its digest is {found}") })
    }

    /// Keeps the canonical text of a policy.
    pub(crate) fn put_policy(&self, text: &[u8]) -> Result<Digest, StoreProblem> {
        let digest = Digest::of(text);
        let dir = self.top.ensure(OsStr::new("policies"))?;
        if dir.stat(OsStr::new(&digest.to_string()))?.is_none() {
            self.put(&dir, OsStr::new(&digest.to_string()), text, true)?;
        }
        Ok(digest)
    }

    /// A JSON document under a digest. What cannot be understood is as good as absent.
    pub(super) fn document<T: DeserializeOwned>(
        &self,
        place: &str,
        name: &Digest,
        most: u64,
    ) -> Result<Option<T>, StoreProblem> {
        let bytes = self.recall(place, name, most)?;
        Ok(bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }
}
