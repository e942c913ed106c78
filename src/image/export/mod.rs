//! Images for others: an OCI layout, its archive, or a root file system's tar.
//!
//! Guarantees: the same image always makes the same bytes; every file is
//! compared with its digest while it is written; what appears at the
//! destination is whole, and nothing that was there is replaced.

mod tar;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};

use super::build::{Progress, unusable};
use super::digest::{Digest, Hasher};
use super::import::oci::{CONFIG, INDEX, LAYER, MANIFEST, REF_NAME};
use super::import::start::{HEADER, LABEL, POLICY};
use super::import::tar::OWN;
use super::manifest::{Header, Manifest, What};
use super::store::Store;
use crate::error::{Error, Kind, Result, io_text, no_matter};

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// An OCI image layout; as an archive where the destination ends in `.tar`.
    Oci,
    /// The root file system as a tar archive.
    Tar,
}

/// Writes an image; `-` is standard output, for archives. `name` is what a
/// layout calls it.
///
/// # Errors
/// The destination is there already or cannot be written, or a file of the image
/// is not what it should be.
pub fn export(
    store: &Store,
    image: &Digest,
    name: &str,
    to: &Path,
    format: Format,
    progress: &dyn Progress,
) -> Result<()> {
    let manifest = store.manifest(image).map_err(unusable)?;
    let manifest = manifest.ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no image {}", image.id()))
            .help("'stockade image list' shows what there is")
    })?;
    let work = Work { store, manifest: &manifest, progress };
    let archive = to == Path::new("-") || to.extension().is_some_and(|end| end == "tar");
    match format {
        Format::Tar => {
            let own = work.own(OWN)?;
            whole_file(to, |out| work.root(out, &own))
        }
        Format::Oci => {
            let parts = work.parts(name)?;
            if archive { whole_file(to, |out| parts.archive(out)) } else { parts.layout(to) }
        }
    }
}

/// Why writing stopped.
enum Stopped {
    /// The destination's fault.
    Write(io::Error),
    /// The image's or the store's.
    Image(Error),
}

impl From<io::Error> for Stopped {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

impl Stopped {
    fn at(self, to: &Path) -> Error {
        match self {
            Self::Image(error) => error,
            Self::Write(error) => {
                Error::new(Kind::Host, format!("{} cannot be written: {}", to.display(), io_text(&error)))
            }
        }
    }
}

struct Work<'a> {
    store: &'a Store,
    manifest: &'a Manifest,
    progress: &'a dyn Progress,
}

impl Work<'_> {
    /// What makes the id the same again: the header, and the policy that it names.
    fn own(&self, prefix: &str) -> Result<Vec<(String, String)>> {
        let header = self.manifest.header();
        if *header == Header::default() {
            return Ok(Vec::new());
        }
        let mut own = vec![(format!("{prefix}{HEADER}"), header.to_text())];
        if let Some(digest) = &header.policy {
            let text = self.store.policy(digest).map_err(unusable)?;
            let text = text.and_then(|text| String::from_utf8(text).ok()).ok_or_else(|| {
                Error::new(Kind::Host, format!("the image's policy {} is not in the store", digest.id()))
                    .help("build the image again")
            })?;
            own.push((format!("{prefix}{POLICY}"), text));
        }
        Ok(own)
    }

    /// The root file system.
    fn root(&self, to: &mut dyn Write, own: &[(String, String)]) -> std::result::Result<(), Stopped> {
        let mut count = 0_u64;
        tar::write(to, self.manifest, own, |entry, to| {
            let What::File { mode, size, digest } = &entry.what else { return Ok(()) };
            if count.is_multiple_of(64) {
                self.progress.now(&format!("writing {}", entry.path.escape_ascii()));
            }
            count += 1;
            let content = self
                .store
                .content(digest, *mode, *size)
                .map_err(|problem| Stopped::Image(unusable(problem)))?;
            let found = content.copy(|piece| to.write_all(piece))?;
            if found == *digest {
                return Ok(());
            }
            let path = entry.path.escape_ascii();
            let message = format!(
                "the image is not what it should be: {path}: digest is {found}, and should be {digest}"
            );
            Err(Stopped::Image(
                Error::new(Kind::Host, message).help("'stockade image verify --full' shows everything"),
            ))
        })
    }

    /// Everything that a layout consists of.
    fn parts(&self, name: &str) -> Result<Parts> {
        let writer = self.store.writer().map_err(unusable)?;
        let file = writer.spool().map_err(unusable)?;
        let failed = |stopped: Stopped| stopped.at(self.store.path());
        let (mut file, diff_id) = self.layer(file).map_err(failed)?;
        let (layer, layer_size) = hash(&mut file).map_err(|error| failed(error.into()))?;
        let header = self.manifest.header();
        let newest = self.manifest.entries().iter().map(|entry| entry.mtime).max().unwrap_or(0);
        let created = crate::image::packages::sbom::timestamp(newest);
        let labels: serde_json::Map<String, Value> =
            self.own(LABEL)?.into_iter().map(|(key, value)| (key, Value::String(value))).collect();
        let mut start = json!({ "Labels": labels });
        let word = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        if let Some(entry) = &header.entry {
            // Docker's words for it: arguments come at the end by themselves.
            let args =
                header.args.iter().map(|arg| word(arg)).filter(|arg| arg != "{args}" && arg != "{payload}");
            start["Entrypoint"] = std::iter::once(word(entry)).chain(args).collect();
        }
        let env: Vec<String> =
            header.env.iter().map(|(name, value)| format!("{}={}", word(name), word(value))).collect();
        if !env.is_empty() {
            start["Env"] = env.into();
        }
        let config = to_bytes(&json!({
            "created": created,
            "architecture": "amd64",
            "os": "linux",
            "config": start,
            "rootfs": { "type": "layers", "diff_ids": [diff_id.id()] },
            "history": [{ "created": created, "created_by": "stockade image export" }],
        }))?;
        let manifest = to_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": { "mediaType": CONFIG, "digest": Digest::of(&config).id(), "size": config.len() },
            "layers": [{ "mediaType": LAYER, "digest": layer.id(), "size": layer_size }],
        }))?;
        let index = to_bytes(&json!({
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [{
                "mediaType": MANIFEST,
                "digest": Digest::of(&manifest).id(),
                "size": manifest.len(),
                "platform": { "architecture": "amd64", "os": "linux" },
                "annotations": { REF_NAME: name },
            }],
        }))?;
        drop(writer);
        Ok(Parts { layer: (layer, layer_size, file), config, manifest, index })
    }

    /// The only layer, compressed, and the digest of its plain bytes.
    fn layer(&self, file: File) -> std::result::Result<(File, Digest), Stopped> {
        // No name and no time: the same bytes whenever it is made.
        let packed = GzBuilder::new().mtime(0).write(BufWriter::new(file), Compression::default());
        let mut plain = Hashing { to: packed, hasher: Hasher::new() };
        self.root(&mut plain, &[])?;
        let buffered = plain.to.finish()?;
        let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok((file, plain.hasher.finish()))
    }
}

fn to_bytes(value: &Value) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|error| Error::new(Kind::Sandbox, format!("JSON: {error}")))
}

/// The digest and size of a file, which then stands at its start.
fn hash(file: &mut File) -> io::Result<(Digest, u64)> {
    file.rewind()?;
    let mut hashing = Hashing { to: io::sink(), hasher: Hasher::new() };
    let size = io::copy(file, &mut hashing)?;
    file.rewind()?;
    Ok((hashing.hasher.finish(), size))
}

/// What passes is hashed.
struct Hashing<W> {
    to: W,
    hasher: Hasher,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A layout's parts.
struct Parts {
    layer: (Digest, u64, File),
    config: Vec<u8>,
    manifest: Vec<u8>,
    index: Vec<u8>,
}

const VERSION: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

impl Parts {
    /// The small ones, by name.
    fn documents(&self) -> Vec<(String, &[u8])> {
        let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes));
        let mut all = vec![
            (blob(&self.config), self.config.as_slice()),
            (blob(&self.manifest), self.manifest.as_slice()),
            ("index.json".to_owned(), self.index.as_slice()),
            ("oci-layout".to_owned(), VERSION),
        ];
        all.sort();
        all
    }

    fn archive(mut self, to: &mut dyn Write) -> std::result::Result<(), Stopped> {
        for dir in ["blobs/", "blobs/sha256/"] {
            tar::plain_dir(to, dir, 0)?;
        }
        let (digest, size, file) = &mut self.layer;
        tar::plain(to, &format!("blobs/sha256/{digest}"), 0, *size)?;
        io::copy(file, to)?;
        tar::pad(to, *size)?;
        for (name, bytes) in self.documents() {
            tar::plain(to, &name, 0, bytes.len() as u64)?;
            to.write_all(bytes)?;
            tar::pad(to, bytes.len() as u64)?;
        }
        to.write_all(&[0; 1024])?;
        Ok(())
    }

    /// A directory, made beside its place and then given its name.
    fn layout(mut self, to: &Path) -> Result<()> {
        refuse_taken(to)?;
        let beside = beside(to)?;
        let fill = |parts: &mut Self| -> io::Result<()> {
            fs::create_dir_all(beside.join("blobs/sha256"))?;
            let (digest, size, file) = &mut parts.layer;
            let mut copy = File::create_new(beside.join(format!("blobs/sha256/{digest}")))?;
            io::copy(&mut file.take(*size), &mut copy)?;
            copy.sync_all()?;
            for (name, bytes) in parts.documents() {
                fs::write(beside.join(name), bytes)?;
            }
            fs::rename(&beside, to)
        };
        fill(&mut self).map_err(|error| {
            no_matter(fs::remove_dir_all(&beside), "what could not be written is told of already");
            Stopped::Write(error).at(to)
        })
    }
}

fn refuse_taken(to: &Path) -> Result<()> {
    if to.symlink_metadata().is_ok() {
        return Err(Error::new(Kind::Usage, format!("{} is there already", to.display()))
            .help("remove it, or name another place"));
    }
    Ok(())
}

/// A name in the same directory, which nobody else uses.
fn beside(to: &Path) -> Result<PathBuf> {
    let Some(name) = to.file_name().and_then(|name| name.to_str()) else {
        return Err(Error::new(Kind::Usage, format!("{} is no name of a file", to.display()))
            .help("name a file or directory to make"));
    };
    Ok(to.with_file_name(format!(".{name}.{}", std::process::id())))
}

/// Writes a file beside its place, and gives it its name when it is whole.
fn whole_file(
    to: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::result::Result<(), Stopped>,
) -> Result<()> {
    if to == Path::new("-") {
        let mut out = BufWriter::new(io::stdout().lock());
        return write(&mut out)
            .and_then(|()| Ok(out.flush()?))
            .map_err(|stopped| stopped.at(Path::new("standard output")));
    }
    refuse_taken(to)?;
    let beside = beside(to)?;
    let run = || -> std::result::Result<(), Stopped> {
        let mut out = BufWriter::with_capacity(1 << 20, File::create_new(&beside)?);
        write(&mut out)?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(fs::rename(&beside, to)?)
    };
    run().map_err(|stopped| {
        no_matter(fs::remove_file(&beside), "what could not be written is told of already");
        stopped.at(to)
    })
}

/// A small file as an entry of an archive, for tests of readers.
pub(crate) fn plain_file(to: &mut Vec<u8>, name: &str, bytes: &[u8]) {
    let put = tar::plain(to, name, 0, bytes.len() as u64)
        .and_then(|()| to.write_all(bytes))
        .and_then(|()| tar::pad(to, bytes.len() as u64));
    no_matter(put, "a vector takes everything");
}
