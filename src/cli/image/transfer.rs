//! `image import` and `image export`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use stockade::error::Result;
use stockade::image::export::{self, Format};
use stockade::image::import::{self, Limits};
use stockade::image::store::Ref;
use stockade::sandbox::StoreChoice;

use super::build::tell;
use super::text::{OnTerminal, print, print_json};
use super::{Outcome, find, interrupted, no_image, open};

/// Options of `stockade image import`.
#[derive(Debug, Args)]
pub struct Import {
    /// An OCI layout (directory or tar), a docker-archive, a root file system (tar or directory);
    /// of several images in one, SOURCE:NAME; '-' reads an archive from standard input.
    #[arg(value_name = "SOURCE")]
    source: String,

    /// What the image is called.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Tells about it as JSON.
    #[arg(long)]
    json: bool,
}

impl Import {
    pub(super) fn run(self, store: &StoreChoice) -> Result<Outcome> {
        if let Some(name) = &self.name {
            stockade::image::store::check_name(name).map_err(no_image)?;
        }
        interrupted::prepare(store)?;
        let store = open(store)?;
        let progress = OnTerminal::new();
        let built = import::import(&store, &self.source, Limits::default(), &progress)?;
        drop(progress);
        tell(&store, &built, self.name.as_deref(), self.json)
    }
}

/// Options of `stockade image export`.
#[derive(Debug, Args)]
pub struct Export {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// Where it goes, which must not be there yet; '-' writes an archive to standard output.
    #[arg(value_name = "DEST")]
    to: PathBuf,

    /// An OCI layout (its archive if DEST ends in .tar), or the root file system's tar.
    #[arg(long, value_name = "oci|tar", default_value = "oci", value_parser = ["oci", "tar"])]
    format: String,

    /// Tells about it as JSON.
    #[arg(long)]
    json: bool,
}

impl Export {
    pub(super) fn run(self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let image = find(&store, &self.image)?;
        let name = match Ref::parse(&self.image).map_err(no_image)? {
            Ref::Name(name) | Ref::Pinned(name, _) => name,
            Ref::Id(_) | Ref::Short(_) => "latest".to_owned(),
        };
        let format = if self.format == "tar" { Format::Tar } else { Format::Oci };
        let progress = OnTerminal::new();
        export::export(&store, &image, &name, &self.to, format, &progress)?;
        drop(progress);
        // Standard output may be the archive itself.
        if self.to.as_os_str() == "-" {
            return Ok(Outcome::Good);
        }
        if self.json {
            print_json(&json!({"id": image.id(), "to": self.to, "format": self.format}))?;
        } else {
            print(&format!("{}\n", image.id()))?;
        }
        Ok(Outcome::Good)
    }
}
