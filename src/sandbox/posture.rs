//! The posture of a box: what the kernel says about it, and what the plan expects.
//!
//! Read from outside, through `/proc/<pid>` of pid 1 and of the payload process
//! before its exec, in two looks: one while the payload process still restricts
//! itself, one when it has nothing left to do but its exec. Any difference
//! refuses the run.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::OnceLock;

use nix::fcntl::{self, OFlag};
use nix::sys::stat::Mode;

use super::procfs;
use super::root::ExpectedMount;
use crate::Layer;
use crate::sys::mount::Attr;

/// A layer that is not what the plan expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which layer.
    pub layer: Layer,
    /// What was found, and what was expected.
    pub what: String,
}

/// The namespaces compared, by their names in `/proc/<pid>/ns`.
const NAMESPACES: [(&str, Layer); 7] = [
    ("user", Layer::UserNs),
    ("mnt", Layer::MountNs),
    ("pid", Layer::PidNs),
    ("net", Layer::NetNs),
    ("ipc", Layer::IpcNs),
    ("uts", Layer::UtsNs),
    ("cgroup", Layer::CgroupNs),
];

/// Where the network's is among them.
const NETWORK: usize = 3;

/// Namespace inodes of a process, in the order of [`NAMESPACES`].
pub type NsInodes = [u64; 7];

/// Fields of `/proc/<pid>/status`, with blanks for tabs. Sixty, of which a few are asked for: they are found
/// by where each line begins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Status {
    text: String,
    lines: Vec<usize>,
}

impl Status {
    /// Takes the file in.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.replace('\t', " ");
        let mut lines = Vec::with_capacity(64);
        lines.push(0);
        lines.extend(text.match_indices('\n').map(|(end, _)| end + 1));
        Self { text, lines }
    }

    /// One field; empty when it is not there.
    #[must_use]
    pub fn get(&self, key: &str) -> &str {
        let first = key.as_bytes().first();
        let value = self.lines.iter().find_map(|start| {
            // Most differ in the first letter, which is quickly seen.
            let rest = (self.text.as_bytes().get(*start) == first).then(|| self.text.get(*start..))??;
            rest.strip_prefix(key)?.strip_prefix(':')
        });
        value.map_or("", |value| value.split('\n').next().unwrap_or_default().trim())
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.get(key).parse().ok()
    }
}

fn proc_file(pid: i32, name: &str) -> io::Result<String> {
    procfs::read(format!("/proc/{pid}/{name}"))
}

fn ns_inodes(pid: &str) -> io::Result<NsInodes> {
    // Following the links would make an inode for each of them.
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let dir = fcntl::open(Path::new(&format!("/proc/{pid}/ns")), flags, Mode::empty())?;
    let mut inodes = [0; 7];
    for (inode, (name, _)) in inodes.iter_mut().zip(NAMESPACES) {
        let link = fcntl::readlinkat(&dir, name)?;
        *inode = ns_inode(&link.to_string_lossy(), name)
            .ok_or_else(|| io::Error::other(format!("{name} of {pid} is {}", link.display())))?;
    }
    Ok(inodes)
}

/// The number in `net:[4026531840]`.
fn ns_inode(link: &str, name: &str) -> Option<u64> {
    link.strip_prefix(name)?.strip_prefix(":[")?.strip_suffix(']')?.parse().ok()
}

/// This process's own namespaces and filters, which no launch changes.
pub struct Own {
    namespaces: NsInodes,
    filters: u64,
}

impl Own {
    /// Read once.
    ///
    /// # Errors
    /// `/proc/self` cannot be read.
    pub fn get() -> io::Result<&'static Self> {
        static OWN: OnceLock<Own> = OnceLock::new();
        if let Some(own) = OWN.get() {
            return Ok(own);
        }
        let status = Status::parse(&procfs::read("/proc/self/status")?);
        let own =
            Self { namespaces: ns_inodes("self")?, filters: status.number("Seccomp_filters").unwrap_or(0) };
        Ok(OWN.get_or_init(|| own))
    }
}

/// One mount of a box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenMount {
    /// Where.
    pub at: String,
    /// Type of the file system.
    pub kind: String,
    /// Its attributes.
    pub attr: Attr,
    /// Whether it is connected to another mount namespace.
    pub propagates: bool,
    /// Options of its file system.
    pub options: String,
}

/// Parses `/proc/<pid>/mountinfo`.
#[must_use]
pub fn parse_mountinfo(text: &str) -> Vec<SeenMount> {
    text.lines()
        .filter_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            let mut left = left.split(' ').skip(4);
            let (at, options) = (left.next()?, left.next()?);
            let propagates = left.next().is_some();
            let mut right = right.split(' ');
            let kind = right.next()?;
            let of_fs = right.nth(1).unwrap_or_default().to_owned();
            let attr = options.split(',').fold(Attr::NONE, |attr, option| {
                attr.and(match option {
                    "ro" => Attr::RDONLY,
                    "nosuid" => Attr::NOSUID,
                    "nodev" => Attr::NODEV,
                    "noexec" => Attr::NOEXEC,
                    "nosymfollow" => Attr::NOSYMFOLLOW,
                    _ => Attr::NONE,
                })
            });
            Some(SeenMount {
                at: super::cgroup::unescape(at),
                kind: kind.to_owned(),
                attr,
                propagates,
                options: of_fs,
            })
        })
        .collect()
}

/// What the plan expects of the first look.
pub struct ExpectedPlace<'a> {
    /// Every mount.
    pub mounts: &'a [ExpectedMount],
    /// Lines of its cgroup, where there is one.
    pub cgroup: &'a [String],
    /// Whether the payload is in a user namespace below that of pid 1.
    pub inner: bool,
    /// The network namespace that the box is to share, where it is to have none of its own.
    pub network: Option<u64>,
}

/// What the first look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenPlace {
    /// Namespaces of the payload process.
    pub namespaces: NsInodes,
    /// Its mounts.
    pub mounts: Vec<SeenMount>,
}

/// The first look: namespaces, mounts, cgroup.
///
/// # Errors
/// Something could not be read, which refuses the run as a difference does.
pub fn look_at_place(
    init: i32,
    payload: i32,
    expected: &ExpectedPlace<'_>,
    differences: &mut Vec<Difference>,
) -> io::Result<SeenPlace> {
    let namespaces = ns_inodes(&payload.to_string())?;
    compare_namespaces(&namespaces, &ns_inodes(&init.to_string())?, Own::get()?, expected.inner, differences);
    if let Some(shared) = expected.network
        && namespaces[NETWORK] != shared
    {
        let what = "the network namespace is not the empty one that the box was to be in".to_owned();
        differences.push(Difference { layer: Layer::NetNs, what });
    }
    let mounts = parse_mountinfo(&proc_file(payload, "mountinfo")?);
    compare_mounts(&mounts, expected.mounts, differences);
    if !expected.cgroup.is_empty() {
        let cgroup = proc_file(payload, "cgroup")?;
        for line in expected.cgroup {
            // Each line starts with the hierarchy's number.
            let there =
                cgroup.lines().any(|l| l.split_once(':').is_some_and(|(_, rest)| rest == line.as_str()));
            if !there {
                let what = format!("the payload is not in the cgroup {line}, but in {}", cgroup.trim());
                differences.push(Difference { layer: Layer::Cgroup, what });
            }
        }
    }
    Ok(SeenPlace { namespaces, mounts })
}

fn compare_namespaces(
    payload: &NsInodes,
    init: &NsInodes,
    own: &Own,
    inner: bool,
    differences: &mut Vec<Difference>,
) {
    for (i, (name, layer)) in NAMESPACES.into_iter().enumerate() {
        let mut differ = |what: String| differences.push(Difference { layer, what });
        if payload[i] == own.namespaces[i] {
            differ(format!("the {name} namespace is the supervisor's own"));
        }
        match layer {
            // Pid 1 is not in the leaf, and its cgroup namespace is nobody's business.
            Layer::CgroupNs => {}
            Layer::UserNs => {
                if init[i] == own.namespaces[i] {
                    differ("pid 1 is in the supervisor's user namespace".to_owned());
                }
                if (payload[i] != init[i]) != inner {
                    let which = if inner { "not in one of its own" } else { "in one of its own" };
                    differ(format!("the payload is {which} below that of pid 1"));
                }
            }
            _ if payload[i] != init[i] => differ(format!("pid 1 is in another {name} namespace")),
            _ => {}
        }
    }
}

fn attr_words(attr: Attr) -> String {
    let words = [
        (Attr::RDONLY, "ro"),
        (Attr::NOSUID, "nosuid"),
        (Attr::NODEV, "nodev"),
        (Attr::NOEXEC, "noexec"),
        (Attr::NOSYMFOLLOW, "nosymfollow"),
    ];
    let set: Vec<&str> = words.iter().filter(|(bit, _)| attr.has(*bit)).map(|(_, word)| *word).collect();
    if set.is_empty() { "no restriction".to_owned() } else { set.join(",") }
}

/// What keeps `/proc` to the box's own processes, as the kernel shows it.
const PROC_HIDES: [&str; 2] = ["hidepid=invisible", "subset=pid"];

fn compare_mounts(seen: &[SeenMount], expected: &[ExpectedMount], differences: &mut Vec<Difference>) {
    let mut differ = |layer: Layer, what: String| differences.push(Difference { layer, what });
    let mut unmatched: Vec<&ExpectedMount> = expected.iter().collect();
    for mount in seen {
        if mount.propagates {
            differ(Layer::MountNs, format!("{} is connected to another mount namespace", mount.at));
        }
        let Some(found) = unmatched.iter().position(|e| e.at == mount.at) else {
            // Whatever lies below a recursive bind comes with it, under the bind's restrictions.
            let bind = expected.iter().find(|e| e.with_submounts && is_below(&mount.at, &e.at));
            match bind {
                Some(bind) if mount.attr.has(bind.attr) => {}
                Some(bind) => {
                    let (has, needs) = (attr_words(mount.attr), attr_words(bind.attr));
                    differ(Layer::Root, format!("{} below a bind has {has}, not {needs}", mount.at));
                }
                None => {
                    differ(Layer::MountNs, format!("{} ({}) is mounted, unplanned", mount.at, mount.kind))
                }
            }
            continue;
        };
        let plan = unmatched.swap_remove(found);
        if plan.kind.is_some_and(|kind| kind != mount.kind) {
            differ(Layer::Root, format!("{} is a {}, not a {:?}", mount.at, mount.kind, plan.kind));
        }
        if plan.kind == Some("proc") {
            for hides in PROC_HIDES {
                if !mount.options.split(',').any(|option| option == hides) {
                    differ(Layer::Proc, format!("{} is {}, without {hides}", mount.at, mount.options));
                }
            }
        }
        if !mount.attr.has(plan.attr) {
            let (has, needs) = (attr_words(mount.attr), attr_words(plan.attr));
            differ(Layer::Root, format!("{} has {has}, not {needs}", mount.at));
        }
    }
    for plan in unmatched {
        differ(Layer::MountNs, format!("{} is not mounted", plan.at));
    }
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// What the plan expects of the second look.
pub struct ExpectedSelf<'a> {
    /// Host user and group id.
    pub ids: (u32, u32),
    /// Whether the groups must be empty (as root).
    pub no_groups: bool,
    /// Filters installed on the payload.
    pub filters: u64,
    /// `RLIMIT_*` and value.
    pub rlimits: &'a [(u32, u64)],
    /// Inodes of the three pipes, 0 to 2.
    pub pipes: [u64; 3],
}

/// What the second look found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenSelf {
    /// Status of the payload process.
    pub status: Status,
    /// Supplementary groups that stay.
    pub groups: String,
}

/// The second look: ids, capabilities, filters, limits, descriptors.
///
/// # Errors
/// Something could not be read, which refuses the run as a difference does.
pub fn look_at_self(
    init: i32,
    payload: i32,
    expected: &ExpectedSelf<'_>,
    differences: &mut Vec<Difference>,
) -> io::Result<SeenSelf> {
    let own = Own::get()?;
    let status = Status::parse(&proc_file(payload, "status")?);
    compare_status(&status, expected, own.filters + expected.filters, &format!("{payload} 2"), differences);
    let init_status = Status::parse(&proc_file(init, "status")?);
    let before = differences.len();
    compare_status(&init_status, expected, own.filters + 1, &format!("{init} 1"), differences);
    for difference in &mut differences[before..] {
        difference.what = format!("pid 1 of the box: {}", difference.what);
    }
    let groups = status.get("Groups").to_owned();
    if expected.no_groups && !groups.is_empty() {
        let what = format!("supplementary groups {groups} are left");
        differences.push(Difference { layer: Layer::UserNs, what });
    }
    for (resource, value) in expected.rlimits {
        let seen = crate::sys::limits::get(payload, *resource)?;
        if seen != (*value, *value) {
            let name = super::rlimits::name(*resource);
            let what = format!("{name} is {}/{}, not {value}", seen.0, seen.1);
            differences.push(Difference { layer: Layer::Rlimits, what });
        }
    }
    compare_descriptors(payload, expected.pipes, differences)?;
    Ok(SeenSelf { status, groups })
}

/// The checks that hold for the payload and for pid 1 alike.
fn compare_status(
    status: &Status,
    expected: &ExpectedSelf<'_>,
    filters: u64,
    pids: &str,
    differences: &mut Vec<Difference>,
) {
    let (uid, gid) = expected.ids;
    let zero = "0000000000000000";
    let filters = filters.to_string();
    let fields: [(&str, Layer, String); 13] = [
        ("Uid", Layer::UserNs, format!("{uid} {uid} {uid} {uid}")),
        ("Gid", Layer::UserNs, format!("{gid} {gid} {gid} {gid}")),
        ("NSpid", Layer::PidNs, pids.to_owned()),
        ("Threads", Layer::PidNs, "1".to_owned()),
        ("TracerPid", Layer::PidNs, "0".to_owned()),
        ("CapInh", Layer::Capabilities, zero.to_owned()),
        ("CapPrm", Layer::Capabilities, zero.to_owned()),
        ("CapEff", Layer::Capabilities, zero.to_owned()),
        ("CapBnd", Layer::Capabilities, zero.to_owned()),
        ("CapAmb", Layer::Capabilities, zero.to_owned()),
        ("NoNewPrivs", Layer::NoNewPrivs, "1".to_owned()),
        ("Seccomp", Layer::Seccomp, "2".to_owned()),
        ("Seccomp_filters", Layer::Seccomp, filters),
    ];
    for (key, layer, wanted) in fields {
        let seen = status.get(key);
        // The pid namespace that the supervisor is in may itself be a nested one.
        let same = if key == "NSpid" {
            seen == wanted || seen.ends_with(&format!(" {wanted}"))
        } else {
            seen == wanted
        };
        if !same {
            differences.push(Difference { layer, what: format!("{key} is {seen}, not {wanted}") });
        }
    }
}

/// Exactly the three pipes stay open through the exec.
fn compare_descriptors(payload: i32, pipes: [u64; 3], differences: &mut Vec<Difference>) -> io::Result<()> {
    let dir = format!("/proc/{payload}/fd");
    let mut differ = |what: String| differences.push(Difference { layer: Layer::Descriptors, what });
    let mut streams = 0;
    for entry in fs::read_dir(&dir)? {
        let name = entry?.file_name();
        let Some(fd) = name.to_str().and_then(|n| n.parse::<usize>().ok()) else { continue };
        let target = fs::read_link(Path::new(&dir).join(&name))?;
        if let Some(inode) = pipes.get(fd) {
            streams += 1;
            if target.as_os_str() != format!("pipe:[{inode}]").as_str() {
                differ(format!("descriptor {fd} is {}, not the supervisor's pipe", target.display()));
            }
        } else if !close_on_exec(payload, fd)? {
            differ(format!("descriptor {fd} ({}) would reach the payload", target.display()));
        }
    }
    if streams != pipes.len() {
        differ(format!("{streams} streams are open, not {}", pipes.len()));
    }
    Ok(())
}

fn close_on_exec(payload: i32, fd: usize) -> io::Result<bool> {
    let info = proc_file(payload, &format!("fdinfo/{fd}"))?;
    let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).map(str::trim);
    let bits = flags.and_then(|f| i32::from_str_radix(f, 8).ok()).unwrap_or(0);
    Ok(bits & libc::O_CLOEXEC != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOSUID_RO: Attr = Attr::RDONLY.and(Attr::NOSUID);

    fn expected(at: &str) -> ExpectedMount {
        ExpectedMount { at: at.to_owned(), kind: None, attr: NOSUID_RO, with_submounts: false }
    }

    fn seen(at: &str, attr: Attr) -> SeenMount {
        SeenMount {
            at: at.to_owned(),
            kind: "tmpfs".to_owned(),
            attr,
            propagates: false,
            options: "rw".to_owned(),
        }
    }

    fn words(seen: &[SeenMount], expected: &[ExpectedMount]) -> Vec<String> {
        let mut differences = Vec::new();
        compare_mounts(seen, expected, &mut differences);
        differences.into_iter().map(|d| format!("{}: {}", d.layer, d.what)).collect()
    }

    #[test]
    fn namespaces_are_read_as_stat_shows_them() {
        use std::os::unix::fs::MetadataExt as _;
        for (inode, (name, _)) in ns_inodes("self").unwrap().iter().zip(NAMESPACES) {
            assert_eq!(*inode, fs::metadata(format!("/proc/self/ns/{name}")).unwrap().ino());
        }
        assert_eq!(ns_inode("net:[7]", "net"), Some(7));
        for wrong in ["mnt:[7]", "net:[]", "net:[7", "net", ""] {
            assert_eq!(ns_inode(wrong, "net"), None, "{wrong}");
        }
        assert!(ns_inodes("0").is_err());
    }

    #[test]
    fn mounts_as_planned_show_no_difference() {
        let seen = [seen("/", NOSUID_RO), seen("/tmp", NOSUID_RO.and(Attr::NOEXEC))];
        assert_eq!(words(&seen, &[expected("/"), expected("/tmp")]), Vec::<String>::new());
    }

    #[test]
    fn mount_that_is_missing_extra_weaker_or_shared_is_a_difference() {
        let plan = [expected("/"), expected("/tmp")];
        assert_eq!(words(&[seen("/", NOSUID_RO)], &plan), ["mount_ns: /tmp is not mounted"]);
        let weaker = [seen("/", NOSUID_RO), seen("/tmp", Attr::NOSUID)];
        assert_eq!(words(&weaker, &plan), ["root: /tmp has nosuid, not ro,nosuid"]);
        let extra = [seen("/", NOSUID_RO), seen("/tmp", NOSUID_RO), seen("/old", NOSUID_RO)];
        assert_eq!(words(&extra, &plan), ["mount_ns: /old (tmpfs) is mounted, unplanned"]);
        let mut shared = [seen("/", NOSUID_RO), seen("/tmp", NOSUID_RO)];
        shared[1].propagates = true;
        assert_eq!(words(&shared, &plan), ["mount_ns: /tmp is connected to another mount namespace"]);
    }

    #[test]
    fn mount_below_a_bind_must_have_its_restrictions() {
        let plan = [ExpectedMount { with_submounts: true, ..expected("/data") }];
        let good = [seen("/data", NOSUID_RO), seen("/data/sub", NOSUID_RO)];
        assert_eq!(words(&good, &plan), Vec::<String>::new());
        let bad = [seen("/data", NOSUID_RO), seen("/data/sub", Attr::NOSUID)];
        assert_eq!(words(&bad, &plan), ["root: /data/sub below a bind has nosuid, not ro,nosuid"]);
        let beside = [seen("/data", NOSUID_RO), seen("/database", NOSUID_RO)];
        assert_eq!(words(&beside, &plan), ["mount_ns: /database (tmpfs) is mounted, unplanned"]);
    }

    #[test]
    fn proc_that_shows_more_than_the_box_is_a_difference() {
        let plan = [ExpectedMount { kind: Some("proc"), ..expected("/proc") }];
        let with = |options: &str| SeenMount {
            kind: "proc".to_owned(),
            options: options.to_owned(),
            ..seen("/proc", NOSUID_RO)
        };
        assert_eq!(words(&[with("rw,hidepid=invisible,subset=pid")], &plan), Vec::<String>::new());
        let bare = words(&[with("rw,subset=pid")], &plan);
        assert_eq!(bare, ["proc: /proc is rw,subset=pid, without hidepid=invisible"]);
        assert_eq!(words(&[with("rw")], &plan).len(), 2);
    }

    #[test]
    fn mountinfo_line_gives_place_type_and_attributes() {
        let text = concat!(
            "36 35 98:0 / / ro,nosuid,nodev,relatime - overlay none ro,lowerdir=root:empty\n",
            "37 36 0:9 / /a\\040b rw,noexec,nosymfollow shared:3 - tmpfs t rw,size=4k\n",
        );
        let mounts = parse_mountinfo(text);
        assert_eq!(mounts[0].kind, "overlay");
        assert_eq!(mounts[0].attr, NOSUID_RO.and(Attr::NODEV));
        assert!(!mounts[0].propagates && mounts[1].propagates);
        assert_eq!(mounts[1].at, "/a b");
        assert_eq!(mounts[1].attr, Attr::NOEXEC.and(Attr::NOSYMFOLLOW));
        assert_eq!(mounts[1].options, "rw,size=4k");
    }

    #[test]
    fn status_field_is_found_with_white_space_folded() {
        let status = Status::parse("Uid:\t1\t2\t3\t4\nGroups:\t \nNSpid:\t77\t2\n");
        assert_eq!(status.get("Uid"), "1 2 3 4");
        assert_eq!(status.get("Groups"), "");
        assert_eq!(status.get("NSpid"), "77 2");
        assert_eq!(status.get("absent"), "");
    }
}
