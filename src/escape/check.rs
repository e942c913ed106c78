//! A whole check: makes the caller's directory and the caller, and collects.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::Serialize;

use super::host::{Brief, Told};
use super::judge::Judged;
use super::outcome::Outcome;
use super::probe::{ARGUMENT, MAGIC};
use super::table::{Attack, all};
use crate::Layer;
use crate::error::{Error, Kind, Result, io_text, no_matter};
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
}

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
    /// Name of the policy.
    pub policy: String,
    /// Counts.
    pub counts: Counts,
    /// How long it took.
    pub elapsed: std::time::Duration,
}

impl Summary {
    /// Whether nothing leaked.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        self.counts.leaked == 0
    }
}

/// The attacks that `only` names.
///
/// # Errors
/// It names something that is not in the table, or is not tried.
pub fn chosen(only: &[String]) -> Result<Vec<&'static Attack>> {
    let tried = |a: &&'static Attack| a.not_applicable().is_none();
    if only.is_empty() {
        return Ok(all().into_iter().filter(tried).collect());
    }
    let mut names = BTreeSet::new();
    for word in only.iter().flat_map(|w| w.split(',')).filter(|w| !w.is_empty()) {
        let upper = word.to_uppercase();
        let found: Vec<&Attack> =
            all().into_iter().filter(|a| a.id == upper || a.section() == upper).collect();
        match found.as_slice() {
            [] => {
                return Err(Error::new(Kind::Usage, format!("there is no attack '{word}'"))
                    .help("stockade escape-check --list shows them all; a section such as FS stands for all of its attacks"));
            }
            [one] if one.not_applicable().is_some() => {
                let why = one.not_applicable().unwrap_or_default();
                return Err(Error::new(Kind::Usage, format!("{} is not tried: {why}", one.id)));
            }
            found => names.extend(found.iter().map(|a| a.id)),
        }
    }
    Ok(all().into_iter().filter(|a| names.contains(a.id)).filter(tried).collect())
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
    let begin = std::time::Instant::now();
    let attacks = chosen(&options.only)?;
    let ids: Vec<&str> = attacks.iter().map(|a| a.id).collect();
    let token = token()?;
    let room = room(&token)?;
    let failed = |e: std::io::Error| Error::new(Kind::Host, format!("the check's caller: {}", io_text(&e)));
    let mut child = start(options, &token, &room.0, &ids).map_err(failed)?;
    let collected = collect(&mut child, stop, ids.len(), tell);
    no_matter(child.kill(), "it has ended already");
    no_matter(child.wait(), "somebody has reaped it");
    let judged = collected?;
    if judged.len() != ids.len() {
        let next = ids.get(judged.len()).copied().unwrap_or_default();
        return Err(Error::new(Kind::Sandbox, format!("the check's caller ended during {next}")));
    }
    let count = |outcome| judged.iter().filter(|j| j.outcome == outcome).count();
    let counts = Counts {
        held: count(Outcome::Held),
        leaked: count(Outcome::Leaked),
        inconclusive: count(Outcome::Inconclusive),
        not_applicable: if options.only.is_empty() { all().len() - ids.len() } else { 0 },
    };
    Ok(Summary { attacks: judged, policy: options.policy.0.clone(), counts, elapsed: begin.elapsed() })
}

fn collect(
    child: &mut Child,
    stop: BorrowedFd<'_>,
    total: usize,
    tell: &mut dyn FnMut(Event<'_>),
) -> Result<Vec<Judged>> {
    let Some(stdout) = child.stdout.take() else { return Ok(Vec::new()) };
    let mut lines = BufReader::new(stdout);
    let mut judged = Vec::new();
    loop {
        if lines.buffer().is_empty() {
            let mut fds = [
                PollFd::new(lines.get_ref().as_fd(), PollFlags::POLLIN),
                PollFd::new(stop, PollFlags::POLLIN),
            ];
            match nix::poll::poll(&mut fds, PollTimeout::NONE) {
                Err(sys::Errno::EINTR) => continue,
                Err(e) => return Err(Error::new(Kind::Host, crate::error::errno_text(e as i32))),
                Ok(_) => {}
            }
            if fds[1].any() == Some(true) {
                return Err(Error::new(Kind::Sandbox, "the check was stopped"));
            }
        }
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) | Err(_) => return Ok(judged),
            Ok(_) => {}
        }
        match serde_json::from_str(&line) {
            Ok(Told::Begins(id)) => tell(Event::Begins(&id, judged.len() + 1, total)),
            Ok(Told::Judged(one)) => {
                tell(Event::Judged(&one));
                judged.push(one);
            }
            Ok(Told::Failed(why)) => return Err(Error::new(Kind::Host, why)),
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
        assert_eq!(ids(&["PS-01", "OU"]), ["PS-01"]);
    }

    #[test]
    fn chosen_refuses_what_is_not_there_or_not_tried() {
        let one = |word: &str| chosen(&[word.to_owned()]).unwrap_err();
        assert_eq!(one("XX-01").message(), "there is no attack 'XX-01'");
        assert!(one("OU-01").message().starts_with("OU-01 is not tried: "));
    }

    #[test]
    fn token_is_never_the_same() {
        assert_ne!(token().unwrap(), token().unwrap());
    }
}
