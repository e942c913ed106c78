//! Looking after the store: `verify`, `remove`, `gc`.

use clap::Args;
use serde_json::json;

use stockade::error::{Error, Kind, Result};
use stockade::image::census::megabytes;
use stockade::image::store::{Limits, Ref};
use stockade::policy::units;
use stockade::sandbox::StoreChoice;

use super::text::{print, print_json};
use super::{Outcome, find, no_image, open, unusable};

/// Options of `stockade image verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Reads every byte, and not only type, mode, size, time and target.
    #[arg(long)]
    full: bool,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let image = find(&store, &self.image)?;
        let checked = store.verify_image(&image, self.full).map_err(unusable)?;
        if self.json {
            let list: Vec<_> = checked
                .mismatches
                .iter()
                .map(|m| json!({"path": m.path, "what": m.what, "expected": m.expected, "found": m.found}))
                .collect();
            print_json(&json!({
                "id": image.id(),
                "mode": if self.full { "full" } else { "stat" },
                "files": checked.files,
                "bytes": checked.bytes,
                "mismatches": list,
            }))?;
        } else {
            let mut out = String::new();
            for mismatch in &checked.mismatches {
                out.push_str(&format!("{mismatch}\n"));
            }
            let how = if self.full { "every byte read" } else { "bytes not read" };
            let counted = format!("{} files, {}, {how}", checked.files, megabytes(checked.bytes));
            out.push_str(&match checked.mismatches.len() {
                0 => format!("{} is what it should be ({counted})\n", image.id()),
                n => format!("{} has {n} differences ({counted})\n", image.id()),
            });
            print(&out)?;
        }
        Ok(if checked.is_clean() { Outcome::Good } else { Outcome::Found })
    }
}

/// Options of `stockade image remove`.
#[derive(Debug, Args)]
pub struct Remove {
    /// A name, which is taken away; or an id, with all its names.
    #[arg(value_name = "IMAGE", required = true)]
    image: Vec<String>,
}

impl Remove {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        for text in &self.image {
            let name = Ref::parse(text).map_err(no_image)?;
            let digest = find(&store, text)?;
            let only = match &name {
                Ref::Name(name) | Ref::Pinned(name, _) => Some(name.as_str()),
                Ref::Id(_) | Ref::Short(_) => None,
            };
            store.forget(&digest, only).map_err(unusable)?;
        }
        // What it was made of goes at once, where nothing else needs it and nobody is at work.
        let limits = Limits { bytes: store.cap(), closures: usize::MAX, wait: false };
        let collected = store.collect(&limits).map_err(unusable)?;
        let mut out = format!("{} freed\n", megabytes(collected.before.saturating_sub(collected.after)));
        if collected.in_use > 0 {
            out.push_str("a box still runs on it: the rest goes with the next 'stockade image gc'\n");
        }
        if collected.busy {
            out = "somebody is putting an image in: the rest goes with the next 'stockade image gc'\n".into();
        }
        print(&out)?;
        Ok(Outcome::Good)
    }
}

/// Options of `stockade image gc`.
#[derive(Debug, Args)]
pub struct Gc {
    /// The most that may stay of what has no name, for example 2GiB; 0B for nothing
    /// [default: $STOCKADE_STORE_MAX, else 20GiB].
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size)]
    max: Option<u64>,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Gc {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let bytes = self.max.unwrap_or_else(|| store.cap());
        let closures = if bytes == 0 { 0 } else { usize::MAX };
        let collected = store.collect(&Limits { bytes, closures, wait: true }).map_err(unusable)?;
        if collected.busy {
            return Err(Error::new(Kind::Host, "somebody is putting an image in").help("try again later"));
        }
        if self.json {
            print_json(&json!({
                "images": collected.images,
                "closures": collected.closures,
                "trees": collected.trees,
                "objects": collected.objects,
                "bytes_before": collected.before,
                "bytes_after": collected.after,
                "in_use": collected.in_use,
            }))?;
            return Ok(Outcome::Good);
        }
        let freed = collected.before.saturating_sub(collected.after);
        print(&format!(
            "{} freed, {} left; removed {} images, {} closures, {} trees, {} objects; {} trees in use\n",
            megabytes(freed),
            megabytes(collected.after),
            collected.images,
            collected.closures,
            collected.trees,
            collected.objects,
            collected.in_use
        ))?;
        Ok(Outcome::Good)
    }
}
