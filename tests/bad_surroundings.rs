//! Odd surroundings: descriptors, environment, directory, umask, store, and hosts
//! that hide what a box is made of.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use common::{Caller, Ran, is_root, leaves_of, payload, run, skip, work};
use serde_json::{Value, json};

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

fn all_enforced(ran: &Ran) -> bool {
    let layers = ran.report["layers"].as_object().unwrap();
    layers.iter().all(|(name, layer)| name == "cgroup" || layer["status"] == "enforced")
}

fn notes(ran: &Ran) -> String {
    let notes = ran.report["notes"].as_array().unwrap();
    notes.iter().map(|n| n.as_str().unwrap()).collect::<Vec<_>>().join("\n")
}

#[test]
fn descriptors_0_to_2_may_be_closed_in_any_combination() {
    for caller in Caller::all() {
        for closed in 0..8 {
            let redirects: String = [(1, "0<&-"), (2, "1>&-"), (4, "2>&-")]
                .iter()
                .filter(|(bit, _)| closed & bit != 0)
                .map(|(_, redirect)| format!("{redirect} "))
                .collect();
            let inside = caller.home().join("inside");
            fs::write(&inside, "").unwrap();
            if is_root() && caller == Caller::User {
                std::os::unix::fs::chown(&inside, Some(common::SOMEBODY), None).unwrap();
            }
            let ran = run(caller, probe())
                .options(["--stdout", inside.to_str().unwrap()])
                .args(["fds"])
                .through(&format!("exec \"$@\" {redirects}"))
                .go();
            assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{redirects} {}", ran.all());
            assert!(all_enforced(&ran), "{redirects} {}", ran.all());
            assert_eq!(fs::read_to_string(&inside).unwrap(), "0 pipe\n1 pipe\n2 pipe\n", "{redirects}");
            // A descriptor that is asked for by its number is that one, whatever else is free.
            let report = caller.home().join("by-number.json");
            drop(fs::remove_file(&report));
            let mut command = caller.command(Path::new("/bin/sh"));
            let script = format!("exec 9> {}; exec \"$@\" {redirects}", report.display());
            command.args(["-c", &script, "sh"]).arg(common::stockade());
            command
                .args(["run", "--report", "fd:9", "--degrade", "cgroup", "--"])
                .arg(probe())
                .args(["exit", "4"]);
            assert_eq!(command.output().unwrap().status.code(), Some(4), "{redirects}");
            let report: Value = serde_json::from_slice(&fs::read(&report).unwrap()).unwrap();
            assert_eq!(report["exit_code"], 4, "{redirects}");
        }
    }
}

#[test]
fn hundreds_of_inherited_descriptors_do_not_reach_the_program() {
    for caller in Caller::all() {
        let script = "i=3; while [ $i -lt 500 ]; do eval \"exec $i< /\"; i=$((i + 1)); done; exec \"$@\"";
        let bash = format!("exec /bin/bash -c '{script}' bash \"$@\"");
        let ran = run(caller, probe()).args(["fds"]).through(&bash).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "0 pipe\n1 pipe\n2 pipe\n"), "{}", ran.all());
        // Nearly none left.
        let few = format!("ulimit -n 12; {}", "exec \"$@\"");
        let ran = run(caller, probe()).args(["exit", "0"]).through(&few).go();
        assert_eq!(ran.status, 125, "{}", ran.all());
        assert!(ran.stderr.contains("EMFILE"), "{}", ran.stderr);
        assert_eq!(leaves_of(ran.pid), Vec::<String>::new());
    }
}

#[test]
fn hostile_environment_changes_nothing_and_does_not_get_in() {
    let plain: Vec<String> = {
        let ran = run(Caller::all()[0], probe()).args(["env"]).go();
        assert_eq!(ran.status, 0, "{}", ran.all());
        ran.text().lines().map(str::to_owned).collect()
    };
    for caller in Caller::all() {
        for (name, value) in [
            ("LD_LIBRARY_PATH", "/tmp:/nosuch"),
            ("LD_BIND_NOW", "1"),
            ("LD_DEBUG_OUTPUT", "/tmp/x"),
            ("TMPDIR", "/nosuch"),
            ("PATH", ""),
            ("MALLOC_PERTURB_", "165"),
            ("MALLOC_ARENA_MAX", "1"),
            ("GLIBC_TUNABLES", "glibc.malloc.check=3:glibc.malloc.tcache_count=0"),
            ("LANG", "tr_TR.UTF-8"),
            ("LC_ALL", "\u{1b}[31m no such locale"),
            ("RUST_BACKTRACE", "full"),
            ("RUST_MIN_STACK", "1"),
            ("HOME", "relative/../home"),
            ("XDG_DATA_HOME", "relative"),
            ("XDG_RUNTIME_DIR", "/nosuch"),
            ("TZ", ":/etc/passwd"),
            ("COLUMNS", "-1"),
            ("CLICOLOR_FORCE", "1"),
        ] {
            if name == "PATH" && is_root() && caller == Caller::User {
                // Whoever makes a user of root is found by it.
                continue;
            }
            let ran = run(caller, probe()).env(name, value).args(["env"]).go();
            assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{name} {}", ran.all());
            assert_eq!(ran.text().lines().collect::<Vec<_>>(), plain, "{name}");
            assert!(all_enforced(&ran), "{name} {}", ran.all());
            assert_eq!(ran.stderr, "", "{name}");
        }
    }
}

#[test]
fn working_directory_may_be_deleted_or_unreadable() {
    let gone = "d=$(mktemp -d); cd \"$d\"; rmdir \"$d\"; exec \"$@\"";
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["inherited"]).through(gone).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "umask 022\n/box\n"), "{}", ran.all());
        // Here a relative name is nobody's.
        let ran = run(caller, "./program").through(gone).go();
        let private = is_root() && caller == Caller::User;
        assert_eq!(ran.status, if private { 126 } else { 127 }, "{}", ran.all());
        let dir = work().join("locked");
        fs::create_dir_all(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
        let inside = format!("cd {}; exec \"$@\"", dir.display());
        let ran = run(caller, probe()).args(["inherited"]).through(&inside).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "umask 022\n/box\n"), "{}", ran.all());
    }
}

#[test]
fn umask_of_the_caller_takes_nothing_from_store_or_box() {
    for caller in Caller::all() {
        let store = caller.home().join("masked-store");
        for _ in 0..2 {
            // A root file system made under it, and one found again.
            let ran = run(caller, "/usr/bin/sort")
                .env("STOCKADE_STORE", store.to_str().unwrap())
                .stdin("b\na\n")
                // The report is a file like others: what nobody may read is what was asked for.
                .through(
                    "umask 0777; \"$@\"; s=$?; for a in \"$@\"; do case $a in */report-*.json) chmod 600 \"$a\";; esac; done; exit $s",
                )
                .go();
            assert_eq!((ran.status, ran.text().as_str()), (0, "a\nb\n"), "{}", ran.all());
            assert_eq!(notes(&ran), "", "{}", ran.all());
            assert_eq!(ran.report["layers"]["root"]["kernel"]["backend"], "overlay");
        }
    }
}

/// It ran from a private copy, and a note says why.
fn assert_private(ran: &Ran, words: &str) {
    assert_eq!((ran.status, ran.text().as_str()), (0, "a\nb\n"), "{words} {}", ran.all());
    let notes = notes(ran);
    assert!(notes.contains("the root is a private copy") && notes.contains(words), "{words}: {notes}");
    assert_eq!(ran.report["layers"]["root"]["kernel"]["backend"], "private", "{}", ran.all());
    assert!(all_enforced(ran), "{}", ran.all());
}

#[test]
fn store_that_cannot_be_used_is_a_note_and_not_an_error() {
    for caller in Caller::all() {
        let sort = |store: &Path| {
            let run = run(caller, "/usr/bin/sort").env("STOCKADE_STORE", store.to_str().unwrap());
            run.stdin("b\na\n")
        };
        assert_private(&sort(Path::new("/proc/nowhere")).go(), "/proc/nowhere");
        let plain_file = caller.home().join("file");
        fs::write(&plain_file, "").unwrap();
        assert_private(&sort(&plain_file).go(), "file");
        assert_private(&sort(Path::new("/dev/null/x")).go(), "/dev/null/x");
        // Everybody may write there.
        let open = caller.home().join("open");
        fs::create_dir_all(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        assert_private(&sort(&open).go(), "open");
        if is_root() {
            let foreign = work().join(format!("foreign-{caller:?}"));
            fs::create_dir_all(&foreign).unwrap();
            let other = if caller == Caller::Root { 12_345 } else { 0 };
            std::os::unix::fs::chown(&foreign, Some(other), Some(other)).unwrap();
            assert_private(&sort(&foreign).go(), "foreign");
        }
    }
}

#[test]
fn store_that_is_full_is_a_note_and_not_an_error() {
    if !is_root() {
        return skip("only root can mount a small file system");
    }
    let place = work().join("small");
    fs::create_dir_all(&place).unwrap();
    let script = format!(
        "exec unshare -m --propagation private /bin/sh -c 'mount -t tmpfs -o size=100k,mode=755 none {0} && exec \"$@\"' sh \"$@\"",
        place.display()
    );
    let ran = run(Caller::Root, "/usr/bin/sort")
        .env("STOCKADE_STORE", place.join("store").to_str().unwrap())
        .stdin("b\na\n")
        .through(&script)
        .go();
    assert_private(&ran, "");
}

/// Every regular file below.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type().unwrap() {
            t if t.is_dir() => found.extend(files(&entry.path())),
            t if t.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

#[test]
fn store_whose_files_were_changed_is_not_believed_where_it_is_looked_at() {
    for caller in Caller::all() {
        let store = caller.home().join("changed-store");
        let sort = |options: &[&str]| {
            let run = run(caller, "/usr/bin/sort").env("STOCKADE_STORE", store.to_str().unwrap());
            run.options(options.iter().copied()).stdin("b\na\n").go()
        };
        let good = sort(&[]);
        assert_eq!((good.status, notes(&good).as_str()), (0, ""), "{}", good.all());
        // Records, objects, trees: any of them, cut or with another content.
        let all = files(&store);
        assert!(all.len() > 4, "{all:?}");
        for (number, path) in all.iter().enumerate() {
            // It may have been replaced meanwhile.
            let Ok(meta) = fs::metadata(path) else { continue };
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
            let before = fs::read(path).unwrap();
            if before.is_empty() {
                continue;
            }
            let file = File::options().write(true).open(path).unwrap();
            if number % 2 == 0 {
                file.set_len(meta.len() / 2).unwrap();
            } else {
                std::os::unix::fs::FileExt::write_all_at(&file, b"XXXXXXXX", meta.len() / 2).unwrap();
            }
            drop(file);
            fs::set_permissions(path, meta.permissions()).unwrap();
            // What files of the root hold is compared where that is asked for.
            if ["objects", "trees"].iter().any(|place| path.starts_with(store.join(place))) {
                let ran = sort(&["--verify", "full"]);
                let what = format!("{caller:?} {} {}", path.display(), ran.all());
                assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{what}");
                assert!(ran.stderr.contains("the image is not what it should be: /"), "{what}");
                fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
                fs::write(path, &before).unwrap();
                fs::set_permissions(path, meta.permissions()).unwrap();
                continue;
            }
            let ran = sort(&[]);
            let what = format!("{caller:?} {} {}", path.display(), ran.all());
            assert_eq!((ran.status, ran.text().as_str(), ran.verdict()), (0, "a\nb\n", "ok"), "{what}");
            assert_eq!(ran.report["image"]["id"], good.report["image"]["id"], "{what}");
        }
    }
}

/// Started in a mount namespace of its own, in which this was done.
fn with_mounts(change: &str) -> String {
    format!("exec unshare -m --propagation private /bin/sh -c '{change} && exec \"$@\"' sh \"$@\"")
}

fn refused<'a>(ran: &'a Ran, words: &[&str]) -> &'a str {
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
    assert!(ran.stdout.is_empty(), "{}", ran.all());
    for word in words {
        assert!(ran.stderr.contains(word), "{word:?} is not in {:?}", ran.stderr);
    }
    assert_eq!(leaves_of(ran.pid), Vec::<String>::new());
    assert_eq!(ran.report["cleanup"]["ok"], true);
    &ran.stderr
}

#[test]
fn host_without_cgroups_is_refused_with_the_way_out() {
    if !is_root() {
        return skip("only root can hide cgroups");
    }
    let script = with_mounts("mount -t tmpfs none /sys/fs/cgroup");
    let args = ["exit", "3"];
    let ran = run(Caller::Root, probe()).args(args).through(&script).go();
    refused(&ran, &["no cgroup for the box", "--degrade cgroup"]);
    let ran = run(Caller::Root, probe()).options(["--degrade", "cgroup"]).args(args).through(&script).go();
    assert_eq!((ran.status, ran.verdict()), (3, "nonzero_exit"), "{}", ran.all());
    assert_eq!(ran.report["degraded"], json!(["cgroup"]));
    assert_eq!(ran.report["host"]["cgroup"], "none");
}

#[test]
fn host_that_allows_no_user_namespace_is_refused_with_the_way_out() {
    if !is_root() {
        return skip("only root can be sure of a user namespace to forbid them in");
    }
    // What may be switched off without a harm to anybody: below a namespace of its own.
    let script = "exec unshare --user --map-root-user /bin/sh -c 'echo 0 > /proc/sys/user/max_user_namespaces && \
                  exec \"$@\"' sh \"$@\"";
    let ran =
        run(Caller::Root, probe()).options(["--degrade", "cgroup"]).args(["exit", "3"]).through(script).go();
    refused(&ran, &["clone-middle", "ENOSPC", "this host allows no user namespace"]);
}

#[test]
fn masked_proc_of_the_host_means_none_inside_and_a_note() {
    if !is_root() {
        return skip("only root can mount over /proc");
    }
    let dirs = ["/proc/scsi", "/proc/acpi", "/proc/fs", "/proc/driver"];
    let Some(dir) = dirs.iter().find(|dir| Path::new(dir).is_dir()) else {
        return skip("/proc has no directory to mask");
    };
    for caller in Caller::all() {
        let script = with_mounts(&format!("mount -t tmpfs none {dir}"));
        let ran = run(caller, probe()).args(["cat", "/proc/self/status"]).through(&script).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "/proc/self/status ENOENT\n"), "{}", ran.all());
        assert!(all_enforced(&ran), "{}", ran.all());
        assert_eq!(ran.report["layers"]["proc"]["kernel"]["proc"], "absent");
        assert!(notes(&ran).contains("no /proc in the box"), "{}", ran.all());
    }
}

#[test]
fn read_only_proc_sys_is_refused_with_the_way_out() {
    if !is_root() {
        return skip("only root can mount over /proc/sys");
    }
    let script = with_mounts("mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys");
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["exit", "3"]).through(&script).go();
        refused(&ran, &["max_user_namespaces", "EROFS", "--degrade user_ns"]);
        let args = ["userns"];
        let ran = run(caller, probe()).options(["--degrade", "user_ns"]).args(args).through(&script).go();
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
        assert_eq!(ran.text(), "unshare EPERM\nclone EPERM\nclone3 ENOSYS\n");
        let degraded: &Vec<Value> = ran.report["degraded"].as_array().unwrap();
        assert!(degraded.contains(&json!("user_ns")), "{}", ran.all());
    }
}

#[test]
fn orphans_count_where_proc_hides_pid_1_of_the_box_from_its_user() {
    if !is_root() {
        return skip("only root can mount /proc with hidepid");
    }
    let id = common::SOMEBODY;
    // The control: what is not its user's own does not show.
    let script = format!(
        "exec unshare --pid --fork -m --propagation private --mount-proc /bin/sh -c 'mount -o \
         remount,hidepid=2 /proc && ! setpriv --reuid {id} --regid {id} --clear-groups test -e /proc/1 && \
         \"$@\"' sh \"$@\""
    );
    let program = payload("corpus.c", &["-static", "-pthread"]);
    let options = ["--degrade", "cgroup", "--cpu-time", "200ms", "--wall-time", "20s"];
    let ran = run(Caller::User, program).options(options).args(["spin-grandchild"]).through(&script).go();
    assert_eq!((ran.status, ran.verdict()), (124, "cpu_limit"), "{}", ran.all());
}
