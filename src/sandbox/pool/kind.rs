//! What two jobs must have in common for one box to do for either.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::Layer;
use crate::image::RootSource;
use crate::image::digest::Digest;
use crate::policy::model::{Network, Policy};
use crate::sandbox::compile::{Request, Seen};
use crate::sandbox::images::{RootChoice, StoreChoice};

/// Calls that make a socket, or something that can.
const SOCKETS: [i64; 3] = [libc::SYS_socket, libc::SYS_socketpair, libc::SYS_io_uring_setup];

/// Everything about a box that does not come from its job.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Limits and all.
    policy: Arc<Policy>,
    /// The image's id, and where its tree is: path, device, inode.
    image: (String, PathBuf, u64, u64),
    root: RootChoice,
    degrade: BTreeSet<Layer>,
    cgroup: Option<PathBuf>,
    payload: bool,
    /// What is executed where it is not the payload.
    chosen: Option<Digest>,
}

impl Kind {
    /// Whether nothing of the host's is shown or kept, and nobody takes notes: what is, only the job tells.
    pub fn is_known_before(request: &Request) -> bool {
        request.binds.is_empty() && request.outs.is_empty() && request.work.is_none() && !request.explain
    }

    /// `None`: a box for this request cannot be made before it is known.
    pub fn of(request: &Request, seen: &Seen) -> Option<Self> {
        let RootSource::Tree { path, dev, ino, .. } = &seen.image.source else { return None };
        if !Self::is_known_before(request) {
            return None;
        }
        Some(Self {
            policy: Arc::clone(&request.policy),
            image: (seen.image.id.clone(), path.clone(), *dev, *ino),
            root: request.root,
            degrade: request.degrade.clone(),
            cgroup: request.cgroup.clone(),
            payload: request.program.is_some(),
            chosen: request.image,
        })
    }

    /// Whether boxes of this kind may be in one network namespace: nothing in them
    /// can reach it, not even to find a neighbour.
    pub fn shares_network(&self) -> bool {
        self.policy.network == Network::None && !SOCKETS.iter().any(|nr| self.policy.allows(*nr))
    }

    /// What is asked for by a job that brings nothing.
    pub fn request(&self) -> Request {
        Request {
            image: self.chosen,
            root: self.root,
            degrade: self.degrade.clone(),
            cgroup: self.cgroup.clone(),
            store: StoreChoice::None,
            ..Request::new(Arc::clone(&self.policy))
        }
    }
}
