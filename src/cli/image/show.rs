//! What images hold: `list`, `inspect`, `files`, `why`, `diff`, `sbom`.

use std::fmt::Write as _;

use clap::Args;
use serde_json::{Value, json};

use stockade::error::{Error, Kind, Result};
use stockade::image::Store;
use stockade::image::census::megabytes;
use stockade::image::diff;
use stockade::image::digest::Digest;
use stockade::image::manifest::{Manifest, What};
use stockade::image::packages::sbom;
use stockade::image::store::{About, Card};
use stockade::sandbox::StoreChoice;

use super::text::{print, print_json};
use super::{Outcome, find, open, unusable};
use crate::cli::say;

fn push(out: &mut String, what: std::fmt::Arguments<'_>) {
    stockade::error::no_matter(out.write_fmt(what), "writing to a string cannot fail");
}

fn manifest(store: &Store, image: &Digest) -> Result<Manifest> {
    let missing = || Error::new(Kind::Usage, format!("there is no image {}", image.id()));
    store.manifest(image).map_err(unusable)?.ok_or_else(missing)
}

fn account(store: &Store, image: &Digest) -> Result<(Card, About)> {
    let card = store.card(image).map_err(unusable)?;
    let about = store.about(image).map_err(unusable)?;
    card.zip(about).ok_or_else(|| {
        Error::new(Kind::Host, format!("nothing is known of how {} was made", image.id()))
            .help("build or import it again")
    })
}

/// Options of `stockade image list`.
#[derive(Debug, Args)]
pub struct List {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl List {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let names = store.names().map_err(unusable)?;
        let mut rows: Vec<(Option<String>, Digest)> =
            names.iter().map(|(name, image)| (Some(name.clone()), *image)).collect();
        for image in store.images().map_err(unusable)? {
            if !names.iter().any(|(_, named)| *named == image) {
                rows.push((None, image));
            }
        }
        let mut documents = Vec::new();
        let mut out = String::new();
        for (name, image) in rows {
            let card = store.card(&image).map_err(unusable)?;
            let headline = card.as_ref().map_or_else(
                || "nothing is known of it".to_owned(),
                |card| card.census.headline(card.packages),
            );
            let shown = name.as_deref().unwrap_or("-");
            let id = image.to_string();
            push(&mut out, format_args!("{shown:20} {:12}  {headline}\n", id.get(..12).unwrap_or_default()));
            documents.push(json!({
                "name": name,
                "id": image.id(),
                "files": card.as_ref().map(|c| c.census.files),
                "bytes": card.as_ref().map(|c| c.census.bytes),
                "programs": card.as_ref().map(|c| c.census.programs.len()),
                "shells": card.as_ref().map(|c| c.census.shells.len()),
                "packages": card.as_ref().map(|c| c.packages),
                "made": card.as_ref().map(|c| c.made.name()),
            }));
        }
        if self.json {
            print_json(&documents)?
        } else {
            print(&out)?
        }
        Ok(Outcome::Good)
    }
}

/// Options of `stockade image inspect`.
#[derive(Debug, Args)]
pub struct Inspect {
    /// The image: NAME, NAME@sha256:ID or sha256:ID.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Inspect {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let image = find(&store, &self.image)?;
        let manifest = manifest(&store, &image)?;
        let (card, about) = account(&store, &image)?;
        let names: Vec<String> =
            store.names().map_err(unusable)?.into_iter().filter(|n| n.1 == image).map(|n| n.0).collect();
        if self.json {
            print_json(&inspected(&image, &names, &manifest, &card, &about))?;
        } else {
            print(&inspected_text(&image, &names, &manifest, &card, &about))?;
        }
        Ok(Outcome::Good)
    }
}

fn words(list: &[Vec<u8>]) -> Vec<String> {
    list.iter().map(|word| word.escape_ascii().to_string()).collect()
}

fn inspected(image: &Digest, names: &[String], manifest: &Manifest, card: &Card, about: &About) -> Value {
    let header = manifest.header();
    let env: Vec<String> = header
        .env
        .iter()
        .map(|(name, value)| format!("{}={}", name.escape_ascii(), value.escape_ascii()))
        .collect();
    json!({
        "id": image.id(),
        "names": names,
        "made": card.made.name(),
        "source": card.source,
        "headline": card.census.headline(card.packages),
        "entry": header.entry.as_ref().map(|entry| entry.escape_ascii().to_string()),
        "args": words(&header.args),
        "env": env,
        "policy": header.policy.map(|policy| policy.id()),
        "census": card.census,
        "setuid": 0,
        "set_id_stripped": card.set_id_stripped,
        "packages": about.packages,
        "left_out": about.left_out,
        "notes": about.notes,
    })
}

fn inspected_text(
    image: &Digest,
    names: &[String],
    manifest: &Manifest,
    card: &Card,
    about: &About,
) -> String {
    let mut out = String::new();
    let header = manifest.header();
    let census = &card.census;
    push(&mut out, format_args!("{}\n\n", census.headline(card.packages)));
    push(&mut out, format_args!("id            {}\n", image.id()));
    for name in names {
        push(&mut out, format_args!("name          {name}\n"));
    }
    push(&mut out, format_args!("made          {} of {}\n", card.made.name(), card.source));
    if header.entry.is_some() || !header.args.is_empty() {
        let first = header.entry.as_ref().map(|entry| entry.escape_ascii().to_string());
        let all: Vec<String> = first.into_iter().chain(words(&header.args)).collect();
        push(&mut out, format_args!("starts        {}\n", all.join(" ")));
    }
    for (name, value) in &header.env {
        push(&mut out, format_args!("environment   {}={}\n", name.escape_ascii(), value.escape_ascii()));
    }
    if let Some(policy) = header.policy {
        push(&mut out, format_args!("policy        {}\n", policy.id()));
    }
    push(
        &mut out,
        format_args!(
            "code          {} in programs and {} libraries\n",
            megabytes(census.executable_bytes),
            census.libraries
        ),
    );
    let lists = [
        ("programs", &census.programs),
        ("shells", &census.shells),
        ("interpreters", &census.interpreters),
        ("network", &census.network_clients),
        ("compilers", &census.compilers),
        ("installers", &census.package_managers),
    ];
    for (what, list) in lists {
        let shown = if list.is_empty() { "none".to_owned() } else { list.join(" ") };
        push(&mut out, format_args!("{what:13} {shown}\n"));
    }
    push(&mut out, format_args!("set-id bits   none; {} taken away\n", card.set_id_stripped));
    for package in &about.packages {
        push(
            &mut out,
            format_args!(
                "package       {} {} {}: {} of {} files\n",
                package.kind, package.name, package.version, package.kept, package.files
            ),
        );
    }
    for left in &about.left_out {
        push(&mut out, format_args!("left out      {}: {}\n", left.path, left.why));
    }
    for note in &about.notes {
        push(&mut out, format_args!("note          {note}\n"));
    }
    out
}

/// Options of `stockade image files`.
#[derive(Debug, Args)]
pub struct Files {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Files {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let image = find(&store, &self.image)?;
        let manifest = manifest(&store, &image)?;
        let mut out = String::new();
        let mut documents = Vec::new();
        for entry in manifest.entries() {
            let path = entry.path.escape_ascii().to_string();
            let time = sbom::timestamp(entry.mtime);
            let (kind, mode, size, more) = match &entry.what {
                What::Dir { mode } => ("directory", Some(*mode), None, None),
                What::File { mode, size, digest } => {
                    ("file", Some(*mode), Some(*size), Some(digest.to_string()))
                }
                What::Symlink { target } => ("link", None, None, Some(target.escape_ascii().to_string())),
            };
            if self.json {
                let mut document = json!({"path": path, "type": kind, "mtime": entry.mtime});
                if let Some(mode) = mode {
                    document["mode"] = json!(format!("{mode:04o}"));
                }
                if let Some(size) = size {
                    document["size"] = json!(size);
                    document["sha256"] = json!(more);
                } else if let Some(target) = more {
                    document["target"] = json!(target);
                }
                documents.push(document);
                continue;
            }
            let letter = kind.chars().next().map_or('?', |c| if c == 'f' { '-' } else { c });
            let mode = mode.map_or("    ".to_owned(), |mode| format!("{mode:04o}"));
            let size = size.map_or(String::new(), |size| size.to_string());
            let arrow = if kind == "link" {
                more.map_or(String::new(), |to| format!(" -> {to}"))
            } else {
                String::new()
            };
            push(&mut out, format_args!("{letter} {mode} {size:>11} {time} {path}{arrow}\n"));
        }
        if self.json {
            print_json(&documents)?
        } else {
            print(&out)?
        }
        Ok(Outcome::Good)
    }
}

/// Options of `stockade image why`.
#[derive(Debug, Args)]
pub struct WhyPath {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The path in the image.
    #[arg(value_name = "PATH")]
    path: String,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl WhyPath {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let image = find(&store, &self.image)?;
        let manifest = manifest(&store, &image)?;
        let (_, about) = account(&store, &image)?;
        let path = self.path.as_bytes().escape_ascii().to_string();
        let is_there =
            |path: &str| manifest.entries().iter().any(|e| e.path.escape_ascii().to_string() == path);
        if !is_there(&path) {
            let left = about.left_out.iter().find(|left| left.path == path);
            let message = format!("{path} is not in the image");
            return Err(match left {
                Some(left) => Error::new(Kind::Usage, format!("{message}: {}", left.why)),
                None => Error::new(Kind::Usage, message).help("'stockade image files' lists what is"),
            });
        }
        let mut chain = Vec::new();
        let mut next = Some(path.clone());
        while let Some(path) = next.take() {
            let (why, words) = match about.why.get(&path) {
                Some(why) => (Some(why), why.words()),
                None => (None, "leads to what is below it".to_owned()),
            };
            let looped = chain.iter().any(|(seen, _, _): &(String, String, _)| *seen == path);
            chain.push((path.clone(), words, about.package_of(&path).cloned()));
            if !looped {
                next = why.and_then(|why| why.because_of()).map(|by| real_of(&manifest, by));
            }
        }
        if self.json {
            let chain: Vec<Value> = chain
                .iter()
                .map(|(path, why, package)| json!({"path": path, "why": why, "package": package}))
                .collect();
            print_json(&chain)?;
            return Ok(Outcome::Good);
        }
        let mut out = String::new();
        for (depth, (path, why, package)) in chain.iter().enumerate() {
            let indent = "  ".repeat(depth);
            let package =
                package.as_ref().map_or(String::new(), |p| format!(" [{} {} {}]", p.kind, p.name, p.version));
            push(&mut out, format_args!("{indent}{path}: {why}{package}\n"));
        }
        print(&out)?;
        Ok(Outcome::Good)
    }
}

/// A reason may name a path through a link; the next reason is of what it leads to.
fn real_of(manifest: &Manifest, path: &str) -> String {
    match stockade::image::manifest::resolve(manifest, path.as_bytes()) {
        Some(entry) => entry.path.escape_ascii().to_string(),
        None => path.to_owned(),
    }
}

/// Options of `stockade image diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// One image.
    #[arg(value_name = "A")]
    before: String,

    /// The other.
    #[arg(value_name = "B")]
    after: String,

    /// As JSON.
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let ids = [find(&store, &self.before)?, find(&store, &self.after)?];
        let manifests = [manifest(&store, &ids[0])?, manifest(&store, &ids[1])?];
        let (files, start) = diff::diff(&manifests[0], &manifests[1]);
        let same = files.is_empty() && start.is_empty();
        if self.json {
            print_json(&json!({
                "before": ids[0].id(),
                "after": ids[1].id(),
                "files": files,
                "start": start,
            }))?;
        } else {
            let mut out = String::new();
            for difference in &files {
                let sign = match difference.what {
                    "added" => '+',
                    "removed" => '-',
                    _ => '~',
                };
                let respects = if difference.respects.is_empty() {
                    String::new()
                } else {
                    format!(" ({})", difference.respects.join(", "))
                };
                push(&mut out, format_args!("{sign} {}{respects}\n", difference.path));
            }
            for what in &start {
                push(&mut out, format_args!("~ {what}\n"));
            }
            let total = |at: usize| files.iter().map(|difference| difference.bytes[at]).sum::<u64>();
            if !same {
                let line = format_args!(
                    "{} differences, {} against {}\n",
                    files.len() + start.len(),
                    megabytes(total(0)),
                    megabytes(total(1))
                );
                push(&mut out, line);
            }
            print(&out)?;
        }
        Ok(if same { Outcome::Good } else { Outcome::Found })
    }
}

/// Options of `stockade image sbom`.
#[derive(Debug, Args)]
pub struct Sbom {
    /// The image.
    #[arg(value_name = "IMAGE")]
    image: String,

    /// The form.
    #[arg(long, value_name = "spdx|cyclonedx", default_value = "spdx", value_parser = ["spdx", "cyclonedx"])]
    format: String,
}

impl Sbom {
    pub(super) fn run(&self, store: &StoreChoice) -> Result<Outcome> {
        let store = open(store)?;
        let image = find(&store, &self.image)?;
        let manifest = manifest(&store, &image)?;
        let (_, about) = account(&store, &image)?;
        let newest = manifest.entries().iter().map(|entry| entry.mtime).max().unwrap_or(0);
        let document = match self.format.as_str() {
            "cyclonedx" => sbom::cyclonedx(&image, &about, newest),
            _ => sbom::spdx(&image, &about, newest),
        };
        if let Some(gap) = sbom::gap(&about) {
            say::line(format_args!("stockade: note: {gap}"));
        }
        print_json(&document)?;
        Ok(Outcome::Good)
    }
}
