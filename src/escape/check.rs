//! A whole check: makes the caller's directory and the caller, and collects.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::Serialize;

use super::host::{Brief, Told};
use super::judge::Judged;
use super::outcome::Outcome;
use super::probe::{ARGUMENT, MAGIC};
use super::table::{Attack, all};
use crate::Layer;
use crate::error::{Error, Kind, Result, io_text, no_matter};
use crate::sandbox::procfs;
use crate::sys;

/// What is to be checked.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the policy, and its text where it does not ship.
    pub policy: (String, Option<Vec<u8>>),
    /// Ids of attacks, or of sections; all when empty.
    pub only: Vec<String>,
    /// Layers that this host cannot give.
    pub degrade: BTreeSet<Layer>,
    /// A delegated cgroup.
    pub cgroup: Option<PathBuf>,
    /// What runs the payload instead of a box: a command, to which the payload's own is added.
    pub through: Vec<String>,
    /// Whether boxes are those of a pool, made ahead, beside others that wait.
    pub warm: bool,
    /// The stockade program, which is also the payload.
    pub program: PathBuf,
    /// How long one attack may take, its control included, before it is given up. Several times the usual two
    /// minutes stand for a host that is as many times slower: the attacks themselves wait as much longer.
    pub patience: Duration,
}

/// After as many attacks that did not end, the rest is not tried.
const MOST_HANGING: usize = 3;

/// What happens on the way.
#[derive(Debug)]
pub enum Event<'a> {
    /// An attack begins: which, and how many of how many.
    Begins(&'a str, usize, usize),
    /// It is judged.
    Judged(&'a Judged),
}

/// Counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// Attacks without an effect, whose controls had one.
    pub held: usize,
    /// Attacks with an effect.
    pub leaked: usize,
    /// Attacks of which nothing is known here.
    pub inconclusive: usize,
    /// Lines of the table that are not tried, because what they attack does not exist.
    pub not_applicable: usize,
}

/// The result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Every attack that was tried, in the table's order.
    pub attacks: Vec<Judged>,
    /// Ids of those that were not, and why.
    pub not_applicable: Vec<(&'static str, &'static str)>,
    /// Name of the policy.
    pub policy: String,
    /// Whether attacks came from boxes of a pool.
    pub warm: bool,
    /// Counts.
    pub counts: Counts,
    /// How long it took.
    pub elapsed: Duration,
}

impl Summary {
    /// Whether nothing leaked.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.counts.leaked == 0
    }
}

/// The attacks that `only` names, or all, and whether they are tried or not.
///
/// # Errors
/// An unknown word, or none at all.
pub fn listed(only: &[String]) -> Result<Vec<&'static Attack>> {
    if only.is_empty() {
        return Ok(all());
    }
    let words: Vec<&str> = only.iter().flat_map(|w| w.split(',')).filter(|w| !w.is_empty()).collect();
    if words.is_empty() {
        // Nothing tried would look like nothing leaked.
        return Err(Error::new(Kind::Usage, "--only names no attack").help(HOW_TO_NAME));
    }
    let mut names = BTreeSet::new();
    for word in words {
        let found = named(word);
        if found.is_empty() {
            return Err(Error::new(Kind::Usage, format!("there is no attack '{word}'")).help(HOW_TO_NAME));
        }
        names.extend(found.iter().map(|a| a.id));
    }
    Ok(all().into_iter().filter(|a| names.contains(a.id)).collect())
}

const HOW_TO_NAME: &str =
    "stockade escape-check --list shows them all; a section such as FS stands for all of its attacks";

/// One by its id, or those of a section.
fn named(word: &str) -> Vec<&'static Attack> {
    let upper = word.to_uppercase();
    all().into_iter().filter(|a| a.id == upper || a.section() == upper).collect()
}

/// The attacks that `only` names, those that are tried.
///
/// # Errors
/// An unknown word, or none at all, or one attack by its name that is not tried.
pub fn chosen(only: &[String]) -> Result<Vec<&'static Attack>> {
    let all = listed(only)?;
    for word in only.iter().flat_map(|w| w.split(',')) {
        if let [one] = named(word).as_slice()
            && let Some(why) = one.not_applicable()
        {
            return Err(Error::new(Kind::Usage, format!("{} is not tried: {why}", one.id)));
        }
    }
    Ok(all.into_iter().filter(|a| a.not_applicable().is_none()).collect())
}

/// The directory, gone with its owner.
struct Room(PathBuf);

impl Drop for Room {
    fn drop(&mut self) {
        no_matter(fs::remove_dir_all(&self.0), "what is left there says whose it is");
    }
}

/// Not `/tmp`, which boxes have one of their own of: a canary there could not be seen.
const PLACES: [&str; 3] = ["/var/tmp", "/run/user", "/tmp"];

fn room(token: &str) -> Result<Room> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let places =
        PLACES.iter().map(PathBuf::from).take(1).chain(home).chain(PLACES[1..].iter().map(PathBuf::from));
    let mut last = None;
    for place in places {
        let dir = place.join(token);
        match fs::DirBuilder::new().mode(0o755).create(&dir) {
            Ok(()) => return Ok(Room(dir)),
            Err(e) => last = Some(e),
        }
    }
    let why = last.map_or_else(String::new, |e| io_text(&e));
    Err(Error::new(Kind::Host, format!("there is no directory for the check's own files: {why}"))
        .help("it wants to write in /var/tmp, or in $HOME"))
}

/// Something that no other text contains by chance.
fn token() -> Result<String> {
    let mut bytes = [0u8; 10];
    sys::time::random(&mut bytes).map_err(|e| Error::new(Kind::Host, crate::error::errno_text(e as i32)))?;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    Ok(format!("stockade-escape-{hex}"))
}

fn start(options: &Options, token: &str, dir: &Path, ids: &[&str]) -> std::io::Result<Child> {
    let brief = Brief {
        token: token.to_owned(),
        dir: dir.to_owned(),
        policy: options.policy.clone(),
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        degrade: options.degrade.iter().map(|l| l.name().to_owned()).collect(),
        cgroup: options.cgroup.clone(),
        through: options.through.clone(),
        warm: options.warm,
        slow: super::pace::times_of(options.patience),
    };
    let mut command = Command::new(&options.program);
    // A secret among its words, and one among its variables.
    command.args([ARGUMENT, "caller", &format!("{token}-argument")]);
    command.env("STOCKADE_ESCAPE_SECRET", format!("{token}-env"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(MAGIC)?;
        stdin.write_all(&serde_json::to_vec(&brief)?)?;
    }
    Ok(child)
}

/// Runs the battery. `stop` is readable when the caller wants an end.
///
/// # Errors
/// It could not be run at all, or was stopped.
pub fn check(options: &Options, stop: BorrowedFd<'_>, tell: &mut dyn FnMut(Event<'_>)) -> Result<Summary> {
    let begin = Instant::now();
    let policy = super::facts::load(&options.policy)?;
    let (given, attacks): (Vec<&Attack>, Vec<&Attack>) =
        chosen(&options.only)?.into_iter().partition(|a| a.given_by(&policy).is_some());
    let given: Vec<(&str, &str)> = given.iter().filter_map(|a| Some((a.id, a.given_by(&policy)?))).collect();
    if let ([], [(id, why), ..]) = (attacks.as_slice(), given.as_slice()) {
        return Err(Error::new(Kind::Usage, format!("{id} is not tried: {why}")));
    }
    let never = all().into_iter().filter_map(|a| Some((a.id, a.not_applicable()?)));
    let never = never.filter(|_| options.only.is_empty());
    let not_applicable: Vec<(&str, &str)> = never.chain(given).collect();
    let ids: Vec<&str> = attacks.iter().map(|a| a.id).collect();
    let mut judged = Vec::new();
    let mut hanging = 0;
    while judged.len() < ids.len() {
        if let End::Hangs = from(options, stop, &ids, &mut judged, tell)? {
            hanging += 1;
            let why = format!("it did not end within {} s", options.patience.as_secs_f64());
            judged.extend(attacks.get(judged.len()).map(|attack| Judged::unknown(attack, why)));
        }
        if hanging == MOST_HANGING {
            let why = format!("it was not tried, after {MOST_HANGING} attacks that did not end");
            let rest = attacks.iter().skip(judged.len()).map(|attack| Judged::unknown(attack, why.clone()));
            judged.extend(rest.collect::<Vec<_>>());
        }
    }
    let count = |outcome| judged.iter().filter(|j| j.outcome == outcome).count();
    let counts = Counts {
        held: count(Outcome::Held),
        leaked: count(Outcome::Leaked),
        inconclusive: count(Outcome::Inconclusive),
        not_applicable: not_applicable.len(),
    };
    let policy = options.policy.0.clone();
    Ok(Summary {
        attacks: judged,
        not_applicable,
        policy,
        warm: options.warm,
        counts,
        elapsed: begin.elapsed(),
    })
}

/// How a caller's work came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// All is judged.
    Done,
    /// The attack after the last that is judged does not end.
    Hangs,
}

/// A caller of its own, with all it needs, for what is not judged yet.
fn from(
    options: &Options,
    stop: BorrowedFd<'_>,
    ids: &[&str],
    judged: &mut Vec<Judged>,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<End> {
    let token = token()?;
    let room = room(&token)?;
    let failed = |e: std::io::Error| Error::new(Kind::Host, format!("the check's caller: {}", io_text(&e)));
    let mut child = start(options, &token, &room.0, &ids[judged.len()..]).map_err(failed)?;
    let ended = collect(&mut child, stop, options.patience, (judged, ids.len()), tell);
    end(&mut child);
    match ended? {
        Some(end) => Ok(end),
        None if judged.len() == ids.len() => Ok(End::Done),
        None => {
            let next = ids.get(judged.len()).copied().unwrap_or_default();
            Err(Error::new(Kind::Sandbox, format!("the check's caller ended during {next}")))
        }
    }
}

/// Ends the caller, and whatever it has started: a control or a launcher may hang as well.
fn end(child: &mut Child) {
    let stopped = i32::try_from(child.id()).map(nix::unistd::Pid::from_raw);
    let stopped = stopped.map(|pid| nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGSTOP));
    no_matter(stopped, "what it starts meanwhile dies with it, or is a launcher of a box that ends");
    let mut below = procfs::children(child.id()).unwrap_or_default();
    let mut next = 0;
    while let Some(pid) = below.get(next).copied() {
        below.extend(procfs::children(pid).into_iter().flatten());
        next += 1;
    }
    for pidfd in below.into_iter().filter_map(|pid| sys::process::pidfd_open(pid).ok()) {
        no_matter(sys::process::signal(pidfd.as_fd(), libc::SIGKILL), "it has ended, or is another user's");
    }
    no_matter(child.kill(), "it has ended already");
    no_matter(child.wait(), "somebody has reaped it");
}

/// What the caller says when it cannot begin; the reason of a box that was refused has its help with it.
fn failed(why: &str) -> Error {
    match why.split_once("\n  help: ") {
        Some((message, help)) => Error::new(Kind::Host, message).help(help),
        None => Error::new(Kind::Host, why),
    }
}

/// Takes note of what is judged, of so many in all; `None`: the caller has ended.
fn collect(
    child: &mut Child,
    stop: BorrowedFd<'_>,
    patience: Duration,
    (judged, total): (&mut Vec<Judged>, usize),
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Option<End>> {
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let mut lines = BufReader::new(stdout);
    let mut until = Instant::now() + patience;
    loop {
        if lines.buffer().is_empty() {
            let mut fds = [
                PollFd::new(lines.get_ref().as_fd(), PollFlags::POLLIN),
                PollFd::new(stop, PollFlags::POLLIN),
            ];
            let left = until.saturating_duration_since(Instant::now());
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match nix::poll::poll(&mut fds, timeout) {
                Err(sys::Errno::EINTR) => continue,
                Err(e) => return Err(Error::new(Kind::Host, crate::error::errno_text(e as i32))),
                Ok(0) if Instant::now() >= until => return Ok(Some(End::Hangs)),
                Ok(0) => continue,
                Ok(_) => {}
            }
            if fds[1].any() == Some(true) {
                return Err(Error::new(Kind::Sandbox, "the check was stopped"));
            }
        }
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => return Ok(None),
            Ok(_) => {}
        }
        match serde_json::from_str(&line) {
            Ok(Told::Begins(id)) => tell(Event::Begins(&id, judged.len() + 1, total)),
            Ok(Told::Judged(one)) => {
                tell(Event::Judged(&one));
                judged.push(one);
                until = Instant::now() + patience;
            }
            Ok(Told::Failed(why)) => return Err(failed(&why)),
            // A line that is none of the caller's.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(only: &[&str]) -> Vec<&'static str> {
        let only: Vec<String> = only.iter().map(|w| (*w).to_owned()).collect();
        chosen(&only).unwrap().iter().map(|a| a.id).collect()
    }

    #[test]
    fn chosen_takes_ids_and_sections_in_any_case_and_keeps_the_order() {
        assert_eq!(ids(&["ky-01", "FS-01"]), ["FS-01", "KY-01"]);
        assert_eq!(ids(&["KY"]), ["KY-01", "KY-02", "KY-04"]);
        assert_eq!(ids(&["KY-04,KY-01"]), ["KY-01", "KY-04"]);
        assert!(ids(&[]).len() >= 170);
        // A section of which some are not tried.
        let some = ["OU-01", "OU-02", "OU-04", "OU-06", "OU-07", "OU-08", "OU-12", "PS-01"];
        assert_eq!(ids(&["PS-01", "OU"]), some);
    }

    #[test]
    fn chosen_refuses_what_is_not_there_or_not_tried() {
        let one = |word: &str| chosen(&[word.to_owned()]).unwrap_err();
        assert_eq!(one("XX-01").message(), "there is no attack 'XX-01'");
        assert!(one("OU-03").message().starts_with("OU-03 is not tried: "));
        for nothing in ["", ",", ",,"] {
            assert_eq!(one(nothing).message(), "--only names no attack");
        }
    }

    #[test]
    fn token_is_never_the_same() {
        assert_ne!(token().unwrap(), token().unwrap());
    }

    /// A number of seconds that nobody else sleeps.
    const SLEEPS: &str = "7741.125";

    /// A caller that begins an attack and never comes back from it, unless it does something else first.
    fn hanging(dir: &Path, first: &str) -> Options {
        let program = dir.join("caller");
        let script = format!(
            "#!/bin/sh\ncat >/dev/null\n{first}sleep {SLEEPS} &\necho '{{\"Begins\":\"x\"}}'\nexec sleep {SLEEPS}\n"
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        Options {
            policy: ("native".to_owned(), None),
            only: vec!["KY,FS-01,FS-02".to_owned()],
            degrade: BTreeSet::new(),
            cgroup: None,
            through: Vec::new(),
            warm: false,
            program,
            patience: Duration::from_millis(300),
        }
    }

    fn check_quietly(options: &Options) -> Result<Summary> {
        let (never, _open) = sys::fd::pipe().unwrap();
        check(options, never.as_fd(), &mut |_| {})
    }

    #[test]
    fn attack_that_does_not_end_is_inconclusive_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let summary = check_quietly(&hanging(dir.path(), "")).unwrap();
        let ids: Vec<&str> = summary.attacks.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["FS-01", "FS-02", "KY-01", "KY-02", "KY-04"]);
        assert_eq!((summary.counts.inconclusive, summary.counts.held), (5, 0));
        let saws: Vec<&str> = summary.attacks.iter().map(|a| a.saw.as_str()).collect();
        assert_eq!(saws[..3], ["it did not end within 0.3 s"; 3]);
        assert_eq!(saws[3..], ["it was not tried, after 3 attacks that did not end"; 2]);
        // It has gone, with all that it had started: whoever was killed may still be on the way.
        let sleeps = || {
            fs::read_dir("/proc").unwrap().flatten().any(|e| {
                let line = fs::read(e.path().join("cmdline")).unwrap_or_default();
                line.split(|b| *b == 0).any(|word| word == SLEEPS.as_bytes())
            })
        };
        let begin = Instant::now();
        while sleeps() {
            assert!(begin.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn caller_that_ends_early_is_an_error_that_says_where() {
        let dir = tempfile::tempdir().unwrap();
        let mut options = hanging(dir.path(), "exit 0\n");
        options.patience = Duration::from_secs(30);
        assert_eq!(check_quietly(&options).unwrap_err().message(), "the check's caller ended during FS-01");
    }
}
