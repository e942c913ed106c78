//! Where an image's parts lie: in a directory, or in an archive that is read in
//! place. A part is a file with a plain name; nothing else is ever opened.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::layer::Refused;
use super::limits::Meter;
use super::tar::{Kind, Reader};
use crate::image::digest::{Digest, Hasher};
use crate::sys;

/// Links from one part to another, as old archives of Docker have them.
const MAX_LINKS: usize = 8;

/// Parts by name.
pub(super) enum Bundle {
    Dir(OwnedFd),
    Archive { file: File, parts: HashMap<Vec<u8>, Part> },
}

/// Where a part is in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Bytes { at: u64, size: u64 },
    Link(Vec<u8>),
}

/// Some bytes of a file, read wherever others stand in it.
pub(super) struct Section {
    file: File,
    at: u64,
    pub(super) left: u64,
}

impl Read for Section {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(to.len());
        let read = self.file.read_at(&mut to[..most], self.at)?;
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

impl Bundle {
    /// Lists the parts of an archive, which is not unpacked.
    pub(super) fn of_archive(file: File, meter: &Meter) -> Result<Self, Refused> {
        let failed = |error: io::Error| Refused::Whole(crate::error::io_text(&error));
        let size = file.metadata().map_err(failed)?.len();
        let section = Section { file: file.try_clone().map_err(failed)?, at: 0, left: size };
        let mut reader = Reader::new(io::BufReader::with_capacity(64 << 10, section));
        let mut parts = HashMap::new();
        while let Some(entry) = reader.next()? {
            meter.entry().map_err(Refused::Whole)?;
            let name = plain(&entry.name);
            let part = match entry.kind {
                Kind::File => Part::Bytes { at: reader.position(), size: entry.size },
                Kind::Symlink | Kind::Hardlink => {
                    let dir =
                        name.iter().rposition(|byte| *byte == b'/').map_or(b"".as_slice(), |at| &name[..at]);
                    let from = if entry.kind == Kind::Hardlink { b"".as_slice() } else { dir };
                    Part::Link(plain(&[from, b"/", &entry.link].concat()))
                }
                Kind::Dir | Kind::Special(_) => continue,
            };
            // The first one of a name would be another reader's last.
            if parts.insert(name, part).is_some() {
                let shown = entry.name.escape_ascii().to_string();
                return Err(Refused::Entry(shown, "the archive has a file there already".into()));
            }
        }
        Ok(Self::Archive { file, parts })
    }

    /// Whether there is such a part.
    pub(super) fn has(&self, name: &str) -> bool {
        self.open(name).is_ok_and(|part| part.is_some())
    }

    /// Whether this is an OCI layout, perhaps without something that it must have.
    pub(super) fn is_layout(&self) -> bool {
        // What is there and cannot be read is there.
        let there = |name| !matches!(self.open(name), Ok(None));
        let blobs = match self {
            Self::Archive { parts, .. } => parts.keys().any(|name| name.starts_with(b"blobs/")),
            Self::Dir(_) => there("blobs"),
        };
        self.is_whole_layout() || blobs && (there("oci-layout") || there("index.json"))
    }

    /// Whether this is an OCI layout, with both of what makes it one.
    pub(super) fn is_whole_layout(&self) -> bool {
        self.has("oci-layout") && self.has("index.json")
    }

    /// A part, and how many bytes it has.
    pub(super) fn open(&self, name: &str) -> Result<Option<Section>, Refused> {
        let failed = |error: io::Error| Refused::Entry(name.to_owned(), crate::error::io_text(&error));
        match self {
            Self::Archive { file, parts } => {
                let mut name = plain(name.as_bytes());
                for _ in 0..MAX_LINKS {
                    match parts.get(&name) {
                        None => return Ok(None),
                        Some(Part::Link(to)) => name.clone_from(to),
                        Some(Part::Bytes { at, size }) => {
                            let file = file.try_clone().map_err(failed)?;
                            return Ok(Some(Section { file, at: *at, left: *size }));
                        }
                    }
                }
                Ok(None)
            }
            Self::Dir(dir) => {
                let path = CString::new(name)
                    .map_err(|_| Refused::Entry(name.into(), "a NUL in its path".into()))?;
                let flags = libc::O_RDONLY | libc::O_NONBLOCK;
                let file = match sys::fd::openat2(dir.as_raw_fd(), &path, flags, 0, sys::fd::Resolve::BENEATH)
                {
                    Ok(fd) => File::from(fd),
                    Err(sys::Errno::ENOENT) => return Ok(None),
                    Err(sys::Errno::ELOOP | sys::Errno::EXDEV) => {
                        return Err(Refused::Entry(
                            name.into(),
                            "a symbolic link in the place of a part".into(),
                        ));
                    }
                    Err(error) => return Err(failed(error.into())),
                };
                let meta = file.metadata().map_err(failed)?;
                if !meta.is_file() {
                    return Err(Refused::Entry(name.into(), "a part that is no file".into()));
                }
                Ok(Some(Section { file, at: 0, left: meta.len() }))
            }
        }
    }

    /// A part that must be there.
    pub(super) fn need(&self, name: &str) -> Result<Section, Refused> {
        self.open(name)?.ok_or_else(|| Refused::Entry(name.to_owned(), "it is not there".into()))
    }

    /// A small part, whole.
    pub(super) fn document(&self, name: &str, most: u64) -> Result<Vec<u8>, Refused> {
        let mut part = self.need(name)?;
        if part.left > most {
            return Err(Refused::Entry(
                name.to_owned(),
                format!("it has {} bytes, more than any real one", part.left),
            ));
        }
        let mut bytes = Vec::new();
        match part.read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(error) => Err(Refused::Entry(name.to_owned(), crate::error::io_text(&error))),
        }
    }

    /// The digest of a part's bytes.
    pub(super) fn digest(&self, name: &str) -> Result<Digest, Refused> {
        let mut part = self.need(name)?;
        let mut hasher = Hasher::new();
        let mut piece = vec![0; 128 << 10];
        loop {
            match part.read(&mut piece) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(read) => hasher.update(&piece[..read]),
                Err(error) => return Err(Refused::Entry(name.to_owned(), crate::error::io_text(&error))),
            }
        }
    }
}

/// A name without `.`, `..` and needless slashes: a key, never a path.
fn plain(name: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in name.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join(b"/".as_slice())
}
