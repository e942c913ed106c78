//! What this host can give a box: tried, never guessed from a version.
//!
//! Guarantees: each feature is tried in a process that is thrown away, with the
//! calls that a launch makes; the last word has a real run of a program under
//! `native`. What stands in the way is told in the words with which `run`
//! refuses (`sandbox::blockers`).

mod checks;
mod probes;
mod timing;
mod trial;

use serde_json::{Value, json};

pub use trial::{Native, Payload};

use crate::Layer;
use crate::error::{Error, Kind};
use crate::sandbox::blockers::foreign_proc;

/// Name and version of the JSON.
pub const SCHEMA: &str = "stockade.doctor/1";

/// What became of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// As it should be.
    Pass,
    /// Worth knowing; weakens nothing.
    Note,
    /// `native` runs only with `--degrade`.
    Degraded,
    /// No box can be had.
    Fail,
}

impl Status {
    /// As it is printed.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Status::Pass => "PASS",
            Status::Note => "NOTE",
            Status::Degraded => "DEGRADED",
            Status::Fail => "FAIL",
        }
    }
}

/// Something that is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feature {
    /// Its name in the JSON and in `docs/kernel-features.md`.
    pub id: &'static str,
    /// What it is.
    pub title: &'static str,
    /// What is lost without it.
    pub without: &'static str,
}

macro_rules! features {
    ($($name:ident $id:literal $title:literal $without:literal),+ $(,)?) => {
        /// Everything that is looked at, in this order.
        pub const FEATURES: &[Feature] = &[$(Feature { id: $id, title: $title, without: $without }),+];
        $(const $name: Feature = Feature { id: $id, title: $title, without: $without };)+
    };
}

features! {
    USER_NS "user_namespaces" "user namespaces"
        "everything: no box can be had, because every other right follows from them",
    RIGHTS "namespace_rights" "rights in a new user namespace"
        "everything: no box can be had (AppArmor on Ubuntu 23.10 and later gives the namespace and takes the rights)",
    NAMESPACES "namespaces" "mount, pid, network, ipc, uts and cgroup namespaces"
        "everything: no box can be had",
    MOUNTS "mounts" "mounts by descriptor (fsopen, fsmount, move_mount, mount_setattr)"
        "everything: no box can be had",
    PIVOT "pivot_root" "changing the root"
        "everything: no box can be had (a system that runs from its initial ramdisk)",
    OVERLAY "overlay" "overlay on the store's file system"
        "the root is a read-only bind whose flags the inner user namespace locks, or a private copy: slower, as tight",
    INNER_NS "inner_user_namespace" "a user namespace inside the box's"
        "the payload shares the user namespace of pid 1; a capability regained inside would have mounts to act on",
    NS_LIMIT "namespace_limit" "a limit on further user namespaces"
        "a payload whose filter is bypassed could make one, with all that the kernel opens to its root (layer user_ns)",
    PROC "proc" "a /proc of the box's own"
        "the box has none: less can be seen, and programs that read /proc/self fail",
    LANDLOCK "landlock" "Landlock"
        "the second wall behind the mounts: on an old ABI some rights, without it the layer landlock",
    SECCOMP "seccomp" "filters of system calls, and their listener"
        "everything: no box can be had",
    CGROUP "cgroup" "a cgroup of the box's own"
        "limits on memory, processes and CPU of the whole box are only watched (layer cgroup)",
    SWAP "swap" "swap that the box cannot use"
        "nothing with a cgroup: its swap is limited to 0; without one, memory that is swapped out is not counted",
    KEYRING "keyring" "a fresh session keyring"
        "nothing as long as the policy refuses the keyring calls, as every policy that ships does",
    CORE "core_dumps" "no core dumps"
        "a crash of the payload starts the host's core handler with its memory (layer rlimits)",
    YAMA "ptrace_scope" "reading the box's own memory"
        "`run --explain` cannot name the paths that were asked for",
    GROUPS "groups" "supplementary groups"
        "an ordinary user's groups stay in the box: with --ro and --rw they open what they open outside",
    STORE "store" "the store of root file systems"
        "each run copies its libraries anew: some milliseconds",
    GOVERNOR "cpu_governor" "the frequency governor"
        "times of equal runs differ while the frequency rises",
    BOOST "cpu_boost" "frequency boost"
        "times depend on how warm and how loaded the other cores are",
    SMT "smt" "sibling threads"
        "times depend on what runs on the sibling, and the two share caches",
    HUGE_PAGES "huge_pages" "transparent huge pages"
        "memory use and times depend on whether the kernel finds a free huge page",
    PREEMPTION "preemption" "preemption and tick"
        "kills at a time limit may come later by up to a tick",
    NATIVE "native" "a run under `native`"
        "the decision: whether all of the above is enough",
}

/// One check, made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What was looked at.
    pub feature: Feature,
    /// What became of it.
    pub status: Status,
    /// One sentence: lower case, no trailing dot.
    pub found: String,
    /// What to do about it.
    pub fix: Option<String>,
    /// The layer that would have to be degraded.
    pub layer: Option<Layer>,
}

impl Check {
    fn new(feature: Feature, status: Status, found: impl Into<String>) -> Self {
        Self { feature, status, found: found.into(), fix: None, layer: None }
    }

    fn pass(feature: Feature, found: impl Into<String>) -> Self {
        Self::new(feature, Status::Pass, found)
    }

    fn note(feature: Feature, found: impl Into<String>) -> Self {
        Self::new(feature, Status::Note, found)
    }

    fn fail(feature: Feature, blocker: crate::sandbox::blockers::Blocker) -> Self {
        Self::new(feature, Status::Fail, blocker.what).fix(blocker.fix)
    }

    fn degraded(feature: Feature, layer: Layer, blocker: crate::sandbox::blockers::Blocker) -> Self {
        let check = Self::new(feature, Status::Degraded, blocker.what).fix(blocker.fix);
        Self { layer: Some(layer), ..check }
    }

    fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Which root, or which cgroup, this host gets, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What it is.
    pub what: String,
    /// Why not something better, or why this one.
    pub why: String,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Every check, in the order of [`FEATURES`].
    pub checks: Vec<Check>,
    /// What the real run came to.
    pub native: Native,
    /// Layers that `native` would have to be run without.
    pub needs_degrade: Vec<Layer>,
    /// The root file system.
    pub root: Choice,
    /// The cgroup.
    pub cgroup: Choice,
}

/// Why nothing can be found out here, in the words of a refused run.
#[must_use]
pub fn cannot_try() -> Option<Error> {
    foreign_proc().map(|blocker| Error::new(Kind::Host, blocker.what).help(blocker.fix))
}

/// Looks at this host. `payload` is a program that does nothing dangerous and ends
/// with status 0, for the real run.
#[must_use]
pub fn examine(payload: &Payload) -> Diagnosis {
    let mut checks = checks::all();
    let trial = trial::run(payload);
    checks.push(trial.check);
    Diagnosis {
        cgroup: checks::cgroup_choice(),
        root: trial.root,
        needs_degrade: trial.needs_degrade,
        native: trial.native,
        checks,
    }
}

impl Diagnosis {
    /// Whether `native` runs in full and nothing stands in the way of anything.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.native == Native::Full && self.checks.iter().all(|c| c.status <= Status::Note)
    }

    /// For people. `paint` colours a status word.
    #[must_use]
    pub fn text(&self, paint: &dyn Fn(Status) -> String) -> String {
        let mut out = String::new();
        for check in &self.checks {
            let gap = " ".repeat(9 - check.status.word().len());
            out.push_str(&format!("{}{gap}{}: {}\n", paint(check.status), check.feature.title, check.found));
            if let Some(fix) = &check.fix {
                out.push_str(&format!("         fix: {fix}\n"));
            }
        }
        out.push_str(&format!("\nroot     {}: {}\n", self.root.what, self.root.why));
        out.push_str(&format!("cgroup   {}: {}\n", self.cgroup.what, self.cgroup.why));
        let degrade: Vec<String> = self.needs_degrade.iter().map(|l| format!("--degrade {l}")).collect();
        out.push_str(&match self.native {
            Native::Full => "native   runs in full\n".to_owned(),
            Native::Degraded => format!("native   runs only with {}\n", degrade.join(" ")),
            Native::Refused => "native   cannot run here\n".to_owned(),
        });
        out
    }

    /// For programs; fields are only ever added.
    #[must_use]
    pub fn json(&self) -> Value {
        let host = crate::sandbox::host::Host::get();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|c| {
                json!({
                    "id": c.feature.id, "title": c.feature.title, "status": c.status.word().to_lowercase(),
                    "found": c.found, "fix": c.fix, "layer": c.layer,
                })
            })
            .collect();
        let choice = |c: &Choice| json!({ "what": c.what, "why": c.why });
        json!({
            "schema": SCHEMA,
            "stockade": env!("CARGO_PKG_VERSION"),
            "kernel": host.kernel,
            "uid": host.uid,
            "native": self.native.name(),
            "needs_degrade": self.needs_degrade,
            "root": choice(&self.root),
            "cgroup": choice(&self.cgroup),
            "checks": checks,
        })
    }
}
