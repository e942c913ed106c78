//! `stockade image`: making, moving, showing and keeping images.

mod build;
mod interrupted;
mod keep;
mod show;
mod text;
#[cfg(feature = "images")]
mod transfer;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use stockade::error::{Error, Kind, Result};
use stockade::image::Store;
use stockade::image::digest::Digest;
use stockade::image::store::{Ref, RefProblem, StoreProblem};
use stockade::sandbox::{StoreChoice, images};

use super::say;
pub use interrupted::{SWEEP, sweep};

/// Options of `stockade image`.
#[derive(Debug, Args)]
pub struct Image {
    /// Where images are kept [default: $STOCKADE_STORE, or stockade's place among the user's data].
    #[arg(long, value_name = "DIR", global = true)]
    store: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an image out of files of this host.
    Build(build::Build),
    /// Makes an image out of an OCI layout, a docker-archive, a root file system or a directory.
    #[cfg(feature = "images")]
    Import(transfer::Import),
    /// Writes an image where others can read it.
    #[cfg(feature = "images")]
    Export(transfer::Export),
    /// Lists the images that are here.
    List(show::List),
    /// Tells what is in an image, and what was left out.
    Inspect(show::Inspect),
    /// Lists everything in an image.
    Files(show::Files),
    /// Tells why something is in an image.
    Why(show::WhyPath),
    /// Compares two images.
    Diff(show::Diff),
    /// Compares an image with its manifest.
    Verify(keep::Verify),
    /// Lists the packages that an image has something of, for scanners.
    Sbom(show::Sbom),
    /// Makes a smaller image out of some programs of a larger one.
    Slim(build::Slim),
    /// Takes an image's name away, or the image where it has none.
    Remove(keep::Remove),
    /// Removes what nobody needs.
    Gc(keep::Gc),
}

/// Whether something was found that should not be there.
enum Outcome {
    Good,
    Found,
}

impl Image {
    /// Does it; answers the exit status.
    pub fn execute(self) -> ExitCode {
        let choice = self.store.map_or(StoreChoice::Default, StoreChoice::At);
        let done = match self.command {
            Command::Build(build) => build.run(&choice),
            #[cfg(feature = "images")]
            Command::Import(import) => import.run(&choice),
            #[cfg(feature = "images")]
            Command::Export(export) => export.run(&choice),
            Command::List(list) => list.run(&choice),
            Command::Inspect(inspect) => inspect.run(&choice),
            Command::Files(files) => files.run(&choice),
            Command::Why(why) => why.run(&choice),
            Command::Diff(diff) => diff.run(&choice),
            Command::Verify(verify) => verify.run(&choice),
            Command::Sbom(sbom) => sbom.run(&choice),
            Command::Slim(slim) => slim.run(&choice),
            Command::Remove(remove) => remove.run(&choice),
            Command::Gc(gc) => gc.run(&choice),
        };
        match done {
            Ok(Outcome::Good) => ExitCode::SUCCESS,
            Ok(Outcome::Found) => ExitCode::FAILURE,
            Err(error) => {
                say::error(&error);
                ExitCode::from(super::COULD_NOT)
            }
        }
    }
}

fn open(choice: &StoreChoice) -> Result<Store> {
    images::open_store(choice, nix::unistd::geteuid().as_raw())?.map_err(unusable)
}

fn unusable(problem: StoreProblem) -> Error {
    Error::new(Kind::Host, problem.to_string()).help(problem.help())
}

fn no_image(problem: RefProblem) -> Error {
    images::no_image(&problem)
}

/// The image that is meant.
fn find(store: &Store, name: &str) -> Result<Digest> {
    let name = Ref::parse(name).map_err(no_image)?;
    store.find(&name).map_err(no_image)
}
