//! What a payload sees and what it is refused, against what the report claims.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::process::Stdio;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;

use common::{Caller, is_root, payload, payload_of, run, skip};

fn probe() -> std::path::PathBuf {
    payload("probe.c", &["-static"])
}

/// Lines "what answer" of the probe.
fn answers(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(what, answer)| (what.to_owned(), answer.to_owned()))
        .collect()
}

#[test]
fn files_inside_are_exactly_the_closure_and_the_generated_ones() {
    let plain = payload_of(
        "tree-of-a-plain-program",
        &std::fs::read_to_string(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads/tree.c"),
        )
        .unwrap(),
        &[],
    );
    for caller in Caller::all() {
        let ran = run(caller, &plain).go();
        assert_eq!(ran.status, 0, "{}", ran.all());
        let text = ran.text();
        let mut lines: Vec<&str> = text.lines().collect();
        lines.sort_unstable();
        assert_eq!(
            lines,
            [
                "c 0666 /dev/full",
                "c 0666 /dev/null",
                "c 0666 /dev/random",
                "c 0666 /dev/urandom",
                "c 0666 /dev/zero",
                "d 0555 /box",
                "d 0555 /proc",
                "d 0755 /",
                "d 0755 /dev",
                "d 0755 /etc",
                "d 0755 /lib",
                "d 0755 /lib/x86_64-linux-gnu",
                "d 0755 /lib64",
                "d 1777 /tmp",
                "f 0444 /etc/group",
                "f 0444 /etc/nsswitch.conf",
                "f 0444 /etc/passwd",
                "f 0444 /lib/x86_64-linux-gnu/libc.so.6",
                "f 0555 /box/program",
                "f 0555 /lib64/ld-linux-x86-64.so.2",
            ],
            "{caller:?}"
        );
        assert_eq!(ran.report["image"]["files"], 5);
        assert_eq!(ran.report["image"]["programs"], 0);
    }
}

#[test]
fn static_program_gets_a_root_with_no_library() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["tree"]).go();
        let files: Vec<&str> = ran.report["image"]["id"].as_str().into_iter().collect();
        assert_eq!(files.len(), 1);
        assert!(!ran.text().contains("/lib"), "{}", ran.text());
        assert_eq!(ran.report["image"]["files"], 3);
    }
}

#[test]
fn strict_policy_shows_nothing_but_the_program_and_its_root() {
    for caller in Caller::all() {
        let tree = payload("tree.c", &["-static"]);
        // Listing directories is one of the calls that strict does not have.
        let ran = run(caller, &tree).options(["-p", "strict"]).go();
        assert!(!ran.text().contains("/tmp") && !ran.text().contains("/dev"), "{}", ran.all());
        let libc = payload("hello.c", &[]);
        let ran = run(caller, &libc).options(["-p", "strict"]).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "hello\n"), "{}", ran.all());
        assert_eq!(ran.report["layers"]["proc"]["kernel"]["proc"], "absent");
    }
}

#[test]
fn every_layer_is_enforced_and_agrees_with_what_the_payload_reads() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["status"]).go();
        let text = ran.text();
        let field = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
            line.trim_start_matches(':').split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let layers = &ran.report["layers"];
        let names: Vec<&String> = layers.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), 17, "{names:?}");
        for name in names {
            let missing = !caller.has_cgroup() && name == "cgroup";
            let expected = if missing { "degraded" } else { "enforced" };
            assert_eq!(layers[name]["status"], expected, "{caller:?} {name} {}", layers[name]);
        }
        for (set, key) in [
            ("CapInh", "inheritable"),
            ("CapPrm", "permitted"),
            ("CapEff", "effective"),
            ("CapBnd", "bounding"),
            ("CapAmb", "ambient"),
        ] {
            assert_eq!(field(set), "0000000000000000");
            assert_eq!(layers["capabilities"]["kernel"][key], "0000000000000000");
        }
        assert_eq!(field("NoNewPrivs"), "1");
        assert_eq!(field("Seccomp"), "2");
        assert_eq!(layers["seccomp"]["kernel"]["mode"], 2);
        assert_eq!(field("Seccomp_filters"), layers["seccomp"]["kernel"]["filters"].to_string());
        assert_eq!(field("Uid"), "1000 1000 1000 1000");
        assert_eq!(field("Groups"), "");
        assert_eq!(field("NSpid"), "2");
        let host = layers["user_ns"]["kernel"]["host_uid"].as_u64().unwrap();
        assert_ne!(host, 0);
        if caller == Caller::Root {
            assert!(host >= 0x7000_0000, "{host}");
        }
        assert_eq!(ran.report["degraded"].as_array().unwrap().len(), usize::from(!caller.has_cgroup()));
    }
}

#[test]
fn namespaces_in_the_report_are_those_of_the_payload_and_not_the_hosts() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["ns"]).go();
        let text = ran.text();
        let seen: Vec<&str> = text.lines().collect();
        let layers = ["user_ns", "mount_ns", "pid_ns", "net_ns", "ipc_ns", "uts_ns", "cgroup_ns"];
        let names = ["user", "mnt", "pid", "net", "ipc", "uts", "cgroup"];
        for ((layer, name), line) in layers.iter().zip(names).zip(seen) {
            let inode = &ran.report["layers"][layer]["kernel"]["inode"];
            assert_eq!(line, format!("{name}:[{inode}]"), "{caller:?}");
            let host = std::fs::read_link(format!("/proc/self/ns/{name}")).unwrap();
            assert_ne!(line, host.to_str().unwrap());
        }
    }
}

#[test]
fn no_other_program_can_be_executed() {
    for caller in Caller::all() {
        for target in ["/box/program", "/lib64/ld-linux-x86-64.so.2", "/bin/sh", "/proc/self/exe"] {
            let ran = run(caller, payload("probe.c", &[])).args(["exec", target]).go();
            let seen = answers(&ran.text());
            assert_eq!(seen["execve"], "EACCES", "{target} {}", ran.all());
            assert_eq!(seen["execveat"], "ENOSYS", "{target}");
            assert_eq!(seen["child"], "77", "{target}");
            assert!(!ran.text().contains("executed"));
        }
    }
}

#[test]
fn no_socket_of_any_family_can_be_made() {
    // Outside, the same program makes some: the test can notice.
    let (_, bare) = common::bare(&probe(), &["sockets"], b"");
    assert!(String::from_utf8_lossy(&bare).contains("1 ok"));
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["sockets"]).go();
        assert_eq!(ran.text(), "socketpair ENOSYS\n", "{}", ran.all());
    }
}

#[test]
fn nothing_can_be_written_outside_tmp() {
    for caller in Caller::all() {
        for (path, answer) in [
            ("/x", "EROFS"),
            ("/box/x", "EROFS"),
            ("/etc/x", "EROFS"),
            ("/dev/x", "EROFS"),
            ("/box/program", "EROFS"),
            ("/etc/passwd", "EROFS"),
            ("/proc/self/comm", "EROFS"),
        ] {
            let ran = run(caller, probe()).args(["write", path]).go();
            let seen = answers(&ran.text());
            // Landlock and the mount both refuse; which of them answers depends on the kernel's order.
            assert!([answer, "EACCES"].contains(&seen["open"].as_str()), "{path} {}", ran.all());
        }
        let ran = run(caller, probe()).args(["write", "/tmp/x"]).go();
        assert_eq!(ran.text(), "open ok\nwrite ok\nunlink ok\n");
    }
}

#[test]
fn pid_1_of_the_box_cannot_be_touched() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["pid1"]).go();
        let seen = answers(&ran.text());
        for file in ["environ", "mem", "maps", "root", "cmdline", "fd", "exe"] {
            assert_eq!(seen[file], "ENOENT", "{file}");
        }
        assert_eq!(seen["ptrace"], "EPERM");
        assert_eq!(seen["prlimit"], "EPERM");
        assert_eq!(seen["setpriority"], "ENOSYS");
        // Landlock's signal scope answers EPERM since ABI 6; before, pid 1 ignores it.
        assert!(["EPERM", "ok"].contains(&seen["kill"].as_str()));
        assert_eq!(ran.status, 0);
    }
}

/// The CPUs that a thread may use, by its directory in `/proc`.
fn cpus(of: &str) -> String {
    let status = std::fs::read_to_string(format!("/proc/{of}/status")).unwrap();
    status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
}

#[test]
fn box_may_use_the_cpus_of_its_caller_and_no_others() {
    let usable = sched_getaffinity(Pid::from_raw(0)).unwrap();
    let each = (0..CpuSet::count()).filter(|cpu| usable.is_set(*cpu) == Ok(true));
    for caller in Caller::all() {
        // All, then each: which processes of a launch begin where differs, and with
        // all of them who is first differs from one launch to the next.
        for only in std::iter::repeat_n(None, 20).chain(each.clone().take(2).map(Some)) {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    if let Some(cpu) = only {
                        let mut one = CpuSet::new();
                        one.set(cpu).unwrap();
                        sched_setaffinity(Pid::from_raw(0), &one).unwrap();
                    }
                    let (mut command, report) = run(caller, "/usr/bin/cat").command();
                    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
                    let mut to = child.stdin.take().unwrap();
                    to.write_all(b"x").unwrap();
                    child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
                    let pid = child.id();
                    let of_box = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
                    let of_box: Vec<String> = of_box.split_whitespace().map(cpus).collect();
                    drop(to);
                    assert!(child.wait().unwrap().success());
                    drop(std::fs::remove_file(report));
                    let own = cpus("thread-self");
                    assert_eq!(of_box, [own.clone(), own], "{caller:?} {only:?}: pid 1 and the payload");
                });
            });
        }
    }
}

#[test]
fn no_user_namespace_can_be_made() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).args(["userns"]).go();
        assert_eq!(ran.text(), "unshare EPERM\nclone EPERM\nclone3 ENOSYS\n");
        let calls: Vec<&str> = ran.report["violations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["syscall"].as_str().unwrap())
            .collect();
        assert_eq!(calls, ["unshare", "clone"]);
    }
}

#[test]
fn foreign_call_tables_are_fatal() {
    for caller in Caller::all() {
        for action in ["x32", "int80"] {
            let ran = run(caller, probe()).args([action]).go();
            assert_eq!((ran.verdict(), ran.status), ("violation", 124), "{action} {}", ran.all());
            assert_eq!(ran.report["signal"], "SIGSYS", "{action}");
        }
    }
}

#[test]
fn violations_are_recorded_by_name_and_arguments() {
    let ran = run(Caller::all()[0], probe()).args(["violate", "5"]).go();
    assert_eq!((ran.status, ran.text().as_str()), (0, "survived\n"));
    let violations = ran.report["violations"].as_array().unwrap();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0]["syscall"], "ptrace");
    assert_eq!(violations[0]["number"], 101);
    assert_eq!(violations[0]["count"], 5);
    assert_eq!(violations[0]["action"], "refused");
    assert_eq!(violations[0]["args"][0], "0x4200");
    assert_eq!(violations[0]["args"][3], "0x3");
}

#[test]
fn at_most_64_kinds_of_violation_are_kept_and_too_many_kill() {
    let ran = run(Caller::all()[0], probe()).args(["violate", "500", "different"]).go();
    assert_eq!(ran.status, 0, "{}", ran.all());
    assert_eq!(ran.report["violations"].as_array().unwrap().len(), 64);
    let ran = run(Caller::all()[0], probe()).args(["violate", "1001"]).go();
    assert_eq!((ran.verdict(), ran.status), ("violation", 124), "{}", ran.all());
    assert_eq!(ran.report["violations"][0]["count"], 1001);
    let ran = run(Caller::all()[0], probe()).args(["violate", "1000"]).go();
    assert_eq!(ran.verdict(), "ok");
}

#[test]
fn strict_policy_kills_at_the_first_violation() {
    for caller in Caller::all() {
        let ran = run(caller, probe()).options(["-p", "strict"]).args(["violate", "1"]).go();
        assert_eq!((ran.verdict(), ran.status), ("violation", 124), "{}", ran.all());
        assert_eq!(ran.report["violations"][0]["action"], "killed");
    }
}

#[test]
fn secrets_names_and_paths_of_the_caller_are_nowhere() {
    let sweep = payload("sweep.c", &["-static"]);
    for caller in Caller::all() {
        let home = caller.home();
        let dir = home.join("secretdir-canary");
        drop(std::fs::create_dir(&dir));
        let program = dir.join("sweep");
        std::fs::copy(&sweep, &program).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
        let mut needles = vec!["secretdir-canary", "env-canary-1234", "stockade-test-", "/store", "payloads"];
        if host.len() > 3 {
            needles.push(&host);
        }
        let (mut command, _) = run(caller, &program).args(needles.iter().copied()).command();
        command.env("CANARY", "env-canary-1234").env("USER", "username-canary");
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        // The control: each needle stands in the arguments, and nowhere else.
        assert!(
            text.contains("argument secretdir-canary"),
            "{text} {}",
            String::from_utf8_lossy(&out.stderr)
        );
        let hits: Vec<&str> = text.lines().filter(|l| l.starts_with("hit")).collect();
        assert!(hits.is_empty(), "{caller:?} {hits:?}");
        assert!(text.contains("files read"), "{text}");
    }
}

#[test]
fn nothing_is_inherited_from_a_hostile_caller() {
    for caller in Caller::all() {
        let hostile = run(caller, probe()).args(["inherited"]).command().0;
        // A caller that ignores and blocks signals, with an odd umask, personality and open descriptors.
        let script = r#"
import os, signal, sys
for s in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGUSR1):
    signal.signal(s, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGUSR2, signal.SIGTERM})
os.umask(0o777 & ~0o700)
d = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
for n in (3, 7, 100, 200):
    os.dup2(d, n, inheritable=True)
os.execv(sys.argv[1], sys.argv[1:])
"#;
        let Some(python) = ["/usr/bin/python3"].iter().find(|p| std::path::Path::new(p).exists()) else {
            return skip("needs python3");
        };
        let mut command = if caller == Caller::User && is_root() {
            let id = common::SOMEBODY.to_string();
            let mut c = std::process::Command::new("setpriv");
            c.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--", python, "-c", script]);
            c.args(hostile.get_args().skip(6));
            c
        } else {
            let mut c = std::process::Command::new(python);
            c.args(["-c", script]).arg(hostile.get_program()).args(hostile.get_args());
            c
        };
        for (name, value) in hostile.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.current_dir(caller.home());
        let out = command.output().unwrap();
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(text, "umask 022\n/box\n", "{caller:?} {}", String::from_utf8_lossy(&out.stderr));
        // Its own status, although the caller has the kernel forget that of its children.
        assert_eq!(out.status.code(), Some(0), "{caller:?} {}", String::from_utf8_lossy(&out.stderr));
    }
}

#[test]
fn user_without_a_cgroup_is_refused_with_the_way_out() {
    let ran = run(Caller::User, probe()).args(["exit", "0"]).whole().go();
    if Caller::User.has_cgroup() {
        assert_eq!(ran.status, 0, "{}", ran.all());
        return skip("this user has a cgroup of their own");
    }
    assert_eq!(ran.status, 125, "{}", ran.all());
    assert!(ran.stderr.contains("no cgroup for the box"), "{}", ran.stderr);
    assert!(ran.stderr.contains("--degrade cgroup"), "{}", ran.stderr);
    assert_eq!(ran.verdict(), "setup_failed");
    assert!(ran.stdout.is_empty());
}
