//! `run --explain`: what it says is followed to the letter, and the program runs; and it changes nothing.
//!
//! Also runs on other kernels with --full: each explanation is followed by several runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop anywhere")]

mod common;
mod patch_support;

use std::path::PathBuf;

use common::{Caller, Ran, Run, payload, run, slow, stockade, work};
use patch_support::patch;
use serde_json::{Value, json};

fn wants() -> PathBuf {
    payload("wants.c", &["-pthread"])
}

/// Explanations that are not of things that programs do without.
fn causes(ran: &Ran) -> Vec<&Value> {
    let all = ran.report["explanations"].as_array().unwrap_or_else(|| panic!("{}", ran.all()));
    all.iter().filter(|e| e["expected"].is_null()).collect()
}

/// The resolved text of a policy that ships.
fn resolved(name: &str) -> Value {
    let out =
        std::process::Command::new(stockade()).args(["policy", "show", name, "--resolved"]).output().unwrap();
    assert!(out.status.success());
    serde_json::from_slice(&out.stdout).unwrap()
}

/// Follows what is said, and nothing else.
struct Follower {
    caller: Caller,
    options: Vec<String>,
    policy: Option<Value>,
    /// Fields for a policy that extends `native`, if that is how it is followed.
    extends: Option<serde_json::Map<String, Value>>,
    args: Vec<String>,
}

impl Follower {
    fn run(&self, name: &str) -> Run {
        let mut run = run(self.caller, wants());
        let policy = match (&self.policy, &self.extends) {
            (None, None) => None,
            (Some(policy), _) => Some(policy.clone()),
            (None, Some(fields)) => {
                let mut policy = json!({
                    "version": 1, "name": "followed", "comment": "what was said", "extends": "native"
                });
                policy.as_object_mut().unwrap().extend(fields.clone());
                Some(policy)
            }
        };
        if let Some(policy) = policy {
            let path = work().join(format!("followed-{name}-{:?}.json", self.caller));
            std::fs::write(&path, policy.to_string()).unwrap();
            run = run.options(["-p", path.to_str().unwrap()]);
        }
        run.options(self.options.iter().map(String::as_str)).args(self.args.iter().map(String::as_str))
    }

    /// Does what an explanation says.
    fn obey(&mut self, explanation: &Value, by_extending: bool) {
        let allow = &explanation["allow"];
        assert!(allow.is_object(), "nothing to follow: {explanation:#}");
        let options: Vec<String> =
            allow["options"].as_array().unwrap().iter().map(|o| o.as_str().unwrap().to_owned()).collect();
        // A limit that is said again replaces what was said of it before.
        if let [option, _] = options.as_slice()
            && !option.starts_with("--r")
            && let Some(at) = self.options.iter().position(|o| o == option)
        {
            self.options.drain(at..at + 2);
        }
        self.options.extend(options);
        let operations = allow["patch"].as_array().unwrap();
        if operations.is_empty() {
            return;
        }
        if by_extending {
            let fields = allow["extends"].as_object().unwrap_or_else(|| panic!("{explanation:#}"));
            self.extends.get_or_insert_default().extend(fields.clone());
        } else {
            patch(self.policy.get_or_insert_with(|| resolved("native")), operations);
        }
    }
}

/// How a case is followed.
#[derive(Clone, Copy, PartialEq)]
enum By {
    Patch,
    Extends,
}

/// Runs, explains, follows, until the program runs; `first` is a field of the first explanation.
fn followed(args: &[&str], options: &[&str], first: (&str, Value), by: By) {
    for caller in Caller::all() {
        let name = args.join("-").replace('/', "_");
        let mut follower = Follower {
            caller,
            options: options.iter().map(|o| (*o).to_owned()).collect(),
            policy: None,
            extends: None,
            args: args.iter().map(|a| (*a).to_owned()).collect(),
        };
        let plain = follower.run(&name).go();
        assert_ne!(plain.status, 0, "it runs without: {}", plain.all());
        assert!(plain.report.get("explanations").is_none(), "{}", plain.all());
        let mut rounds = 0;
        loop {
            let ran = follower.run(&name).options(["--explain"]).go();
            if ran.status == 0 {
                break;
            }
            if rounds == 0 {
                assert_eq!((ran.status, ran.verdict()), (plain.status, plain.verdict()), "{}", ran.all());
                let cause = causes(&ran).first().copied().unwrap_or_else(|| panic!("{}", ran.all())).clone();
                assert_eq!(cause[first.0], first.1, "{cause:#}");
                let line = format!("stockade: explain: {}", cause["what"].as_str().unwrap());
                let told = ran.stderr.lines().find(|l| l.starts_with("stockade: explain: ")).unwrap();
                assert!(told.starts_with(&line), "{told}");
                assert!(told.ends_with(cause["allow"]["words"].as_str().unwrap()), "{told}");
            }
            rounds += 1;
            assert!(rounds < 8, "it does not end: {}", ran.all());
            follower.obey(causes(&ran)[0], by == By::Extends);
        }
        // What was followed is enough without any further explanation.
        let ran = follower.run(&name).go();
        assert_eq!((ran.status, ran.verdict()), (0, "ok"), "{}", ran.all());
        assert!(ran.text().ends_with("done\n"), "{}", ran.all());
    }
}

fn call(args: &[&str], name: &str) {
    followed(args, &[], ("syscall", json!(name)), By::Extends);
    followed(args, &[], ("syscall", json!(name)), By::Patch);
}

fn limit(args: &[&str], options: &[&str], name: &str) {
    followed(args, options, ("limit", json!(name)), By::Patch);
}

#[test]
fn user_of_socketpair_runs_when_its_explanation_is_followed() {
    call(&["socketpair"], "socketpair");
}

#[test]
fn user_of_memfd_runs_when_its_explanation_is_followed() {
    call(&["memfd"], "memfd_create");
}

#[test]
fn just_in_time_compiler_runs_when_its_explanation_is_followed() {
    call(&["jit"], "mmap");
}

#[test]
fn user_of_flock_runs_when_its_explanation_is_followed() {
    call(&["flock"], "flock");
}

#[test]
fn user_of_affinity_runs_when_its_explanation_is_followed() {
    call(&["affinity"], "sched_setaffinity");
}

#[test]
fn user_of_utime_runs_when_its_explanation_is_followed() {
    call(&["utime"], "utime");
}

#[test]
fn user_of_another_prctl_runs_when_its_explanation_is_followed() {
    followed(&["dumpable"], &[], ("syscall", json!("prctl")), By::Patch);
}

#[test]
fn program_that_starts_itself_runs_when_its_explanation_is_followed() {
    call(&["self"], "execve");
}

#[test]
fn reader_of_host_files_runs_when_its_explanation_is_followed() {
    for path in ["/usr/share/zoneinfo/UTC", "/etc/services"] {
        if !std::path::Path::new(path).exists() {
            common::skip(&format!("this host has no {path}"));
            continue;
        }
        followed(&["read", path], &[], ("path", json!(path)), By::Patch);
    }
}

#[test]
fn directory_on_the_way_to_what_is_missing_is_no_cause() {
    for caller in Caller::all() {
        let args = ["look", "/usr/share/zoneinfo", "/usr/share/zoneinfo/UTC", "/usr/share/zoneinfo2"];
        let ran = run(caller, wants()).options(["--explain"]).args(args).go();
        let paths: Vec<&str> = causes(&ran).iter().map(|e| e["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["/usr/share/zoneinfo/UTC"], "{}", ran.all());
        let told = "newfstatat(\"/usr/share/zoneinfo/UTC\", dirfd=AT_FDCWD, flags=0) finds nothing there";
        assert_eq!(causes(&ran)[0]["what"], told);
    }
}

#[test]
fn reader_of_a_file_beside_it_runs_when_its_explanation_is_followed() {
    for caller in Caller::all() {
        let file = caller.home().join("beside.txt");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    }
    followed(&["read", "beside.txt"], &[], ("path", json!("/box/beside.txt")), By::Patch);
}

#[test]
fn writer_beside_itself_runs_when_its_explanation_is_followed() {
    followed(&["write", "out.txt"], &[], ("path", json!("/box/out.txt")), By::Extends);
}

/// Gives each caller, in their home, what every box may write.
fn writable_by_boxes(name: &str, make: fn(&std::path::Path), mode: u32) {
    for caller in Caller::all() {
        let path = caller.home().join(name);
        make(&path);
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    }
}

#[test]
fn writer_of_the_callers_files_runs_when_its_explanation_is_followed() {
    writable_by_boxes("log.txt", |path| std::fs::write(path, "x").unwrap(), 0o666);
    followed(&["append", "log.txt"], &[], ("path", json!("/box/log.txt")), By::Patch);
    writable_by_boxes("results", |path| std::fs::create_dir_all(path).unwrap(), 0o777);
    followed(&["fresh", "results/out.txt"], &[], ("path", json!("/box/results/out.txt")), By::Patch);
    for caller in Caller::all() {
        // Once by following, and once more by the last run.
        assert_eq!(std::fs::read_to_string(caller.home().join("log.txt")).unwrap(), "xxx");
    }
    // It makes the directories itself.
    followed(&["tree"], &[], ("path", json!("/box/a/b/c")), By::Extends);
}

#[test]
fn remover_of_the_callers_files_is_told_that_they_stay() {
    writable_by_boxes("kept.txt", |path| std::fs::write(path, "x").unwrap(), 0o666);
    for caller in Caller::all() {
        let ran = run(caller, wants()).options(["--explain"]).args(["remove", "kept.txt"]).go();
        let cause = causes(&ran)[0];
        assert_eq!((&cause["path"], &cause["allow"]), (&json!("/box/kept.txt"), &Value::Null), "{cause:#}");
        assert!(
            cause["never"].as_str().unwrap().contains("cannot be removed, renamed or replaced"),
            "{cause:#}"
        );
    }
}

#[test]
fn writer_of_shared_memory_files_runs_when_its_explanation_is_followed() {
    followed(&["write", "/dev/shm/x"], &[], ("path", json!("/dev/shm/x")), By::Extends);
    followed(&["mkdir", "/var/tmp/dir"], &[], ("path", json!("/var/tmp/dir")), By::Patch);
}

#[test]
fn program_with_more_memory_runs_when_its_explanation_is_followed() {
    limit(&["memory", "90"], &["--memory", "64MiB"], "memory");
}

#[test]
fn program_with_more_threads_runs_when_its_explanation_is_followed() {
    limit(&["threads", "20"], &["--processes", "8"], "processes");
}

#[test]
fn program_with_more_descriptors_runs_when_its_explanation_is_followed() {
    limit(&["descriptors", "40"], &["--open-files", "16"], "open_files");
    limit(&["dups", "300"], &[], "open_files");
}

#[test]
fn program_with_more_output_runs_when_its_explanation_is_followed() {
    limit(&["output", "5"], &["--output", "2MiB"], "output");
}

#[test]
fn program_with_more_scratch_runs_when_its_explanation_is_followed() {
    limit(&["scratch", "6"], &[], "tmp");
    limit(&["many-files", "5000"], &[], "tmp_inodes");
}

#[test]
fn writer_of_a_longer_file_runs_when_its_explanation_is_followed() {
    limit(&["long-file", "5"], &["--file-size", "2MiB"], "file_size");
    limit(&["extend", "9"], &["--file-size", "2MiB"], "file_size");
}

#[test]
fn program_with_more_stack_runs_when_its_explanation_is_followed() {
    limit(&["stack", "3"], &["--stack", "1MiB"], "stack");
    // One that may be as large as the memory.
    limit(&["frame"], &[], "stack");
}

#[test]
fn call_of_another_architecture_is_said_to_be_the_end_under_every_policy() {
    for caller in Caller::all() {
        let ran = run(caller, wants()).options(["--explain"]).args(["x32"]).go();
        assert_eq!(ran.verdict(), "violation", "{}", ran.all());
        let cause = causes(&ran)[0];
        assert_eq!((&cause["kind"], &cause["allow"]), (&json!("call"), &Value::Null), "{cause:#}");
        assert_eq!(cause["never"], "such calls are the end under every policy");
        // Not every signal is one.
        let other = run(caller, wants()).options(["--explain"]).args(["nothing"]).go();
        assert_eq!(causes(&other), Vec::<&Value>::new(), "{}", other.all());
    }
}

#[test]
fn program_with_more_time_runs_when_its_explanation_is_followed() {
    let (spin, sleep) = ((600 * slow()).to_string(), (900 * slow()).to_string());
    limit(&["spin", &spin], &["--cpu-time", "400ms"], "cpu_time");
    limit(&["sleep", &sleep], &["--wall-time", "600ms"], "wall_time");
}

#[test]
fn what_no_policy_may_allow_is_said_to_be_so() {
    let cases: [(&[&str], &str, &str, &str); 8] = [
        (&["mlock"], "mlock", "EPERM", "no box may lock memory"),
        (&["mlockall"], "mlockall", "ENOSYS", "no box may lock memory"),
        (&["hostname"], "sethostname", "ENOSYS", "wants a capability"),
        (&["openat2"], "openat2", "ENOSYS", "its mode is behind a pointer"),
        (&["unshare"], "unshare", "EPERM", "it enters other namespaces"),
        (&["vsock"], "socket", "ENOSYS", "no namespace holds AF_VSOCK"),
        (&["exec", "/usr/bin/true"], "execve", "EACCES", "\"/usr/bin/true\" is no program of the image"),
        (&["read", "/proc/version"], "openat", "ENOENT", "lies below /proc"),
    ];
    for caller in Caller::all() {
        for (args, syscall, answer, why) in cases {
            let ran = run(caller, wants()).options(["--explain"]).args(args.iter().copied()).go();
            assert_eq!(ran.status, 1, "{}", ran.all());
            let all = ran.report["explanations"].as_array().unwrap();
            let cause = all.iter().find(|e| e["syscall"] == syscall && !e["never"].is_null());
            let cause = cause.unwrap_or_else(|| panic!("{}", ran.all()));
            assert_eq!((&cause["answer"], &cause["allow"]), (&json!(answer), &Value::Null), "{cause:#}");
            assert!(cause["never"].as_str().unwrap().contains(why), "{cause:#}");
            let line = ran.stderr.lines().find(|l| l.starts_with("stockade: explain: ")).unwrap();
            assert!(line.contains("; nothing can allow it: ") && line.contains(why), "{line}");
        }
    }
}

#[test]
fn crash_is_not_blamed_on_the_stack_alone() {
    for caller in Caller::all() {
        let ran = run(caller, wants()).options(["--explain"]).args(["crash"]).go();
        assert_eq!((ran.verdict(), ran.status), ("signaled", 139), "{}", ran.all());
        let cause = causes(&ran)[0];
        let what = "the program died of SIGSEGV: a pointer was wrong, or its stack needs more than 256MiB";
        assert_eq!((&cause["what"], &cause["limit"]), (&json!(what), &json!("stack")), "{cause:#}");
    }
}

#[test]
fn program_that_lacks_nothing_is_told_so_and_what_libraries_try_is_no_cause() {
    for caller in Caller::all() {
        let ran = run(caller, wants()).options(["--explain"]).args(["nothing"]).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "done\n"), "{}", ran.all());
        assert_eq!(causes(&ran), Vec::<&Value>::new(), "{}", ran.all());
        // The loader does look for this in every program.
        let all = ran.report["explanations"].as_array().unwrap();
        assert!(all.iter().any(|e| e["path"] == "/etc/ld.so.preload"), "{}", ran.all());
        assert!(
            ran.stderr.contains("stockade: explain: the policy stood in the way of nothing"),
            "{}",
            ran.stderr
        );
        let quiet = run(caller, wants()).options(["--explain", "-q"]).args(["nothing"]).go();
        assert_eq!(quiet.stderr, "");
        assert!(quiet.report["explanations"].is_array());
    }
}

#[test]
fn path_with_control_characters_does_not_reach_the_terminal() {
    let path = "/no\x1b[31m\nsuch";
    for caller in Caller::all() {
        let ran = run(caller, wants()).options(["--explain"]).args(["read", path]).go();
        let all = ran.report["explanations"].as_array().unwrap();
        assert!(all.iter().any(|e| e["path"] == path), "{}", ran.all());
        let told: Vec<&str> = ran.stderr.lines().filter(|l| l.starts_with("stockade: ")).collect();
        assert!(told.iter().any(|l| l.contains("\\u{1b}[31m\\nsuch")), "{}", ran.stderr);
        assert!(!ran.stderr.contains('\x1b'), "{:?}", ran.stderr);
    }
}

#[test]
fn different_calls_without_end_are_kept_up_to_a_bound_and_told_once() {
    let caller = Caller::all()[0];
    let ran = run(caller, wants()).options(["--explain"]).args(["locks", "2000"]).go();
    let causes = causes(&ran);
    let [flock] = causes.as_slice() else { panic!("{}", ran.all()) };
    let count = flock["count"].as_u64().unwrap();
    assert!((200..=256).contains(&count), "{count}");
    let left = 2000 - count;
    let note = format!("--explain kept 256 things and left {left} out");
    assert!(ran.report["notes"].as_array().unwrap().contains(&json!(note)), "{}", ran.all());
}

#[test]
fn explained_run_answers_every_call_as_an_ordinary_one() {
    // Every call by its number, with arguments that do nothing.
    let all = common::payload_of("all-calls", ALL_CALLS, &["-static"]);
    for caller in Caller::all() {
        let plain = run(caller, &all).go();
        let explained = run(caller, &all).options(["--explain"]).go();
        assert_eq!(plain.status, 0, "{}", plain.all());
        assert!(plain.text().lines().count() > 400, "{}", plain.text());
        assert!(plain.text().starts_with("0 9\n1 9\n"), "{}", plain.text());
        assert_eq!(explained.text(), plain.text(), "{}", explained.stderr);
        assert_eq!(explained.report["violations"], plain.report["violations"]);
        // The refused calls are all there: it was heard of them.
        assert!(causes(&explained).len() > 150, "{}", causes(&explained).len());
    }
}

/// Calls that end or stop the program are left out.
const ALL_CALLS: &str = r#"
#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    static const short left_out[] = {SYS_exit, SYS_exit_group, SYS_rt_sigreturn, SYS_pause, SYS_fork, SYS_vfork,
        SYS_clone, SYS_rt_sigsuspend, SYS_kill, SYS_tkill, SYS_tgkill, SYS_select, SYS_pselect6, SYS_ppoll, SYS_brk, SYS_close,
        SYS_alarm, SYS_munmap, SYS_arch_prctl, SYS_set_tid_address, SYS_restart_syscall, SYS_wait4, SYS_dup, SYS_umask,
        SYS_rt_sigprocmask, SYS_getpid, SYS_gettid, SYS_getppid, SYS_time, SYS_times, SYS_getcpu, 335, 336, -1};
    for (long nr = 0; nr < 480; nr++) {
        int skip = 0;
        for (int i = 0; left_out[i] >= 0; i++) skip |= left_out[i] == nr;
        if (skip) continue;
        errno = 0;
        long a = nr == SYS_clone3 ? 0 : -1;
        long r = syscall(nr, a, 0, 0, 0, 0, 0);
        printf("%ld %d\n", nr, r == -1 ? errno : 0);
    }
    return 0;
}
"#;
