//! Images that policies ask for by recipe: made at the first use, remembered as
//! long as this host is what they were made of.
//!
//! Guarantees: what is remembered holds only while every directory that was
//! read, every program and every library is as it was (see `closure::record`).
//! A change of a file that a package manager makes shows in its directory; an
//! edit in place of a script does not, and `image build` sees it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::NAMES;
use crate::error::{Error, Kind, Result};
use crate::image::build::{Program, Progress, Request, unusable};
use crate::image::closure::trust::{Host, State};
use crate::image::digest::{Digest, Hasher};
use crate::image::store::{Made, Store};

/// Changes whenever the same host must give another image.
const RULES: &[u8] = b"stockade-recipe/2";

/// An image that a policy asks for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The recipe's name.
    pub recipe: &'a str,
    /// The program that it is for.
    pub program: &'a str,
    /// The id that the image must have.
    pub pin: Option<&'a Digest>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    rules: String,
    recipe: String,
    program: String,
    image: String,
    seen: Vec<(String, Option<State>)>,
}

/// The image, made where it is missing.
///
/// # Errors
/// There is no such recipe, this host lacks what it needs, or the image is not
/// the pinned one.
pub fn image(store: &Store, wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<Digest> {
    image_on(&Host::system(), store, wanted, progress)
}

fn image_on(host: &Host, store: &Store, wanted: &Wanted<'_>, progress: &dyn Progress) -> Result<Digest> {
    if !NAMES.contains(&wanted.recipe) {
        return Err(super::unknown(wanted.recipe, NAMES));
    }
    if let Some(pin) = wanted.pin
        && store.manifest(pin).map_err(unusable)?.is_some()
    {
        return Ok(*pin);
    }
    let key = key(wanted);
    let remembered = recall(host, store, &key, wanted);
    let found = match remembered {
        Some(image) => image,
        None => make(host, store, &key, wanted, progress)?,
    };
    match wanted.pin {
        Some(pin) if *pin != found => {
            let message = format!(
                "the recipe {} makes {} on this host, and the policy is pinned to {}",
                wanted.recipe,
                found.id(),
                pin.id()
            );
            Err(Error::new(Kind::Host, message)
                .help("import the pinned image, or pin the policy to the one that is made here"))
        }
        _ => Ok(found),
    }
}

fn key(wanted: &Wanted<'_>) -> Digest {
    let mut hasher = Hasher::new();
    hasher.field(RULES);
    hasher.field(env!("CARGO_PKG_VERSION").as_bytes());
    hasher.field(wanted.recipe.as_bytes());
    hasher.field(wanted.program.as_bytes());
    hasher.finish()
}

fn recall(host: &Host, store: &Store, key: &Digest, wanted: &Wanted<'_>) -> Option<Digest> {
    let bytes = store.recipe(key).ok().flatten()?;
    let record: Record = serde_json::from_slice(&bytes).ok()?;
    let same = record.rules.as_bytes() == RULES
        && (record.recipe.as_str(), record.program.as_str()) == (wanted.recipe, wanted.program);
    let holds = same && record.seen.iter().all(|(path, state)| host.state(Path::new(path)) == *state);
    let image = record.image.parse().ok().filter(|_| holds)?;
    store.card(&image).ok().flatten().map(|_| image)
}

fn make(
    host: &Host,
    store: &Store,
    key: &Digest,
    wanted: &Wanted<'_>,
    progress: &dyn Progress,
) -> Result<Digest> {
    let program = Program {
        path: PathBuf::from(wanted.program),
        recipe: Some(wanted.recipe.to_owned()),
        ..Program::default()
    };
    // No entry point: the policy's own command is what runs in it.
    let request = Request { programs: vec![program], without_entry: true, ..Request::default() };
    let source = format!("recipe {} for {}", wanted.recipe, wanted.program);
    let (built, seen) = request.build_on(host.clone(), store, Made::Recipe, &source, progress)?;
    let settled = State::now().is_some_and(|now| seen.values().flatten().all(|state| state.is_settled(now)));
    let seen: Option<Vec<_>> =
        seen.into_iter().map(|(path, state)| Some((path.to_str()?.to_owned(), state))).collect();
    if let Some(seen) = seen.filter(|_| settled) {
        let record = Record {
            rules: String::from_utf8_lossy(RULES).into_owned(),
            recipe: wanted.recipe.to_owned(),
            program: wanted.program.to_owned(),
            image: built.image.to_string(),
            seen,
        };
        if let Ok(json) = serde_json::to_vec(&record) {
            store.put_recipe(key, &json).map_err(unusable)?;
        }
    }
    Ok(built.image)
}

/// The image that a kept record stands for, whether it still holds or not.
pub(crate) fn image_of_record(store: &Store, key: &Digest) -> Option<Digest> {
    let bytes = store.recipe(key).ok().flatten()?;
    serde_json::from_slice::<Record>(&bytes).ok()?.image.parse().ok()
}
