//! What would allow something: proposed only after it was tried on the reader of policies, or on the checks
//! that a request goes through.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use super::address::is_of_a_loopback;
use super::places::Special;
use super::{Done, NamedPath, Note, Trouble, parent, places};
use crate::error::Error;
use crate::policy::amend::{self, Amendment};
use crate::policy::model::{Network, PathSource, Policy};
use crate::policy::{builtin_names, load_builtin};
use crate::report::explanation::Allow;
use crate::sandbox::host::Host;
use crate::sandbox::root::{Bind, Layout, is_of_a_stream};

/// `execve` in the x86-64 table.
const EXECVE: u32 = 59;

/// Calls that no rule helps.
const SETGROUPS: u32 = 116;
const SETHOSTNAME: u32 = 170;
const SETDOMAINNAME: u32 = 171;
const MQ_OPEN: u32 = 240;

/// Of every call that locks memory.
pub const NO_LOCKS: &str =
    "no box may lock memory (RLIMIT_MEMLOCK is 0): nothing could take it back from the program";

/// Of what `--ro` and `--rw` name themselves.
const NOT_REMOVED: &str = "what a caller shows cannot be removed, renamed or replaced, only what lies below a directory given with --rw";

/// What is said of a path.
pub enum Proposal {
    Allow(Allow),
    Never(String),
    /// A program without any box would not have found it either.
    NotOnHost,
}

/// The request that was run.
pub struct Request<'a> {
    pub policy: &'a Policy,
    pub binds: &'a [Bind],
    /// Where stockade runs.
    pub cwd: PathBuf,
}

impl Request<'_> {
    /// What would allow a refused call.
    pub fn call(&self, note: &Note) -> Proposal {
        if note.nr == EXECVE
            && let Some(path) = note.path.as_ref().filter(|p| !p.runs)
        {
            return Proposal::Never(format!(
                "{:?} is no program of the image, which holds what the payload is linked with, and what --ro gives is \
                 not executable; an image that is built with it (stockade image build --program) can run it under \
                 \"exec\": \"image\"",
                path.at
            ));
        }
        if places::locks_memory(note.nr) {
            return Proposal::Never(NO_LOCKS.to_owned());
        }
        let in_vain = match note.nr {
            SETHOSTNAME | SETDOMAINNAME => {
                Some("a capability for it, and a box has none; `hostname` names the box")
            }
            SETGROUPS => Some("a capability for it, and a box has none"),
            MQ_OPEN => Some("room for message queues, and a box has none (RLIMIT_MSGQUEUE is 0)"),
            _ => None,
        };
        if let Some(what) = in_vain {
            return Proposal::Never(format!("the kernel wants {what}"));
        }
        if let Some(special) = Special::of(note.nr, &note.args)
            && !(special == Special::Link && self.has_work())
        {
            return Proposal::Never(self.unmakable(special));
        }
        self.amended(amend::allow_call(self.policy, note.nr, &note.args))
    }

    /// What would give a path.
    pub fn path(&self, path: &NamedPath, trouble: &Trouble) -> Proposal {
        match trouble {
            Trouble::NotExecutable => Proposal::Never(
                "programs run from the image alone: not what the caller gives, and not what the program writes"
                    .to_owned(),
            ),
            Trouble::Unmakable(special) => Proposal::Never(self.unmakable(*special)),
            Trouble::Mounted => Proposal::Never(NOT_REMOVED.to_owned()),
            _ if is_of_a_stream(&path.at) => Proposal::Never(
                "a box's streams have no names: they are its descriptors 0, 1 and 2, for which programs often take `-`"
                    .to_owned(),
            ),
            Trouble::ReadOnly => self.writable(path),
            _ if path.done == Done::Made => self.scratch(path),
            _ => self.shown(path),
        }
    }

    /// What would give an address.
    pub fn network(&self, at: &SocketAddr) -> Proposal {
        if self.policy.network == Network::None && is_of_a_loopback(at) {
            return self.amended(amend::add_network(self.policy));
        }
        Proposal::Never("a box has no way to other machines, and at most a loopback of its own".to_owned())
    }

    fn has_work(&self) -> bool {
        self.policy.paths.iter().any(|p| matches!(p.from, PathSource::Work { .. }))
    }

    /// Why there can be none.
    fn unmakable(&self, special: Special) -> String {
        match special {
            Special::Link if self.has_work() => {
                "Landlock refuses links everywhere but in the work tree: whoever reads the place later would follow \
                 them"
                    .to_owned()
            }
            Special::Link => {
                "Landlock refuses links everywhere but in a work tree, as the policy `ci` has one: whoever reads the \
                 place later would follow them"
                    .to_owned()
            }
            Special::Fifo | Special::Socket | Special::Device => {
                "Landlock refuses fifos, sockets and devices everywhere in a box; pipes and socket pairs have no \
                 name and can be had"
                    .to_owned()
            }
        }
    }

    /// A path that is not there.
    fn shown(&self, path: &NamedPath) -> Proposal {
        if is_of_a_process(&path.at) {
            return Proposal::NotOnHost;
        }
        if let Some(name) = path.at.strip_prefix("/dev/")
            && let Ok(amendment) = amend::add_device(self.policy, name)
        {
            return self.amended(Ok(amendment));
        }
        let at = in_the_box(&path.at);
        let beside = self.beside(path).map(|given| (format!("{given}:{at}"), self.cwd.join(given)));
        let same = (whole_locale(&at).to_owned(), PathBuf::from(&at));
        let Some((spec, _)) = beside.into_iter().chain([same]).find(|(_, host)| host.exists()) else {
            return Proposal::NotOnHost;
        };
        match path.done {
            Done::Removed => Proposal::Never(NOT_REMOVED.to_owned()),
            done => self.given(&spec, done == Done::Written),
        }
    }

    /// A file or directory of the host that the caller may give.
    fn given(&self, spec: &str, write: bool) -> Proposal {
        match self.may_bind(spec, write) {
            Ok(()) => Proposal::Allow(options(&[if write { "--rw" } else { "--ro" }, spec])),
            Err(e) => Proposal::Never(one_line(&e)),
        }
    }

    /// Whether a request with one more bind, or another one in its place, would be taken.
    fn may_bind(&self, spec: &str, write: bool) -> Result<(), Error> {
        let as_root = Host::get().uid == 0;
        let bind = Bind::parse(spec, write, &self.cwd)?;
        let others: Vec<Bind> = self.binds.iter().filter(|b| b.at != bind.at).cloned().collect();
        let all = others.into_iter().chain([bind]);
        let sockets = self.policy.allows(libc::SYS_socket);
        let open = all.map(|b| b.open(as_root, sockets)).collect::<Result<Vec<_>, _>>()?;
        Layout::new(self.policy, &open).map(drop)
    }

    /// A path that may not be written.
    fn writable(&self, path: &NamedPath) -> Proposal {
        let dir = parent(&path.at);
        let holds = |at: &str| path.at == at || path.at.strip_prefix(at).is_some_and(|r| r.starts_with('/'));
        if let Some(bind) = self.binds.iter().find(|b| holds(&b.at)) {
            let spec = format!("{}:{}", bind.host.display(), bind.at);
            if let Err(e) = self.may_bind(&spec, true) {
                return Proposal::Never(one_line(&e));
            }
            let allow = options(&["--rw", &spec]);
            return Proposal::Allow(Allow { words: format!("{} instead of --ro", allow.words), ..allow });
        }
        if let Some(given) = self.beside(path).filter(|_| dir == self.policy.cwd) {
            // The caller's own, where the box may write it, or else one that is made anew.
            let spec = format!("{given}:{}", path.at);
            if path.done != Done::Removed
                && self.cwd.join(given).is_file()
                && self.may_bind(&spec, true).is_ok()
            {
                return self.given(&spec, true);
            }
            if let Ok((amendment, _)) = amend::writable_cwd(self.policy) {
                return self.amended(Ok(amendment));
            }
        }
        let scratch: Vec<&str> = self
            .policy
            .paths
            .iter()
            .filter(|p| p.from.memory().is_some() && p.access.create)
            .map(|p| p.at.as_str())
            .collect();
        let instead = if scratch.is_empty() {
            String::new()
        } else {
            format!("; what can be written is {}", scratch.join(" and "))
        };
        Proposal::Never(format!("what is at {dir} is the same for every run{instead}"))
    }

    /// The path as seen from the working directory, if it was given like that, or was made absolute by the
    /// program, as many do. What begins with a dot belongs to the home directory, which is the same one.
    fn beside<'b>(&self, path: &'b NamedPath) -> Option<&'b str> {
        if !path.given.starts_with('/') {
            return Some(&path.given);
        }
        let below = path.given.strip_prefix(self.policy.cwd.as_str())?.strip_prefix('/')?;
        (!below.is_empty() && !below.starts_with(['.', '/'])).then_some(below)
    }

    /// A directory that is not there, in which something was to be made.
    fn scratch(&self, path: &NamedPath) -> Proposal {
        if let Some(given) = self.beside(path) {
            // Beside the program: the caller's own directory, or else one in which more can be made.
            let dir = parent(given);
            if self.cwd.join(dir).is_dir() {
                return self.given(&format!("{dir}:{}", parent(&path.at)), true);
            }
            if let Ok((amendment, _)) = amend::writable_cwd(self.policy)
                && path.at.starts_with(&format!("{}/", self.policy.cwd))
            {
                return self.amended(Ok(amendment));
            }
        }
        self.amended(amend::add_scratch(self.policy, parent(&path.at)))
    }

    /// A change of the policy, in words.
    pub fn amended(&self, amendment: Result<Amendment, String>) -> Proposal {
        match amendment {
            Err(why) => Proposal::Never(why),
            Ok(Amendment { patch, adds }) => {
                let name = &self.policy.name;
                let ships = builtin_names().any(|n| n == name)
                    && load_builtin(name).is_ok_and(|p| p.digest == self.policy.digest);
                let words = match &adds {
                    Some(adds) if ships => format!("a policy that extends {name} allows it with {adds}"),
                    Some(adds) => format!("the policy allows it with {adds}"),
                    None => {
                        let steps: Vec<String> = patch.iter().map(step).collect();
                        let (whole, steps) = (if ships { name } else { "FILE" }, steps.join(", then "));
                        format!(
                            "a policy of its own allows it (stockade policy show {whole} --resolved): {steps}"
                        )
                    }
                };
                Proposal::Allow(Allow { words, options: Vec::new(), patch, extends: adds })
            }
        }
    }
}

/// One operation of a patch in words.
fn step(operation: &serde_json::Value) -> String {
    let word = |field: &str| operation[field].as_str().unwrap_or_default().to_owned();
    match operation.get("value") {
        Some(value) => format!("{} {} {value}", word("op"), word("path")),
        None => format!("{} {}", word("op"), word("path")),
    }
}

/// Options that would allow it.
pub fn options(words: &[&str]) -> Allow {
    Allow {
        words: format!("run it with {}", words.iter().map(|w| for_a_shell(w)).collect::<Vec<_>>().join(" ")),
        options: words.iter().map(|w| (*w).to_owned()).collect(),
        patch: Vec::new(),
        extends: None,
    }
}

/// A word of a command line, so that nothing in it acts on a shell or a terminal.
fn for_a_shell(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./:+=,@%-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.escape_debug().to_string().replace("\\'", "'").replace('\'', "'\\''"))
}

fn one_line(error: &Error) -> String {
    match error.help_text() {
        Some(help) => format!("{}: {help}", error.message()),
        None => error.message().to_owned(),
    }
}

/// Without `..`, as of directories that are no links: a place for something that is not there yet.
fn in_the_box(at: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in at.split('/').filter(|p| !p.is_empty()) {
        match part {
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// A locale is a directory of a dozen files, all of which are wanted.
fn whole_locale(at: &str) -> &str {
    const LOCALES: &str = "/usr/lib/locale/";
    match at.strip_prefix(LOCALES).and_then(|rest| rest.find('/')) {
        Some(end) if at.contains("/LC_") => &at[..LOCALES.len() + end],
        _ => at,
    }
}

/// A process of the host with the same number is not what was asked for.
fn is_of_a_process(at: &str) -> bool {
    let Ok(below) = Path::new(at).strip_prefix("/proc") else { return false };
    let first = below.components().next().and_then(|c| c.as_os_str().to_str()).unwrap_or_default();
    ["self", "thread-self"].contains(&first) || first.starts_with(|c: char| c.is_ascii_digit())
}
