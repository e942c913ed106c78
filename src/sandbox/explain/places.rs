//! Where the paths of a call are, and what the call wants of them.

/// What a call wants of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// That it is there.
    Look,
    /// The same of a link itself.
    LookAtLink,
    /// To open it, as the flags in this argument say.
    Open(u8),
    /// To open it for writing, or to make it.
    Create,
    /// To write it.
    Write,
    /// To write it if this argument, of `access(2)`, says so.
    Access(u8),
    /// To make it.
    Make,
    /// To make a link.
    MakeLink,
    /// To make what the mode in this argument, of `mknod(2)`, says.
    MakeNode(u8),
    /// To put something else in its place.
    Replace,
    /// To remove it.
    Remove,
    /// To run it.
    Execute,
}

/// One path of a call.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    /// The argument with the directory that it is relative to; `None`: the working directory.
    pub dirfd: Option<u8>,
    /// The argument that points to it.
    pub path: u8,
    /// What is wanted of it.
    pub want: Want,
}

const fn at(path: u8, want: Want) -> Place {
    Place { dirfd: None, path, want }
}

const fn from(dirfd: u8, path: u8, want: Want) -> Place {
    Place { dirfd: Some(dirfd), path, want }
}

/// The paths of the calls that have some.
const PLACES: &[(u32, &[Place])] = &[
    (2, &[at(0, Want::Open(1))]),
    (4, &[at(0, Want::Look)]),
    (6, &[at(0, Want::LookAtLink)]),
    (21, &[at(0, Want::Access(1))]),
    (59, &[at(0, Want::Execute)]),
    (76, &[at(0, Want::Write)]),
    (80, &[at(0, Want::Look)]),
    (82, &[at(0, Want::Remove), at(1, Want::Replace)]),
    (83, &[at(0, Want::Make)]),
    (84, &[at(0, Want::Remove)]),
    (85, &[at(0, Want::Create)]),
    (86, &[at(0, Want::Look), at(1, Want::Make)]),
    (87, &[at(0, Want::Remove)]),
    (88, &[at(1, Want::MakeLink)]),
    (89, &[at(0, Want::LookAtLink)]),
    (90, &[at(0, Want::Write)]),
    (132, &[at(0, Want::Write)]),
    (133, &[at(0, Want::MakeNode(1))]),
    (137, &[at(0, Want::Look)]),
    (235, &[at(0, Want::Write)]),
    (257, &[from(0, 1, Want::Open(2))]),
    (258, &[from(0, 1, Want::Make)]),
    (259, &[from(0, 1, Want::MakeNode(2))]),
    (262, &[from(0, 1, Want::Look)]),
    (263, &[from(0, 1, Want::Remove)]),
    (264, &[from(0, 1, Want::Remove), from(2, 3, Want::Replace)]),
    (265, &[from(0, 1, Want::Look), from(2, 3, Want::Make)]),
    (266, &[from(1, 2, Want::MakeLink)]),
    (267, &[from(0, 1, Want::LookAtLink)]),
    (268, &[from(0, 1, Want::Write)]),
    (269, &[from(0, 1, Want::Access(2))]),
    (280, &[from(0, 1, Want::Write)]),
    (316, &[from(0, 1, Want::Remove), from(2, 3, Want::Replace)]),
    (332, &[from(0, 1, Want::Look)]),
    (439, &[from(0, 1, Want::Access(2))]),
    (452, &[from(0, 1, Want::Write)]),
];

/// The paths of a call; none of one that has none, or is not known here.
pub fn places(nr: u32) -> &'static [Place] {
    PLACES.iter().find(|(known, _)| *known == nr).map_or(&[], |(_, places)| places)
}

/// The path of a call that is refused whatever it names, for telling which: also those of calls that are
/// never looked at otherwise.
pub fn named(nr: u32) -> Option<Place> {
    match nr {
        // chown, lchown, chroot, setxattr, getxattr
        92 | 94 | 161 | 188 | 191 => Some(at(0, Want::Look)),
        // fchownat, execveat, openat2
        260 | 322 | 437 => Some(from(0, 1, Want::Look)),
        _ => places(nr).first().copied(),
    }
}

/// What a box can never make, but for links in a work tree: Landlock grants it nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Special {
    Link,
    Fifo,
    Socket,
    Device,
}

impl Special {
    /// What a call would make, if it is none of a regular file and a directory.
    pub fn of(nr: u32, args: &[u64; 6]) -> Option<Self> {
        places(nr).iter().find_map(|place| Self::wanted(place.want, args))
    }

    /// The same of one path of the call.
    pub fn wanted(want: Want, args: &[u64; 6]) -> Option<Self> {
        match want {
            Want::MakeLink => Some(Self::Link),
            Want::MakeNode(mode) => {
                match u32::try_from(args[usize::from(mode)] & 0xffff_ffff).unwrap_or(0) & libc::S_IFMT {
                    libc::S_IFIFO => Some(Self::Fifo),
                    libc::S_IFSOCK => Some(Self::Socket),
                    libc::S_IFCHR | libc::S_IFBLK => Some(Self::Device),
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// As in "may not make a link there".
    pub const fn word(self) -> &'static str {
        match self {
            Self::Link => "a link",
            Self::Fifo => "a fifo",
            Self::Socket => "a socket",
            Self::Device => "a device",
        }
    }
}

/// `connect` and `bind`: which address a socket is to have, or to reach.
pub const fn takes_address(nr: u32) -> bool {
    matches!(nr, 42 | 49)
}

/// Calls that make a descriptor.
pub const fn makes_descriptor(nr: u32) -> bool {
    matches!(nr, 2 | 22 | 32 | 41 | 53 | 85 | 257 | 283 | 290 | 291 | 293 | 319)
}

/// Calls that make a process or a thread.
pub const fn makes_process(nr: u32) -> bool {
    matches!(nr, 56..=58)
}

/// Calls that keep memory from being swapped out: `mlock`, `mlockall`, `mlock2`.
pub const fn locks_memory(nr: u32) -> bool {
    matches!(nr, 149 | 151 | 325)
}

/// Whether an `open` would make a file.
pub fn makes_a_file(nr: u32, args: &[u64; 6]) -> bool {
    let opens = places(nr).first().and_then(|place| match place.want {
        Want::Open(flags) => args.get(usize::from(flags)),
        _ => None,
    });
    opens.is_none_or(|flags| flags & u64::from(libc::O_CREAT.unsigned_abs()) != 0)
}

/// How long a file would be after the call.
pub const fn file_size(nr: u32, args: &[u64; 6]) -> Option<u64> {
    match nr {
        // truncate, ftruncate
        76 | 77 => Some(args[1]),
        // fallocate: offset and length
        285 => Some(args[2].saturating_add(args[3])),
        _ => None,
    }
}
