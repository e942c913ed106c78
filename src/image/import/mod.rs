//! Images made elsewhere: OCI layouts, archives of Docker, root file systems.
//!
//! Guarantees: nothing is ever unpacked onto paths. What is read becomes a tree
//! in memory and objects in the store; only when all of it is known, and is an
//! image, does the store get a manifest. What is refused leaves nothing behind
//! but objects that the next collection removes. See [`Limits`] for how much is
//! read of what could be a bomb.

mod bundle;
mod dir;
mod docker;
mod layer;
mod limits;
pub(crate) mod oci;
pub(crate) mod start;
pub(crate) mod tar;
mod unpack;

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use bundle::Bundle;
use layer::{Refused, Tree};
use limits::Meter;
use nix::errno::Errno;
use start::Found;

use super::build::{Built, Kept, Progress, count, unusable};
use super::digest::{Digest, Hasher};
use super::packages;
use super::store::{About, Made, Store, Writer};
use crate::error::{Error, Kind, Result, io_text};

pub use limits::Limits;

/// Imports an image. Of several in one place, `SOURCE:NAME` names the one that
/// is meant; `-` is standard input.
///
/// # Errors
/// There is nothing of the kind, it is damaged, or it holds what no image can:
/// the entry is named, and nothing of it is kept.
pub fn import(store: &Store, source: &str, limits: Limits, progress: &dyn Progress) -> Result<Built> {
    let (path, tag) = split(source);
    let refused = |refused| match refused {
        Refused::Store(problem) => unusable(problem),
        Refused::Entry(entry, what) => cannot(source, &format!("{entry}: {what}")),
        Refused::Whole(what) => cannot(source, &what),
    };
    store.make_room();
    let mut writer = store.writer().map_err(unusable)?;
    let meter = Meter::new(limits);
    let opened = open(&path, &mut writer, &meter).map_err(refused)?;
    let mut tree = Tree::new(&mut writer, &meter, progress);
    let found = match opened {
        Opened::Root(dir) => {
            refuse_tag(tag.as_deref()).map_err(refused)?;
            tree.directory(&dir).map(|()| Found::default())
        }
        Opened::Bundle(bundle) => layered(&bundle, tag.as_deref(), &mut tree, &meter),
        Opened::Archive(file) => {
            refuse_tag(tag.as_deref()).map_err(refused)?;
            root_archive(file, &mut tree)
        }
    };
    let found = found.map_err(refused)?;
    let Tree { draft, left_out, set_id, .. } = tree;
    writer.commit().map_err(unusable)?;
    progress.now("counting");
    let census = count(store, &draft)?;
    let packages = packages::of_image(store, &draft);
    let Found { header, policy, mut notes } = found;
    if let Some(policy) = policy {
        store.put_policy(policy.as_bytes()).map_err(unusable)?;
    }
    let (manifest, why) = draft.seal(header).map_err(|problem| cannot(source, &problem.to_string()))?;
    notes.extend(packages.notes);
    let left_out = left_out.into_iter().collect();
    let about = About::new(why, packages.packages, packages.owners, left_out, notes);
    let kept = Kept { manifest, made: Made::Import, source: source.to_owned(), census, about, set_id };
    kept.keep(&writer)
}

fn cannot(source: &str, what: &str) -> Error {
    Error::new(Kind::Usage, format!("{} cannot be imported: {what}", source.escape_default()))
        .help("an OCI layout or its archive, a docker-archive, a root file system as a directory or tar can be imported")
}

/// `PATH:NAME` where there is nothing of that whole name.
fn split(source: &str) -> (PathBuf, Option<String>) {
    let whole = PathBuf::from(source);
    if source != "-" && whole.symlink_metadata().is_err() {
        // A tag may have a colon of its own.
        for (at, _) in source.match_indices(':') {
            let (path, tag) = (Path::new(&source[..at]), &source[at + 1..]);
            if !tag.is_empty() && path.symlink_metadata().is_ok() {
                return (path.to_path_buf(), Some(tag.to_owned()));
            }
        }
    }
    (whole, None)
}

fn refuse_tag(tag: Option<&str>) -> std::result::Result<(), Refused> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(Refused::Whole(format!(
            "it is a root file system, and has no image '{}' in it",
            tag.escape_default()
        ))),
    }
}

/// What a source turned out to be.
enum Opened {
    /// A directory with a root file system.
    Root(OwnedFd),
    /// Parts of an image.
    Bundle(Bundle),
    /// An archive of a root file system, not compressed.
    Archive(File),
}

fn open(path: &Path, writer: &mut Writer<'_>, meter: &Rc<Meter>) -> std::result::Result<Opened, Refused> {
    let failed = |error: io::Error| Refused::Whole(io_text(&error));
    let file = if path == Path::new("-") {
        let mut spool = writer.spool()?;
        io::copy(&mut io::stdin().lock(), &mut spool).map_err(|error| unspooled(writer, &error))?;
        spool.rewind().map_err(failed)?;
        spool
    } else {
        use std::os::unix::fs::OpenOptionsExt;
        // Not stopped by a pipe; a device is refused below.
        let mut options = File::options();
        options.read(true).custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC).open(path).map_err(failed)?
    };
    let meta = file.metadata().map_err(failed)?;
    if meta.is_dir() {
        let bundle = Bundle::Dir(OwnedFd::from(file.try_clone().map_err(failed)?));
        return Ok(if bundle.is_layout() {
            Opened::Bundle(bundle)
        } else {
            Opened::Root(OwnedFd::from(file))
        });
    }
    if !meta.is_file() {
        return Err(Refused::Whole("it is neither a file nor a directory".into()));
    }
    let mut file = plain(file, writer, meter)?;
    let bundle = Bundle::of_archive(file.try_clone().map_err(failed)?, &Meter::new(*meter.limits()));
    match bundle {
        Ok(bundle) if bundle.is_layout() || docker::is_list(&bundle) => return Ok(Opened::Bundle(bundle)),
        // What is wrong with a root file system is told by reading it as one.
        _ => {}
    }
    file.rewind().map_err(failed)?;
    Ok(Opened::Archive(file))
}

/// What stopped the copying of a source: what no reading answers is the store's.
fn unspooled(writer: &Writer<'_>, error: &io::Error) -> Refused {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(errno @ (Errno::ENOSPC | Errno::EDQUOT)) => Refused::Store(writer.spool_problem(errno)),
        _ => Refused::Whole(io_text(error)),
    }
}

/// The archive without its compression.
fn plain(mut file: File, writer: &mut Writer<'_>, meter: &Rc<Meter>) -> std::result::Result<File, Refused> {
    let failed = |error: io::Error| Refused::Whole(io_text(&error));
    let mut head = Vec::new();
    (&mut file).take(6).read_to_end(&mut head).map_err(failed)?;
    file.rewind().map_err(failed)?;
    let packing = unpack::packing(&head);
    if packing == unpack::Packing::None {
        return Ok(file);
    }
    let mut unpacked = unpack::unpack(file, packing, meter).map_err(Refused::Whole)?;
    let mut spool = writer.spool()?;
    io::copy(&mut unpacked, &mut spool).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => Refused::Whole("the archive is cut short".into()),
        _ => unspooled(writer, &error),
    })?;
    spool.rewind().map_err(failed)?;
    Ok(spool)
}

/// An archive that is the root file system.
fn root_archive(file: File, tree: &mut Tree<'_, '_>) -> std::result::Result<Found, Refused> {
    let records = {
        let head = file.try_clone().map_err(|error| Refused::Whole(io_text(&error)))?;
        let mut reader = tar::Reader::new(io::BufReader::new(head));
        reader.next()?;
        reader.own().clone()
    };
    let mut from =
        unpack::unpack(rewound(file)?, unpack::Packing::None, &tree.meter).map_err(Refused::Whole)?;
    tree.archive(&mut from, None)?;
    let prefix = "";
    Ok(start::own(&records, prefix).map_err(Refused::Whole)?.unwrap_or_default())
}

fn rewound(mut file: File) -> std::result::Result<File, Refused> {
    match file.rewind() {
        Ok(()) => Ok(file),
        Err(error) => Err(Refused::Whole(io_text(&error))),
    }
}

/// An image of layers.
fn layered(
    bundle: &Bundle,
    tag: Option<&str>,
    tree: &mut Tree<'_, '_>,
    meter: &Rc<Meter>,
) -> std::result::Result<Found, Refused> {
    let parts = match bundle {
        bundle if !bundle.is_whole_layout() && docker::is_list(bundle) => docker::read(bundle, tag)?,
        bundle => oci::read(bundle, tag)?,
    };
    if parts.layers.len() > meter.limits().layers {
        return Err(Refused::Whole(format!(
            "it has {} layers, and {} are read",
            parts.layers.len(),
            meter.limits().layers
        )));
    }
    for (index, name) in parts.layers.iter().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let said = parts.configuration.rootfs.diff_ids.get(index).map(String::as_str).unwrap_or_default();
        layer(bundle, name, said, number, tree, meter).map_err(|refused| match refused {
            Refused::Entry(entry, what) => Refused::Entry(format!("layer {number}: {entry}"), what),
            Refused::Whole(what) => Refused::Whole(format!("layer {number}: {what}")),
            other => other,
        })?;
    }
    let start = parts.configuration.config.unwrap_or_default();
    start::of_configuration(&start, &tree.draft).map_err(Refused::Whole)
}

/// One layer; its plain bytes must be those that the configuration says.
fn layer(
    bundle: &Bundle,
    name: &str,
    said: &str,
    number: u32,
    tree: &mut Tree<'_, '_>,
    meter: &Rc<Meter>,
) -> std::result::Result<(), Refused> {
    let Some(wanted) = Digest::from_id(said) else {
        return Err(Refused::Whole(format!(
            "its diff id '{}' is not a SHA-256 digest",
            said.escape_default()
        )));
    };
    let mut head = Vec::new();
    oci::open(bundle, name)?
        .take(6)
        .read_to_end(&mut head)
        .map_err(|error| Refused::Whole(io_text(&error)))?;
    let part = oci::open(bundle, name)?;
    let unpacked = unpack::unpack(part, unpack::packing(&head), meter).map_err(Refused::Whole)?;
    let mut hashed = Hashed { from: unpacked, hasher: Hasher::new() };
    tree.archive(&mut hashed, Some(number))?;
    let found = hashed.hasher.finish();
    if found != wanted {
        return Err(Refused::Whole(format!(
            "its plain bytes have the digest {}, and the configuration says {said}",
            found.id()
        )));
    }
    Ok(())
}

/// What passes is hashed.
struct Hashed<R> {
    from: R,
    hasher: Hasher,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.hasher.update(&to[..read]);
        Ok(read)
    }
}
