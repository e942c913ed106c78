//! The unified hierarchy.
//!
//! A leaf needs a parent that has the memory and pids controllers to give and
//! that may be written; and whoever enters must be able to write the
//! `cgroup.procs` of the nearest cgroup that holds both the leaf and the caller:
//! nothing is moved out of what the caller does not hold. A parent with processes
//! of its own cannot give controllers away, so a caller that sits alone in a
//! delegated cgroup moves one level down, and back when its last box is gone.
//!
//! # References
//! The kernel's `admin-guide/cgroup-v2.rst`, "Delegation", "No Internal Process
//! Constraint"; `cgroup_attach_permissions` in `kernel/cgroup/cgroup.c`

use crate::error::{io_text, no_matter};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use nix::poll::PollFlags;
use nix::unistd::{AccessFlags, access};

use super::dir::{self, Made, Mount, Own};
use super::{Counters, LeafError, LeafLimits, Unavailable};
use crate::sandbox::procfs;

/// Controllers that a leaf must have.
const NEEDED: [&str; 2] = ["memory", "pids"];

/// What a user runs to get a cgroup of their own, where systemd is.
const SYSTEMD: &str = "systemd-run --user --scope -p Delegate=yes -- stockade run …";

/// Where leaves are made.
#[derive(Debug)]
pub struct Parent {
    place: PathBuf,
    /// Its path as in `/proc/<pid>/cgroup`.
    path: String,
    /// Held while leaves are made here: the way back up.
    stepped: Option<Arc<SteppedDown>>,
}

impl Drop for Parent {
    fn drop(&mut self) {
        let _nobody_looks = stepped_down();
        drop(self.stepped.take());
    }
}

fn help() -> String {
    let own = if Path::new("/run/systemd/system").exists() {
        format!("start it in a cgroup of your own: {SYSTEMD}; or name one with --cgroup")
    } else {
        "have root make a cgroup for you (memory and pids in its cgroup.subtree_control, owned by you), \
         start stockade inside a child of it and name it with --cgroup"
            .to_owned()
    };
    format!("{own}; --degrade cgroup runs without limits on the whole box")
}

fn unavailable(reason: String) -> Unavailable {
    Unavailable { reason, help: help() }
}

fn v2_mount(mounts: &[Mount]) -> Option<&Mount> {
    mounts.iter().find(|m| m.v2)
}

fn own_path(own: &Own) -> Option<&str> {
    own.iter().find(|(controllers, _)| controllers.is_empty()).map(|(_, path)| path.as_str())
}

fn words(path: &Path) -> Vec<String> {
    procfs::read(path).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

fn has_all(list: &[String]) -> bool {
    NEEDED.iter().all(|n| list.iter().any(|l| l == n))
}

fn may_write(path: &Path) -> bool {
    access(path, AccessFlags::W_OK).is_ok()
}

/// Whether processes of a box may be moved within a cgroup: whether the owner and
/// mode of its `cgroup.procs` alone allow writing. They are moved from inside the
/// box's user namespace, where being root overrides nothing out here.
fn may_move_within(place: &Path) -> bool {
    let procs = place.join("cgroup.procs");
    let Ok(meta) = fs::metadata(&procs) else { return false };
    if !nix::unistd::geteuid().is_root() {
        return may_write(&procs);
    }
    let bit = match (meta.uid(), meta.gid()) {
        (0, _) => 0o200,
        (_, 0) => 0o020,
        _ => 0o002,
    };
    meta.mode() & bit != 0
}

/// The v2 hierarchy and the caller's own place in it.
fn whereabouts<'a>(own: &Own, mounts: &'a [Mount]) -> Result<(&'a Mount, PathBuf), Unavailable> {
    let mount = v2_mount(mounts).ok_or_else(|| unavailable("no cgroup hierarchy is mounted".to_owned()))?;
    let path = own_path(own).ok_or_else(|| unavailable("this process is in no v2 cgroup".to_owned()))?;
    if mount.read_only {
        return Err(unavailable(format!("{} is mounted read-only", mount.at.display())));
    }
    let own_place = dir::place_below(mount, path).ok_or_else(|| {
        unavailable(format!("the cgroup {path} does not show below {}", mount.at.display()))
    })?;
    Ok((mount, own_place))
}

/// Finds the nearest ancestor of the caller's own cgroup that can give controllers to a leaf.
pub fn find(mounts: &[Mount]) -> Result<Parent, Unavailable> {
    let mut stepped = stepped_down();
    let (mount, own_place) = whereabouts(&dir::own_cgroups(), mounts)?;
    let mut reasons = Vec::new();
    for place in own_place.ancestors().take_while(|place| place.starts_with(&mount.at)) {
        match usable(place, &own_place, mount, &mut stepped) {
            Ok(parent) => return Ok(parent),
            Err(reason) => reasons.push(reason),
        }
    }
    // The nearest one tells most.
    Err(unavailable(reasons.into_iter().next().unwrap_or_default()))
}

/// The directory that the caller named.
pub fn explicit(path: &Path, mounts: &[Mount]) -> Result<Parent, Unavailable> {
    if v2_mount(mounts).is_none() {
        return Err(Unavailable {
            reason: "--cgroup names a v2 cgroup, and no v2 hierarchy is mounted here".to_owned(),
            help: "leave it out: controllers on v1 need no delegation as root".to_owned(),
        });
    }
    let mut stepped = stepped_down();
    let (mount, own_place) = whereabouts(&dir::own_cgroups(), mounts)?;
    let place = fs::canonicalize(path)
        .map_err(|e| unavailable(format!("--cgroup {}: {}", path.display(), io_text(&e))))?;
    if !place.starts_with(&mount.at) {
        let reason = format!("--cgroup {} is not below {}", place.display(), mount.at.display());
        return Err(unavailable(reason));
    }
    let common = own_place.ancestors().find(|ancestor| place.starts_with(ancestor)).unwrap_or(&mount.at);
    if !may_move_within(common) {
        return Err(Unavailable {
            reason: format!(
                "--cgroup {}: boxes cannot be moved there from {}, because {} is not yours",
                place.display(),
                own_place.display(),
                common.display()
            ),
            help: "start stockade in a child of that cgroup: the kernel lets nobody put a process into a \
                   cgroup from outside the part that is theirs"
                .to_owned(),
        });
    }
    usable(&place, &own_place, mount, &mut stepped).map_err(unavailable)
}

/// Whether leaves can be made here; sees to it where it may.
fn usable(
    place: &Path,
    own_place: &Path,
    mount: &Mount,
    stepped: &mut Weak<SteppedDown>,
) -> Result<Parent, String> {
    let at = place.display();
    let available = words(&place.join("cgroup.controllers"));
    if !has_all(&available) {
        return Err(format!("the cgroup {at} does not have the memory and pids controllers"));
    }
    if !may_write(place) || !may_move_within(place) {
        return Err(format!("the cgroup {at} is not yours to write"));
    }
    let mut held = stepped.upgrade().filter(|held| held.place == place);
    let subtree = place.join("cgroup.subtree_control");
    if !has_all(&words(&subtree)) {
        if !may_write(&subtree) {
            return Err(format!("{} is not yours to write", subtree.display()));
        }
        if place == own_place && !is_root_cgroup(place) {
            let down = Arc::new(SteppedDown::new(place)?);
            *stepped = Arc::downgrade(&down);
            held = Some(down);
        }
        fs::write(&subtree, "+memory +pids").map_err(|e| match e.raw_os_error() {
            Some(libc::EBUSY) => others(place),
            _ => format!("cannot enable controllers in {at}: {}", io_text(&e)),
        })?;
    }
    let below = place.strip_prefix(&mount.at).unwrap_or(Path::new(""));
    let root = mount.root.trim_end_matches('/');
    let path =
        if below.as_os_str().is_empty() { root.to_owned() } else { format!("{root}/{}", below.display()) };
    Ok(Parent { place: place.to_owned(), path, stepped: held })
}

/// The real root has no `cgroup.type` and may have processes beside children.
fn is_root_cgroup(place: &Path) -> bool {
    !place.join("cgroup.type").exists()
}

fn others(place: &Path) -> String {
    format!("the cgroup {} has other processes, so it cannot give controllers to a box", place.display())
}

/// The one step down that this process has made, if it still has leaves. Locked
/// while somebody looks for a place, and while it is undone.
static STEPPED_DOWN: Mutex<Weak<SteppedDown>> = Mutex::new(Weak::new());

fn stepped_down() -> MutexGuard<'static, Weak<SteppedDown>> {
    // What it guards is a pointer that is always whole.
    STEPPED_DOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether this process is in a child of the cgroup that it was started in, and has to go back.
pub fn has_stepped_down() -> bool {
    stepped_down().strong_count() > 0
}

/// This process in a child of the cgroup that it was started in. Only to be dropped under the lock.
#[derive(Debug)]
struct SteppedDown {
    place: PathBuf,
    below: PathBuf,
}

impl SteppedDown {
    /// Moves this process, if it is alone.
    fn new(place: &Path) -> Result<Self, String> {
        let alone = procfs::pids(place.join("cgroup.procs"))
            .is_ok_and(|pids| pids.iter().all(|p| u32::try_from(*p) == Ok(std::process::id())));
        if !alone {
            return Err(others(place));
        }
        let below = place.join(dir::name_of_own(dir::SUPERVISOR));
        let text = |e: io::Error| format!("cannot move into {}: {}", below.display(), io_text(&e));
        fs::create_dir(&below).map_err(text)?;
        let down = Self { place: place.to_owned(), below: below.clone() };
        fs::write(below.join("cgroup.procs"), "0").map_err(text)?;
        Ok(down)
    }

    /// Back to where this process was started: nothing of it is left then.
    fn undo(&self) -> io::Result<()> {
        let subdirectory = |e: &fs::DirEntry| e.file_type().is_ok_and(|t| t.is_dir());
        if fs::read_dir(&self.place)?.flatten().filter(subdirectory).count() > 1 {
            // Somebody else has children here by now, and they need the controllers.
            return Ok(());
        }
        fs::write(self.place.join("cgroup.subtree_control"), "-memory -pids")?;
        fs::write(self.place.join("cgroup.procs"), "0")?;
        dir::remove_in_time(&self.below)
    }
}

impl Drop for SteppedDown {
    fn drop(&mut self) {
        no_matter(self.undo(), "the next start's sweep takes it");
    }
}

impl Parent {
    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Makes a directory and sets its limits.
    pub fn make_leaf(&self, name: &str, limits: LeafLimits) -> Result<Leaf, LeafError> {
        let dir = Made::new(&self.place, name, 0)?;
        let at_most = |seen: &str| {
            let page = 4096;
            seen.parse::<u64>().is_ok_and(|seen| seen <= limits.memory && seen + page > limits.memory)
        };
        dir.set("memory.max", &limits.memory.to_string(), at_most)?;
        if dir.has("memory.swap.max") {
            dir.set("memory.swap.max", "0", |seen| seen == "0")?;
        }
        dir.set("memory.oom.group", "1", |seen| seen == "1")?;
        let processes = limits.processes.to_string();
        dir.set("pids.max", &processes, |seen| seen == processes)?;
        Leaf::open(dir, format!("{}/{name}", self.path))
    }
}

/// The directory of one box, with its files open.
#[derive(Debug)]
pub struct Leaf {
    dir: Made,
    dir_file: File,
    cpu_stat: File,
    memory_peak: Option<File>,
    memory_events: File,
    pids_peak: Option<File>,
    pids_events: File,
    pids_current: File,
    path: String,
}

impl Leaf {
    fn open(dir: Made, path: String) -> Result<Self, LeafError> {
        let optional = |name: &str| dir.has(name).then(|| dir.open(name)).transpose();
        let memory_peak = if dir.has("memory.peak") {
            // Writable since 6.12, where it can be reset for this descriptor.
            let both = fs::OpenOptions::new().read(true).write(true).open(dir.path().join("memory.peak"));
            Some(both.or_else(|_| dir.open("memory.peak").map_err(|e| e.error)).map_err(|error| {
                LeafError {
                    step: crate::sandbox::order::Step::SetLimit,
                    what: "open memory.peak".to_owned(),
                    path: dir.path().to_owned(),
                    error,
                }
            })?)
        } else {
            None
        };
        let dir_file = fs::OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_DIRECTORY)
            .open(dir.path())
            .and_then(|f| {
                Ok(File::from(crate::sys::fd::dup_at_least(f.as_fd(), 3).map_err(io::Error::from)?))
            })
            .map_err(|error| LeafError {
                step: crate::sandbox::order::Step::MakeLeaf,
                what: format!("open {}", dir.path().display()),
                path: dir.path().to_owned(),
                error,
            })?;
        Ok(Self {
            dir_file,
            cpu_stat: dir.open("cpu.stat")?,
            memory_peak,
            memory_events: dir.open("memory.events")?,
            pids_peak: optional("pids.peak")?,
            pids_events: dir.open("pids.events")?,
            pids_current: dir.open("pids.current")?,
            path,
            dir,
        })
    }

    pub fn dir_fd(&self) -> RawFd {
        self.dir_file.as_raw_fd()
    }

    pub fn expected_lines(&self) -> Vec<String> {
        vec![format!(":{}", self.path)]
    }

    pub fn baseline(&self) -> io::Result<Counters> {
        if let Some(mut peak) = self.memory_peak.as_ref() {
            no_matter(peak.write(b"reset"), "before 6.12 the set-up's few pages are part of the peak");
        }
        self.counters()
    }

    pub fn cpu_ns(&self) -> io::Result<u64> {
        Ok(dir::keyed(&dir::read_at_start(&self.cpu_stat)?, "usage_usec") * 1_000)
    }

    pub fn counters(&self) -> io::Result<Counters> {
        let cpu = dir::read_at_start(&self.cpu_stat)?;
        let memory_peak = match &self.memory_peak {
            Some(file) => dir::number(file)?,
            None => 0,
        };
        Ok(Counters {
            cpu_ns: dir::keyed(&cpu, "usage_usec") * 1_000,
            user_ns: dir::keyed(&cpu, "user_usec") * 1_000,
            system_ns: dir::keyed(&cpu, "system_usec") * 1_000,
            memory_peak,
            oom_kills: dir::keyed(&dir::read_at_start(&self.memory_events)?, "oom_kill"),
            processes_peak: self.pids_peak.as_ref().map(dir::number).transpose()?,
            forks_refused: dir::keyed(&dir::read_at_start(&self.pids_events)?, "max"),
        })
    }

    #[allow(clippy::unnecessary_wraps)] // the shape of both versions
    pub fn memory_event(&self) -> Option<(BorrowedFd<'_>, PollFlags)> {
        Some((self.memory_events.as_fd(), PollFlags::POLLPRI))
    }

    pub fn clear_memory_event(&self) {
        no_matter(dir::read_at_start(&self.memory_events), "it is read again where its content counts");
    }

    pub fn kill(&self) -> io::Result<()> {
        self.dir.open_write("cgroup.kill").map_err(|e| e.error)?.write_all(b"1")
    }

    pub fn is_empty(&self) -> bool {
        matches!(dir::number(&self.pids_current), Ok(0))
    }

    pub fn processes(&self) -> io::Result<Vec<i32>> {
        procfs::pids(self.dir.path().join("cgroup.procs"))
    }

    pub fn remove(&mut self) -> Vec<PathBuf> {
        self.dir.remove().into_iter().collect()
    }
}
