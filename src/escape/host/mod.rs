//! The caller: a process of the host with everything that an attack may be
//! after, which starts the boxes and looks at what became of it.
//!
//! It is a process of its own, so that the terminal, the keyring, the secrets
//! and the forgotten descriptors are not those of whoever runs the check.

pub mod binds;
mod boxes;
mod canary;
mod compared;
mod control;
pub mod ends;
pub mod groups;
pub mod launcher;
pub mod limits;
mod neighbours;
pub mod outputs;
pub mod pairs;
pub mod policies;
pub mod runs;
pub mod store;
mod work;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

pub use boxes::{Live, Ran, Setup};
pub use canary::{Den, Forgotten, Terminal, as_nobody, digest, open_dir, open_file, wait_until};
pub use work::{Brief, Result as Told, main};

use super::probe::Target;
use crate::Layer;
use crate::policy::model::Policy;
use crate::sandbox::{Builder, Outcome, Pool, Running};

/// Everything that attacks from outside need.
pub struct Caller {
    /// The policy that is tested.
    pub policy: Policy,
    /// The program that is the probe, where everybody can execute it.
    pub exe: PathBuf,
    /// Directory of the battery.
    pub dir: PathBuf,
    /// What every secret contains.
    pub token: String,
    /// What the attacks are after.
    pub den: std::cell::RefCell<Den>,
    /// What the controls are after.
    pub control_den: Den,
    /// The caller's terminal.
    pub terminal: Terminal,
    /// Layers that may be missing.
    pub degrade: BTreeSet<Layer>,
    /// A delegated cgroup.
    pub cgroup: Option<PathBuf>,
    /// What runs the payload instead of a box.
    pub through: Vec<String>,
    /// Where boxes come from that are made ahead.
    pub pool: Option<Arc<Pool>>,
    /// What probes in a box attack.
    pub inside: Target,
    /// What their controls attack.
    pub outside: Target,
}

impl Caller {
    /// The store of the battery.
    pub fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Runs a box to its end, one that was made ahead where that is what is tested.
    pub fn run_box(&self, builder: Builder) -> crate::error::Result<Outcome> {
        match &self.pool {
            Some(pool) => pool.run(builder),
            None => builder.run(),
        }
    }

    /// The same, coming back while it runs.
    pub fn spawn_box(&self, builder: Builder) -> crate::error::Result<Running> {
        match &self.pool {
            Some(pool) => pool.spawn(builder),
            None => builder.spawn(),
        }
    }

    /// What was done to the host, if anything.
    pub fn damage(&self) -> Option<String> {
        std::thread::sleep(std::time::Duration::from_millis(3));
        let damage = self.den.borrow_mut().damage();
        damage.or_else(|| self.terminal.damage())
    }

    /// Whether this is host root.
    pub fn is_root(&self) -> bool {
        nix::unistd::geteuid().is_root()
    }
}
