//! What a resolved policy says. Plain data: nothing here makes a system call.
//!
//! A [`Policy`] is the result of parsing, `extends` and validation. It has no
//! optional meaning left: every limit is a number, every call a number, every
//! constant a value.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Layer;

/// A resolved, valid, runnable policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name, as in the file.
    pub name: String,
    /// What it is for.
    pub comment: String,
    /// Where the root file system comes from.
    pub image: ImageSource,
    /// How closely it is looked at before each run.
    pub verify: Verify,
    /// Where the payload appears.
    pub payload: PayloadPlace,
    /// The command line, with its place-holders.
    pub command: Vec<Word>,
    /// What the program sees as `argv[0]`; `None`: the first word of `command`.
    pub argv0: Option<Word>,
    /// Ids seen inside.
    pub user: User,
    /// Host name seen inside.
    pub hostname: String,
    /// Working directory of the payload, absolute.
    pub cwd: String,
    /// The whole environment.
    pub env: BTreeMap<String, String>,
    /// Everything that can be seen, parents before children.
    pub paths: Vec<PathEntry>,
    /// The network inside.
    pub network: Network,
    /// The least Landlock ABI that will do.
    pub landlock_min_abi: u32,
    /// Which programs may be executed.
    pub exec: Exec,
    /// Whether memory may be writable and executable at once.
    pub wx: Wx,
    /// The system calls.
    pub syscalls: Syscalls,
    /// The limits.
    pub limits: Limits,
    /// Layers this policy runs without where the host cannot give them.
    pub degrade: BTreeSet<Layer>,
    /// `sha256:` and the digest, in hex, of [`Policy::to_json`]; it does not
    /// cover itself, and overrides do not change it.
    pub digest: String,
}

impl Policy {
    /// Whether a call is let through under any condition.
    #[must_use]
    pub fn allows(&self, nr: i64) -> bool {
        self.syscalls.allow.iter().any(|rule| rule.calls.iter().any(|call| i64::from(*call) == nr))
    }

    /// Whether `/dev` has names for the program's own descriptors. What runs in an image looks for them
    /// (`/dev/stdin`, `<(...)`); the closure of one program has what that needs to start, and nothing else.
    #[must_use]
    pub fn names_streams(&self) -> bool {
        self.image != ImageSource::PayloadClosure
    }
}

/// Where the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ImageSource {
    /// The closure of the payload's own needs.
    PayloadClosure,
    /// An image of the store, by name.
    Named {
        /// Its name.
        name: String,
        /// The id that it must have: `sha256:` and 64 digits.
        id: Option<String>,
    },
    /// An image of the store, by id.
    Id(String),
    /// What a recipe makes of a program of this host, at the first use.
    Recipe {
        /// The recipe.
        recipe: String,
        /// The program, by its absolute path.
        program: String,
        /// The id that the image must have.
        id: Option<String>,
    },
}

/// How closely an image is looked at before each run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Verify {
    /// One stamp of the tree, whatever the number of files.
    #[default]
    Stamp,
    /// Type, mode, size, time and target of every file.
    Stat,
    /// Every byte.
    Full,
}

impl Verify {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stamp => "stamp",
            Self::Stat => "stat",
            Self::Full => "full",
        }
    }
}

/// Where the payload appears in the box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadPlace {
    /// Absolute path, a direct child of a `from: payload` path.
    pub path: String,
    /// Whether it is a program (mode 0555) or data (0444).
    pub executable: bool,
}

/// One word of a command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// As it stands.
    Literal(String),
    /// `{payload}`: where the payload is in the box.
    Payload,
    /// `{args}`: all arguments of the request, as so many words.
    Args,
    /// `{given}`: the program as the caller wrote it.
    Given,
}

/// Ids seen inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// User id, not 0.
    pub uid: u32,
    /// Group id, not 0.
    pub gid: u32,
}

/// One thing that can be seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathEntry {
    /// Absolute, normalised.
    pub at: String,
    /// What is there.
    pub from: PathSource,
    /// What may be done with it.
    pub access: Access,
    /// Whether a host that cannot give it may leave it out (`proc` only).
    pub optional: bool,
    /// Why it is there.
    pub comment: String,
}

/// What stands behind a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PathSource {
    /// The immutable root.
    Image,
    /// The directory that holds the payload.
    Payload,
    /// Process information of the box.
    Proc,
    /// Device nodes, by name below `/dev`.
    Devices(Vec<String>),
    /// A sized, empty file system in memory.
    Tmpfs {
        /// Bytes, a multiple of the page size.
        size: u64,
        /// Files and directories.
        inodes: u64,
    },
    /// The same; its regular files may be collected after the box is dead.
    Out {
        /// Bytes, a multiple of the page size.
        size: u64,
        /// Files and directories.
        inodes: u64,
    },
    /// The same, into which a directory of the caller's may be copied at the start.
    Work {
        /// Bytes, a multiple of the page size.
        size: u64,
        /// Files and directories.
        inodes: u64,
    },
}

impl PathSource {
    /// Bytes and inodes of what is in memory, and the payload's to write.
    #[must_use]
    pub const fn memory(&self) -> Option<(u64, u64)> {
        match self {
            Self::Tmpfs { size, inodes } | Self::Out { size, inodes } | Self::Work { size, inodes } => {
                Some((*size, *inodes))
            }
            Self::Image | Self::Payload | Self::Proc | Self::Devices(_) => None,
        }
    }
}

/// What may be done with a path. Mount flags and Landlock rights both derive
/// from it, so that they cannot diverge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Access {
    /// Read files, list directories.
    pub read: bool,
    /// Write existing files.
    pub write: bool,
    /// Create and remove regular files and directories.
    pub create: bool,
    /// Execute programs.
    pub execute: bool,
}

/// The network inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A namespace with nothing up.
    None,
    /// A namespace with its own loopback device up.
    Loopback,
}

/// Which programs may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exec {
    /// Only the one the launcher starts; `execve` answers `EACCES` afterwards.
    LaunchOnly,
    /// Any program of the image, and of a work tree whose `access` has `execute`.
    Image,
}

/// Whether memory may be writable and executable at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wx {
    /// `mmap` and `mprotect` with both answer `EPERM`.
    Deny,
    /// Needed by just-in-time compilers.
    Allow,
}

/// What the filter does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Syscalls {
    /// What happens on a violation.
    pub on_violation: OnViolation,
    /// After this many violations the box is killed; 0 kills at the first.
    pub max_violations: u32,
    /// Allowed calls. A call stands in at most one rule here.
    pub allow: Vec<AllowRule>,
    /// Calls that are refused and reported. A call may also stand in `allow`
    /// only when its rule here has conditions; a match here wins.
    pub violations: Vec<ViolationRule>,
}

/// What happens on a violation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnViolation {
    /// The call answers `EPERM` and is recorded.
    Refuse,
    /// The box is killed and the call recorded.
    Kill,
}

/// Calls that are allowed, perhaps under conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AllowRule {
    /// x86-64 call numbers, in the order written.
    pub calls: Vec<u32>,
    /// When it is allowed.
    pub when: When,
    /// What happens when the conditions do not hold.
    pub otherwise: Otherwise,
    /// Who needs it.
    pub comment: String,
}

/// Calls that are violations, perhaps under conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViolationRule {
    /// x86-64 call numbers, in the order written.
    pub calls: Vec<u32>,
    /// Empty: always. Otherwise: when all hold.
    pub when: Vec<Condition>,
    /// What it is.
    pub comment: String,
}

/// When an allowed call is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// Always.
    Always,
    /// When all conditions hold (`if`).
    All(Vec<Condition>),
    /// When none of the conditions holds (`unless`).
    None(Vec<Condition>),
}

/// One test of one argument. `calls` of one rule may have the argument at
/// different places, so a condition is kept by name and looked up for each
/// call with [`crate::policy::names::argument`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// The argument's name in the manual page.
    pub arg: String,
    /// The test.
    pub test: Test,
}

/// A test of one argument, in the width the kernel uses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Test {
    /// Equal to one of these (`eq` is one value, `in` several; never empty).
    In(Vec<u64>),
    /// `argument & mask` equal to one of these.
    MaskedIn {
        /// Bits looked at.
        mask: u64,
        /// Values of those bits.
        values: Vec<u64>,
    },
    /// At least one of these bits is set.
    AnyBit(u64),
}

/// What an allowed call answers when its conditions do not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Otherwise {
    /// As if the kernel did not have it.
    Enosys,
    /// Refused.
    Eperm,
    /// Refused, and recorded as a violation.
    Violation,
}

/// Limits of the whole box, unless it says otherwise. Zero means zero.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// CPU time of all processes together, in nanoseconds.
    pub cpu_ns: u64,
    /// Time from start to end, in nanoseconds.
    pub wall_ns: u64,
    /// Memory of the whole box in bytes, files in memory included; no swap.
    pub memory: u64,
    /// Processes and threads at one time.
    pub processes: u32,
    /// Open descriptors of one process.
    pub open_files: u32,
    /// Bytes of one file.
    pub file_size: u64,
    /// Bytes of each output stream.
    pub output: u64,
    /// What happens at the `output` limit.
    pub on_output: OnOutput,
    /// Stack of the main thread.
    pub stack: Stack,
}

/// What happens at the output limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnOutput {
    /// The box is killed.
    Kill,
    /// The stream is cut and the program goes on.
    Cut,
}

/// Stack of the main thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stack {
    /// As large as the memory limit.
    Memory,
    /// Bytes.
    Bytes(u64),
}
