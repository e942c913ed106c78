use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;

use nix::sys::stat::{Mode, SFlag, mknod};

use super::*;
use crate::policy::load_builtin;

/// A directory that stands for a box's, and one that stands for the host's.
struct Pair {
    _dir: tempfile::TempDir,
    inside: PathBuf,
    host: PathBuf,
}

impl Pair {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (inside, host) = (dir.path().join("inside"), dir.path().join("host"));
        fs::create_dir(&inside).unwrap();
        fs::create_dir(&host).unwrap();
        Self { _dir: dir, inside, host }
    }

    fn collect(&self, bytes: u64) -> Collected {
        let out = OpenOut {
            host: File::open(&self.host).unwrap(),
            shown: self.host.clone(),
            at: "/out".into(),
            bytes,
        };
        collect(&File::open(&self.inside).unwrap(), &out).unwrap()
    }

    fn host_names(&self) -> Vec<String> {
        let mut names: Vec<String> = walk(&self.host, &self.host);
        names.sort();
        names
    }
}

fn walk(top: &Path, dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        names.push(path.strip_prefix(top).unwrap().to_string_lossy().into_owned());
        if path.symlink_metadata().unwrap().is_dir() {
            names.extend(walk(top, &path));
        }
    }
    names
}

fn skipped(collected: &Collected) -> Vec<(&str, &str)> {
    collected.skipped.iter().map(|s| (s.path.as_str(), s.reason)).collect()
}

const MIB: u64 = 1 << 20;

#[test]
fn collect_regular_files_of_a_tree_arrive_with_their_bytes_and_execute_bit() {
    let pair = Pair::new();
    fs::create_dir_all(pair.inside.join("a/b")).unwrap();
    fs::create_dir(pair.inside.join("empty")).unwrap();
    fs::write(pair.inside.join("main"), "program").unwrap();
    fs::set_permissions(pair.inside.join("main"), PermissionsExt::from_mode(0o6755)).unwrap();
    fs::write(pair.inside.join("a/b/text"), "text").unwrap();
    fs::set_permissions(pair.inside.join("a/b/text"), PermissionsExt::from_mode(0o600)).unwrap();
    fs::write(pair.inside.join("nothing"), "").unwrap();
    let collected = pair.collect(MIB);
    assert_eq!((collected.files, collected.bytes, collected.skipped_count), (3, 11, 0));
    assert_eq!(pair.host_names(), ["a", "a/b", "a/b/text", "main", "nothing"]);
    assert_eq!(fs::read(pair.host.join("a/b/text")).unwrap(), b"text");
    let mode = |name: &str| fs::metadata(pair.host.join(name)).unwrap().mode() & 0o7777;
    // What the umask leaves, and no set-id bit.
    assert_eq!(mode("main") & 0o7700, 0o700);
    assert_eq!(mode("a/b/text") & 0o7711, 0o600 & 0o7711);
    assert_eq!(fs::metadata(pair.host.join("main")).unwrap().uid(), nix::unistd::geteuid().as_raw());
}

#[test]
fn collect_links_of_every_kind_are_left_out_and_never_followed() {
    let pair = Pair::new();
    fs::write(pair.inside.join("real"), "r").unwrap();
    let targets =
        ["/etc/passwd", "../../etc/passwd", "real", ".", "..", "/proc/self/root/etc/passwd", "nowhere", "a"];
    for (i, target) in targets.iter().enumerate() {
        symlink(target, pair.inside.join(format!("link{i}"))).unwrap();
    }
    let collected = pair.collect(MIB);
    assert_eq!(pair.host_names(), ["real"]);
    assert_eq!(collected.skipped_count, targets.len() as u64);
    assert!(collected.skipped.iter().all(|s| s.reason == "a symbolic link"), "{collected:?}");
}

#[test]
fn collect_fifos_sockets_and_devices_are_left_out_without_being_opened() {
    let pair = Pair::new();
    nix::unistd::mkfifo(&pair.inside.join("fifo"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(pair.inside.join("socket")).unwrap();
    fs::write(pair.inside.join("real"), "r").unwrap();
    let mut expected = vec![("fifo", "a fifo"), ("socket", "a socket")];
    let zero = nix::libc::makedev(1, 5);
    if mknod(&pair.inside.join("dev"), SFlag::S_IFCHR, Mode::S_IRWXU, zero).is_ok() {
        expected.insert(0, ("dev", "a device"));
    }
    let collected = pair.collect(MIB);
    assert_eq!(skipped(&collected), expected);
    assert_eq!(pair.host_names(), ["real"]);
}

#[test]
fn collect_names_that_no_host_should_have_are_left_out_and_told_byte_by_byte() {
    let pair = Pair::new();
    for name in [&b"a\nb"[..], b"\x1b[31m", b"\xff\xfe", b"good"] {
        fs::write(pair.inside.join(std::ffi::OsStr::from_bytes(name)), "x").unwrap();
    }
    fs::create_dir(pair.inside.join("d\t")).unwrap();
    fs::write(pair.inside.join("d\t/below"), "x").unwrap();
    let collected = pair.collect(MIB);
    assert_eq!(pair.host_names(), ["good"]);
    let paths: Vec<&str> = collected.skipped.iter().map(|s| s.path.as_str()).collect();
    assert_eq!(paths, ["\\x1b[31m", "a\\x0ab", "d\\x09", "\\xff\\xfe"]);
}

#[test]
fn collect_deep_tree_ends_at_the_cap() {
    let pair = Pair::new();
    let mut dir = pair.inside.clone();
    for level in 0..40 {
        fs::write(dir.join("f"), level.to_string()).unwrap();
        dir = dir.join("d");
        fs::create_dir(&dir).unwrap();
    }
    let collected = pair.collect(MIB);
    assert_eq!(collected.files, 33);
    assert_eq!(collected.skipped_count, 1);
    assert_eq!(collected.skipped[0].reason, "too many directories deep");
    let deepest = format!("{}f", "d/".repeat(32));
    assert_eq!(fs::read(pair.host.join(deepest)).unwrap(), b"32");
}

#[test]
fn collect_sparse_and_large_files_count_with_their_apparent_size() {
    let pair = Pair::new();
    fs::write(pair.inside.join("a"), vec![1; 3000]).unwrap();
    File::create(pair.inside.join("b")).unwrap().set_len(1 << 40).unwrap();
    fs::write(pair.inside.join("c"), vec![2; 2000]).unwrap();
    fs::write(pair.inside.join("d"), vec![3; 1000]).unwrap();
    let collected = pair.collect(4096);
    let expected =
        [("b", "larger than all that is collected"), ("c", "no room is left in what is collected")];
    assert_eq!(skipped(&collected), expected);
    assert_eq!((collected.files, collected.bytes), (2, 4000));
    assert_eq!(pair.host_names(), ["a", "d"]);
}

#[test]
fn collect_second_names_of_a_file_become_files_of_their_own() {
    let pair = Pair::new();
    fs::write(pair.inside.join("a"), "one").unwrap();
    fs::hard_link(pair.inside.join("a"), pair.inside.join("b")).unwrap();
    let collected = pair.collect(MIB);
    assert_eq!((collected.files, collected.bytes), (2, 6));
    let inode = |name: &str| fs::metadata(pair.host.join(name)).unwrap().ino();
    assert_ne!(inode("a"), inode("b"));
}

#[test]
fn collect_files_that_their_owner_may_not_read_are_left_out_for_root_too() {
    let pair = Pair::new();
    fs::write(pair.inside.join("f"), "x").unwrap();
    fs::set_permissions(pair.inside.join("f"), PermissionsExt::from_mode(0o044)).unwrap();
    fs::create_dir(pair.inside.join("d")).unwrap();
    fs::set_permissions(pair.inside.join("d"), PermissionsExt::from_mode(0o300)).unwrap();
    let collected = pair.collect(MIB);
    fs::set_permissions(pair.inside.join("d"), PermissionsExt::from_mode(0o700)).unwrap();
    assert_eq!(
        skipped(&collected),
        [("d", "a directory that its owner may not read"), ("f", "a file that its owner may not read")]
    );
}

#[test]
fn collect_many_files_end_at_the_cap_and_are_counted() {
    let pair = Pair::new();
    for i in 0..10_300 {
        File::create(pair.inside.join(format!("{i:06}"))).unwrap();
    }
    let collected = pair.collect(MIB);
    assert_eq!((collected.files, collected.skipped_count, collected.skipped.len()), (10_000, 300, 100));
    assert_eq!(skipped(&collected)[0], ("010000", "too many files"));
}

#[test]
fn collect_what_the_host_has_is_replaced_if_a_file_and_never_followed() {
    let pair = Pair::new();
    fs::create_dir(pair.inside.join("dir")).unwrap();
    for name in ["old", "link", "place", "dir/f"] {
        fs::write(pair.inside.join(name), "new").unwrap();
    }
    let victim = pair.host.with_file_name("victim");
    let elsewhere = pair.host.with_file_name("elsewhere");
    fs::write(&victim, "mine").unwrap();
    fs::create_dir(&elsewhere).unwrap();
    fs::write(pair.host.join("old"), "old").unwrap();
    let old = File::open(pair.host.join("old")).unwrap();
    symlink(&victim, pair.host.join("link")).unwrap();
    symlink(&elsewhere, pair.host.join("dir")).unwrap();
    fs::create_dir(pair.host.join("place")).unwrap();
    let collected = pair.collect(MIB);
    let taken = "something else has its name on the host";
    assert_eq!(skipped(&collected), [("dir/f", taken), ("place", taken)]);
    assert_eq!(fs::read(&victim).unwrap(), b"mine");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    assert!(!pair.host.join("link").is_symlink());
    for name in ["old", "link"] {
        assert_eq!(fs::read(pair.host.join(name)).unwrap(), b"new");
    }
    // Who has it open keeps the old one: a new file took its place at one stroke.
    assert_eq!(std::io::read_to_string(old).unwrap(), "old");
    assert!(pair.host_names().iter().all(|name| !name.starts_with(".stockade")));
}

#[test]
fn out_spec_is_a_directory_and_perhaps_a_place_in_the_box() {
    let parsed = |spec: &str| Out::parse(spec).map_err(|e| e.message().to_owned());
    assert_eq!(parsed("d"), Ok(Out { host: "d".into(), at: None }));
    assert_eq!(parsed("/a/d:/out"), Ok(Out { host: "/a/d".into(), at: Some("/out".into()) }));
    for bad in ["", ":/out", "d:", "d:out", "d:/", "d:/a/../b", "d:/a//b", "d:/a\n"] {
        assert!(parsed(bad).is_err(), "{bad}");
    }
}

#[test]
fn out_place_is_the_policys_own_else_one_is_added() {
    let dir = tempfile::tempdir().unwrap();
    let open = |name: &str, at: Option<&str>| {
        let mut policy = load_builtin(name).unwrap();
        let out = Out { host: dir.path().join("made"), at: at.map(str::to_owned) };
        out.open(&mut policy).map(|out| (out.at, out.bytes, policy)).map_err(|e| e.message().to_owned())
    };
    let (at, bytes, policy) = open("native", None).unwrap();
    assert_eq!((at.as_str(), bytes), ("/out", USUAL_BYTES));
    let added = policy.paths.iter().find(|p| p.at == "/out").unwrap();
    assert_eq!(added.from, PathSource::Out { size: USUAL_BYTES, inodes: USUAL_INODES });
    assert!(!added.access.execute);
    let (at, bytes, policy) = open("compile-c", None).unwrap();
    assert_eq!((at.as_str(), bytes), ("/out", 64 << 20));
    assert_eq!(policy, load_builtin("compile-c").unwrap());
    assert!(open("native", Some("/tmp")).unwrap_err().contains("something else"));
    assert!(dir.path().join("made").is_dir());
}

#[test]
fn out_directory_that_is_a_link_or_no_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("d")).unwrap();
    symlink("d", dir.path().join("link")).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let open = |name: &str| {
        let out = Out { host: dir.path().join(name), at: None };
        out.open(&mut load_builtin("native").unwrap())
            .map(drop)
            .map_err(|e| e.help_text().unwrap_or_default().to_owned())
    };
    assert!(open("d").is_ok());
    assert!(open("link").unwrap_err().contains("symbolic link"));
    assert!(open("file").unwrap_err().contains("not a directory"));
    assert!(open("no/deeper").unwrap_err().contains("those above"));
}

#[test]
fn outs_that_are_one_place_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = |name: &str, at: &str| Out { host: dir.path().join(name), at: Some(at.into()) };
    let open = |outs: &[Out]| open_all(outs, &mut load_builtin("native").unwrap()).map(|o| o.len()).ok();
    assert_eq!(open(&[out("a", "/a"), out("b", "/b")]), Some(2));
    assert_eq!(open(&[out("a", "/a"), out("a", "/b")]), None);
    assert_eq!(open(&[out("a", "/a"), out("b", "/a")]), None);
    let c = CString::new("x").unwrap();
    assert!(place::enter(&File::open(dir.path()).unwrap(), &c).is_ok());
}
