//! Payloads that come again: read and hashed once.
//!
//! A judge runs one program on a hundred tests. From its second job on, a file that
//! is still the same is kept as a sealed copy in memory, with the digest of just
//! that: what a box gets is the copy, so that the report names what ran, whatever
//! becomes of the file.
//!
//! A file is the same as long as the kernel shows the same device, inode, size and
//! times for it. A change within the clock's grain could hide behind the change
//! before it: a file that changed a moment ago is not kept.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::image::FileState;
use crate::image::digest::Hasher;
use crate::sandbox::compile::Payload;
use crate::sys::fd;

/// Largest file that is kept.
const MOST_BYTES: u64 = 8 << 20;

/// Files that are known.
const MOST_FILES: usize = 8;

/// A payload as it was read.
#[derive(Debug)]
pub struct Kept {
    /// Its content, which nobody can change.
    pub file: File,
    /// Of that content.
    pub sha256: String,
}

impl Kept {
    /// As a box is given it before its job is known.
    ///
    /// # Errors
    /// No descriptor is left.
    pub fn as_payload(&self) -> io::Result<Payload> {
        let file = File::from(fd::above_stdio(OwnedFd::from(self.file.try_clone()?))?);
        let size = file.metadata()?.len();
        Ok(Payload { file, size, name: String::new() })
    }
}

/// The last payloads, the one used last at the end.
#[derive(Debug, Default)]
pub struct Payloads(Vec<(FileState, Option<Arc<Kept>>)>);

impl Payloads {
    /// The copy of this file, where it has come before. Whatever stands in the way of one, the file
    /// itself does as well: also one whose size is no longer what the job was told.
    pub fn kept(&mut self, payload: &Payload) -> Option<Arc<Kept>> {
        let file = &payload.file;
        let identity = FileState::of(&file.metadata().ok()?);
        if identity.size() > MOST_BYTES || identity.size() != payload.size || !identity.is_settled_now() {
            return None;
        }
        let Some(at) = self.0.iter().position(|(known, _)| *known == identity) else {
            self.0.retain(|(known, _)| known.inode() != identity.inode());
            if self.0.len() == MOST_FILES {
                self.0.remove(0);
            }
            self.0.push((identity, None));
            return None;
        };
        let (_, kept) = self.0.remove(at);
        let kept = kept.or_else(|| {
            let copy = keep(file).ok()?;
            // Nobody has written to it meanwhile.
            (FileState::of(&file.metadata().ok()?) == identity).then(|| Arc::new(copy))
        });
        self.0.push((identity, kept.clone()));
        kept
    }
}

fn keep(file: &File) -> io::Result<Kept> {
    let copy = memfd_create(c"payload", MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING)?;
    let mut copy = File::from(copy);
    let mut from = file.try_clone()?;
    from.rewind()?;
    let mut hasher = Hasher::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match from.read(&mut piece)? {
            0 => break,
            n => {
                hasher.update(&piece[..n]);
                copy.write_all(&piece[..n])?;
            }
        }
    }
    let seals =
        [SealFlag::F_SEAL_WRITE, SealFlag::F_SEAL_GROW, SealFlag::F_SEAL_SHRINK, SealFlag::F_SEAL_SEAL];
    fcntl(&copy, FcntlArg::F_ADD_SEALS(seals.into_iter().collect()))?;
    Ok(Kept { file: copy, sha256: hasher.finish().to_string() })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use std::os::unix::fs::FileExt as _;

    /// A file that was left alone for so long has settled.
    const SETTLED: Duration = Duration::from_millis(200);

    fn content(kept: &Kept) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(kept.file.metadata().unwrap().len()).unwrap()];
        kept.file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn open(path: &std::path::Path) -> Payload {
        let file = File::open(path).unwrap();
        let size = file.metadata().unwrap().len();
        Payload { file, size, name: String::new() }
    }

    fn settled(path: &std::path::Path, bytes: &[u8]) -> Payload {
        std::fs::write(path, bytes).unwrap();
        std::thread::sleep(SETTLED);
        open(path)
    }

    #[test]
    fn payload_that_comes_again_is_kept_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let mut payloads = Payloads::default();
        let file = settled(&path, b"first");
        assert!(payloads.kept(&file).is_none());
        let kept = payloads.kept(&open(&path)).unwrap();
        assert_eq!(content(&kept), b"first");
        assert_eq!(kept.sha256, "a7937b64b8caa58f03721bb6bacf5c78cb235febe0e70b1b84cd99541461a08e");
        assert!((&kept.file).write_all(b"x").is_err());
        assert!(Arc::ptr_eq(&kept, &payloads.kept(&file).unwrap()));
    }

    #[test]
    fn payload_that_has_changed_is_read_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let mut payloads = Payloads::default();
        for _ in 0..2 {
            payloads.kept(&settled(&path, b"first"));
        }
        // The same size, in the same file.
        let file = settled(&path, b"other");
        assert!(payloads.kept(&file).is_none());
        assert_eq!(content(&payloads.kept(&file).unwrap()), b"other");
    }

    #[test]
    fn payload_that_changed_just_now_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let mut payloads = Payloads::default();
        for _ in 0..3 {
            std::fs::write(&path, b"first").unwrap();
            assert!(payloads.kept(&open(&path)).is_none());
        }
    }

    #[test]
    fn payload_that_grew_after_its_job_was_told_its_size_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("program");
        let mut payloads = Payloads::default();
        let told = settled(&path, b"first");
        let grown = settled(&path, b"first and more");
        assert!(payloads.kept(&grown).is_none());
        assert!(payloads.kept(&grown).is_some());
        assert!(payloads.kept(&told).is_none());
    }

    #[test]
    fn payloads_are_forgotten_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let mut payloads = Payloads::default();
        let files: Vec<_> = (0..=MOST_FILES)
            .map(|i| {
                let path = dir.path().join(i.to_string());
                std::fs::write(&path, i.to_string()).unwrap();
                open(&path)
            })
            .collect();
        std::thread::sleep(SETTLED);
        for file in &files {
            assert!(payloads.kept(file).is_none());
        }
        assert!(payloads.kept(&files[MOST_FILES]).is_some());
        assert!(payloads.kept(&files[0]).is_none());
        assert_eq!(payloads.0.len(), MOST_FILES);
    }
}
