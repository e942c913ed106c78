//! What the host of these tests is like: who may be played, how slow it is.
//!
//! What the tests cannot find out, the environment tells them: an emulated
//! machine looks like any other, only its clocks jump.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use super::{Caller, is_root};

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|v| !v.is_empty())
}

/// How many times slower than usual this host may be (`STOCKADE_TEST_SLOW`): limits and waits are
/// stretched by it, and loops over hundreds of like runs take samples.
pub fn slow() -> u32 {
    variable("STOCKADE_TEST_SLOW").map_or(1, |v| v.parse().expect("STOCKADE_TEST_SLOW is a number"))
}

/// A time that is long enough here for what takes `usual` at most elsewhere.
pub fn patience(usual: Duration) -> Duration {
    usual * slow()
}

/// Waits for what takes `milliseconds` at most elsewhere.
pub fn pause(milliseconds: u64) {
    std::thread::sleep(patience(Duration::from_millis(milliseconds)));
}

/// A time as options take it, stretched: `400ms`, `2s`.
pub fn stretched(time: &str) -> String {
    let digits = time.bytes().take_while(u8::is_ascii_digit).count();
    match (&time[..digits], &time[digits..]) {
        (number, unit @ ("ms" | "s")) => match number.parse::<u64>() {
            Ok(number) => format!("{}{unit}", number * u64::from(slow())),
            // Not a time that passes: left to be refused.
            Err(_) => time.to_owned(),
        },
        _ => time.to_owned(),
    }
}

/// All of these where that is quick; else both ends and a few between, twelve or so unless
/// `STOCKADE_TEST_SAMPLES` says otherwise.
pub fn sample<T>(all: impl IntoIterator<Item = T>) -> Vec<T> {
    let all: Vec<T> = all.into_iter().collect();
    if full() {
        return all;
    }
    let samples = variable("STOCKADE_TEST_SAMPLES").map_or(12, |v| v.parse().expect("a number of samples"));
    let (last, step) = (all.len().saturating_sub(1), all.len().div_ceil(samples).max(1));
    all.into_iter().enumerate().filter(|(i, _)| i % step == 0 || *i == last).map(|(_, item)| item).collect()
}

/// Whether nothing is to be thinned out, however slow this host is (`STOCKADE_TEST_FULL`).
pub fn full() -> bool {
    slow() == 1 || variable("STOCKADE_TEST_FULL").is_some()
}

impl Caller {
    /// Everybody that this test program can be, or the one it is told to be (`STOCKADE_TEST_CALLER`).
    pub fn all() -> Vec<Caller> {
        match variable("STOCKADE_TEST_CALLER").as_deref() {
            Some("root") => vec![Caller::Root],
            Some("user") => vec![Caller::User],
            Some(other) => panic!("STOCKADE_TEST_CALLER is root or user, not {other}"),
            None if is_root() => vec![Caller::Root, Caller::User],
            None => vec![Caller::User],
        }
    }

    /// Whether they have cgroups to put boxes in. An ordinary user has where one was delegated to them
    /// and this process runs in it.
    pub fn has_cgroup(self) -> bool {
        self == Caller::Root || (!is_root() && delegated())
    }
}

/// Whether this process runs below a cgroup of its user's own that hands controllers down.
fn delegated() -> bool {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let Some(path) = own.lines().find_map(|line| line.strip_prefix("0::/")) else { return false };
    let is_own = |dir: &Path| {
        let owner = fs::metadata(dir.join("cgroup.procs")).map(|m| m.uid());
        let handed = fs::read_to_string(dir.join("cgroup.subtree_control")).unwrap_or_default();
        let handed: Vec<&str> = handed.split_whitespace().collect();
        owner.is_ok_and(|uid| uid == nix::unistd::geteuid().as_raw())
            && ["memory", "pids"].iter().all(|needed| handed.contains(needed))
    };
    Path::new("/sys/fs/cgroup").join(path).ancestors().any(is_own)
}
