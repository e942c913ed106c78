//! Closures of programs that come again.
//!
//! A judge runs one program on a hundred tests. What its program needs was looked up
//! for the first of them, and is looked up no more as long as nothing has changed: not
//! the program's file, none of the files that a record of the store would be believed
//! by, not the tree, not what the policy mounts. Everything that a record is checked
//! by, this is checked by, each time; what is spared is to read the program's headers
//! and the record, and to open and lock the tree, which whoever uses this holds already.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::record::Proof;
use super::trust::{Host, State};
use super::{Request, closure_and_proof};
use crate::error::Result;
use crate::image::store::Store;
use crate::image::{Root, RootSource};

/// Programs that are known.
const MOST: usize = 8;

/// A closure that is in use is noted as such now and then, which the whole way sees to.
const WHOLE_WAY_AFTER: Duration = Duration::from_secs(600);

/// All but the program itself.
#[derive(Debug, PartialEq, Eq)]
struct Surroundings {
    store: PathBuf,
    dirs: Vec<String>,
    files: Vec<String>,
    ids: (u32, u32),
    loopback: bool,
}

impl Surroundings {
    fn of(store: &Path, request: &Request<'_>) -> Self {
        let owned = |places: &[&str]| places.iter().map(|place| (*place).to_owned()).collect();
        Self {
            store: store.into(),
            dirs: owned(request.mount_dirs),
            files: owned(request.mount_files),
            ids: (request.uid, request.gid),
            loopback: request.loopback,
        }
    }

    fn are(&self, store: &Path, request: &Request<'_>) -> bool {
        self.store == store
            && self.dirs == request.mount_dirs
            && self.files == request.mount_files
            && self.ids == (request.uid, request.gid)
            && self.loopback == request.loopback
    }
}

#[derive(Debug)]
struct Known {
    program: State,
    surroundings: Surroundings,
    proof: Proof,
    /// Nothing is held for this alone.
    root: Weak<Root>,
    since: Instant,
}

/// The last closures, the one used last at the end.
#[derive(Debug)]
pub struct Memory {
    host: Host,
    known: Mutex<Vec<Known>>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(Host::system())
    }
}

impl Memory {
    pub(super) fn of(host: Host) -> Self {
        Self { host, known: Mutex::default() }
    }

    fn known(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The root of this program in the store at this path, if it is known and still just that.
    #[must_use]
    pub fn recall(&self, store: &Path, request: &Request<'_>) -> Option<Arc<Root>> {
        let program = State::of(&request.payload.metadata().ok()?);
        let mut all = self.known();
        let at = all.iter().position(|k| k.program == program && k.surroundings.are(store, request))?;
        let known = all.remove(at);
        let root = known.root.upgrade()?;
        let RootSource::Tree { path, .. } = &root.source else { return None };
        if known.since.elapsed() > WHOLE_WAY_AFTER || !known.proof.holds(&self.host, path) {
            return None;
        }
        all.push(known);
        Some(root)
    }

    /// The root of a program as [`super::closure`] finds it in this store, to be recalled; `path` is where
    /// the caller has found the store.
    ///
    /// # Errors
    /// As for [`super::closure`].
    pub fn closure(&self, store: &Store, path: &Path, request: &Request<'_>) -> Result<Arc<Root>> {
        let program = request.payload.metadata().ok().map(|meta| State::of(&meta));
        let (root, proof) = closure_and_proof(&self.host, Some(store), request)?;
        let root = Arc::new(root);
        if let Some((program, proof)) = program.filter(State::is_settled_now).zip(proof) {
            let mut all = self.known();
            all.retain(|k| k.program.inode() != program.inode() && k.root.strong_count() > 0);
            if all.len() == MOST {
                all.remove(0);
            }
            let surroundings = Surroundings::of(path, request);
            all.push(Known {
                program,
                surroundings,
                proof,
                root: Arc::downgrade(&root),
                since: Instant::now(),
            });
        }
        Ok(root)
    }
}
