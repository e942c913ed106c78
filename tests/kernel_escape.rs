//! The escape check on hosts that lack something: nothing leaks, or it is refused and said why.
//!
//! Also runs on other kernels with --full: a battery takes minutes there.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod escape_support;
mod kernel_support;

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::Caller;
use escape_support::{Battery, battery, ids, most_important, tell, tell_refused};
use kernel_support::{BOTH, Switch, in_cgroup, own_cgroup, throw_away_guest};

/// One at a time: what they switch holds for all, and some attacks measure how long others take.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    throw_away_guest();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A battery of a caller with a cgroup, by another script if there is one.
fn tried(caller: Caller, options: &[&str], script: &str) -> Battery {
    // The check is several processes: they are in a child of what they hand out.
    let cgroup = own_cgroup(caller);
    let session = cgroup.hand_down().child("session");
    // The whole takes a quarter of an hour on such a machine, and was tried on it as it is.
    let part = most_important();
    let options = [&["--only", &part], options].concat();
    battery(caller, &options, &in_cgroup(&session).replace("exec \"$@\"", script))
}

/// Nothing leaked, and nothing is unknown but these.
fn assert_held(caller: Caller, host: &str, battery: &Battery, unknown: &[&str]) {
    assert_eq!(battery.status, Some(0), "{caller:?} {host}: {} {:#}", battery.stderr, battery.value);
    tell(caller, host, &battery.value);
    assert_eq!(ids(&battery.value, "leaked"), Vec::<String>::new());
    let odd: Vec<_> =
        battery.value["attacks"].as_array().unwrap().iter().filter(|a| a["outcome"] != "held").collect();
    let others = ids(&battery.value, "inconclusive").into_iter().filter(|id| !unknown.contains(&id.as_str()));
    assert_eq!(others.collect::<Vec<_>>(), Vec::<String>::new(), "{caller:?} {host}: {odd:#?}");
    assert!(ids(&battery.value, "held").len() >= 40, "{caller:?} {host}: {odd:#?}");
}

fn assert_refused(caller: Caller, host: &str, battery: &Battery, words: &[&str]) {
    assert_eq!((battery.status, &battery.value), (Some(125), &serde_json::Value::Null), "{}", battery.stderr);
    for word in words {
        assert!(battery.stderr.contains(word), "{caller:?} {host}: {}", battery.stderr);
    }
    tell_refused(caller, host);
}

/// What an ordinary user cannot try: a mount or a file of root's, pid 1 of the box, and the kernel's log.
const USER_MAY_NOT_KNOW: &[&str] = &["FS-06", "FS-07", "FS-12", "SV-15", "DS-22"];

fn unknown_to(caller: Caller) -> &'static [&'static str] {
    if caller == Caller::User { USER_MAY_NOT_KNOW } else { &[] }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn user_namespaces_switched_off_for_users_refuse_users_and_leak_nothing_of_roots() {
    let _alone = alone();
    let host = "`kernel.unprivileged_userns_clone=0`";
    let _off = Switch::set("kernel/unprivileged_userns_clone", "0");
    let user = tried(Caller::User, &[], "exec \"$@\"");
    let words =
        ["this host switches user namespaces off for ordinary users", "kernel.unprivileged_userns_clone=1"];
    assert_refused(Caller::User, host, &user, &words);
    let root = tried(Caller::Root, &[], "exec \"$@\"");
    // Their controls are processes of an ordinary user, who can have no namespace here.
    assert_held(Caller::Root, host, &root, &["NS-03", "NS-05", "KX-43"]);
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn no_user_namespace_at_all_refuses_everybody() {
    let _alone = alone();
    let _none = Switch::set("user/max_user_namespaces", "0");
    for caller in BOTH {
        let battery = tried(caller, &[], "exec \"$@\"");
        let words = ["this host allows no user namespace", "sysctl -w user.max_user_namespaces=10000"];
        assert_refused(caller, "`user.max_user_namespaces=0`", &battery, &words);
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn masked_proc_leaks_nothing() {
    let _alone = alone();
    let mask = "exec /bin/busybox unshare -m /bin/sh -c '/bin/busybox mount -t tmpfs none /proc/acpi && exec \"$@\"' sh \"$@\"";
    for caller in BOTH {
        let battery = tried(caller, &["PR"], mask);
        assert_held(caller, "`/proc` masked", &battery, unknown_to(caller));
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn kernel_without_landlock_is_refused_and_leaks_nothing_when_that_is_said_to_be_well() {
    let _alone = alone();
    for caller in BOTH {
        let refused = tried(caller, &[], "exec \"$@\"");
        let words = ["Landlock is switched off on this host", "--degrade landlock"];
        assert_refused(caller, "no Landlock", &refused, &words);
        let battery = tried(caller, &["--degrade", "landlock"], "exec \"$@\"");
        assert_held(caller, "no Landlock, `--degrade landlock`", &battery, unknown_to(caller));
    }
}
