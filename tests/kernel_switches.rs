//! Hosts that restrict user namespaces, tracing or `/proc`: refused with the
//! switch's name, or run with the report saying what there is instead.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod kernel_support;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

use common::{Caller, Ran, payload, run};
use kernel_support::{BOTH, Cgroup, all_enforced, in_cgroup, throw_away_guest};
use serde_json::json;

fn probe() -> std::path::PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

/// One test at a time: what they switch holds for all.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    throw_away_guest();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A switch of the kernel, set for the life of this.
struct Switch {
    file: String,
    before: String,
}

impl Switch {
    fn set(name: &str, value: &str) -> Self {
        let file = format!("/proc/sys/{name}");
        let before = fs::read_to_string(&file).unwrap();
        fs::write(&file, value).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap().trim(), value);
        Self { file, before }
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        fs::write(&self.file, &self.before).unwrap();
    }
}

/// A cgroup that a caller can be alone in.
fn home_of(caller: Caller) -> Cgroup {
    if caller == Caller::User { Cgroup::delegated("home") } else { Cgroup::new("home") }
}

/// A run of a caller who has a cgroup, whoever it is.
fn ran(caller: Caller, args: &[&str], script: Option<&str>) -> Ran {
    let home = home_of(caller);
    let enter = in_cgroup(home.path());
    let script = script.map_or(enter.clone(), |s| enter.replace("exec \"$@\"", s));
    run(caller, probe()).whole().args(args.iter().copied()).through(&script).go()
}

fn refused(ran: &Ran) -> &str {
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
    assert!(ran.stdout.is_empty());
    assert_eq!(ran.report["cleanup"]["ok"], true);
    &ran.stderr
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn user_namespaces_switched_off_for_users_refuse_users_and_leave_root_one() {
    let _alone = alone();
    {
        let _off = Switch::set("kernel/unprivileged_userns_clone", "0");
        let user = ran(Caller::User, &["exit", "0"], None);
        let expected = "stockade: setup_failed: clone-middle: clone3(NEWUSER|NEWNS|NEWUTS) (supervisor): \
                        EPERM, operation not permitted\n  help: this host switches user namespaces off for ordinary users; as root: \
                        sysctl -w kernel.unprivileged_userns_clone=1\n";
        assert_eq!(refused(&user), expected);

        let root = ran(Caller::Root, &["userns"], None);
        assert_eq!((root.status, root.verdict()), (0, "ok"), "{}", root.all());
        assert!(all_enforced(&root), "{}", root.all());
        let kernel = &root.report["layers"]["user_ns"]["kernel"];
        assert_eq!((&kernel["nested"], &kernel["further"]), (&json!(false), &json!("EPERM")));
        let note = "the payload shares the user namespace of pid 1: a second one was refused (EPERM, operation not permitted)";
        assert_eq!(root.report["notes"], json!([note]));
        // Processes are counted as ever, although pid 1 is now among those of the payload's user.
        let home = Cgroup::new("home");
        let forks = run(Caller::Root, probe()).options(["--processes", "4"]).args(["forks", "9"]);
        assert_eq!(forks.through(&in_cgroup(home.path())).go().text(), "3 EAGAIN\n");
    }
    for caller in BOTH {
        let ran = ran(caller, &["exit", "0"], None);
        assert!(all_enforced(&ran), "{}", ran.all());
        assert_eq!(ran.report["layers"]["user_ns"]["kernel"]["nested"], true);
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn no_user_namespace_at_all_refuses_everybody_by_the_switchs_name() {
    let _alone = alone();
    let _none = Switch::set("user/max_user_namespaces", "0");
    for caller in BOTH {
        let ran = ran(caller, &["exit", "0"], None);
        let expected = "stockade: setup_failed: clone-middle: clone3(NEWUSER|NEWNS|NEWUTS) (supervisor): \
                        ENOSPC, no space left on device\n  help: this host allows no user namespace; as root: \
                        sysctl -w user.max_user_namespaces=10000\n";
        assert_eq!(refused(&ran), expected, "{caller:?}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn tracing_restricted_in_any_degree_changes_nothing() {
    let _alone = alone();
    for scope in ["0", "1", "2"] {
        let _scope = Switch::set("kernel/yama/ptrace_scope", scope);
        for caller in BOTH {
            let ran = ran(caller, &["violate", "2"], None);
            assert_eq!((ran.status, ran.text().as_str()), (0, "survived\n"), "{scope} {}", ran.all());
            assert!(all_enforced(&ran), "{scope} {}", ran.all());
            assert_eq!(ran.report["violations"][0]["count"], 2, "{scope}");
        }
    }
    // This one stays until the machine is switched off.
    fs::write("/proc/sys/kernel/yama/ptrace_scope", "3").unwrap();
    for caller in BOTH {
        let ran = ran(caller, &["violate", "2"], None);
        assert!(ran.status == 0 && all_enforced(&ran), "{}", ran.all());
        assert_eq!(ran.report["violations"][0]["count"], 2);
    }
}

/// Runs what follows in a mount namespace of its own, in which `change` was made.
fn with_mounts(change: &str) -> String {
    format!("exec /bin/busybox unshare -m /bin/sh -c '{change} && exec \"$@\"' sh \"$@\"")
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn masked_proc_means_no_proc_inside_and_a_note() {
    let _alone = alone();
    let script = with_mounts("/bin/busybox mount -t tmpfs none /proc/acpi");
    for caller in BOTH {
        let ran = ran(caller, &["cat", "/proc/self/status"], Some(&script));
        assert_eq!((ran.status, ran.text().as_str()), (0, "/proc/self/status ENOENT\n"), "{}", ran.all());
        assert!(all_enforced(&ran), "{}", ran.all());
        assert_eq!(ran.report["layers"]["proc"]["kernel"]["proc"], "absent");
        let note = "no /proc in the box: this host masks parts of /proc (EPERM, operation not permitted)";
        assert_eq!(ran.report["notes"], json!([note]));
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn read_only_sysctls_as_in_a_container_are_refused_with_the_way_out() {
    let _alone = alone();
    let again = "/bin/busybox mount -o remount,bind,ro /proc/sys";
    let script = with_mounts(&format!("/bin/busybox mount --bind /proc/sys /proc/sys && {again}"));
    for caller in BOTH {
        let refusal = ran(caller, &["exit", "0"], Some(&script));
        let expected = "stockade: setup_failed: attest: the kernel does not show what the plan expects: user_ns: a \
                        further user namespace could be made in the box, because /proc/sys/user/max_user_namespaces \
                        cannot be written (EROFS, read-only file system)\n  help: have /proc/sys mounted writable in \
                        this container (docker, podman: --security-opt systempaths=unconfined); --degrade user_ns leaves it to the filter to refuse user namespaces\n";
        assert_eq!(refused(&refusal), expected, "{caller:?}");

        let cgroup = home_of(caller);
        let enter = in_cgroup(cgroup.path()).replace("exec \"$@\"", &script);
        let run = run(caller, probe()).whole().options(["--degrade", "user_ns"]).args(["userns"]);
        let ran = run.through(&enter).go();
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
        assert_eq!(ran.report["degraded"], json!(["user_ns"]));
        assert_eq!(ran.text(), "unshare EPERM\nclone EPERM\nclone3 ENOSYS\n");
    }
}
