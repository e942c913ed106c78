//! Hosts that lack something: doctor names what and the fix, and `run` refuses with
//! the same words.
//!
//! Also runs on other kernels (.ci/kernels).
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Caller, is_root, payload, skip, stockade, work};
use serde_json::Value;

const EPERM: i32 = libc::EPERM;

/// A host that is like this one but for what is done to it.
#[derive(Clone)]
struct Host {
    caller: Caller,
    /// Shell commands in a private mount namespace, as root; empty: none is made.
    mounts: String,
    /// Whether it is the root of a user namespace of its own that looks.
    nested: String,
    /// Refused calls: rules of `refuse.c`.
    refused: Vec<String>,
    /// More of the environment.
    env: Vec<(String, String)>,
}

fn host(caller: Caller) -> Host {
    Host { caller, mounts: String::new(), nested: String::new(), refused: Vec::new(), env: Vec::new() }
}

impl Host {
    fn mounts(mut self, commands: &str) -> Self {
        self.mounts = commands.to_owned();
        self
    }

    fn nested(mut self, commands: &str) -> Self {
        self.nested = format!("{commands};");
        self
    }

    /// These calls answer with an errno, whatever their arguments.
    fn refuses(mut self, calls: &[i64], errno: i32) -> Self {
        self.refused.extend(calls.iter().map(|nr| format!("{nr}:{errno}")));
        self
    }

    /// This call does when one of the bits is set in the argument.
    fn refuses_bits(mut self, nr: i64, errno: i32, arg: u32, mask: i32) -> Self {
        self.refused.push(format!("{nr}:{errno}:{arg}:{mask}"));
        self
    }

    fn env(mut self, name: &str, value: &Path) -> Self {
        self.env.push((name.to_owned(), value.display().to_string()));
        self
    }

    /// Runs stockade on that host.
    fn stockade(&self, arguments: &[&str]) -> Output {
        let mut words: Vec<String> = Vec::new();
        if self.caller == Caller::User && is_root() {
            let id = common::SOMEBODY.to_string();
            words.extend(
                ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"].map(str::to_owned),
            );
        }
        if !self.nested.is_empty() {
            // The rest is what the shell of the namespace's root executes.
            let script = format!("{} exec \"$@\"", self.nested);
            words.extend(["unshare", "-U", "-r", "sh", "-ec", &script, "sh"].map(str::to_owned));
        }
        if !self.refused.is_empty() {
            words.push(payload("refuse.c", &["-static"]).display().to_string());
            words.extend(self.refused.iter().cloned());
            words.push("--".to_owned());
        }
        words.push(stockade().display().to_string());
        words.extend(arguments.iter().map(|a| (*a).to_owned()));
        let mut command = if self.mounts.is_empty() {
            Command::new(&words[0])
        } else {
            let mut c = Command::new("unshare");
            c.args([
                "-m",
                "--propagation",
                "private",
                "sh",
                "-ec",
                &format!("{}; exec \"$@\"", self.mounts),
                "sh",
            ]);
            c.arg(&words[0]);
            c
        };
        command.args(&words[1..]).env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        command.env("HOME", self.caller.home()).env("STOCKADE_STORE", self.caller.home().join("store"));
        command.envs(self.env.iter().cloned()).current_dir(self.caller.home()).output().unwrap()
    }

    /// Status and JSON of doctor.
    fn doctor(&self) -> (i32, Value) {
        let out = self.stockade(&["doctor", "--json"]);
        let text = String::from_utf8_lossy(&out.stdout);
        let value = serde_json::from_str(&text)
            .unwrap_or_else(|e| panic!("{e}\n{text}\n{}", String::from_utf8_lossy(&out.stderr)));
        (out.status.code().unwrap(), value)
    }

    /// Status and standard error of a run under `native`.
    fn run(&self, options: &[&str]) -> (i32, String) {
        let probe = payload("probe.c", &["-static"]).display().to_string();
        let mut arguments = vec!["run", "-v"];
        arguments.extend(options);
        arguments.extend(["--", &probe, "exit", "42"]);
        let out = self.stockade(&arguments);
        (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
    }
}

/// One check: status, what was found, the fix.
fn check<'a>(doctor: &'a Value, id: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let check = doctor["checks"].as_array().unwrap().iter().find(|c| c["id"] == id)?;
    let text = |field: &str| check[field].as_str().unwrap_or("");
    Some((text("status"), text("found"), text("fix")))
}

/// Doctor tells `words` and `fix` of a feature that is well on this host itself, and
/// a run is refused with the same two.
fn blocks(host: &Host, id: &str, status: &str, words: &str, fix: &str) {
    let (_, whole) = self::host(host.caller).doctor();
    let control = check(&whole, id).map(|c| c.0);
    if !matches!(control, Some("pass" | "note")) {
        return skip(&format!("{id} is not well on this host to begin with: {control:?}"));
    }
    let (code, sick) = host.doctor();
    let found = check(&sick, id).unwrap_or_else(|| panic!("{id} was not looked at\n{sick:#}"));
    assert_eq!(found.0, status, "{sick:#}");
    assert!(found.1.contains(words), "{words}\n{found:?}");
    assert!(found.2.contains(fix), "{fix}\n{found:?}");
    assert_eq!(code, 1, "{sick:#}");
    let native = if status == "fail" { "refused" } else { "degraded" };
    // As an ordinary user without a cgroup `native` is degraded anyway.
    assert_eq!(sick["native"], native, "{sick:#}");
    let options: &[&str] = if host.caller == Caller::User { &["--degrade", "cgroup"] } else { &[] };
    let (code, told) = host.run(options);
    assert_eq!(code, 125, "{told}");
    assert!(told.contains(words), "run does not say: {words}\n{told}");
    assert!(told.contains(found.2), "run does not say: {}\n{told}", found.2);
    // It is this that was missing: with the layer degraded, the box runs.
    let layer = sick["checks"].as_array().unwrap().iter().find(|c| c["id"] == id).unwrap()["layer"].as_str();
    if let Some(layer) = layer {
        let (code, told) = host.run(&[options, &["--degrade", layer]].concat());
        assert_eq!(code, 42, "{told}");
        assert!(sick["needs_degrade"].as_array().unwrap().iter().any(|l| l == layer), "{sick:#}");
    }
}

/// Fakes some of `/proc/sys/kernel`, the rest copied.
fn fake_sysctl(files: &[(&str, &str)]) -> String {
    let mut commands = String::from(
        "mkdir -p /tmp/stockade-sysctl-$$; cp -r /proc/sys/kernel/. /tmp/stockade-sysctl-$$/ 2>/dev/null || true; \
         mount -t tmpfs tmpfs /proc/sys/kernel; cp -r /tmp/stockade-sysctl-$$/. /proc/sys/kernel/; rm -r /tmp/stockade-sysctl-$$",
    );
    for (name, value) in files {
        commands
            .push_str(&format!("; rm -f /proc/sys/kernel/{name}; echo '{value}' > /proc/sys/kernel/{name}"));
    }
    commands
}

fn root_only() -> bool {
    if !is_root() {
        skip("only root can make such a host");
    }
    is_root()
}

const CONTAINER: &str = "--security-opt seccomp=unconfined";

#[test]
fn host_itself_is_told_alike_by_text_and_json() {
    for caller in Caller::all() {
        let (status, json) = host(caller).doctor();
        assert_eq!(json["schema"], "stockade.doctor/1");
        let ids: Vec<&str> =
            json["checks"].as_array().unwrap().iter().map(|c| c["id"].as_str().unwrap()).collect();
        let known: Vec<&str> = stockade::doctor::FEATURES.iter().map(|f| f.id).collect();
        assert_eq!(ids, known, "every feature, in its order");
        let worst = json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|c| c["status"] == "fail" || c["status"] == "degraded");
        assert_eq!(status == 0, !worst && json["native"] == "full", "{json:#}");
        let out = host(caller).stockade(&["doctor"]);
        assert_eq!(out.status.code(), Some(status));
        let text = String::from_utf8(out.stdout).unwrap();
        for check in json["checks"].as_array().unwrap() {
            let line = format!(
                "{:<9}{}: ",
                check["status"].as_str().unwrap().to_uppercase(),
                check["title"].as_str().unwrap()
            );
            assert!(text.contains(&line), "{line}\n{text}");
        }
        // A run agrees with the decision.
        let (code, told) = host(caller).run(&[]);
        assert_eq!(code == 42, json["native"] == "full", "{told}");
        assert!(
            text.contains("root     ") && text.contains("cgroup   ") && text.contains("native   "),
            "{text}"
        );
    }
}

#[test]
fn doctor_leaves_nothing_behind() {
    let caller = if is_root() { Caller::Root } else { Caller::User };
    let store = caller.home().join("doctor-store");
    let (_, json) = host(caller).env("STOCKADE_STORE", &store).doctor();
    let root = json["root"]["what"].as_str().unwrap();
    assert!(root == "overlay" || root == "bind", "{json:#}");
    let left: Vec<_> = std::fs::read_dir(&store).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.iter().all(|n| !n.to_string_lossy().starts_with("doctor-")), "{left:?}");
}

#[test]
fn switch_that_allows_no_user_namespace_is_named() {
    for caller in Caller::all() {
        let sick = host(caller).nested("echo 0 > /proc/sys/user/max_user_namespaces");
        blocks(
            &sick,
            "user_namespaces",
            "fail",
            "this host allows no user namespace",
            "as root: sysctl -w user.max_user_namespaces=10000",
        );
    }
}

#[test]
fn debian_switch_is_named_to_an_ordinary_user() {
    if !root_only() {
        return;
    }
    let sick = host(Caller::User)
        .mounts(&fake_sysctl(&[("unprivileged_userns_clone", "0")]))
        .refuses(&[libc::SYS_clone3], EPERM)
        .refuses_bits(libc::SYS_unshare, EPERM, 0, libc::CLONE_NEWUSER);
    blocks(
        &sick,
        "user_namespaces",
        "fail",
        "this host switches user namespaces off for ordinary users",
        "as root: sysctl -w kernel.unprivileged_userns_clone=1",
    );
}

#[test]
fn filter_of_a_container_is_named() {
    for caller in Caller::all() {
        // As docker's does without CAP_SYS_ADMIN: clone3 is not there, the others are forbidden.
        for errno in [libc::ENOSYS, EPERM] {
            let sick = host(caller)
                .refuses(&[libc::SYS_clone3], errno)
                .refuses(&[libc::SYS_unshare, libc::SYS_mount, libc::SYS_setns], EPERM)
                .refuses_bits(libc::SYS_clone, EPERM, 0, 0x7e02_0000);
            blocks(
                &sick,
                "user_namespaces",
                "fail",
                "a container's seccomp filter refuses namespaces",
                CONTAINER,
            );
        }
    }
}

#[test]
fn apparmor_that_takes_the_rights_is_named_with_the_profile() {
    if !root_only() {
        return;
    }
    let sick = host(Caller::User)
        .mounts(&fake_sysctl(&[("apparmor_restrict_unprivileged_userns", "1")]))
        .refuses(&[libc::SYS_sethostname, libc::SYS_mount_setattr, libc::SYS_fsopen], EPERM)
        .refuses_bits(libc::SYS_unshare, EPERM, 0, libc::CLONE_NEWPID | libc::CLONE_NEWCGROUP);
    blocks(
        &sick,
        "namespace_rights",
        "fail",
        "AppArmor takes all rights from the user namespaces of programs without a profile that allows userns",
        "apparmor_parser -r /etc/apparmor.d/stockade",
    );
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/apparmor/stockade");
    let text = std::fs::read_to_string(&profile).unwrap();
    assert!(text.contains("userns,") && text.contains("flags=(unconfined)"), "{text}");
}

#[test]
fn root_of_a_namespace_without_the_ids_of_boxes_is_told_so() {
    for caller in Caller::all() {
        let sick = host(caller).nested("true");
        blocks(
            &sick,
            "user_namespaces",
            "fail",
            "the host ids of boxes, from 1879048192 on, do not exist in the user namespace that stockade runs in",
            "run it as an ordinary user there, or map that range",
        );
    }
}

#[test]
fn chroot_is_named() {
    if !root_only() {
        return;
    }
    let dir = work().join("chroot");
    for sub in ["proc", "usr", "lib", "lib64", "tmp", "bin", "dev", "etc", "sys"] {
        std::fs::create_dir_all(dir.join(sub)).unwrap();
    }
    let at = dir.display();
    let mounts = format!(
        "for d in usr lib lib64 bin dev etc tmp proc sys; do [ -e /$d ] && mount --rbind /$d {at}/$d; done; set -- chroot {at} \"$@\""
    );
    let sick = host(Caller::Root).mounts(&mounts);
    blocks(
        &sick,
        "user_namespaces",
        "fail",
        "the kernel makes no user namespace in a chroot",
        "start stockade outside of it, or enter the directory with pivot_root",
    );
}

#[test]
fn masked_proc_is_a_note_and_the_run_says_the_same() {
    if !root_only() {
        return;
    }
    for caller in Caller::all() {
        let sick = host(caller).mounts("mount --bind /dev/null /proc/kallsyms");
        let (status, json) = sick.doctor();
        let (word, found, fix) = check(&json, "proc").unwrap();
        assert_eq!(
            (word, found),
            ("note", "this host masks parts of /proc: boxes have none, and see less"),
            "{json:#}"
        );
        assert!(fix.contains("systempaths=unconfined"), "{fix}");
        // It is no more than a note: the decision stays.
        let (control, whole) = host(caller).doctor();
        assert_eq!((status, &json["native"]), (control, &whole["native"]));
        assert_eq!(check(&whole, "proc").unwrap().0, "pass");
        let options: &[&str] = if caller == Caller::User { &["--degrade", "cgroup"] } else { &[] };
        let (code, told) = sick.run(options);
        assert_eq!(code, 42, "{told}");
        assert!(told.contains("note: no /proc in the box: this host masks parts of /proc (EPERM"), "{told}");
    }
}

#[test]
fn read_only_sysctls_are_named() {
    if !root_only() {
        return;
    }
    for caller in Caller::all() {
        let sick =
            host(caller).mounts("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys");
        blocks(
            &sick,
            "namespace_limit",
            "degraded",
            "a further user namespace could be made in the box, because /proc/sys/user/max_user_namespaces cannot be written",
            "--security-opt systempaths=unconfined",
        );
    }
}

#[test]
fn absent_cgroup_is_named() {
    if !root_only() {
        return;
    }
    let sick = host(Caller::Root).mounts("mount -t tmpfs tmpfs /sys/fs/cgroup");
    blocks(&sick, "cgroup", "degraded", "no cgroup for the box: ", "");
    let (_, json) = sick.doctor();
    assert_eq!(json["cgroup"]["what"], "none");
    let none = host(Caller::Root).mounts("umount -R /sys/fs/cgroup");
    blocks(
        &none,
        "cgroup",
        "degraded",
        "no cgroup for the box: no cgroup hierarchy is mounted",
        "--degrade cgroup",
    );
}

#[test]
fn absent_landlock_is_named_by_its_reason() {
    for caller in Caller::all() {
        for (errno, words, fix) in [
            (libc::ENOSYS, "this kernel has no Landlock", "CONFIG_SECURITY_LANDLOCK"),
            (
                libc::EOPNOTSUPP,
                "Landlock is switched off on this host",
                "add 'landlock' to the kernel's lsm= boot parameter",
            ),
            (EPERM, "a container's seccomp filter refuses Landlock", CONTAINER),
        ] {
            let sick = host(caller).refuses(&[libc::SYS_landlock_create_ruleset], errno);
            blocks(&sick, "landlock", "degraded", words, fix);
        }
    }
}

#[test]
fn refused_mounts_are_named() {
    for caller in Caller::all() {
        let sick = host(caller).refuses(&[libc::SYS_fsopen], EPERM);
        blocks(
            &sick,
            "mounts",
            "fail",
            "a container's seccomp filter refuses what a box is made with",
            CONTAINER,
        );
    }
}

#[test]
fn refused_filters_are_named() {
    for caller in Caller::all() {
        let sick = host(caller).refuses(&[libc::SYS_seccomp], EPERM);
        blocks(&sick, "seccomp", "fail", "a container's seccomp filter refuses further filters", CONTAINER);
        let busy = host(caller).refuses_bits(libc::SYS_seccomp, libc::EBUSY, 1, 1 << 3);
        blocks(
            &busy,
            "seccomp",
            "fail",
            "another listener for system calls is in force already, and the kernel allows one",
            "start stockade outside the container or tool that listens",
        );
    }
}

#[test]
fn initial_ramdisk_as_root_is_named() {
    for caller in Caller::all() {
        let sick = host(caller).refuses(&[libc::SYS_pivot_root], libc::EINVAL);
        blocks(
            &sick,
            "pivot_root",
            "fail",
            "this system runs from its initial ramdisk, which cannot be a root that is left",
            "switch_root /newroot /sbin/init",
        );
    }
}

#[test]
fn keyring_that_cannot_be_had_is_a_note() {
    for caller in Caller::all() {
        for (errno, words) in [(libc::EDQUOT, "the quota of keys is used up"), (EPERM, "refused (EPERM")] {
            let sick = host(caller).refuses(&[libc::SYS_keyctl], errno);
            let (status, json) = sick.doctor();
            let (word, found, _) = check(&json, "keyring").unwrap();
            assert_eq!(word, "note");
            assert!(
                found.contains(words) && found.contains("the filter refuses the keyring calls"),
                "{found}"
            );
            assert_eq!(status, host(caller).doctor().0);
        }
    }
}

#[test]
fn inner_user_namespace_that_is_refused_is_a_note_with_the_runs_words() {
    for caller in Caller::all() {
        // The first one is made by clone3, which is left alone.
        let sick = host(caller).refuses_bits(libc::SYS_unshare, EPERM, 0, libc::CLONE_NEWUSER);
        let (_, json) = sick.doctor();
        let (word, found, _) = check(&json, "inner_user_namespace").unwrap();
        assert_eq!(word, "note");
        assert!(found.contains("the payload shares the user namespace of pid 1"), "{found}");
        let options: &[&str] = if caller == Caller::User { &["--degrade", "cgroup"] } else { &[] };
        let (code, told) = sick.run(options);
        assert_eq!(code, 42, "{told}");
        assert!(told.contains("note: the payload shares the user namespace of pid 1"), "{told}");
    }
}

#[test]
fn store_that_no_overlay_can_be_made_over_gives_a_bind() {
    if !root_only() {
        return;
    }
    let base: PathBuf = work().join("stacked");
    for dir in ["a", "b", "c", "d", "e", "one", "two"] {
        std::fs::create_dir_all(base.join(dir)).unwrap();
    }
    let at = base.display();
    // An overlay over an overlay: a third one is too deep for the kernel.
    let mounts = format!(
        "mount -t tmpfs tmpfs {at}; cd {at}; mkdir a b c d e f one two; \
         mount -t overlay overlay -o lowerdir=a,upperdir=b,workdir=c one; \
         mount -t overlay overlay -o lowerdir=one,upperdir=d,workdir=e two; mkdir two/store; cd /"
    );
    let sick = host(Caller::Root).mounts(&mounts).env("STOCKADE_STORE", &base.join("two/store"));
    let (status, json) = sick.doctor();
    let (word, found, fix) = check(&json, "overlay").unwrap();
    assert_eq!(word, "note", "{json:#}");
    assert!(found.contains("perhaps an overlay of overlays itself (EINVAL"), "{found}");
    assert!(fix.contains("--store DIR"), "{fix}");
    assert_eq!((status, &json["root"]["what"]), (host(Caller::Root).doctor().0, &"bind".into()), "{json:#}");
    let (_, whole) = host(Caller::Root).doctor();
    assert_eq!((check(&whole, "overlay").unwrap().0, &whole["root"]["what"]), ("pass", &"overlay".into()));
}

#[test]
fn core_handler_that_cannot_be_stopped_is_named() {
    if !root_only() {
        return;
    }
    let mounts = fake_sysctl(&[("core_pattern", "|/usr/lib/handler %p")]) + "; ulimit -H -c 0";
    let sick = host(Caller::User).mounts(&mounts);
    blocks(
        &sick,
        "core_dumps",
        "degraded",
        "the core limit can only be 0 here, which does not stop the host's piped core handler",
        "ulimit -H -c unlimited",
    );
}

#[test]
fn groups_that_stay_are_a_note_to_an_ordinary_user() {
    if !root_only() {
        return;
    }
    let id = common::SOMEBODY.to_string();
    let out = Command::new("setpriv")
        .args(["--reuid", &id, "--regid", &id, "--groups", "27,44", "--"])
        .arg(stockade())
        .args(["doctor", "--json"])
        .env_clear()
        .env("HOME", Caller::User.home())
        .output()
        .unwrap();
    let json: Value = serde_json::from_slice(&out.stdout).unwrap();
    let (word, found, fix) = check(&json, "supplementary_groups").or(check(&json, "groups")).unwrap();
    assert_eq!(word, "note");
    assert!(found.starts_with("groups 27,44 stay in the box"), "{found}");
    assert!(fix.contains("setpriv --clear-groups"), "{fix}");
    assert_eq!(check(&host(Caller::User).doctor().1, "groups").unwrap().0, "pass");
}
