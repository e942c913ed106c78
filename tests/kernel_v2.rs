//! Where boxes are put on the unified hierarchy, and what is counted there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod kernel_support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{Caller, Ran, payload, run};
use kernel_support::{
    BOTH, Cgroup, TOP, all_enforced, children, in_cgroup, members, reported_cgroup, throw_away_guest, within,
};

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

/// A caller's cgroup that hands controllers down, and a script that starts a command in a session
/// below it, beside the session's own process.
fn home_of(caller: Caller) -> (Cgroup, String) {
    let cgroup = if caller == Caller::User { Cgroup::delegated("home") } else { Cgroup::new("home") };
    cgroup.hand_down();
    let script = in_cgroup(&cgroup.session());
    (cgroup, script)
}

fn assert_ran_in(ran: &Ran, cgroup: &str) {
    assert_eq!(ran.status, 0, "{}", ran.all());
    assert!(all_enforced(ran), "{}", ran.all());
    let line = reported_cgroup(ran);
    assert!(line.starts_with(&format!(":{cgroup}/stockade-")), "{line}, not below {cgroup}");
    assert_eq!(ran.report["host"]["cgroup"], "v2");
    assert_eq!(ran.report["cleanup"]["ok"], true, "{}", ran.all());
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A refusal for want of a cgroup: its reason and its help.
fn refused(ran: &Ran) -> (&str, &str) {
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
    assert!(ran.stdout.is_empty());
    let reason = first_line(&ran.stderr);
    let reason =
        reason.strip_prefix("stockade: error: no cgroup for the box: ").unwrap_or_else(|| panic!("{reason}"));
    let help = ran.stderr.lines().nth(1).unwrap_or_default();
    (reason, help.strip_prefix("  help: ").unwrap_or_else(|| panic!("{help}")))
}

/// A box whose payload sleeps, and its leaf.
struct Sleeping {
    child: Child,
    leaf: PathBuf,
}

impl Sleeping {
    fn start(caller: Caller, home: &Cgroup, script: &str, options: &[&str]) -> Self {
        let run =
            run(caller, probe()).whole().options(options.iter().copied()).args(["sleep"]).through(script);
        let child = run.command().0.stdin(Stdio::null()).spawn().unwrap();
        let leaf = within(Duration::from_secs(10), || {
            // Once it has executed, the payload has its own name.
            let running = |leaf: &PathBuf| members(leaf).iter().any(|pid| name_of(*pid) == "program");
            let leaves = home.children().into_iter().filter(|c| c.starts_with("stockade-"));
            leaves.map(|leaf| home.path().join(leaf)).find(running)
        });
        Self { child, leaf: leaf.expect("no box came to be") }
    }
}

impl Drop for Sleeping {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn name_of(pid: u32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn leaf_holds_the_payload_alone_under_its_limits() {
    throw_away_guest();
    for caller in BOTH {
        let (home, script) = home_of(caller);
        let options = ["--memory", "100MiB", "--processes", "7"];
        let box_ = Sleeping::start(caller, &home, &script, &options);
        let payload = members(&box_.leaf);
        assert_eq!(payload.len(), 1, "{caller:?}: {payload:?}");
        let read = |file: &str| fs::read_to_string(box_.leaf.join(file)).unwrap().trim().to_owned();
        assert_eq!(read("memory.max"), (100 << 20).to_string());
        assert_eq!(read("pids.max"), "7");
        assert_eq!(read("pids.current"), "1");
        assert_eq!(read("memory.oom.group"), "1");
        // Pid 1 of the box is the supervisor's other child, and where the supervisor is.
        let supervisor = box_.child.id();
        let list = fs::read_to_string(format!("/proc/{supervisor}/task/{supervisor}/children")).unwrap();
        let pids: Vec<u32> = list.split_whitespace().map(|p| p.parse().unwrap()).collect();
        let others: Vec<u32> = pids.into_iter().filter(|pid| *pid != payload[0]).collect();
        assert_eq!(others.len(), 1, "{list}");
        assert_eq!(name_of(others[0]), "init");
        let session = format!("0::{}/session\n", home.name());
        assert_eq!(fs::read_to_string(format!("/proc/{}/cgroup", others[0])).unwrap(), session);
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn leaf_that_has_no_room_is_told_with_what_bounds_it() {
    throw_away_guest();
    for caller in BOTH {
        let (home, script) = home_of(caller);
        let room = |cgroups: u32| {
            fs::write(home.path().join("cgroup.max.descendants"), cgroups.to_string()).unwrap();
            run(caller, probe()).whole().args(["cat", "/proc/self/cgroup"]).through(&script).go()
        };
        // The session is one.
        let ran = room(1);
        assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
        let told = format!("cgroup-leaf: mkdir {}/stockade-", home.path().display());
        assert!(ran.stderr.contains(&told) && ran.stderr.contains("EAGAIN"), "{}", ran.stderr);
        assert!(ran.stderr.contains("help: a cgroup above it has no room"), "{}", ran.stderr);
        assert_eq!(home.children(), ["session"], "something is left");
        // The control.
        assert_ran_in(&room(2), &home.name());
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn payload_sees_its_leaf_as_the_root_of_all_cgroups() {
    throw_away_guest();
    for caller in BOTH {
        let (home, script) = home_of(caller);
        let ran = run(caller, probe()).whole().args(["cat", "/proc/self/cgroup"]).through(&script).go();
        assert_ran_in(&ran, &home.name());
        assert_eq!(ran.text(), "0::/\n");
        assert_eq!(home.children(), ["session"], "something is left");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn process_limit_is_the_payloads_alone() {
    throw_away_guest();
    for caller in BOTH {
        let (_home, script) = home_of(caller);
        for limit in [1, 2, 5] {
            let limit_text = limit.to_string();
            let run = run(caller, probe()).whole().options(["--processes", &limit_text]).args(["forks", "9"]);
            let ran = run.through(&script).go();
            assert_eq!(ran.text(), format!("{} EAGAIN\n", limit - 1), "{caller:?} {}", ran.all());
            let peak = &ran.report["usage"]["processes_peak"];
            assert!(*peak == limit || peak.is_null(), "{caller:?} {peak}");
        }
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn payload_larger_than_its_memory_limit_starts_because_its_copy_is_not_billed() {
    throw_away_guest();
    let large = common::work().join("large");
    fs::copy(probe(), &large).unwrap();
    let mut file = fs::OpenOptions::new().append(true).open(&large).unwrap();
    file.write_all(&vec![0x5a; 24 << 20]).unwrap();
    drop(file);
    for caller in BOTH {
        let (_home, script) = home_of(caller);
        let ran = run(caller, &large)
            .whole()
            .options(["--memory", "64MiB"])
            .args(["exit", "0"])
            .through(&script)
            .go();
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
        let peak = ran.report["usage"]["memory_peak_bytes"].as_u64().unwrap();
        assert!((64 << 10..8 << 20).contains(&peak), "{caller:?} {peak}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn memory_peak_is_what_the_payload_used() {
    throw_away_guest();
    for caller in BOTH {
        let (_home, script) = home_of(caller);
        let ran = run(caller, probe()).whole().args(["alloc", "40"]).through(&script).go();
        assert_eq!(ran.text(), "allocated\n", "{}", ran.all());
        let peak = ran.report["usage"]["memory_peak_bytes"].as_u64().unwrap();
        assert!((40 << 20..44 << 20).contains(&peak), "{caller:?} {peak}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn memory_that_a_child_exhausts_ends_the_whole_box() {
    throw_away_guest();
    for caller in BOTH {
        let (_home, script) = home_of(caller);
        let run = run(caller, probe()).whole().options(["--memory", "32MiB"]).args(["alloc-child", "64"]);
        let ran = run.through(&script).go();
        assert_eq!((ran.status, ran.verdict()), (124, "memory_limit"), "{}", ran.all());
        assert_eq!(ran.text(), "", "the parent outlived its child");
        assert!(ran.report["usage"]["oom_kills"].as_u64().unwrap() >= 1);
        assert_eq!(ran.report["limits_hit"], serde_json::json!(["memory"]));
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn orphan_in_a_session_of_its_own_is_gone_with_the_leaf() {
    throw_away_guest();
    for caller in BOTH {
        let (home, script) = home_of(caller);
        let ran = run(caller, probe()).whole().args(["orphan"]).through(&script).go();
        assert_eq!((ran.status, ran.text().as_str()), (5, "parent done\n"), "{}", ran.all());
        assert_eq!(home.children(), ["session"]);
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn nearest_ancestor_that_can_give_controllers_is_taken() {
    throw_away_guest();
    for caller in BOTH {
        // Two levels down, one that hands nothing down yet and has no process: it can be made to.
        let (home, _) = home_of(caller);
        home.child("a");
        let deep = home.child("a/b");
        let ran = run(caller, probe()).whole().args(["exit", "0"]).through(&in_cgroup(&deep)).go();
        assert_ran_in(&ran, &format!("{}/a", home.name()));
        assert_eq!(children(&home.path().join("a")), ["b"]);
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn cgroup_of_root_inside_a_users_own_is_not_taken_by_root() {
    throw_away_guest();
    // As with sudo in a user's terminal: root may write there, but a box of root's could not enter.
    let (_home, script) = home_of(Caller::User);
    let ran = run(Caller::Root, probe()).whole().args(["exit", "0"]).through(&script).go();
    assert_ran_in(&ran, "");
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn cgroup_that_is_named_is_taken() {
    throw_away_guest();
    for caller in BOTH {
        let (home, script) = home_of(caller);
        let beside = home.child("beside");
        for (named, expected) in [(home.path(), home.name()), (&beside, format!("{}/beside", home.name()))] {
            let run = run(caller, probe()).whole().options(["--cgroup", named.to_str().unwrap()]);
            let ran = run.args(["exit", "0"]).through(&script).go();
            assert_ran_in(&ran, &expected);
            assert!(children(named).iter().all(|c| !c.starts_with("stockade-")));
        }
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn cgroup_that_is_named_and_cannot_be_used_is_refused_with_the_reason() {
    throw_away_guest();
    let (home, script) = home_of(Caller::User);
    let foreign = Cgroup::delegated("foreign");
    let (home_at, foreign_at) = (home.path().display(), foreign.path().display());
    let cases = [
        ("/nowhere".to_owned(), "--cgroup /nowhere: ENOENT, no such file or directory".to_owned()),
        ("/tmp".to_owned(), format!("--cgroup /tmp is not below {TOP}")),
        (
            foreign_at.to_string(),
            format!(
                "--cgroup {foreign_at}: boxes cannot be moved there from {home_at}/session, because {TOP} is not yours"
            ),
        ),
        (
            TOP.to_owned(),
            format!(
                "--cgroup {TOP}: boxes cannot be moved there from {home_at}/session, because {TOP} is not yours"
            ),
        ),
        (
            format!("{home_at}/session"),
            format!(
                "the cgroup {home_at}/session has other processes, so it cannot give controllers to a box"
            ),
        ),
    ];
    for (named, expected) in cases {
        let run = run(Caller::User, probe()).whole().options(["--cgroup", &named]).args(["exit", "0"]);
        let ran = run.through(&script).go();
        assert_eq!(refused(&ran).0, expected, "{named}");
    }
    // The control: the caller's own part of the tree is fine, even its own place where it is alone.
    let alone = home.child("alone");
    let run = run(Caller::User, probe()).whole().options(["--cgroup", alone.to_str().unwrap()]);
    let ran = run.args(["exit", "0"]).through(&in_cgroup(&alone)).go();
    assert_ran_in(&ran, &format!("{}/alone", home.name()));
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn caller_alone_in_its_cgroup_steps_down_and_back_up() {
    throw_away_guest();
    for caller in BOTH {
        let home = if caller == Caller::User { Cgroup::delegated("scope") } else { Cgroup::new("scope") };
        // Twice: the first leaves everything as it was.
        for _ in 0..2 {
            let run = run(caller, probe()).whole().args(["cat", "/proc/self/cgroup"]);
            let ran = run.through(&in_cgroup(home.path())).go();
            assert_ran_in(&ran, &home.name());
            assert_eq!(ran.text(), "0::/\n");
            assert_eq!(home.children(), Vec::<String>::new());
            let handed_down = fs::read_to_string(home.path().join("cgroup.subtree_control")).unwrap();
            assert_eq!(handed_down.trim(), "");
        }
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn user_who_is_not_alone_in_their_cgroup_is_refused() {
    throw_away_guest();
    let home = Cgroup::delegated("shared");
    let script = format!("echo 0 >{}/cgroup.procs && \"$@\"; exit $?", home.path().display());
    let ran = run(Caller::User, probe()).whole().args(["exit", "0"]).through(&script).go();
    let at = home.path().display();
    let expected = format!("the cgroup {at} has other processes, so it cannot give controllers to a box");
    assert_eq!(refused(&ran).0, expected);
    assert_eq!(home.children(), Vec::<String>::new());
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn user_without_a_cgroup_is_told_the_way_to_one() {
    throw_away_guest();
    let foreign = Cgroup::new("foreign");
    let script = in_cgroup(foreign.path());
    let systemd = Path::new("/run/systemd/system");
    let degrade = "; --degrade cgroup runs without limits on the whole box";
    let asked = || run(Caller::User, probe()).whole().args(["exit", "0"]).through(&script).go();
    let reason = format!("the cgroup {} is not yours to write", foreign.path().display());

    let ran = asked();
    assert_eq!(refused(&ran).0, reason);
    let without = "have root make a cgroup for you (memory and pids in its cgroup.subtree_control, owned by you), \
                   start stockade inside a child of it and name it with --cgroup";
    assert_eq!(refused(&ran).1, format!("{without}{degrade}"));

    fs::create_dir_all(systemd).unwrap();
    let ran = asked();
    fs::remove_dir_all("/run/systemd").unwrap();
    assert_eq!(refused(&ran).0, reason);
    let with = "start it in a cgroup of your own: systemd-run --user --scope -p Delegate=yes -- stockade run …; \
                or name one with --cgroup";
    assert_eq!(refused(&ran).1, format!("{with}{degrade}"));

    // The control, and what was promised: without the layer it runs, and says so.
    let ran =
        run(Caller::User, probe()).options(["--degrade", "cgroup"]).args(["exit", "0"]).through(&script).go();
    assert_eq!((ran.status, &ran.report["degraded"]), (0, &serde_json::json!(["cgroup"])), "{}", ran.all());
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn hierarchy_that_is_absent_or_read_only_is_named() {
    throw_away_guest();
    let cases = [
        (format!("mount -o remount,bind,ro {TOP}"), format!("{TOP} is mounted read-only")),
        (format!("umount {TOP}"), "no cgroup hierarchy is mounted".to_owned()),
    ];
    for caller in BOTH {
        for (change, expected) in &cases {
            let script = format!(
                "exec /bin/busybox unshare -m /bin/sh -c '/bin/busybox {change} && exec \"$@\"' sh \"$@\""
            );
            let ran = run(caller, probe()).whole().args(["exit", "0"]).through(&script).go();
            assert_eq!(refused(&ran).0, expected, "{caller:?}");
        }
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn leaves_of_dead_supervisors_are_swept_and_those_of_living_ones_are_not() {
    throw_away_guest();
    for caller in BOTH {
        let (home, script) = home_of(caller);
        // No process has this pid and start time.
        for dead in ["stockade-1-1-0", "stockade-1-1-supervisor", "stockade-4194000-7-12"] {
            home.child(dead);
        }
        for other in ["stockade-1-1-other", "stockade"] {
            home.child(other);
        }
        let killed = {
            let mut box_ = Sleeping::start(caller, &home, &script, &[]);
            box_.child.kill().unwrap();
            box_.child.wait().unwrap();
            box_.leaf.clone()
        };
        within(Duration::from_secs(10), || members(&killed).is_empty().then_some(()))
            .expect("the payload outlives its supervisor");
        assert!(killed.exists(), "nobody was there to remove it");
        let living = Sleeping::start(caller, &home, &script, &[]);
        let ran = run(caller, probe()).whole().args(["exit", "0"]).through(&script).go();
        assert_eq!(ran.status, 0, "{}", ran.all());
        let mut left = home.children();
        left.sort();
        let mut expected = vec![
            living.leaf.file_name().unwrap().to_str().unwrap(),
            "session",
            "stockade",
            "stockade-1-1-other",
        ];
        expected.sort_unstable();
        assert_eq!(left, expected, "{caller:?}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn private_payload_of_a_user_runs_below_their_own_cgroup() {
    throw_away_guest();
    let (home, script) = home_of(Caller::User);
    let copy = Caller::User.home().join("private");
    fs::copy(probe(), &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::chown(&copy, Some(common::SOMEBODY), Some(common::SOMEBODY)).unwrap();
    let ran = run(Caller::User, &copy).whole().args(["exit", "0"]).through(&script).go();
    assert_ran_in(&ran, &home.name());
}
