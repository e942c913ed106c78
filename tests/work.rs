//! A directory of the caller's is copied into the box, and what the box does with it stays there: `--work`.
//! Also runs on other kernels
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, UNIX_EPOCH};

use common::{Caller, Ran, is_root, leaves_of, payload, run, skip};

fn worker() -> PathBuf {
    payload("worker.c", &["-static"])
}

/// `native` with a work tree of so much, and a call or two that a job needs.
fn policy(name: &str, size: &str, inodes: u32) -> String {
    let path = common::work().join(format!("{name}.json"));
    let text = format!(
        r#"{{"version": 1, "name": "{name}", "comment": "c", "extends": "native", "exec": "image",
            "paths+": [{{"at": "/work", "from": "work", "size": "{size}", "inodes": {inodes},
                        "access": ["read", "write", "create", "execute"], "comment": "c"}}],
            "syscalls+": {{"allow": [{{"calls": ["execve"], "comment": "execve: c"}},
                                    {{"calls": ["symlink", "symlinkat"], "comment": "symlink: c"}}]}}}}"#
    );
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

fn ample(name: &str) -> String {
    policy(name, "16MiB", 1000)
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A tree that belongs to the caller, and that nobody else may even read.
fn tree(caller: Caller, name: &str) -> PathBuf {
    let top = caller.home().join(name);
    if top.exists() {
        fs::remove_dir_all(&top).unwrap();
    }
    fs::create_dir_all(top.join("sub")).unwrap();
    fs::write(top.join("file"), "first").unwrap();
    fs::write(top.join("sub/below"), "below").unwrap();
    symlink("sub/below", top.join("link")).unwrap();
    mode(&top.join("file"), 0o600);
    mode(&top.join("sub/below"), 0o4755);
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    File::options().write(true).open(top.join("file")).unwrap().set_modified(time).unwrap();
    mode(&top.join("sub"), 0o700);
    mode(&top, 0o700);
    let owner = fs::metadata(caller.home()).unwrap();
    own(&top, owner.uid(), owner.gid());
    // A change of owners clears it.
    mode(&top.join("sub/below"), 0o4755);
    top
}

fn own(path: &Path, uid: u32, gid: u32) {
    if !is_root() {
        return;
    }
    lchown(path, Some(uid), Some(gid)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            own(&entry.unwrap().path(), uid, gid);
        }
    }
}

/// Everything about a tree that a write would change.
fn state(dir: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let meta = dir.symlink_metadata().unwrap();
    let times = (meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec());
    all.push(format!("{} {} {:o} {} {times:?}", dir.display(), meta.ino(), meta.mode(), meta.uid()));
    if meta.is_dir() {
        let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        all.extend(names.iter().flat_map(|path| state(path)));
    } else if meta.is_file() {
        all.push(format!("{:?}", fs::read(dir).unwrap()));
    }
    all
}

fn worked(caller: Caller, policy: &str, tree: &Path, words: &[&str]) -> Ran {
    let tree = tree.to_str().unwrap();
    run(caller, worker()).options(["--policy", policy, "--work", tree]).args(words.iter().copied()).go()
}

/// The lines of its output, and the report, of a run that must have come to its end.
fn lines(ran: &Ran) -> Vec<String> {
    assert_eq!(ran.status, 0, "{}", ran.all());
    ran.text().lines().map(str::to_owned).collect()
}

/// What changes a tree in every way.
fn changes(top: &str) -> Vec<String> {
    let words = "show T/file show T/link put T/file second show T/file rename T/sub T/moved show T/moved/below \
                 unlink T/link show T/link mkdir T/sub put T/sub/new x unlink T/moved/below rmdir T/moved \
                 chmod T/file 0700 symlink file T/name show T/name";
    words.split_whitespace().map(|word| word.replacen('T', top, 1)).collect()
}

#[test]
fn work_tree_is_read_and_changed_inside_and_stays_as_it_is_on_the_host() {
    let policy = ample("work-changed");
    for caller in Caller::all() {
        let tree = tree(caller, "changed");
        let before = state(&tree);
        let words = changes("/work");
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let ran = worked(caller, &policy, &tree, &words);
        let all = lines(&ran);
        let said: Vec<&str> =
            all.iter().map(String::as_str).filter(|line| !line.contains("second")).collect();
        let expected = [
            "600 1600000000.123456789 first",
            "show /work/file ok",
            "put /work/file ok",
            "show /work/file ok",
            "rename /work/sub ok",
            "show /work/moved/below ok",
            "unlink /work/link ok",
            "show /work/link ENOENT",
            "mkdir /work/sub ok",
            "put /work/sub/new ok",
            "unlink /work/moved/below ok",
            "rmdir /work/moved ok",
            "chmod /work/file ok",
            "symlink file ok",
            "show /work/name ok",
        ];
        let plain: Vec<&str> =
            said.iter().copied().filter(|l| !l.contains(" below") && *l != "show /work/link ok").collect();
        assert_eq!(plain, expected, "{}", ran.all());
        // Through the link and after the directory was renamed, without the set-id bit both times.
        let below: Vec<&str> = said.iter().copied().filter(|l| l.ends_with(" below")).collect();
        assert!(below.len() == 2 && below.iter().all(|l| l.starts_with("755 ")), "{}", ran.all());
        let told = &ran.report["work"];
        assert_eq!((told["at"].as_str(), told["method"].as_str()), (Some("/work"), Some("copy")));
        let counts = ["directories", "files", "links", "bytes", "skipped_count"].map(|f| told[f].as_u64());
        assert_eq!(counts, [Some(1), Some(2), Some(1), Some(10), Some(0)], "{}", ran.all());
        assert_eq!(state(&tree), before, "{caller:?}");
        // The same words change the same tree where nothing is in between.
        let words = changes(tree.to_str().unwrap());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert_eq!(common::bare(&worker(), &words, b"").0, 0);
        assert_ne!(state(&tree), before, "{caller:?}");
    }
}

#[test]
fn tree_of_somebody_else_is_the_box_users_own_for_root() {
    if !is_root() {
        return skip("only root may read what belongs to others");
    }
    let policy = ample("work-foreign");
    let tree = tree(Caller::Root, "foreign");
    own(&tree, 12345, 54321);
    fs::write(tree.join("roots"), "root's").unwrap();
    mode(&tree.join("roots"), 0o600);
    let before = state(&tree);
    let words = ["show", "/work/file", "put", "/work/file", "x", "put", "/work/roots", "y"];
    let ran = worked(Caller::Root, &policy, &tree, &words);
    let expected =
        ["600 1600000000.123456789 first", "show /work/file ok", "put /work/file ok", "put /work/roots ok"];
    assert_eq!(lines(&ran), expected, "{}", ran.all());
    assert_eq!(state(&tree), before);
}

#[test]
fn program_made_in_the_work_tree_runs_and_one_made_elsewhere_does_not() {
    let policy = ample("work-programs");
    for caller in Caller::all() {
        let tree = tree(caller, "programs");
        let words = ["start", "/work/program", "start", "/tmp/program", "start", "/work/sub/program"];
        let ran = worked(caller, &policy, &tree, &words);
        let expected = [
            "running /work/program",
            "start /work/program ok",
            "start /tmp/program EACCES",
            "running /work/sub/program",
            "start /work/sub/program ok",
        ];
        assert_eq!(lines(&ran), expected, "{}", ran.all());
    }
}

#[test]
fn policy_that_has_no_work_tree_or_too_little_room_refuses_before_anything_is_made() {
    let small = policy("work-small", "8KiB", 1000);
    let few = policy("work-few", "1MiB", 3);
    for caller in Caller::all() {
        let tree = tree(caller, "refused");
        fs::write(tree.join("sub/large"), vec![0; 8192]).unwrap();
        for (policy, message, help) in [
            (
                "native",
                "the policy `native` has no work tree",
                "help: use `ci`, or a policy with a path from `work`",
            ),
            (
                &small,
                "it has more bytes than /work of the policy has room for",
                "a larger `size` at /work (it is 8KiB)",
            ),
            (
                &few,
                "it has more entries than /work of the policy has room for",
                "a larger `inodes` at /work (it is 3)",
            ),
        ] {
            let ran = worked(caller, policy, &tree, &["say", "x"]);
            assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
            assert!(ran.stderr.contains(message) && ran.stderr.contains(help), "{}", ran.all());
            assert!(ran.stdout.is_empty() && ran.report["work"].is_null(), "{}", ran.all());
        }
    }
}

#[test]
fn room_of_the_work_tree_ends_exactly_where_the_policy_says() {
    let policy = policy("work-room", "1MiB", 50);
    for caller in Caller::all() {
        let tree = tree(caller, "room");
        let all = lines(&worked(caller, &policy, &tree, &["fill", "/work/large"]));
        // Two files of the tree take a page each.
        assert_eq!(all, ["pages 254", "fill /work/large ENOSPC"], "{caller:?}");
        let all = lines(&worked(caller, &policy, &tree, &["crowd", "/work"]));
        // A directory, two files and a link are there already.
        assert_eq!(all, ["files 46", "crowd /work ENOSPC"], "{caller:?}");
    }
}

#[test]
fn set_id_bits_devices_attributes_and_second_names_are_refused_in_the_work_tree() {
    let policy = ample("work-tricks");
    for caller in Caller::all() {
        let tree = tree(caller, "tricks");
        let words = "chmod /work/file 04755 chmod /work/file 02755 chmod /work/file 0755 device /work/null \
                     fifo /work/fifo user /work/sub security /work/file link /work/file /work/second \
                     symlink / /tmp/elsewhere show /work/file";
        let words: Vec<&str> = words.split_whitespace().collect();
        let ran = worked(caller, &policy, &tree, &words);
        let expected = [
            "chmod /work/file EPERM",
            "chmod /work/file EPERM",
            "chmod /work/file ok",
            "device /work/null ENOSYS",
            "fifo /work/fifo ENOSYS",
            "user /work/sub ENOSYS",
            "security /work/file ENOSYS",
            "link /work/file ENOSYS",
            "symlink / EACCES",
            "755 1600000000.123456789 first",
            "show /work/file ok",
        ];
        assert_eq!(lines(&ran), expected, "{}", ran.all());
    }
}

#[test]
fn host_that_changes_the_tree_meanwhile_changes_nothing_inside() {
    let policy = ample("work-meanwhile");
    for caller in Caller::all() {
        let tree = tree(caller, "meanwhile");
        let built = run(caller, worker())
            .options(["--policy", &policy, "--work", tree.to_str().unwrap()])
            .args(["wait", "x", "show", "/work/file"]);
        let (mut command, report) = built.command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert_eq!(out.next().as_deref(), Some("waiting"));
        fs::write(tree.join("file"), "other").unwrap();
        child.stdin.take().unwrap().write_all(b"x").unwrap();
        let rest: Vec<String> = out.collect();
        assert_eq!(rest, ["wait x ok", "600 1600000000.123456789 first", "show /work/file ok"]);
        assert!(child.wait().unwrap().success());
        fs::remove_file(report).unwrap();
    }
}

#[test]
fn supervisor_that_is_killed_leaves_nothing_of_the_work_tree() {
    let policy = ample("work-killed");
    for caller in Caller::all() {
        let tree = tree(caller, "killed");
        let before = state(&tree);
        let built = run(caller, worker())
            .options(["--policy", &policy, "--work", tree.to_str().unwrap()])
            .args(["put", "/work/file", "second", "wait", "x"]);
        let (mut command, _) = built.command();
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let said = [out.next(), out.next()].map(Option::unwrap);
        assert_eq!(said, ["put /work/file ok", "waiting"]);
        let pid = child.id();
        child.kill().unwrap();
        child.wait().unwrap();
        // The end of the last process that could write to it.
        assert_eq!(out.next(), None);
        // The next run takes the cgroup away.
        let next = worked(caller, &policy, &tree, &["show", "/work/file"]);
        assert_eq!(lines(&next)[0], "600 1600000000.123456789 first");
        assert_eq!(leaves_of(pid), [""; 0]);
        assert_eq!(state(&tree), before, "{caller:?}");
    }
}

#[test]
fn file_system_mounted_in_the_tree_is_left_out_and_told() {
    if !is_root() {
        return skip("only root can mount without a namespace");
    }
    let policy = ample("work-mounted");
    let tree = tree(Caller::Root, "mounted");
    let mounted = |script: &str| {
        run(Caller::Root, worker())
            .options(["--policy", &policy, "--work", tree.to_str().unwrap()])
            .args(["show", "/work/sub/below"])
            .through(script)
            .go()
    };
    let script =
        format!("unshare -m sh -c 'mount -t tmpfs none {}/sub && exec \"$@\"' sh \"$@\"", tree.display());
    let ran = mounted(&script);
    assert_eq!(lines(&ran), ["show /work/sub/below ENOENT"], "{}", ran.all());
    let told = &ran.report["work"]["skipped"][0];
    assert_eq!(told["path"].as_str(), Some("sub"), "{}", ran.all());
    assert_eq!(told["reason"].as_str(), Some("another file system is mounted there"), "{}", ran.all());
    let note = "--work left sub out: another file system is mounted there";
    assert!(ran.report["notes"].as_array().unwrap().iter().any(|n| n == note), "{}", ran.all());
    assert_eq!(lines(&mounted("exec unshare -m \"$@\""))[1], "show /work/sub/below ok");
}

#[test]
fn callers_umask_does_not_show_in_the_work_tree() {
    let policy = ample("work-umask");
    for caller in Caller::all() {
        let tree = tree(caller, "umask");
        let ran = run(caller, worker())
            .options(["--policy", &policy, "--work", tree.to_str().unwrap()])
            .args(["show", "/work/sub/below"])
            .through("umask 0777; \"$@\"; s=$?; for a in \"$@\"; do case $a in */report-*.json) chmod 600 \"$a\";; esac; done; exit $s")
            .go();
        assert_eq!(lines(&ran)[1], "show /work/sub/below ok", "{}", ran.all());
    }
}

#[test]
fn ceiling_that_lets_nothing_of_the_host_be_read_refuses_a_work_tree() {
    let policy = ample("work-ceiling");
    let text = fs::read_to_string(&policy).unwrap();
    for caller in Caller::all() {
        let tree = tree(caller, "ceiling");
        let ceiling = |more: &str| {
            let path = common::work().join(format!("work-ceiling-{caller:?}.json"));
            fs::write(
                &path,
                text.replacen(
                    "\"version\": 1,",
                    &format!("\"version\": 1, \"degrade\": [\"cgroup\"], \"ceiling\": {more},"),
                    1,
                ),
            )
            .unwrap();
            mode(&path, 0o644);
            let path = path.to_str().unwrap().to_owned();
            run(caller, worker())
                .options(["--policy", &policy, "--ceiling", &path, "--work", tree.to_str().unwrap()])
                .args(["show", "/work/file"])
                .go()
        };
        let refused = ceiling("{}");
        let words = format!("--work `{}` goes beyond the ceiling", tree.display());
        assert_eq!(refused.status, 125, "{}", refused.all());
        assert!(refused.stderr.contains(&words), "{}", refused.all());
        let allowed = ceiling(&format!(r#"{{ "ro": ["{}"] }}"#, caller.home().display()));
        assert_eq!(lines(&allowed)[1], "show /work/file ok", "{}", allowed.all());
    }
}
