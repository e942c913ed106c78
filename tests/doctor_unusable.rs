//! Hosts on which nothing can be found out, or no box be had whatever is asked for: doctor and `run` say so
//! before anything else, in the same words.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop anywhere")]

mod common;

use std::process::{Command, Output};

use common::{Caller, is_root, payload, skip, stockade};

/// Starts stockade at the end of the words.
fn below(words: &[&str], caller: Caller, arguments: &[&str]) -> Output {
    let id = common::SOMEBODY.to_string();
    let become_user = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"];
    let mut all: Vec<&str> = Vec::new();
    if caller == Caller::User && is_root() {
        all.extend(become_user);
    }
    all.extend(words);
    let program = stockade();
    all.push(program.to_str().unwrap());
    all.extend(arguments);
    let mut command = Command::new(all[0]);
    command.args(&all[1..]).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
    command.env("HOME", caller.home()).current_dir(caller.home()).output().unwrap()
}

/// Both end with 125, and say this.
fn both_say(words: &[&str], what: &str, fix: &str) {
    let program = payload("hello.c", &[]);
    for arguments in [&["doctor"][..], &["run", "--", program.to_str().unwrap()]] {
        let out = below(words, Caller::Root, arguments);
        let told = String::from_utf8_lossy(&out.stderr);
        assert_eq!(out.status.code(), Some(125), "{arguments:?}: {told}");
        assert_eq!(told, format!("stockade: error: {what}\n  help: {fix}\n"), "{arguments:?}");
        assert!(out.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn proc_of_another_pid_namespace_is_named_and_no_user_namespace_blamed() {
    if !is_root() {
        return skip("no root to make a pid namespace");
    }
    both_say(
        &["unshare", "--pid", "--fork"],
        "the /proc here is that of another pid namespace",
        "mount one of this namespace's own (unshare: --mount-proc; bwrap: --proc /proc)",
    );
    // With one of its own, it is a host like others.
    let program = payload("hello.c", &[]);
    let own = ["unshare", "--pid", "--fork", "--mount-proc"];
    let out = below(&own, Caller::Root, &["run", "--degrade", "cgroup", "--", program.to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn host_without_proc_is_named_and_no_cgroup_blamed() {
    if !is_root() {
        return skip("no root to take /proc away");
    }
    both_say(
        &["unshare", "-m", "sh", "-ec", "umount -l /proc; exec \"$@\"", "sh"],
        "there is no /proc here",
        "mount it: mount -t proc proc /proc (bwrap: --proc /proc)",
    );
}

#[test]
fn filter_that_refuses_descriptors_of_processes_is_named_and_nothing_waits_for_ever() {
    let program = payload("hello.c", &[]);
    let refuse = payload("refuse.c", &["-static"]).display().to_string();
    for caller in Caller::all() {
        for (number, errno) in [(libc::SYS_pidfd_open, libc::ENOSYS), (libc::SYS_pidfd_open, libc::EPERM)] {
            let rule = format!("{number}:{errno}");
            let words = ["timeout", "-k", "1", "60", &refuse, &rule, "--"];
            let arguments = ["run", "--degrade", "cgroup", "--", program.to_str().unwrap()];
            let out = below(&words, caller, &arguments);
            let told = String::from_utf8_lossy(&out.stderr);
            assert_eq!(out.status.code(), Some(125), "{told}");
            assert!(told.contains("setup_failed: open-init: pidfd_open(init)"), "{told}");
            assert!(
                told.contains("help: a container's seccomp filter refuses what a box is made with"),
                "{told}"
            );
        }
    }
}

#[test]
fn root_of_a_namespace_without_the_ids_of_boxes_is_told_so_before_the_owners_of_libraries() {
    let program = payload("hello.c", &[]);
    for caller in Caller::all() {
        let nested = ["unshare", "--user", "--map-root-user"];
        let out = below(&nested, caller, &["run", "--", program.to_str().unwrap()]);
        let told = String::from_utf8_lossy(&out.stderr);
        let what = "the host ids of boxes, from 1879048192 on, do not exist in the user namespace that stockade \
                    runs in\n  help: run it as an ordinary user there, or map that range\n";
        assert_eq!(told, format!("stockade: error: {what}"));
        assert_eq!(out.status.code(), Some(125));
    }
}
