//! Names of images: small files, each with the id of the image that it means.

use std::ffi::OsStr;
use std::fmt;

use super::{About, Card, Store, StoreProblem};
use crate::image::digest::Digest;
use crate::policy::suggest;

/// The most bytes of a name.
const MAX_NAME: usize = 128;

/// An id is 71 bytes and a newline.
const MAX_REF: u64 = 80;

/// The least digits that an id may be shortened to.
const MIN_DIGITS: usize = 8;

/// What an image is called on a command line or in a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ref {
    /// A name: what it means may change.
    Name(String),
    /// A name, and the id that it must mean.
    Pinned(String, Digest),
    /// An id.
    Id(Digest),
    /// The first digits of an id.
    Short(String),
}

/// Why there is no such image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RefProblem {
    /// Not a name, and why.
    NotAName(String, &'static str),
    /// There is no image of that name; what may have been meant.
    Unknown(String, Option<String>),
    /// There is no image of that id.
    Missing(String),
    /// The digits begin several ids.
    Ambiguous(String),
    /// The name means another image than it should: name, wanted, found.
    Other(String, Digest, Digest),
    /// The store cannot be used.
    Store(StoreProblem),
}

impl From<StoreProblem> for RefProblem {
    fn from(problem: StoreProblem) -> Self {
        Self::Store(problem)
    }
}

impl fmt::Display for RefProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAName(name, why) => {
                write!(f, "'{}' is not the name of an image: {why}", name.escape_default())
            }
            Self::Unknown(name, _) => write!(f, "there is no image '{name}'"),
            Self::Missing(id) => write!(f, "there is no image {id}"),
            Self::Ambiguous(digits) => write!(f, "several images begin with '{digits}'"),
            Self::Other(name, wanted, found) => {
                write!(f, "the image '{name}' is {}, and is pinned to {}", found.id(), wanted.id())
            }
            Self::Store(problem) => problem.fmt(f),
        }
    }
}

impl std::error::Error for RefProblem {}

impl RefProblem {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotAName(..) => {
                "a name is letters, digits, '.', '_', '-' and ':', a letter or digit first".into()
            }
            Self::Unknown(_, Some(near)) => format!("did you mean '{near}'?"),
            Self::Unknown(..) | Self::Missing(_) => {
                "'stockade image list' shows what there is; 'stockade image build' makes one".into()
            }
            Self::Ambiguous(_) => "give more digits".into(),
            Self::Other(..) => "build the pinned image again, or pin the one that is there".into(),
            Self::Store(problem) => problem.help(),
        }
    }
}

/// Whether this can be the name of an image.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<(), RefProblem> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':');
    let why = if name.is_empty() {
        "it is empty"
    } else if name.len() > MAX_NAME {
        "it is longer than 128 bytes"
    } else if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        "it does not start with a letter or digit"
    } else if !name.chars().all(fits) {
        "it has other characters in it"
    } else if name.starts_with("sha256:") {
        "it looks like an id"
    } else {
        return Ok(());
    };
    Err(RefProblem::NotAName(name.to_owned(), why))
}

impl Ref {
    /// Reads `NAME`, `NAME@sha256:<64 digits>`, `sha256:<8 to 64 digits>`.
    ///
    /// # Errors
    /// [`RefProblem::NotAName`].
    pub fn parse(text: &str) -> Result<Self, RefProblem> {
        let problem = |why| Err(RefProblem::NotAName(text.to_owned(), why));
        if let Some(digits) = text.strip_prefix("sha256:") {
            let hex = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            return match digits.parse() {
                Ok(digest) => Ok(Self::Id(digest)),
                Err(_) if hex && (MIN_DIGITS..64).contains(&digits.len()) => {
                    Ok(Self::Short(digits.to_owned()))
                }
                Err(_) => problem("an id has 8 to 64 lower-case hexadecimal digits"),
            };
        }
        match text.split_once('@') {
            Some((name, id)) => {
                check_name(name)?;
                match Digest::from_id(id) {
                    Some(digest) => Ok(Self::Pinned(name.to_owned(), digest)),
                    None => problem("what follows '@' must be sha256: and 64 digits"),
                }
            }
            None => check_name(text).map(|()| Self::Name(text.to_owned())),
        }
    }
}

impl Store {
    /// The image that is meant. That its manifest is there has been checked.
    ///
    /// # Errors
    /// There is none, or it is another than the pinned one.
    pub fn find(&self, wanted: &Ref) -> Result<Digest, RefProblem> {
        let digest = match wanted {
            Ref::Id(digest) => *digest,
            Ref::Short(digits) => self.complete(digits)?,
            Ref::Name(name) => self.named(name)?,
            Ref::Pinned(name, pinned) => {
                let found = self.named(name)?;
                if found != *pinned {
                    return Err(RefProblem::Other(name.clone(), *pinned, found));
                }
                found
            }
        };
        let manifests = self.top.dir(OsStr::new("manifests"))?;
        let there = match manifests {
            Some(dir) => dir.stat(OsStr::new(&digest.to_string()))?.is_some(),
            None => false,
        };
        if there { Ok(digest) } else { Err(RefProblem::Missing(digest.id())) }
    }

    fn named(&self, name: &str) -> Result<Digest, RefProblem> {
        check_name(name)?;
        if let Some(digest) = self.name(name)? {
            return Ok(digest);
        }
        let known: Vec<String> = self.names()?.into_iter().map(|(name, _)| name).collect();
        let near = suggest::nearest(name, known.iter().map(String::as_str)).map(str::to_owned);
        Err(RefProblem::Unknown(name.to_owned(), near))
    }

    fn complete(&self, digits: &str) -> Result<Digest, RefProblem> {
        let missing = || RefProblem::Missing(format!("sha256:{digits}"));
        let dir = self.top.dir(OsStr::new("images"))?.ok_or_else(missing)?;
        let all = dir.names()?;
        let mut fitting = all.iter().filter_map(|name| name.to_str()).filter(|name| name.starts_with(digits));
        let first = fitting.next().ok_or_else(missing)?;
        if fitting.next().is_some() {
            return Err(RefProblem::Ambiguous(digits.to_owned()));
        }
        first.parse().map_err(|_| missing())
    }

    /// What a name means now.
    pub(super) fn name(&self, name: &str) -> Result<Option<Digest>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("refs"))? else { return Ok(None) };
        let Some(bytes) = self.read(&dir, OsStr::new(name), MAX_REF)? else { return Ok(None) };
        let text = std::str::from_utf8(&bytes).ok().and_then(|text| text.strip_suffix('\n'));
        match text.and_then(Digest::from_id) {
            Some(digest) => Ok(Some(digest)),
            None => {
                Err(StoreProblem::Damaged { path: dir.path().join(name), why: "it names no image".into() })
            }
        }
    }

    /// All names, sorted, and what they mean.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn names(&self) -> Result<Vec<(String, Digest)>, StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new("refs"))? else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for name in dir.names()? {
            let Some(name) = name.to_str().filter(|name| check_name(name).is_ok()) else { continue };
            if let Some(digest) = self.name(name)? {
                all.push((name.to_owned(), digest));
            }
        }
        Ok(all)
    }

    /// Gives an image that was just made a name, which meant something else before
    /// perhaps. Whoever took the last name of the same image away meanwhile took
    /// what is known of it as well.
    pub(crate) fn set_name(
        &self,
        name: &str,
        image: &Digest,
        (card, about): (&Card, &About),
    ) -> Result<(), RefProblem> {
        check_name(name)?;
        let _lock = self.lock_names()?;
        if self.card(image)?.is_none() || self.about(image)?.is_none() {
            self.put_card(image, card, about)?;
        }
        let dir = self.top.ensure(OsStr::new("refs"))?;
        Ok(self.put(&dir, OsStr::new(name), format!("{}\n", image.id()).as_bytes(), true)?)
    }

    /// Takes a name away.
    pub(super) fn drop_name(&self, name: &str) -> Result<(), StoreProblem> {
        match self.top.dir(OsStr::new("refs"))? {
            Some(dir) => dir.remove(OsStr::new(name)),
            None => Ok(()),
        }
    }
}
