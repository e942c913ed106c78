//! What the tests share that change the machine that they run on: only the
//! guests of `.ci/kernels/run` may be changed.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::cell::RefCell;
use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::common::{self, Caller, Ran, SOMEBODY, by_shell, patience, stockade};

/// Every test that changes the machine begins with this: it must be one that nobody else uses.
pub fn throw_away_guest() {
    let told = std::env::var_os("STOCKADE_TEST_GUEST").is_some();
    assert!(told, "this test changes the machine: it runs only in a guest of .ci/kernels/run");
    assert!(common::is_root(), "this test plays root and a user, so it must be started by root");
}

/// Where the unified hierarchy is.
pub const TOP: &str = "/sys/fs/cgroup";

/// A cgroup for one test, removed with all its children at its end.
#[derive(Debug)]
pub struct Cgroup {
    dir: PathBuf,
    keepers: RefCell<Vec<Child>>,
}

impl Cgroup {
    /// A new one of root's, directly below the top, which hands memory and pids down to it.
    pub fn new(name: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = Path::new(TOP).join(format!("{name}-{number}"));
        fs::create_dir(&dir).unwrap();
        Self { dir, keepers: RefCell::default() }
    }

    /// One that belongs to [`SOMEBODY`], as systemd's `Delegate=yes` makes it.
    pub fn delegated(name: &str) -> Self {
        let cgroup = Self::new(name);
        give_to_somebody(&cgroup.dir);
        cgroup
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// Its path as in `/proc/<pid>/cgroup`.
    pub fn name(&self) -> String {
        format!("/{}", self.dir.strip_prefix(TOP).unwrap().display())
    }

    /// Makes a child, of the same owner.
    pub fn child(&self, name: &str) -> PathBuf {
        let dir = self.dir.join(name);
        fs::create_dir_all(&dir).unwrap();
        if owner(&self.dir) == SOMEBODY {
            give_to_somebody(&dir);
        }
        dir
    }

    /// Makes a child that has a process, as a session has its shell.
    pub fn session(&self) -> PathBuf {
        let dir = self.child("session");
        let sleep = ["-c", &in_cgroup(&dir), "sh", "/bin/busybox", "sleep", "3600"];
        self.keepers.borrow_mut().push(Command::new("/bin/sh").args(sleep).spawn().unwrap());
        let there = || (!members(&dir).is_empty()).then_some(());
        within(Duration::from_secs(5), there).expect("nobody is in the session");
        dir
    }

    /// Hands memory and pids down to its children.
    pub fn hand_down(&self) -> &Self {
        fs::write(self.dir.join("cgroup.subtree_control"), "+memory +pids").unwrap();
        self
    }

    /// Names of its children.
    pub fn children(&self) -> Vec<String> {
        children(&self.dir)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        fs::write(self.dir.join("cgroup.kill"), "1").unwrap();
        self.keepers.get_mut().iter_mut().for_each(|keeper| drop(keeper.wait()));
        let gone = within(Duration::from_secs(5), || remove(&self.dir).then_some(()));
        assert!(std::thread::panicking() || gone.is_some(), "{} cannot be removed", self.dir.display());
    }
}

fn owner(dir: &Path) -> u32 {
    std::os::unix::fs::MetadataExt::uid(&fs::metadata(dir).unwrap())
}

fn give_to_somebody(dir: &Path) {
    for own in ["", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"] {
        chown(dir.join(own), Some(SOMEBODY), Some(SOMEBODY)).unwrap();
    }
}

fn remove(dir: &Path) -> bool {
    for child in children(dir) {
        remove(&dir.join(child));
    }
    fs::remove_dir(dir).is_ok()
}

/// Processes of a cgroup.
pub fn members(cgroup: &Path) -> Vec<u32> {
    let text = fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    text.lines().map(|pid| pid.parse().unwrap()).collect()
}

/// Names of the cgroups directly below one.
pub fn children(dir: &Path) -> Vec<String> {
    let is_dir = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
    let entries = fs::read_dir(dir).into_iter().flatten().flatten().filter(is_dir);
    entries.map(|e| e.file_name().into_string().unwrap()).collect()
}

/// A script for [`common::Run::through`] that starts the command in a cgroup.
pub fn in_cgroup(dir: &Path) -> String {
    format!("echo 0 >{}/cgroup.procs && exec \"$@\"", dir.display())
}

/// Asks until there is an answer, for as long as that takes at most elsewhere.
pub fn within<T>(usual: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = Instant::now();
    loop {
        match ask() {
            None if begin.elapsed() < patience(usual) => std::thread::sleep(Duration::from_millis(20)),
            answer => return answer,
        }
    }
}

/// The one line of a cgroup that the report says the payload was in.
pub fn reported_cgroup(ran: &Ran) -> String {
    let lines = ran.report["layers"]["cgroup"]["kernel"]["paths"]
        .as_array()
        .unwrap_or_else(|| panic!("{}", ran.all()));
    assert_eq!(lines.len(), 1, "{}", ran.all());
    lines[0].as_str().unwrap().to_owned()
}

/// Whether every layer of a report is enforced.
pub fn all_enforced(ran: &Ran) -> bool {
    let layers = ran.report["layers"].as_object().unwrap();
    layers.len() == 17 && layers.values().all(|l| l["status"] == "enforced")
}

/// A cgroup that a caller can be alone in.
pub fn own_cgroup(caller: Caller) -> Cgroup {
    if caller == Caller::User { Cgroup::delegated("home") } else { Cgroup::new("home") }
}

/// What doctor says to a caller, started through a shell script as a run may be.
pub fn doctor(caller: Caller, script: &str) -> Value {
    let mut command = caller.command(stockade());
    command.args(["doctor", "--json"]);
    let out = by_shell(script, &command).output().unwrap();
    serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {out:?}"))
}

/// What doctor says of one feature: status, what was found, the fix.
pub fn told<'a>(doctor: &'a Value, id: &str) -> (&'a str, &'a str, &'a str) {
    let checks = doctor["checks"].as_array().unwrap();
    let check = checks.iter().find(|c| c["id"] == id).unwrap_or_else(|| panic!("no {id}: {doctor:#}"));
    let text = |field: &str| check[field].as_str().unwrap_or("");
    (text("status"), text("found"), text("fix"))
}

/// Doctor blames what the run blames, in its words, with the same fix, and nothing else that would be the end.
pub fn assert_told_alike(ran: &Ran, doctor: &Value, id: &str) {
    let (status, found, fix) = told(doctor, id);
    assert!(["fail", "degraded"].contains(&status), "{doctor:#}");
    assert!(
        !fix.is_empty() && ran.stderr.contains(found) && ran.stderr.contains(fix),
        "{found}; {fix}\n{}",
        ran.stderr
    );
    let bad = |c: &&Value| c["status"] == "fail" || c["status"] == "degraded";
    let blamed: Vec<&str> =
        doctor["checks"].as_array().unwrap().iter().filter(bad).map(|c| c["id"].as_str().unwrap()).collect();
    assert_eq!(blamed, [id, "native"], "{doctor:#}");
    assert_eq!(doctor["native"], if status == "fail" { "refused" } else { "degraded" });
}

/// A switch of the kernel, set for the life of this.
#[derive(Debug)]
pub struct Switch {
    file: String,
    before: String,
}

impl Switch {
    /// Sets it.
    pub fn set(name: &str, value: &str) -> Self {
        let file = format!("/proc/sys/{name}");
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, value).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap().trim(), value);
        Self { file, before }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        fs::write(&self.file, &self.before).unwrap();
    }
}

/// Both callers, whoever this test program is told to play.
pub const BOTH: [Caller; 2] = [Caller::Root, Caller::User];
