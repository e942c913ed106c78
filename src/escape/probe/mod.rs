//! The payload that attacks: this program itself, started with a private argument.
//!
//! It runs in boxes, and beside them as the positive control of what it tries.
//! What it is to try, and against which canaries, it reads from standard input;
//! without that it does nothing. What it sees it writes to standard output, line
//! by line, so that an attack that ends the box has still said that it began.

pub mod calls;
pub mod descriptors;
pub mod files;
pub mod kernel;
pub mod keys;
pub mod leaks;
pub mod mounts;
pub mod namespaces;
pub mod outputs;
pub mod pidone;
pub mod proc;
pub mod processes;
pub mod resources;
pub mod roles;
pub mod sockets;
pub mod terminal;
pub mod work;

use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};

use super::outcome::{Place, Saw, name};
use super::pace;
use crate::error::no_matter;
use crate::sys::process::Ended;
use crate::sys::{fd, probe, process};

/// The argument that makes this program a probe.
pub const ARGUMENT: &str = "escape-probe";

/// First bytes of a job.
pub const MAGIC: &[u8; 16] = b"stockade-escape\n";

/// The most bytes of a job.
const MAX_JOB: u64 = 16 << 20;

/// How long a part of a probe that runs in a copy of it may take.
const PART: Duration = Duration::from_secs(3);

/// What a policy means for one call, and for other values of one argument of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Replay {
    /// The call.
    pub nr: u32,
    /// Its name, and the argument that is varied.
    pub what: String,
    /// Which argument.
    pub index: usize,
    /// All arguments, the value among them.
    pub args: [u64; 6],
    /// Other values that the kernel takes for the same.
    pub same: Vec<u64>,
}

/// What the policy of the box says, as far as probes need it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Facts {
    /// Host name inside.
    pub hostname: String,
    /// Working directory inside.
    pub cwd: String,
    /// Every mount inside.
    pub mounts: Vec<String>,
    /// Processes at one time.
    pub processes: u64,
    /// Descriptors of one process.
    pub open_files: u64,
    /// Bytes of memory.
    pub memory: u64,
    /// Bytes of one file.
    pub file_size: u64,
    /// Bytes and inodes of the scratch space.
    pub scratch: Option<(u64, u64)>,
    /// Calls that are never allowed, with the answer the filter gives to null arguments.
    pub refused: Vec<(u32, String)>,
    /// Argument rules to replay with bits that the kernel ignores.
    pub replays: Vec<Replay>,
    /// Whether the policy gives pairs of sockets.
    pub socket_pairs: bool,
    /// Whether the policy gives locks on files.
    pub locks: bool,
    /// Whether the policy gives process groups.
    pub groups: bool,
}

/// What a probe attacks.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Target {
    /// Where the probe runs.
    pub place: Place,
    /// What every secret of the host contains, each byte complemented: a probe
    /// that looks for it must not find its own order.
    pub token: Vec<u8>,
    /// Directory of the host that everybody may write.
    pub dir: String,
    /// A directory that this process may write.
    pub scratch: Option<String>,
    /// Directories that may be written by policy, with all below them.
    pub writable: Vec<String>,
    /// Where a walk over everything starts.
    pub root: String,
    /// This program, as this process sees it.
    pub program: String,
    /// Port of a TCP listener on the host's loopback, both families.
    pub tcp: u16,
    /// Port of a UDP socket there.
    pub udp: u16,
    /// Name of abstract sockets, `-stream`, `-dgram` or `-seqpacket` to be added.
    pub abstract_name: String,
    /// A process of the host, and where its secret lies.
    pub victim: (i32, u64),
    /// Description of a key in the caller's session keyring.
    pub key: String,
    /// Terminal of the caller.
    pub terminal: String,
    /// How many times slower than usual this host is.
    pub slow: u32,
    /// What the box's policy says.
    pub facts: Facts,
}

impl Target {
    /// Whether the bytes contain a secret.
    #[must_use]
    pub fn finds(&self, bytes: &[u8]) -> bool {
        let n = self.token.len();
        n > 0 && bytes.windows(n).any(|w| w.iter().zip(&self.token).all(|(b, t)| *b == !*t))
    }

    /// The file on the host that holds a secret and that everybody may read.
    #[must_use]
    pub fn secret(&self) -> String {
        format!("{}/secret", self.dir)
    }

    /// The file on the host that must not change and that everybody may write.
    #[must_use]
    pub fn precious(&self) -> String {
        format!("{}/precious", self.dir)
    }

    /// Whether this is the attack itself and not its control.
    #[must_use]
    pub fn inside(&self) -> bool {
        self.place == Place::Inside
    }
}

/// One probe of a job.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Order {
    /// The attack's id.
    pub id: String,
    /// Steps to leave out: those that an earlier box did not survive.
    pub skip: usize,
}

/// What a probe process is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Job {
    /// What it attacks.
    pub target: Target,
    /// What it tries, in this order.
    pub orders: Vec<Order>,
}

impl Job {
    /// As it is handed over.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = serde_json::to_vec(self).unwrap_or_default();
        let mut bytes = MAGIC.to_vec();
        bytes.extend((body.len() as u64).to_le_bytes());
        bytes.extend(body);
        bytes
    }

    fn read() -> Option<Self> {
        let mut head = [0u8; 24];
        read_exact(&mut head)?;
        let (magic, length) = head.split_at(16);
        let length = u64::from_le_bytes(length.try_into().ok()?);
        if magic != MAGIC || length > MAX_JOB {
            return None;
        }
        let mut body = vec![0u8; usize::try_from(length).ok()?];
        read_exact(&mut body)?;
        serde_json::from_slice(&body).ok()
    }
}

/// Not buffered: what follows the job on standard input belongs to the probes.
fn read_exact(mut into: &mut [u8]) -> Option<()> {
    while !into.is_empty() {
        match fd::read(0, into) {
            Ok(0) | Err(_) => return None,
            Ok(n) => into = into.get_mut(n..)?,
        }
    }
    Some(())
}

/// Writes a line, whole, to standard output.
pub fn say(line: &str) {
    let text = format!("{line}\n");
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        match fd::write(1, rest) {
            Ok(n) => rest = &rest[n..],
            Err(_) => return,
        }
    }
}

/// Tries one attack.
pub type Probe = fn(&Target, &mut Steps) -> Saw;

/// The steps of a probe, some of which the process may not survive.
#[derive(Debug)]
pub struct Steps<'a> {
    id: &'a str,
    variant: &'a str,
    skip: usize,
    taken: usize,
}

impl Steps<'_> {
    /// Which of several attacks of one id; what stands after the `=` of the order.
    #[must_use]
    pub fn variant(&self) -> &str {
        self.variant
    }

    /// Whether the next step is to be taken; says so before it is.
    pub fn next(&mut self, what: &str) -> bool {
        self.taken += 1;
        if self.taken <= self.skip {
            return false;
        }
        say(&format!("S {} {} {what}", self.id, self.taken));
        true
    }
}

/// The probe process: reads its job and does it.
#[must_use]
pub fn main() -> u8 {
    let Some(job) = Job::read() else {
        say("this is a part of `stockade escape-check`, and does nothing by itself");
        return 125;
    };
    pace::set(job.target.slow);
    if job.target.place == Place::OwnNamespaces {
        return roles::in_own_namespaces(&job.target.dir, || work_off(&job));
    }
    work_off(&job)
}

fn work_off(job: &Job) -> u8 {
    for order in &job.orders {
        let (id, variant) = order.id.split_once('=').unwrap_or((&order.id, ""));
        let Some(probe) = super::table::probe(id) else { continue };
        say(&format!("B {}", order.id));
        let mut steps = Steps { id: &order.id, variant, skip: order.skip, taken: 0 };
        let saw = probe(&job.target, &mut steps);
        say(&format!("R {} {}", order.id, serde_json::to_string(&saw).unwrap_or_default()));
    }
    say("E");
    0
}

/// A path or other text for the kernel; what cannot be one becomes empty.
#[must_use]
pub fn c(text: &str) -> CString {
    CString::new(text).unwrap_or_default()
}

/// Makes a call whose success is the effect.
macro_rules! refuse {
    ($saw:expr, $what:expr, $nr:ident $(, $arg:expr)* $(,)?) => {{
        let result = $crate::sys::probe::call(libc::$nr, &[$($crate::sys::probe::Arg::from($arg)),*]);
        $saw.must_refuse($what, libc::$nr, result)
    }};
}
/// Makes a call on the way to an effect.
macro_rules! step {
    ($saw:expr, $what:expr, $nr:ident $(, $arg:expr)* $(,)?) => {{
        let result = $crate::sys::probe::call(libc::$nr, &[$($crate::sys::probe::Arg::from($arg)),*]);
        $saw.step($what, result)
    }};
}
pub(crate) use {refuse, step};

/// Tries something in a copy of this process, which may die of it or be changed
/// by it. Where no copy can be had, here.
pub fn in_child(what: &str, part: impl FnOnce() -> Saw) -> Saw {
    let Ok((read, write)) = fd::pipe() else { return part() };
    match probe::fork() {
        Err(_) => part(),
        Ok(0) => {
            let saw = serde_json::to_vec(&part()).unwrap_or_default();
            no_matter(fd::write(write.as_raw_fd(), &saw), "the parent sees the end");
            process::exit_now(0)
        }
        Ok(pid) => {
            drop(write);
            let said = read_until_end(&read);
            let mut saw = Saw::new();
            match said.as_deref().map(serde_json::from_slice::<Saw>) {
                Some(Ok(seen)) => saw = seen,
                Some(Err(_)) => {}
                None => {
                    kill(pid);
                    saw.note(what, "no end");
                }
            }
            match process::wait_pid(pid, true) {
                Ok((Ended::Signaled(signal), _)) if signal != libc::SIGKILL => {
                    saw.note(what, crate::report::verdict::signal_name(signal));
                }
                Ok((Ended::Signaled(_), _)) if said.is_some() => saw.note(what, "SIGKILL"),
                Ok((Ended::Exited(0), _)) | Ok((Ended::Signaled(_), _)) => {}
                Ok((Ended::Exited(code), _)) => saw.note(what, format!("exit {code}")),
                Err(errno) => saw.note(what, name(errno)),
            }
            saw
        }
    }
}

/// Kills a child of this process.
pub fn kill(pid: i32) {
    no_matter(probe::call(libc::SYS_kill, &[pid.into(), libc::SIGKILL.into()]), "it has ended already");
}

/// Sleeps, longer where the host is slow; or is busy for as long, under a policy without a call for it, where the standard library panics.
pub fn rest(usual: Duration) {
    let time = pace::stretched(usual);
    let begin = Instant::now();
    let asked = [time.as_secs(), time.subsec_nanos().into()].map(u64::to_le_bytes).concat();
    let clock = libc::CLOCK_MONOTONIC;
    let slept =
        probe::call(libc::SYS_clock_nanosleep, &[clock.into(), 0.into(), asked.as_slice().into(), 0.into()]);
    while slept.is_err() && begin.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Everything until the other end closes; `None` when that takes too long.
fn read_until_end(from: &std::os::fd::OwnedFd) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    let mut buf = [0u8; 4096];
    loop {
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(pace::stretched(PART)).unwrap_or(PollTimeout::MAX);
        match nix::poll::poll(&mut fds, patience) {
            Ok(0) => return None,
            Ok(_) | Err(crate::sys::Errno::EINTR) => {}
            // A policy without poll: the read waits.
            Err(_) => {}
        }
        match fd::read(from.as_raw_fd(), &mut buf) {
            Ok(0) => return Some(all),
            Ok(n) => all.extend(&buf[..n]),
            Err(crate::sys::Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}

/// Reads a file, at most this much of it.
pub fn read_some(path: &str, most: usize) -> crate::sys::Result<Vec<u8>> {
    let file = fd::openat(libc::AT_FDCWD, &c(path), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY, 0)?;
    let mut bytes = vec![0u8; most];
    let mut have = 0;
    while have < most {
        match fd::read(file.as_raw_fd(), &mut bytes[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(crate::sys::Errno::EINTR) => {}
            Err(_) if have > 0 => break,
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}

/// Reads a file that must not be there, or must not hold a secret.
pub fn look_for_secret(saw: &mut Saw, target: &Target, path: &str) {
    match read_some(path, 1 << 16) {
        Ok(bytes) if target.finds(&bytes) => {
            saw.note(path, "ok");
            saw.leak(format!("{path} shows a secret of the host"));
        }
        Ok(_) => saw.note(path, "nothing secret"),
        Err(errno) => saw.note(path, name(errno)),
    }
}
