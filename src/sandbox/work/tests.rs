use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use super::*;
use crate::policy::load_builtin;
use crate::sandbox::plan::PrivateKind;

fn work(dir: &Path) -> Work {
    Work { host: dir.to_owned(), at: None }
}

/// `ci`, with so much room.
fn policy(size: u64, inodes: u64) -> Policy {
    let mut policy = load_builtin("ci").unwrap();
    for path in &mut policy.paths {
        if let PathSource::Work { size: s, inodes: i } = &mut path.from {
            (*s, *i) = (size, inodes);
        }
    }
    policy
}

fn ample() -> Policy {
    policy(1 << 20, 100)
}

fn refusal(work: &Work, policy: &Policy) -> String {
    let error = work.open(policy).unwrap_err();
    assert_eq!(error.kind(), Kind::Usage);
    error.message().replace(&work.host.display().to_string(), "DIR")
}

/// Every entry as text: path, mode and what it is.
fn shown(open: &OpenWork) -> Vec<String> {
    let pack = File::from(open.pack.try_clone().unwrap());
    let entry = |e: &PrivateEntry| {
        let path = e.path.to_str().unwrap();
        match &e.kind {
            PrivateKind::Dir => format!("{path}/ {:o}", e.mode),
            PrivateKind::Link(target) => format!("{path} -> {}", target.to_str().unwrap()),
            PrivateKind::Copy { offset, size, .. } => {
                let mut content = vec![0; usize::try_from(*size).unwrap()];
                pack.read_exact_at(&mut content, u64::try_from(*offset).unwrap()).unwrap();
                format!("{path} {:o} {:?}", e.mode, String::from_utf8(content).unwrap())
            }
            PrivateKind::Bytes(_) => unreachable!(),
        }
    };
    open.entries.iter().map(entry).collect()
}

fn skipped(open: &OpenWork) -> Vec<(&str, &str)> {
    open.told.skipped.iter().map(|s| (s.path.as_str(), s.reason)).collect()
}

#[test]
fn tree_files_directories_and_links_are_read_and_the_rest_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("sub")).unwrap();
    fs::set_permissions(at("sub"), fs::Permissions::from_mode(0o2750)).unwrap();
    fs::write(at("sub/file"), "below").unwrap();
    fs::set_permissions(at("sub/file"), fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(at("tool"), "first").unwrap();
    fs::set_permissions(at("tool"), fs::Permissions::from_mode(0o6755)).unwrap();
    fs::hard_link(at("tool"), at("second-name")).unwrap();
    symlink("/etc/shadow", at("out")).unwrap();
    symlink("sub", at("to-sub")).unwrap();
    nix::unistd::mkfifo(&at("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    let _socket = UnixListener::bind(at("socket")).unwrap();
    let open = work(dir.path()).open(&ample()).unwrap();
    let expected = [
        "out -> /etc/shadow",
        "second-name 755 \"first\"",
        "sub/ 750",
        "sub/file 644 \"below\"",
        "to-sub -> sub",
        "tool 755 \"first\"",
    ];
    assert_eq!(shown(&open), expected);
    assert_eq!(skipped(&open), [("fifo", "a fifo"), ("socket", "a socket")]);
    let Brought { directories, files, links, bytes, skipped_count, at, method, .. } = &open.told;
    assert_eq!((*directories, *files, *links, *bytes, *skipped_count), (1, 3, 2, 15, 2));
    assert_eq!((at.as_str(), *method), ("/work", "copy"));
    assert_eq!(open.note().unwrap(), "--work left 2 entries out, the first is fifo: a fifo");
}

#[test]
fn times_are_kept_to_the_nanosecond() {
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("main.c")).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::new(1_600_000_000, 123_456_789);
    file.set_modified(time).unwrap();
    let open = work(dir.path()).open(&ample()).unwrap();
    assert_eq!((open.entries[0].mtime, open.entries[0].nanos), (1_600_000_000, 123_456_789));
}

#[test]
fn room_is_counted_in_pages_and_entries_to_the_last() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("a"), vec![0; 4097]).unwrap();
    fs::write(dir.path().join("b"), vec![0; 1]).unwrap();
    let work = work(dir.path());
    assert_eq!(work.open(&policy(3 * 4096, 2)).unwrap().told.files, 2);
    let bytes = "--work DIR: it has more bytes than /work of the policy has room for";
    assert_eq!(refusal(&work, &policy(2 * 4096, 2)), bytes);
    let entries = "--work DIR: it has more entries than /work of the policy has room for";
    assert_eq!(refusal(&work, &policy(3 * 4096, 1)), entries);
    // A hole is as large as what would be read of it.
    File::create(dir.path().join("sparse")).unwrap().set_len(1 << 40).unwrap();
    assert_eq!(refusal(&work, &ample()), bytes);
}

#[test]
fn policy_without_a_work_tree_or_with_another_place_refuses() {
    let dir = tempfile::tempdir().unwrap();
    let work = work(dir.path());
    let native = load_builtin("native").unwrap();
    assert_eq!(refusal(&work, &native), "--work DIR: the policy `native` has no work tree");
    let elsewhere = Work { at: Some("/src".into()), ..work.clone() };
    assert_eq!(refusal(&elsewhere, &ample()), "--work DIR:/src: the work tree of the policy `ci` is /work");
    let named = Work { at: Some("/work".into()), ..work };
    assert_eq!(named.open(&ample()).unwrap().told.at, "/work");
}

#[test]
fn directory_that_is_none_is_refused_and_a_name_that_is_empty_too() {
    let dir = tempfile::tempdir().unwrap();
    let missing = work(&dir.path().join("missing"));
    assert_eq!(refusal(&missing, &ample()), "--work DIR: ENOENT, no such file or directory");
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    assert_eq!(refusal(&work(&file), &ample()), "--work DIR: ENOTDIR, not a directory");
    let parse = |spec: &str| Work::parse(spec, Path::new("/home/me"));
    assert_eq!(parse(":/work").unwrap_err().message(), "--work :/work: the directory's name is empty");
    assert_eq!(parse("tree").unwrap(), Work { host: "/home/me/tree".into(), at: None });
    let both = Work { host: "/home/me/.".into(), at: Some("/work".into()) };
    assert_eq!(parse(".:/work").unwrap(), both);
}

#[test]
fn too_deep_and_too_long_paths_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut deep = dir.path().to_owned();
    for _ in 0..129 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).unwrap();
    let open = work(dir.path()).open(&policy(1 << 20, 1000)).unwrap();
    assert_eq!(open.told.directories, 128);
    assert_eq!(skipped(&open), [(["d"; 129].join("/").as_str(), "too many directories deep")]);
    // Bytes that are no text are a name like any other.
    let odd = dir.path().join(std::ffi::OsStr::from_bytes(b"a\xff\nb"));
    fs::write(odd, "").unwrap();
    let open = work(dir.path()).open(&policy(1 << 20, 1000)).unwrap();
    assert_eq!(open.entries[0].path.to_bytes(), b"a\xff\nb");
}

#[test]
fn file_of_nobodys_to_read_is_left_out_for_a_user() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    fs::write(&secret, "s").unwrap();
    fs::write(dir.path().join("open"), "o").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o0)).unwrap();
    let open = work(dir.path()).open(&ample()).unwrap();
    if nix::unistd::geteuid().is_root() {
        // Root may read everything, and the box's user gets the mode that it has.
        assert_eq!(shown(&open), ["open 644 \"o\"", "secret 0 \"s\""]);
    } else {
        assert_eq!(shown(&open), ["open 644 \"o\""]);
        assert_eq!(skipped(&open), [("secret", "the caller may not read it")]);
    }
}
