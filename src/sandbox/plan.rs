//! The plan: everything a box is made of, decided, opened and allocated before
//! the first process exists. The children only follow it.

mod pieces;

use std::ffi::CString;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicI32, AtomicU32};

use seccompiler::sock_filter;

use crate::sys::clone::Stack;
use crate::sys::landlock::RulesetAttr;
use crate::sys::mount::Attr;
use crate::sys::process::StringArray;
use crate::sys::sched::Cpus;
use crate::sys::words::Words;

/// How a tree of the store becomes a root that nobody can change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackEnd {
    /// An overlay, and where there is none, a bind.
    Best,
    /// An overlay or nothing.
    Overlay,
    /// A bind.
    Bind,
}

/// Where the root file system comes from.
#[derive(Debug)]
pub enum RootPlan {
    /// A tree of the store.
    Tree {
        /// Directory that holds `root` and `empty`.
        path: CString,
        /// Its device, as verified.
        dev: u64,
        /// Its inode, as verified.
        ino: u64,
        /// How it is made immutable.
        back_end: BackEnd,
    },
    /// A copy in memory, made for this run.
    Private {
        /// Options of the tmpfs (`size`, `nr_inodes`).
        size: CString,
        /// Files and directories of it.
        inodes: CString,
        /// What is in it, parents first.
        entries: Vec<PrivateEntry>,
    },
}

/// One entry of a private root.
#[derive(Debug)]
pub struct PrivateEntry {
    /// Path relative to the root.
    pub path: CString,
    /// What it is.
    pub kind: PrivateKind,
    /// Permission bits.
    pub mode: u32,
    /// Modification time, seconds.
    pub mtime: i64,
    /// And nanoseconds: what was built from what is told by them.
    pub nanos: u32,
}

/// What a private entry is.
#[derive(Debug)]
pub enum PrivateKind {
    /// A directory.
    Dir,
    /// A file with the content of an open one.
    Copy {
        /// Open for reading.
        from: RawFd,
        /// Where it begins there.
        offset: i64,
        /// Bytes.
        size: u64,
    },
    /// A file with this content.
    Bytes(Vec<u8>),
    /// A symbolic link.
    Link(CString),
}

/// A mount below the root, in the order in which they are made.
#[derive(Debug)]
pub struct MountPlan {
    /// Where, relative to the root, without a leading slash.
    pub at: CString,
    /// What.
    pub kind: MountKind,
    /// Attributes in the end.
    pub attr: Attr,
}

/// What is mounted.
#[derive(Debug)]
pub enum MountKind {
    /// An empty file system in memory.
    Tmpfs {
        /// `size=` value.
        size: CString,
        /// `nr_inodes=` value.
        inodes: CString,
        /// `mode=` value.
        mode: CString,
        /// Directories made in it as mount points for later ones.
        places: Vec<Place>,
        /// What is in it from the start, parents first.
        tree: Vec<PrivateEntry>,
    },
    /// The directory that holds the payload: a tmpfs with one file.
    Payload {
        /// `size=` value.
        size: CString,
        /// `nr_inodes=` value.
        inodes: CString,
        /// Name of the file.
        name: CString,
        /// Permission bits of the file.
        mode: u32,
        /// Mount points made beside it for later ones.
        places: Vec<Place>,
    },
    /// Device nodes: a tmpfs with binds of the host's.
    Devices {
        /// The nodes.
        devices: Vec<Device>,
        /// Whether the program's own descriptors have names beside them.
        streams: bool,
        /// Mount points made beside them for later ones.
        places: Vec<Place>,
    },
    /// A file or directory of the host.
    Bind {
        /// What to clone: a path, opened by M, or a detached mount that S made.
        from: BindFrom,
    },
}

/// Where a bind comes from.
#[derive(Debug)]
pub enum BindFrom {
    /// The middle process opens it (as an ordinary user), through no link.
    Path {
        /// Without links in it.
        path: CString,
        /// Device of what the supervisor has looked at.
        dev: u64,
        /// Its inode.
        ino: u64,
    },
    /// The supervisor has cloned it (as root).
    Mount(RawFd),
}

/// A mount point inside a tmpfs.
#[derive(Debug)]
pub struct Place {
    /// Relative to the tmpfs.
    pub path: CString,
    /// A directory, or an empty file.
    pub dir: bool,
}

/// One device node.
#[derive(Debug)]
pub struct Device {
    /// Name below `/dev`.
    pub name: CString,
    /// The host's node.
    pub host: CString,
    /// Major and minor number it must have.
    pub rdev: u64,
}

/// One Landlock rule.
#[derive(Debug)]
pub struct LandlockRule {
    /// Absolute path in the box.
    pub path: CString,
    /// Rights granted below it.
    pub rights: u64,
}

/// Landlock, prepared.
#[derive(Debug)]
pub struct LandlockPlan {
    /// Rights and scopes handled.
    pub attr: RulesetAttr,
    /// What is granted.
    pub rules: Vec<LandlockRule>,
    /// Flags of `landlock_restrict_self`.
    pub flags: u32,
}

/// As many directories as a leaf may have: one in each hierarchy of v1.
pub const ENTRY_FDS: usize = 3;

/// How the payload gets into its cgroup. The descriptors for it come later: the
/// cgroup is made while M builds the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    /// v2: cloned into the leaf behind a descriptor.
    Clone,
    /// v1: writes `0` to each of the leaf's `tasks` files.
    Tasks,
    /// There is none (degraded).
    None,
}

/// Limits of each process, in the order in which they are set.
#[derive(Debug)]
pub struct Rlimit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// Soft and hard.
    pub value: u64,
    /// Added where there is no inner user namespace, in which pid 1 is not counted.
    pub without_inner: u64,
    /// Set instead where the first is refused with `EPERM`.
    pub instead: Option<u64>,
}

/// Which step a test build makes fail.
#[cfg(feature = "fault-injection")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inject {
    /// The step that fails.
    pub step: super::order::Step,
    /// What it was about, if it matters.
    pub index: Option<u32>,
    /// The answer it gets; the call is not made.
    pub errno: i32,
}

/// What a box needs whose job comes only when it is ready for it.
#[derive(Debug)]
pub struct Late {
    /// Where the job comes from, M's end.
    pub job: RawFd,
    /// The payload's directory through M's own mount, which is not read-only; -1 where there is none.
    pub place: AtomicI32,
    /// Room for the arguments and the environment, in place of the plan's.
    pub words: Words,
}

/// Everything the children need. Only read by them, but for the words at the end.
#[derive(Debug)]
pub struct Plan {
    /// The supervisor's process id.
    pub supervisor: u32,
    /// Whether the supervisor is host root: groups are cleared, file-system ids set.
    pub as_root: bool,
    /// User id inside.
    pub uid: u32,
    /// Group id inside.
    pub gid: u32,
    /// The user id as text, for mount options.
    pub uid_text: CString,
    /// The group id as text.
    pub gid_text: CString,
    /// Host name inside.
    pub hostname: Vec<u8>,
    /// Whether the box gets a network namespace of its own, or stays in the empty one
    /// of the thread that makes it.
    pub own_network: bool,
    /// The CPUs that its processes begin on, where that is decided.
    pub cpus: Option<Cpus>,
    /// Whether the loopback device is brought up.
    pub loopback: bool,
    /// Control socket, the children's end.
    pub control: RawFd,
    /// Gate, the end that P reads: a byte, or, where the job comes later, its words.
    pub gate_read: RawFd,
    /// Gate, the end that I writes, or S where the job comes later. I sees by it when P has executed.
    pub gate_write: RawFd,
    /// The payload's ends of its three pipes.
    pub stdio: [RawFd; 3],
    /// Descriptors M must keep beyond 0 to 2, ascending.
    pub keep: Vec<RawFd>,
    /// The host file that is the payload.
    pub payload: RawFd,
    /// Bytes of it.
    pub payload_size: u64,
    /// The root.
    pub root: RootPlan,
    /// Mounts below it.
    pub mounts: Vec<MountPlan>,
    /// Where `/proc` goes, relative to the root, if anywhere.
    pub proc_at: Option<CString>,
    /// Whether a box without `/proc` will do.
    pub proc_optional: bool,
    /// How P gets into its cgroup.
    pub entry: Entry,
    /// The descriptors for it, once M has received them; the rest is -1.
    pub entry_fds: [AtomicI32; ENTRY_FDS],
    /// Working directory inside.
    pub cwd: CString,
    /// Content of `uid_map` and `gid_map` of the inner user namespace.
    pub inner_maps: [Vec<u8>; 2],
    /// Limits of each process.
    pub rlimits: Vec<Rlimit>,
    /// The kernel's last capability.
    pub last_cap: u32,
    /// Landlock, where there is any.
    pub landlock: Option<LandlockPlan>,
    /// Filter whose notifications go to the supervisor.
    pub listener: Option<Vec<sock_filter>>,
    /// The main filter, with this run's nonce in it.
    pub filter: Vec<sock_filter>,
    /// The filter of pid 1.
    pub init_filter: Vec<sock_filter>,
    /// Path of the program inside.
    pub program: CString,
    /// Where the job comes later: its payload and its words are not those below.
    pub late: Option<Late>,
    /// Its arguments.
    pub argv: StringArray,
    /// Its environment.
    pub envp: StringArray,
    /// Goes with the exec.
    pub nonce: [u32; 3],
    /// Stack of I.
    pub init_stack: Stack,
    /// Stack of P.
    pub payload_stack: Stack,
    /// 1 once M has built the mounts. Shared by M and P, which share memory.
    pub built: AtomicU32,
    /// I, as M has opened it. Shared by M and P.
    pub init_fd: AtomicI32,
    /// As root: 1 once M has the box's ids for files, and can be dumped again. Shared by M and P.
    pub has_fs_ids: AtomicU32,
    /// 1 once I has made its namespaces. Shared by I and P.
    pub init_has_namespaces: AtomicU32,
    /// 1 once P has joined them. Likewise shared.
    pub payload_has_joined: AtomicU32,
    /// 1 once I has taken its ids. Taking them makes the memory that I and P share
    /// non-dumpable, which P must undo, and must not have undone before. Likewise shared.
    pub init_has_ids: AtomicU32,
    /// The attached root, as M has opened it. Likewise shared.
    pub root_fd: AtomicI32,
    /// The host's `/proc`, as M has opened it. Likewise shared.
    pub host_proc: AtomicI32,
    /// Test builds only: the steps that fail.
    #[cfg(feature = "fault-injection")]
    pub inject: Vec<Inject>,
    /// Test builds only: the layer that is left out, or applied wrongly.
    #[cfg(feature = "ablation")]
    pub spoilt: Option<super::ablation::Spoilt>,
}
