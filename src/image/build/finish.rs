//! From what was gathered to an image in the store.

use super::{Builder, unusable};
use crate::error::{Error, Kind, Result};
use crate::image::census::{self, Census};
use crate::image::digest::Digest;
use crate::image::manifest::{Header, Manifest, What};
use crate::image::packages;
use crate::image::store::{About, Card, Hold, Made, RefProblem, Store, StoreProblem, Why};

/// Where every policy that ships mounts something: with these in the image, the
/// same tree serves all of them.
const PLACES: [&str; 4] = ["/box", "/dev", "/proc", "/tmp"];

/// Ids in the generated files. A policy may give the payload others, which then
/// have no name.
const ID: u32 = 1000;

/// An image that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// Its id.
    pub image: Digest,
    /// It in short.
    pub card: Card,
    /// It at length.
    pub about: About,
    /// Keeps it from being swept before it has a name.
    held: Hold,
}

impl Built {
    /// Gives it a name, which meant something else before perhaps.
    ///
    /// # Errors
    /// It is not a name, or the store cannot be written.
    pub fn name(&self, store: &Store, name: &str) -> std::result::Result<(), RefProblem> {
        store.set_name(name, &self.image, (&self.card, &self.about))
    }
}

/// Counting read the store in vain, or a file of it.
#[derive(Debug)]
enum CountProblem {
    Store(StoreProblem),
    Read(std::io::Error),
}

impl From<std::io::Error> for CountProblem {
    fn from(error: std::io::Error) -> Self {
        Self::Read(error)
    }
}

impl From<StoreProblem> for CountProblem {
    fn from(problem: StoreProblem) -> Self {
        Self::Store(problem)
    }
}

/// Counts what a draft holds whose contents are in the store.
pub(crate) fn count(store: &crate::image::Store, draft: &crate::image::draft::Draft) -> Result<Census> {
    let open =
        |digest: &Digest, mode: u16, size: u64| store.content(digest, mode, size).map_err(CountProblem::from);
    census::count(draft, open).map_err(|problem| match problem {
        CountProblem::Store(problem) => unusable(problem),
        CountProblem::Read(error) => {
            Error::new(Kind::Host, format!("the store cannot be read: {}", crate::error::io_text(&error)))
        }
    })
}

impl Builder<'_, '_> {
    /// Adds what every image of ours has: places to mount on, and files without
    /// which no C library knows who it is.
    pub(crate) fn furnish(&mut self) -> Result<()> {
        for place in PLACES {
            if let Some(hidden) = self.first_below(place) {
                let hidden = hidden.escape_ascii();
                self.note(format!(
                    "a box has a {place} of its own, which hides '{hidden}': \
                     give it another place (PATH:/usr/bin/NAME, or 'at')"
                ));
            }
            let put = self.draft.dir(place.as_bytes(), Some(Why::Made));
            put.map_err(|problem| super::misplaced(place.as_ref(), &problem))?;
        }
        for (path, text) in crate::image::closure::generated_files(ID, ID, true) {
            if self.draft.get(path.as_bytes()).is_none() {
                self.made(path, text.as_bytes(), crate::image::layout::FILE_MODE)?;
            }
        }
        Ok(())
    }

    /// The first thing below a directory that is none itself.
    fn first_below(&self, dir: &str) -> Option<Vec<u8>> {
        let below =
            |path: &[u8]| path.strip_prefix(dir.as_bytes()).is_some_and(|rest| rest.starts_with(b"/"));
        let mut all = self.draft.iter();
        all.find(|(path, node)| below(path) && !matches!(node.what, What::Dir { .. }))
            .map(|(path, _)| path.clone())
    }

    /// Keeps the image.
    pub(crate) fn finish(
        mut self,
        header: Header,
        made: Made,
        source: String,
        whole: Option<&About>,
    ) -> Result<Built> {
        self.writer.commit().map_err(unusable)?;
        self.progress.now("counting");
        let census = count(self.writer.store(), &self.draft)?;
        let origins = std::mem::take(&mut self.origins);
        let packages = match whole {
            Some(whole) => packages::of_part(whole, &self.draft),
            None => packages::of_host(self.writer.store(), &self.host, &self.draft, &origins),
        };
        let left_out = self.left_out.into_iter().collect();
        let (manifest, why) = self
            .draft
            .seal(header)
            .map_err(|problem| Error::new(Kind::Usage, format!("the image cannot be made: {problem}")))?;
        let notes = self.notes.into_iter().collect();
        let about = About::new(why, packages.packages, packages.owners, left_out, notes);
        let kept = Kept { manifest, made, source, census, about, set_id: self.set_id };
        kept.keep(self.writer)
    }
}

/// Everything that is kept of an image.
pub(crate) struct Kept {
    pub(crate) manifest: Manifest,
    pub(crate) made: Made,
    pub(crate) source: String,
    pub(crate) census: Census,
    pub(crate) about: About,
    pub(crate) set_id: u64,
}

impl Kept {
    /// Puts manifest, account and card into the store, whose objects are there.
    pub(crate) fn keep(self, writer: &crate::image::store::Writer<'_>) -> Result<Built> {
        let Self { manifest, made, source, census, about, set_id } = self;
        if let Some(path) = manifest.header().entry.as_ref() {
            check_entry(&manifest, path)?;
        }
        let image = writer.keep_manifest(&manifest).map_err(unusable)?;
        // What was made here knows more of itself than what comes back.
        if made == Made::Import
            && let Some(card) =
                writer.store().card(&image).map_err(unusable)?.filter(|card| card.made != made)
            && let Some(about) = writer.store().about(&image).map_err(unusable)?
        {
            return Ok(Built { image, card, about, held: writer.hold() });
        }
        let card = Card::new(made, source, manifest.header(), census, &about, set_id);
        writer.store().put_card(&image, &card, &about).map_err(unusable)?;
        Ok(Built { image, card, about, held: writer.hold() })
    }
}

/// What is started must be there, and be a program.
fn check_entry(manifest: &Manifest, path: &[u8]) -> Result<()> {
    let shown = path.escape_ascii();
    let program = crate::image::manifest::resolve(manifest, path);
    let why = match program.map(|entry| &entry.what) {
        Some(What::File { mode, .. }) if mode & 0o111 != 0 => return Ok(()),
        Some(What::File { .. }) => "is not executable",
        Some(_) => "is not a file",
        None => "is not in the image",
    };
    Err(Error::new(Kind::Usage, format!("the entry point '{shown}' {why}"))
        .help("name a program of the image by its absolute path in it"))
}
