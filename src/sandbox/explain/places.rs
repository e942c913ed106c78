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
    (82, &[at(0, Want::Remove), at(1, Want::Make)]),
    (83, &[at(0, Want::Make)]),
    (84, &[at(0, Want::Remove)]),
    (85, &[at(0, Want::Create)]),
    (86, &[at(0, Want::Look), at(1, Want::Make)]),
    (87, &[at(0, Want::Remove)]),
    (88, &[at(1, Want::Make)]),
    (89, &[at(0, Want::LookAtLink)]),
    (90, &[at(0, Want::Write)]),
    (132, &[at(0, Want::Write)]),
    (137, &[at(0, Want::Look)]),
    (235, &[at(0, Want::Write)]),
    (257, &[from(0, 1, Want::Open(2))]),
    (258, &[from(0, 1, Want::Make)]),
    (262, &[from(0, 1, Want::Look)]),
    (263, &[from(0, 1, Want::Remove)]),
    (264, &[from(0, 1, Want::Remove), from(2, 3, Want::Make)]),
    (265, &[from(0, 1, Want::Look), from(2, 3, Want::Make)]),
    (266, &[from(1, 2, Want::Make)]),
    (267, &[from(0, 1, Want::LookAtLink)]),
    (268, &[from(0, 1, Want::Write)]),
    (269, &[from(0, 1, Want::Access(2))]),
    (280, &[from(0, 1, Want::Write)]),
    (316, &[from(0, 1, Want::Remove), from(2, 3, Want::Make)]),
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
        // chown, lchown, mknod, chroot, setxattr, getxattr
        92 | 94 | 133 | 161 | 188 | 191 => Some(at(0, Want::Look)),
        // mknodat, fchownat, execveat, openat2
        259 | 260 | 322 | 437 => Some(from(0, 1, Want::Look)),
        _ => places(nr).first().copied(),
    }
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
