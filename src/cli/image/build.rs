//! `image build` and `image slim`.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use stockade::error::{Error, Kind, Result, io_text};
use stockade::image::build::{Built, Include, Program, Request, spec};
use stockade::image::slim::{self, Part};
use stockade::image::store::Ref;
use stockade::image::{Store, recipe};
use stockade::policy;
use stockade::sandbox::StoreChoice;

use super::text::{OnTerminal, print, print_json};
use super::{Outcome, interrupted, no_image, open};
use crate::cli::say;

/// Options of `stockade image build`.
#[derive(Debug, Args)]
#[command(
    override_usage = "stockade image build [OPTIONS] SPEC.json\n       stockade image build [OPTIONS] --program PATH..."
)]
pub struct Build {
    /// A specification; '-' reads it from standard input.
    #[arg(value_name = "SPEC.json", required_unless_present = "program", conflicts_with_all = ["program", "include", "policy"])]
    spec: Option<PathBuf>,

    /// A program, with everything it needs to run; at another place in the image if one is given.
    #[arg(long, value_name = "PATH[:PLACE]")]
    program: Vec<String>,

    /// A file or directory, or a pattern ('*', '?', '[a-z]', '**').
    #[arg(long, value_name = "PATH[:PLACE]", requires = "program")]
    include: Vec<String>,

    /// The policy under which the image starts by itself [default: that of its only program, if one ships].
    #[arg(short, long, value_name = "NAME|FILE.json", requires = "program")]
    policy: Option<String>,

    /// What the image is called [default: the specification's name].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Tells about it as JSON.
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(self, store: &StoreChoice) -> Result<Outcome> {
        if let Some(name) = &self.name {
            stockade::image::store::check_name(name).map_err(no_image)?;
        }
        interrupted::prepare(store)?;
        let (request, name) = match &self.spec {
            Some(path) => from_spec(path)?,
            None => (self.requested()?, None),
        };
        let store = open(store)?;
        let progress = OnTerminal::new();
        let built = request.build(&store, &progress)?;
        drop(progress);
        tell(&store, &built, self.name.or(name).as_deref(), self.json)
    }

    fn requested(&self) -> Result<Request> {
        let mut request = Request::default();
        for spec in &self.program {
            let (path, at) = split(spec)?;
            request.programs.push(Program { path: PathBuf::from(path), at, ..Program::default() });
        }
        for spec in &self.include {
            let (host, at) = split(spec)?;
            request.includes.push(Include { host: host.to_owned(), at, ..Include::default() });
        }
        let policy = match (&self.policy, self.program.as_slice()) {
            (Some(policy), _) => Some(policy.clone()),
            // An interpreter is started as the policy that ships for it says.
            (None, [_]) => request
                .programs
                .first()
                .and_then(|program| recipe::policy_of(&program.path))
                .map(str::to_owned),
            (None, _) => None,
        };
        request.policy = policy.map(|policy| policy_text(&policy, Path::new("."))).transpose()?;
        Ok(request)
    }
}

/// `HOST[:PLACE]`; a place is absolute.
fn split(spec: &str) -> Result<(&str, Option<PathBuf>)> {
    let Some((host, at)) = spec.rsplit_once(":/") else { return Ok((spec, None)) };
    let at = format!("/{at}");
    let normal =
        at.len() > 1 && at[1..].split('/').all(|part| !part.is_empty() && part != "." && part != "..");
    if host.is_empty() || !normal {
        let message = format!("'{spec}': the place in the image must be absolute, without '.', '..' or '//'");
        return Err(Error::new(Kind::Usage, message).help("for example ./a.out:/usr/bin/a.out"));
    }
    Ok((host, Some(PathBuf::from(at))))
}

/// A specification's request, and the name it gives the image.
fn from_spec(path: &Path) -> Result<(Request, Option<String>)> {
    let shown = path.display().to_string();
    let read = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map(String::into_bytes)
    } else {
        policy::read_file(path)
    };
    let bytes = read.map_err(|e| {
        Error::new(Kind::Usage, format!("cannot read the specification {shown}: {}", io_text(&e)))
    })?;
    let spec = spec::parse(&shown, &bytes).map_err(|findings| spec::refused(&shown, &findings))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let dir = std::path::absolute(dir).map_err(|e| Error::new(Kind::Host, io_text(&e)))?;
    let text = spec.policy.as_deref().map(|policy| policy_text(policy, &dir)).transpose()?;
    let name = spec.name.clone();
    Ok((spec.into_request(&dir, text)?, Some(name)))
}

/// A policy in its canonical form; files are seen from a directory.
fn policy_text(name: &str, dir: &Path) -> Result<String> {
    if !policy::is_file_argument(name) {
        return Ok(policy::load_builtin(name)?.to_json());
    }
    let path = dir.join(name);
    let text = policy::read_file(&path).map_err(|e| {
        Error::new(Kind::Policy, format!("cannot read the policy {}: {}", path.display(), io_text(&e)))
    })?;
    Ok(policy::parse(name, &text)?.to_json())
}

/// Names it, and tells what became of it.
pub(super) fn tell(store: &Store, built: &Built, name: Option<&str>, as_json: bool) -> Result<Outcome> {
    if let Some(name) = name {
        built.name(store, name).map_err(no_image)?;
    }
    let headline = built.card.census.headline(built.card.packages);
    if as_json {
        print_json(&json!({
            "id": built.image.id(),
            "name": name,
            "headline": headline,
            "files": built.card.census.files,
            "bytes": built.card.census.bytes,
            "programs": built.card.census.programs,
            "shells": built.card.census.shells,
            "packages": built.card.packages,
            "left_out": built.about.left_out,
            "notes": built.about.notes,
        }))?;
        return Ok(Outcome::Good);
    }
    for left in &built.about.left_out {
        say::line(format_args!("stockade: left out: {}: {}", left.path, left.why));
    }
    for note in &built.about.notes {
        say::line(format_args!("stockade: note: {note}"));
    }
    print(&format!("{}\n{headline}\n", built.image.id()))?;
    Ok(Outcome::Good)
}

/// Options of `stockade image slim`.
#[derive(Debug, Args)]
pub struct Slim {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// A program to keep, by its path in the image.
    #[arg(long, value_name = "PROGRAM", required = true)]
    entrypoint: Vec<PathBuf>,

    /// Something else of the image to keep: a path or a pattern.
    #[arg(long, value_name = "PATH")]
    include: Vec<String>,

    /// What the smaller image is called.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,

    /// Tells about it as JSON.
    #[arg(long)]
    json: bool,
}

impl Slim {
    pub(super) fn run(self, store: &StoreChoice) -> Result<Outcome> {
        interrupted::prepare(store)?;
        let store = open(store)?;
        let name = Ref::parse(&self.image).map_err(no_image)?;
        let relative = self.entrypoint.iter().find(|path| !path.is_absolute());
        if let Some(path) = relative {
            let message = format!("--entrypoint {}: not an absolute path", path.display());
            return Err(Error::new(Kind::Usage, message).help("'stockade image inspect' lists the programs"));
        }
        let part = Part { programs: self.entrypoint, includes: self.include };
        let progress = OnTerminal::new();
        let (_, built) = slim::slim(&store, &name, &part, &progress)?;
        drop(progress);
        tell(&store, &built, self.name.as_deref(), self.json)
    }
}
