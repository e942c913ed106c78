//! Directories of cgroup file systems, and the caller's own place in them.

use crate::error::no_matter;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{LeafError, PREFIX};
use crate::sandbox::order::{Step, own_step};
use crate::sandbox::procfs;

/// How long an empty leaf may refuse to go: the kernel lets the last task's
/// traces linger for moments.
const REMOVE_PATIENCE: Duration = Duration::from_millis(2_000);

/// A mounted cgroup hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub at: PathBuf,
    /// Which part of the hierarchy shows there.
    pub root: String,
    /// The unified one.
    pub v2: bool,
    /// Controllers (v1), among other options.
    pub options: Vec<String>,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// The caller's own cgroups: controllers (empty for v2) and path.
pub type Own = Vec<(Vec<String>, String)>;

/// Parses `/proc/<pid>/cgroup`.
#[must_use]
pub fn parse_own(text: &str) -> Own {
    text.lines()
        .filter_map(|line| {
            let mut parts = line.splitn(3, ':');
            let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
            let controllers = controllers.split(',').filter(|c| !c.is_empty()).map(str::to_owned).collect();
            Some((controllers, path.to_owned()))
        })
        .collect()
}

/// Where this process is.
#[must_use]
pub fn own_cgroups() -> Own {
    parse_own(&procfs::read("/proc/self/cgroup").unwrap_or_default())
}

/// Undoes the octal escapes of mountinfo.
#[must_use]
pub fn unescape(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let code = rest.get(at + 1..at + 4).and_then(|c| u8::from_str_radix(c, 8).ok());
        match code {
            Some(code) if code.is_ascii() => {
                out.push(char::from(code));
                rest = &rest[at + 4..];
            }
            _ => {
                out.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    out
}

/// The cgroup mounts among the lines of a mountinfo file.
#[must_use]
pub fn parse_mounts(text: &str) -> Vec<Mount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ');
            let (root, at, flags) = (left.nth(3)?, left.next()?, left.next()?);
            let mut right = right.split(' ');
            let (kind, options) = (right.next()?, right.nth(1)?);
            (kind == "cgroup" || kind == "cgroup2").then(|| Mount {
                at: PathBuf::from(unescape(at)),
                root: unescape(root),
                v2: kind == "cgroup2",
                options: options.split(',').map(str::to_owned).collect(),
                read_only: flags.split(',').any(|f| f == "ro"),
            })
        })
        .collect()
}

/// The cgroup hierarchies that this process can see.
#[must_use]
pub fn cgroup_mounts() -> Vec<Mount> {
    parse_mounts(&procfs::read("/proc/self/mountinfo").unwrap_or_default())
}

/// Where a path of the hierarchy shows below a mount.
#[must_use]
pub fn place_below(mount: &Mount, path: &str) -> Option<PathBuf> {
    let below = if mount.root == "/" { path } else { path.strip_prefix(mount.root.as_str())? };
    if below.split('/').any(|part| part == "..") {
        return None;
    }
    match below.trim_start_matches('/') {
        // Joining nothing would add a slash, which shows in messages.
        "" => Some(mount.at.clone()),
        below => Some(mount.at.join(below)),
    }
}

/// Start time of a process in clock ticks since boot; with its pid it names it for good.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = procfs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so count from its closing parenthesis: field 22 is the 20th after it.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// This process's own start time, read once.
#[must_use]
pub fn own_start_time() -> u64 {
    static START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
    *START.get_or_init(|| start_time(std::process::id()).unwrap_or(0))
}

/// Ends the name of the directory that a supervisor itself has moved to; a leaf's has a number.
pub const SUPERVISOR: &str = "supervisor";

/// Name of a directory that this process makes: it tells whose it is.
#[must_use]
pub fn name_of_own(end: &str) -> String {
    format!("{PREFIX}{}-{}-{end}", std::process::id(), own_start_time())
}

/// Start times of the processes that were looked up, by pid: hundreds of directories may have one maker.
type Starts = HashMap<u32, Option<u64>>;

/// Whether the supervisor that made a directory of this name is gone.
fn orphaned(name: &str, known: &mut Starts) -> Option<bool> {
    let mut parts = name.strip_prefix(PREFIX)?.splitn(3, '-');
    let pid: u32 = parts.next()?.parse().ok()?;
    let start: u64 = parts.next()?.parse().ok()?;
    let end = parts.next()?;
    if end != SUPERVISOR {
        end.parse::<u32>().ok()?;
    }
    if pid == std::process::id() {
        return Some(start != own_start_time());
    }
    Some(*known.entry(pid).or_insert_with(|| start_time(pid)) != Some(start))
}

/// Removes leaves whose supervisor is gone and that are empty. Answers how many went.
///
/// A name alone says too little: a supervisor in another pid namespace lives under another number.
pub fn sweep(place: &Path) -> usize {
    let Ok(entries) = fs::read_dir(place) else { return 0 };
    let mut known = Starts::new();
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().and_then(|name| orphaned(name, &mut known)) == Some(true))
        .map(|entry| entry.path())
        .filter(|path| lock(path).is_some_and(|_held| fs::remove_dir(path).is_ok()))
        .count()
}

/// The lock of a leaf, which its supervisor holds as long as it lives; `None`: it is somebody else's.
fn lock(path: &Path) -> Option<File> {
    File::open(path).ok().filter(|dir| dir.try_lock().is_ok() && is_still(dir, path))
}

/// Whether the path still leads to what was opened. Who holds the lock of that removes nobody else's:
/// a name that was free for a moment may be a new leaf's by now.
fn is_still(dir: &File, path: &Path) -> bool {
    let opened = dir.metadata().map(|meta| meta.ino()).ok();
    opened.is_some() && opened == fs::metadata(path).map(|meta| meta.ino()).ok()
}

/// A directory of a cgroup file system that this process has made.
#[derive(Debug)]
pub struct Made {
    path: PathBuf,
    removed: bool,
    limits: Cell<usize>,
    /// Tells sweepers that its supervisor lives.
    _lock: File,
}

/// How often a leaf is made anew that a sweeper in another pid namespace took for a dead one's, in the
/// moment before it was locked.
const MAKINGS: usize = 10;

impl Made {
    /// Makes it, the box's directory of this number. It must be new: a name that exists would mean a
    /// budget shared with somebody.
    pub fn new(place: &Path, name: &str, number: usize) -> Result<Self, LeafError> {
        let path = place.join(name);
        let failed = |error| {
            Err(LeafError {
                step: Step::MakeLeaf,
                what: path.display().to_string(),
                path: path.clone(),
                error,
            })
        };
        for _ in 0..MAKINGS {
            if let Err(error) = own_step(Step::MakeLeaf, number, || fs::create_dir(&path)) {
                return failed(error);
            }
            // A sweeper that is faster has the lock for as long as it takes to remove the leaf.
            let held = File::open(&path).ok().filter(|dir| dir.lock().is_ok() && is_still(dir, &path));
            if let Some(lock) = held {
                return Ok(Self { path, removed: false, limits: Cell::new(0), _lock: lock });
            }
        }
        failed(io::Error::from_raw_os_error(libc::EAGAIN))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a file in it for reading.
    pub fn open(&self, name: &str) -> Result<File, LeafError> {
        self.open_as(name, OpenOptions::new().read(true))
    }

    /// Opens a file in it for both.
    pub fn open_both(&self, name: &str) -> Result<File, LeafError> {
        self.open_as(name, OpenOptions::new().read(true).write(true))
    }

    /// Opens a file in it for writing.
    pub fn open_write(&self, name: &str) -> Result<File, LeafError> {
        self.open_as(name, OpenOptions::new().write(true))
    }

    fn open_as(&self, name: &str, how: &OpenOptions) -> Result<File, LeafError> {
        let path = self.path.join(name);
        how.open(&path).map_err(|error| LeafError {
            step: Step::SetLimit,
            what: format!("open {}", path.display()),
            path,
            error,
        })
    }

    /// Writes a value and reads it back; `same` decides whether it is in force.
    pub fn set(&self, name: &str, value: &str, same: impl FnOnce(&str) -> bool) -> Result<(), LeafError> {
        let path = self.path.join(name);
        let what = format!("{value} to {}", path.display());
        let failed =
            |error| LeafError { step: Step::SetLimit, path: path.clone(), what: what.clone(), error };
        let write = || {
            let mut file = OpenOptions::new().read(true).write(true).open(&path)?;
            file.write_all(value.as_bytes())?;
            read_at_start(&file)
        };
        let number = self.limits.replace(self.limits.get() + 1);
        let seen = own_step(Step::SetLimit, number, write).map_err(failed)?;
        if same(seen.trim()) {
            return Ok(());
        }
        let message = format!("wrote {value}, the kernel says {}", seen.trim());
        Err(failed(io::Error::other(message)))
    }

    /// Whether a file exists in it.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.path.join(name).exists()
    }

    /// Removes it, and answers it if it stays; waits a little for the kernel to let go.
    pub fn remove(&mut self) -> Option<PathBuf> {
        self.removed = true;
        remove_in_time(&self.path).err().map(|_| self.path.clone())
    }
}

/// Removes a directory that is empty, or will be in a moment: who has ended in it shows for a little longer.
///
/// # Errors
/// Somebody is still in it.
pub fn remove_in_time(path: &Path) -> io::Result<()> {
    let begin = Instant::now();
    let mut pause = Duration::from_micros(50);
    loop {
        match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) if begin.elapsed() < REMOVE_PATIENCE => {
                std::thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(20));
            }
            Err(e) => return Err(e),
        }
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // Only reached when a launch failed before anything entered: nothing can hold it.
        if !self.removed {
            no_matter(fs::remove_dir(&self.path), "the next start's sweep takes it");
        }
    }
}

/// Reads a kernel file again from its start; a counter file is short.
pub fn read_at_start(file: &File) -> io::Result<String> {
    let mut buf = [0u8; 4096];
    let n = file.read_at(&mut buf, 0)?;
    String::from_utf8(buf[..n].to_vec()).map_err(io::Error::other)
}

/// A file that holds one number.
pub fn number(file: &File) -> io::Result<u64> {
    let text = read_at_start(file)?;
    text.trim().parse().map_err(|_| io::Error::other(format!("not a number: {}", text.trim())))
}

/// One value of a file of `key value` lines; absent keys are 0.
pub fn keyed(text: &str, key: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_and_own_place_are_found_on_a_hybrid_host() {
        let mounts = parse_mounts(concat!(
            "30 25 0:26 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n",
            "31 25 0:27 /docker/x /sys/fs/cgroup/a\\040b ro,nosuid shared:9 - cgroup2 none rw,nsdelegate\n",
            "32 25 0:28 / /tmp rw - tmpfs tmpfs rw\n",
        ));
        assert_eq!(mounts.len(), 2);
        assert!(!mounts[0].v2 && mounts[0].options.iter().any(|o| o == "memory"));
        assert!(mounts[1].v2 && mounts[1].read_only);
        assert_eq!(mounts[1].at, Path::new("/sys/fs/cgroup/a b"));
        let own = parse_own("4:memory:/a/b\n2:cpu,cpuacct:/\n0::/docker/x/y:z\n");
        assert_eq!(own[1].0, ["cpu", "cpuacct"]);
        assert_eq!(own[2], (vec![], "/docker/x/y:z".to_owned()));
        assert_eq!(place_below(&mounts[0], "/a/b").unwrap(), Path::new("/sys/fs/cgroup/memory/a/b"));
        assert_eq!(place_below(&mounts[1], &own[2].1).unwrap(), Path::new("/sys/fs/cgroup/a b/y:z"));
        assert_eq!(place_below(&mounts[0], "/").unwrap().as_os_str(), "/sys/fs/cgroup/memory");
        assert_eq!(place_below(&mounts[1], "/elsewhere"), None);
        assert_eq!(place_below(&mounts[0], "/../x"), None);
    }

    #[test]
    fn leaf_of_a_living_supervisor_is_not_orphaned() {
        let mut known = Starts::new();
        let mut orphaned = |name: &str| super::orphaned(name, &mut known);
        let (pid, start) = (std::process::id(), own_start_time());
        assert!(start > 0);
        assert_eq!(orphaned(&format!("{PREFIX}{pid}-{start}-0")), Some(false));
        assert_eq!(orphaned(&format!("{PREFIX}{pid}-{}-0", start + 1)), Some(true));
        assert_eq!(orphaned(&name_of_own(SUPERVISOR)), Some(false));
        assert_eq!(orphaned(&format!("{PREFIX}{pid}-{}-{SUPERVISOR}", start + 1)), Some(true));
        assert_eq!(orphaned(&format!("{PREFIX}{pid}-{}-other", start + 1)), None);
        assert_eq!(orphaned("stockade-notours"), None);
        assert_eq!(orphaned("other-1-2-3"), None);
    }

    #[test]
    fn leaf_is_swept_only_when_nobody_holds_it() {
        let place = tempfile::tempdir().unwrap();
        // A number that no process has here, but perhaps in another pid namespace.
        let name = format!("{PREFIX}4194999-1-0");
        let mut made = Made::new(place.path(), &name, 0).unwrap();
        assert_eq!(sweep(place.path()), 0);
        assert!(made.path().exists());
        // As if its supervisor had died.
        made.removed = true;
        drop(made);
        assert_eq!(sweep(place.path()), 1);
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn leaf_stays_whoever_sweeps_while_it_is_made() {
        // Numbers of files are not used again there, as they are not in a cgroup's file system.
        let Ok(place) = tempfile::tempdir_in("/dev/shm") else { return };
        let done = std::sync::atomic::AtomicBool::new(false);
        let lost = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    sweep(place.path());
                    std::thread::yield_now();
                }
            });
            let lost = (0..500).filter(|n| {
                // Of a process that does not live, as it looks from another pid namespace.
                let made = Made::new(place.path(), &format!("{PREFIX}4194999-1-{n}"), 0);
                std::thread::yield_now();
                made.is_ok_and(|mut made| {
                    made.removed = true;
                    !made.path().exists()
                })
            });
            let lost = lost.count();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            lost
        });
        assert_eq!(lost, 0);
    }

    #[test]
    fn keyed_file_gives_values_of_whole_keys_only() {
        let text = "oom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(keyed(text, "oom_kill"), 2);
        assert_eq!(keyed(text, "oom"), 3);
        assert_eq!(keyed(text, "absent"), 0);
    }
}
