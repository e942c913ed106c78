//! `--explain`: what the policy refused, and what would allow it.
//!
//! While the box runs, the supervisor hears of every refused call and of the allowed ones that may fail for
//! want of a path, a descriptor, a process or bytes of a file (see [`super::seccomp::WATCHED`]); what comes of
//! them is noted here, each kind once. Afterwards, [`findings`] makes sentences and proposals of the notes.
//!
//! Guarantees: nothing noted here decides anything. Relies on [`super::seccomp::reply`] for every answer.

mod address;
mod caller;
mod expected;
mod findings;
mod places;
mod proposals;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use self::address::Address;
use self::caller::{Caller, Found, errno_name};
use self::places::{Place, Special, Want};
use super::root::{Bind, is_of_a_stream};
use super::seccomp::{self, ARCH_X86_64, Call, Filters, NONCE_WORDS, Reply, Rules};
use crate::policy::model::{Access, Network, PathSource, Policy};
use crate::policy::names::{ArgKind, argument, arguments};
use crate::sys::seccomp::Notification;

/// Different things that are kept; of more only the number.
const KEPT: usize = 256;

/// `bind` in the x86-64 table, and the arguments of the `mknod` that it is for a socket that is a file.
const BIND: u32 = 49;
const SOCKET_MODE: [u64; 6] = [libc::S_IFSOCK as u64, 0, 0, 0, 0, 0];

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Trouble {
    /// The policy refuses it; `None`: as a violation.
    Refused(Option<String>),
    /// The path leads to nothing.
    Missing,
    /// The path, or the directory that it would be made in, may not be written.
    ReadOnly,
    /// The path may not be executed.
    NotExecutable,
    /// The directory may be written, and still no such thing made in it.
    Unmakable(Special),
    /// It is a mount point, which cannot be removed or replaced.
    Mounted,
    /// There is no network that has this address.
    NoNetwork(SocketAddr),
    /// Memory would be locked, which no box may.
    Locks,
    /// One more descriptor, process, or a file so long, is more than the limit.
    Full(Room),
}

/// Which limit has no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Room {
    OpenFiles,
    Processes,
    FileSize,
}

/// A kind of trouble, as often as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    pub nr: u32,
    pub args: [u64; 6],
    pub path: Option<NamedPath>,
    pub trouble: Trouble,
    pub count: u64,
    /// Larger for what came later.
    pub last: u64,
}

/// A path that a call names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamedPath {
    /// As it was given.
    pub given: String,
    /// From the root of the box.
    pub at: String,
    /// What the call would have done to it.
    pub done: Done,
    /// Whether it is there, in a place whose programs may be executed.
    pub runs: bool,
}

/// What a call does to a path, beyond looking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Done {
    Nothing,
    Written,
    Made,
    Removed,
}

/// What makes two notes the same: what can be told of the call.
type Key = (u32, [u64; 6], Option<NamedPath>, Trouble);

/// Hears and notes.
#[derive(Debug)]
pub struct Explainer {
    policy: Policy,
    binds: Vec<Bind>,
    ordinary: Filters,
    nonce: [u32; NONCE_WORDS],
    seen: HashMap<Key, usize>,
    notes: Vec<Note>,
    /// Things that were not kept.
    more: u64,
    clock: u64,
}

impl Explainer {
    pub fn new(policy: Policy, binds: Vec<Bind>, ordinary: Filters, nonce: [u32; NONCE_WORDS]) -> Self {
        Self { policy, binds, ordinary, nonce, seen: HashMap::new(), notes: Vec::new(), more: 0, clock: 0 }
    }

    /// How a notified call is answered. Its registers decide, and nothing else.
    pub fn reply(&self, n: &Notification) -> Reply {
        let call = Call { arch: n.arch, nr: n.nr.unsigned_abs(), args: n.args };
        let rules = Rules::of(&self.policy, &seccomp::table);
        seccomp::reply(&self.ordinary, &rules, self.nonce, &call)
    }

    /// Notes what will come of a call that waits for this answer; `processes` are those of the box.
    pub fn look(
        &mut self,
        listener: BorrowedFd<'_>,
        n: &Notification,
        reply: Reply,
        processes: impl FnOnce() -> usize,
    ) {
        if n.arch != ARCH_X86_64 {
            return;
        }
        let nr = n.nr.unsigned_abs();
        let caller = Caller::of(listener, n);
        match reply {
            Reply::Proceed => self.look_at_allowed(caller.as_ref(), nr, &n.args, processes),
            Reply::Fail(_) | Reply::Violation => {
                let errno = match reply {
                    Reply::Fail(errno) => Some(errno_name(errno)),
                    _ => None,
                };
                let path = caller.and_then(|c| self.named_path(&c, nr, &n.args));
                self.note(nr, n.args, path, Trouble::Refused(errno));
            }
        }
    }

    /// The path of a refused call.
    fn named_path(&self, caller: &Caller, nr: u32, args: &[u64; 6]) -> Option<NamedPath> {
        let path = path_of(caller, &places::named(nr)?, args)?;
        let runs = match caller.resolve(path.at.as_bytes(), true) {
            // What it runs already; the link is none that could be followed here.
            _ if path.at == "/proc/self/exe" => true,
            Found::At(real) => self.access(&real).execute,
            Found::Missing | Found::Unknown => false,
        };
        Some(NamedPath { runs, ..path })
    }

    fn look_at_allowed(
        &mut self,
        caller: Option<&Caller>,
        nr: u32,
        args: &[u64; 6],
        processes: impl FnOnce() -> usize,
    ) {
        let limits = &self.policy.limits;
        let full = if places::file_size(nr, args).is_some_and(|size| size > limits.file_size) {
            Some(Room::FileSize)
        } else if places::makes_process(nr) && processes() >= usize::try_from(limits.processes).unwrap_or(0) {
            Some(Room::Processes)
        } else if places::makes_descriptor(nr)
            && caller.is_some_and(|c| c.descriptors() >= usize::try_from(limits.open_files).unwrap_or(0))
        {
            Some(Room::OpenFiles)
        } else {
            None
        };
        if let Some(room) = full {
            self.note(nr, *args, None, Trouble::Full(room));
        }
        if places::locks_memory(nr) {
            self.note(nr, *args, None, Trouble::Locks);
        }
        let Some(caller) = caller else { return };
        if places::takes_address(nr) {
            self.look_at_address(caller, nr, args);
        }
        for place in places::places(nr) {
            let Some(path) = path_of(caller, place, args) else { continue };
            if let Some((path, trouble)) = self.trouble(caller, place.want, args, path) {
                self.note(nr, *args, Some(path), trouble);
            }
        }
    }

    /// What `bind(2)` and `connect(2)` do not find. A socket is not asked which it is: a network that only
    /// datagrams could use is of no use to them either.
    fn look_at_address(&mut self, caller: &Caller, nr: u32, args: &[u64; 6]) {
        let count = usize::try_from(args[2] & 0xffff_ffff).unwrap_or(0).min(address::LONGEST);
        let Some(bytes) = caller.bytes(args[1], count) else { return };
        match Address::read(&bytes) {
            Some(Address::Port(at))
                if self.policy.network == Network::None || !address::is_of_a_loopback(&at) =>
            {
                self.note(nr, *args, None, Trouble::NoNetwork(at));
            }
            Some(Address::File(given)) => {
                let Some(path) = named(caller, None, given) else { return };
                let trouble = if nr == BIND {
                    self.trouble(caller, Want::MakeNode(0), &SOCKET_MODE, path)
                } else {
                    self.trouble(caller, Want::Look, args, path)
                };
                if let Some((path, trouble)) = trouble {
                    self.note(nr, *args, Some(path), trouble);
                }
            }
            Some(Address::Port(_)) | None => {}
        }
    }

    /// What stands in the way of what a call wants of a path.
    fn trouble(
        &self,
        caller: &Caller,
        want: Want,
        args: &[u64; 6],
        path: NamedPath,
    ) -> Option<(NamedPath, Trouble)> {
        if self.policy.names_streams() && is_of_a_stream(&path.at) {
            return None;
        }
        let (writes, makes) = match want {
            Want::Look | Want::LookAtLink | Want::Remove | Want::Execute => (false, false),
            Want::Write => (true, false),
            Want::Create => (true, true),
            Want::Make | Want::MakeLink | Want::MakeNode(_) | Want::Replace => (false, true),
            Want::Access(argument) => (args[usize::from(argument)] & 2 != 0, false),
            Want::Open(argument) => opens(args[usize::from(argument)]),
        };
        let done = match want {
            Want::Remove => Done::Removed,
            _ if writes => Done::Written,
            _ => Done::Nothing,
        };
        let follow = !matches!(
            want,
            Want::LookAtLink | Want::Remove | Want::Make | Want::MakeLink | Want::MakeNode(_) | Want::Replace
        );
        match caller.resolve(path.at.as_bytes(), follow) {
            Found::Unknown => None,
            Found::Missing if makes => {
                let path = NamedPath { done: Done::Made, ..path };
                match caller.resolve(parent(&path.at).as_bytes(), true) {
                    Found::At(dir) if self.access(&dir).create => {
                        let special = Special::wanted(want, args)?;
                        let may = special == Special::Link && self.is_in_work(&dir);
                        (!may).then_some((path, Trouble::Unmakable(special)))
                    }
                    Found::At(_) => Some((path, Trouble::ReadOnly)),
                    Found::Missing => Some((path, Trouble::Missing)),
                    Found::Unknown => None,
                }
            }
            Found::Missing => Some((NamedPath { done, ..path }, Trouble::Missing)),
            Found::At(real)
                if matches!(want, Want::Remove | Want::Replace)
                    && self.binds.iter().any(|b| b.at == real) =>
            {
                Some((NamedPath { done: Done::Removed, ..path }, Trouble::Mounted))
            }
            Found::At(real) => {
                let refused = match want {
                    Want::Execute => !self.access(&real).execute,
                    Want::Remove => !self.access(parent(&real)).create,
                    _ => writes && !self.access(&real).write,
                };
                let trouble = if want == Want::Execute { Trouble::NotExecutable } else { Trouble::ReadOnly };
                refused.then_some((path, trouble))
            }
        }
    }

    /// What may be done at a path of the box: as the nearest path of the policy, or bind, says.
    fn access(&self, real: &str) -> Access {
        let covers = |at: &str| {
            at == "/" || real.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let paths = self.policy.paths.iter().map(|p| (p.at.as_str(), p.access));
        let binds = self
            .binds
            .iter()
            .map(|b| (b.at.as_str(), Access { read: true, write: b.write, create: b.write, execute: false }));
        let best = paths.chain(binds).filter(|(at, _)| covers(at)).max_by_key(|(at, _)| at.len());
        best.map(|(_, access)| access).unwrap_or_default()
    }

    /// Whether a place of the box is in its work tree, where links may be made.
    fn is_in_work(&self, real: &str) -> bool {
        let work = self.policy.paths.iter().find(|p| matches!(p.from, PathSource::Work { .. }));
        work.and_then(|p| real.strip_prefix(p.at.as_str()))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn note(&mut self, nr: u32, args: [u64; 6], path: Option<NamedPath>, trouble: Trouble) {
        self.clock += 1;
        let telling = match trouble {
            Trouble::Refused(_) => without_pointers(nr, args),
            // The path, or the limit, is all there is to tell.
            _ => [0; 6],
        };
        let key = (nr, telling, path, trouble);
        match self.seen.get(&key) {
            Some(at) => {
                let note = &mut self.notes[*at];
                note.count += 1;
                note.last = self.clock;
            }
            None if self.notes.len() < KEPT => {
                let (nr, _, path, trouble) = key.clone();
                self.seen.insert(key, self.notes.len());
                self.notes.push(Note { nr, args, path, trouble, count: 1, last: self.clock });
            }
            None => self.more += 1,
        }
    }
}

/// Whether `open(2)` with these flags writes, and whether it may make the file.
fn opens(flags: u64) -> (bool, bool) {
    let flags = i32::try_from(flags & 0x7fff_ffff).unwrap_or(0);
    let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_TRUNC != 0;
    (writes && flags & libc::O_PATH == 0, flags & libc::O_CREAT != 0)
}

fn parent(path: &str) -> &str {
    match path.trim_end_matches('/').rsplit_once('/') {
        None | Some(("", _)) => "/",
        Some((dir, _)) => dir,
    }
}

/// The path of a call, if it can be read and is text.
fn path_of(caller: &Caller, place: &Place, args: &[u64; 6]) -> Option<NamedPath> {
    let given = caller.text(args[usize::from(place.path)]).filter(|p| !p.is_empty())?;
    named(caller, place.dirfd.map(|fd| args[usize::from(fd)]), given)
}

fn named(caller: &Caller, dirfd: Option<u64>, given: Vec<u8>) -> Option<NamedPath> {
    let at = caller.absolute(dirfd, &given)?;
    let given = String::from_utf8(given).ok()?;
    Some(NamedPath { given, at: normal(&String::from_utf8(at).ok()?), done: Done::Nothing, runs: false })
}

/// Without `.`, `//` and a `/` at the end; `..` stays, because links decide what it means.
fn normal(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    format!("/{}", parts.join("/"))
}

/// Two calls that differ in addresses only are the same to tell.
fn without_pointers(nr: u32, mut args: [u64; 6]) -> [u64; 6] {
    let names = arguments(nr);
    for (index, value) in args.iter_mut().enumerate() {
        let known = names.get(index).and_then(|name| argument(nr, name));
        match known.map(|a| a.kind) {
            Some(ArgKind::Int | ArgKind::Long) => {}
            Some(ArgKind::Pointer) | None => *value = 0,
        }
    }
    args
}
