//! AppArmor: under the profile that ships boxes are whole; under one that confines, or without the right to
//! make user namespaces, it is named.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod kernel_support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::{Caller, Ran, payload, run, stockade};
use kernel_support::{
    BOTH, Cgroup, all_enforced, assert_told_alike, doctor, in_cgroup, own_cgroup, throw_away_guest, told,
    within,
};

/// Where the profile expects the program.
const INSTALLED: &str = "/usr/local/bin/stockade";
const SECURITY: &str = "/sys/kernel/security/apparmor";

fn profile() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/apparmor/stockade")).unwrap()
}

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

/// AppArmor's parser of a major version, with a profile as its standard input.
fn parser(version: u8, options: &[&str], profile: &str) -> Output {
    let mut child = Command::new(format!("/opt/apparmor/parser-{version}"))
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(profile.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// A profile in force for as long as this lives, and nobody else's test meanwhile.
struct Loaded {
    text: String,
    _alone: MutexGuard<'static, ()>,
}

impl Loaded {
    fn new(text: &str) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        throw_away_guest();
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all("/usr/local/bin").unwrap();
        fs::copy(stockade(), INSTALLED).unwrap();
        fs::set_permissions(INSTALLED, fs::Permissions::from_mode(0o755)).unwrap();
        let out = parser(4, &["--replace"], text);
        assert!(out.status.success(), "{out:?}");
        Self { text: text.to_owned(), _alone: alone }
    }

    /// Its line in the kernel's list.
    fn line() -> String {
        let all = fs::read_to_string(format!("{SECURITY}/profiles")).unwrap();
        all.lines().find(|l| l.starts_with("stockade ")).unwrap_or_default().to_owned()
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        let out = parser(4, &["--remove"], &self.text);
        assert!(std::thread::panicking() || (out.status.success() && Self::line().is_empty()), "{out:?}");
    }
}

/// A shell script that starts the installed program instead of the tests' own, in a cgroup.
fn installed(cgroup: &Cgroup) -> String {
    let own = stockade().display();
    let instead = format!(
        "for word; do shift; [ \"$word\" != {own} ] || word={INSTALLED}; set -- \"$@\" \"$word\"; done; {}",
        in_cgroup(cgroup.path())
    );
    assert!(instead.contains("exec"), "{instead}");
    instead
}

fn ran(caller: Caller, args: &[&str]) -> Ran {
    let cgroup = own_cgroup(caller);
    run(caller, probe()).whole().args(args.iter().copied()).through(&installed(&cgroup)).go()
}

fn examined(caller: Caller) -> serde_json::Value {
    doctor(caller, &installed(&own_cgroup(caller)))
}

/// Whether this kernel's AppArmor decides who makes user namespaces (since 6.7).
fn decides_on_user_namespaces() -> bool {
    let mask = fs::read_to_string(format!("{SECURITY}/features/namespaces/mask")).unwrap_or_default();
    mask.split_whitespace().any(|word| word == "userns_create")
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn boxes_are_whole_under_the_profile_that_ships() {
    let _loaded = Loaded::new(&profile());
    assert_eq!(Loaded::line(), "stockade (unconfined)");
    assert!(fs::read_to_string("/sys/kernel/security/lsm").unwrap().contains("landlock"));
    for caller in BOTH {
        let whole = ran(caller, &["exit", "0"]);
        assert_eq!((whole.status, whole.verdict()), (0, "ok"), "{}", whole.all());
        assert!(all_enforced(&whole), "{}", whole.all());
        let examined = examined(caller);
        assert_eq!(examined["native"], "full", "{examined:#}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn supervisor_and_payload_carry_the_profiles_name() {
    let _loaded = Loaded::new(&profile());
    for caller in BOTH {
        let cgroup = own_cgroup(caller);
        let sleep = run(caller, probe()).whole().args(["sleep"]).through(&installed(&cgroup));
        let mut supervisor = sleep.command().0.stdin(Stdio::null()).spawn().unwrap();
        let label = |pid: u32| fs::read_to_string(format!("/proc/{pid}/attr/apparmor/current"));
        let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        let payload = within(Duration::from_secs(10), || {
            let id = supervisor.id();
            let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).ok()?;
            let pids = list.split_whitespace().map(|p| p.parse::<u32>().unwrap());
            pids.into_iter().find(|pid| name(*pid).trim() == "program")
        });
        let labels = [Some(supervisor.id()), payload].map(|pid| pid.map(|p| label(p).unwrap()));
        supervisor.kill().unwrap();
        supervisor.wait().unwrap();
        let carried = Some("stockade (unconfined)\n".to_owned());
        assert_eq!(labels, [carried.clone(), carried], "{caller:?}");
    }
    // The same program elsewhere is nobody's.
    let out = Command::new("/bin/cat").arg("/proc/self/attr/apparmor/current").output().unwrap();
    assert_eq!(out.stdout, b"unconfined\n");
}

/// The profile that ships, but confining: it allows these rules alone. What a box is made of has no path yet.
fn confining(rules: &str) -> String {
    let confining = profile()
        .replace(" flags=(unconfined)", " flags=(attach_disconnected)")
        .replace("  userns,\n", &format!("  {rules}\n"));
    assert!(!confining.contains("(unconfined)") && confining.contains(rules), "{confining}");
    confining
}

/// Everything but mounts and user namespaces.
const OTHERS: &str = "file, capability, network, ptrace, signal, dbus, unix, mqueue, io_uring,";
const MOUNTS: &str = "mount, remount, umount, pivot_root,";

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn profile_without_the_right_to_make_user_namespaces_is_named() {
    {
        let _loaded = Loaded::new(&confining(&format!("{OTHERS} {MOUNTS} userns,")));
        assert_eq!(Loaded::line(), "stockade (enforce)");
        for caller in BOTH {
            let whole = ran(caller, &["exit", "0"]);
            assert!(whole.status == 0 && all_enforced(&whole), "{}", whole.all());
        }
    }
    let _loaded = Loaded::new(&confining(&format!("{OTHERS} {MOUNTS}")));
    for caller in BOTH {
        let (ran, examined) = (ran(caller, &["exit", "0"]), examined(caller));
        if !decides_on_user_namespaces() {
            assert!(ran.status == 0 && all_enforced(&ran), "{}", ran.all());
            assert_eq!(examined["native"], "full", "{examined:#}");
            continue;
        }
        let expected = "stockade: setup_failed: clone-middle: clone3(NEWUSER|NEWNS|NEWUTS) (supervisor): \
                        EACCES, permission denied\n  help: the AppArmor profile 'stockade' refuses user namespaces; give \
                        stockade a profile of its own (contrib/apparmor/stockade), or start it from what is not confined\n";
        assert_eq!((ran.status, ran.stderr.as_str()), (125, expected), "{caller:?} {}", ran.all());
        assert_told_alike(&ran, &examined, "user_namespaces");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn profile_without_the_right_to_mount_is_named() {
    let _loaded = Loaded::new(&confining(&format!("{OTHERS} userns,")));
    for caller in BOTH {
        let (ran, examined) = (ran(caller, &["exit", "0"]), examined(caller));
        assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
        let words = "the AppArmor profile 'stockade' refuses what a box is made with";
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        // Which mounts it decides on depends on the kernel.
        let blamed = ["mounts", "pivot_root"].into_iter().find(|id| {
            let checks = examined["checks"].as_array().unwrap();
            checks.iter().any(|c| c["id"] == *id && c["status"] == "fail")
        });
        let (_, found, fix) = told(&examined, blamed.unwrap_or_else(|| panic!("{examined:#}")));
        assert!(found.contains(words) && ran.stderr.contains(fix), "{found}; {fix}\n{}", ran.stderr);
        assert_eq!(examined["native"], "refused", "{examined:#}");
    }
}

#[test]
#[ignore = "changes the machine: only in a guest of .ci/kernels/run"]
fn profile_needs_the_parser_of_the_releases_that_need_it() {
    throw_away_guest();
    // Without loading anything.
    let taken = parser(4, &["--skip-kernel-load"], &profile());
    assert!(taken.status.success(), "{taken:?}");
    let refused = parser(3, &["--skip-kernel-load"], &profile());
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("abi/4.0"), "{said}");
    // It is that parser, and it does take profiles.
    let old = parser(3, &["--skip-kernel-load"], "profile old /usr/bin/old flags=(complain) {\n}\n");
    assert!(old.status.success(), "{old:?}");
}
