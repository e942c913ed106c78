//! A thread that launches again makes its boxes from a small copy of itself: they are
//! what they would be otherwise, whatever is asked for.
//!
//! Also runs on other kernels.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use stockade::Layer;
use stockade::policy::model::Policy;
use stockade::policy::{load_builtin, parse};
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Bind, Builder, Input, Out, Output, RootChoice, Sandbox, StoreChoice, Work};

fn request(program: &str) -> Builder {
    request_under(load_builtin("native").unwrap(), program)
}

fn request_under(policy: Policy, program: &str) -> Builder {
    let builder = Sandbox::builder(policy, program).stdout(Output::Capture).stderr(Output::Capture);
    if common::is_root() { builder } else { builder.degrade(Layer::Cgroup) }
}

fn run(builder: Builder) -> String {
    let outcome = builder.run().unwrap();
    let errors = String::from_utf8_lossy(&outcome.stderr).into_owned();
    assert_eq!(outcome.report.verdict, Verdict::Ok, "{} {errors}", outcome.report.reason);
    assert!(outcome.report.cleanup.ok);
    String::from_utf8(outcome.stdout).unwrap() + &errors
}

/// `native` with a work tree.
const WORKER: &str = r#"{"version": 1, "name": "worker", "comment": "c", "extends": "native",
    "paths+": [{"at": "/work", "from": "work", "size": "1MiB", "inodes": 100, "access": ["read"],
                "comment": "c"}]}"#;

/// The templates of this thread: its children of that name.
fn templates() -> Vec<String> {
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    children.split_whitespace().filter(|pid| common::is_template(pid)).map(str::to_owned).collect()
}

fn anonymous_kib(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// In a thread of its own, which has launched nothing yet.
fn alone(test: impl FnOnce() + Send + 'static) {
    std::thread::spawn(test).join().unwrap();
}

#[test]
fn first_launch_makes_no_template_and_the_next_ones_share_one() {
    alone(|| {
        let turn = || {
            assert_eq!(run(request("/usr/bin/cat").stdin(Input::Bytes(b"said".to_vec()))), "said");
            templates()
        };
        assert_eq!(turn(), [""; 0]);
        let second = turn();
        assert_eq!(second.len(), 1);
        assert_eq!(turn(), second);
    });
}

#[test]
fn template_goes_with_its_thread() {
    let (tell, told) = std::sync::mpsc::channel();
    alone(move || {
        run(request("/usr/bin/true"));
        run(request("/usr/bin/true"));
        tell.send(templates()).unwrap();
    });
    let made = told.recv().unwrap();
    assert_eq!(made.len(), 1);
    assert!(!Path::new("/proc").join(&made[0]).exists());
}

#[test]
fn template_of_a_large_process_is_small() {
    alone(|| {
        const LARGE: usize = 64 << 20;
        // Nothing is left out of it although little is asked of it.
        let held = std::hint::black_box(vec![7u8; LARGE]);
        run(request("/usr/bin/true"));
        run(request("/usr/bin/true"));
        let made = templates();
        assert_eq!(made.len(), 1);
        // The kernel counts a little behind.
        let own = anonymous_kib("self");
        assert!(own > LARGE as u64 / 1024 / 2, "{own} KiB");
        // Its own copy of the program's variables, and a stack.
        let its = anonymous_kib(&made[0]);
        assert!(its < 4096, "{its} KiB");
        assert_eq!(held[LARGE - 1], 7);
    });
}

#[test]
fn template_that_is_killed_or_outdated_is_replaced() {
    alone(|| {
        run(request("/usr/bin/true"));
        run(request("/usr/bin/true"));
        let first = templates();
        let pid = nix::unistd::Pid::from_raw(first[0].parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
        while !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ") {
            std::thread::yield_now();
        }
        run(request("/usr/bin/true"));
        let second = templates();
        assert_eq!(second.len(), 1);
        assert_ne!(first, second);
        // A box would not have what the thread has given up meanwhile.
        let mut one = nix::sched::CpuSet::new();
        one.set(0).unwrap();
        nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &one).unwrap();
        let allowed =
            |text: &str| text.lines().find(|line| line.starts_with("Cpus_allowed_list:")).unwrap().to_owned();
        let inside = run(request("/usr/bin/cat").args(["/proc/self/status"]));
        assert_eq!(allowed(&inside), allowed(&fs::read_to_string("/proc/thread-self/status").unwrap()));
        let third = templates();
        assert_eq!(third.len(), 1);
        assert_ne!(second, third);
    });
}

#[test]
fn everything_that_can_be_asked_for_is_there_each_time() {
    alone(|| {
        let dir = common::work().join("library-again");
        fs::create_dir_all(dir.join("tree/below")).unwrap();
        fs::write(dir.join("tree/below/file"), "in the tree\n").unwrap();
        fs::write(dir.join("bound"), "bound\n").unwrap();
        // As root the box's user is nobody that the file would belong to.
        fs::set_permissions(dir.join("bound"), fs::Permissions::from_mode(0o666)).unwrap();
        let file = |at: &str| request("/usr/bin/cat").args([at.to_owned()]);
        let bind = |write| {
            Bind::parse(&format!("{}:/bound", dir.join("bound").display()), write, Path::new("/")).unwrap()
        };
        let words: Vec<String> = (0..300).map(|i| format!("word{i}")).collect();
        for turn in 0..3 {
            for root in [RootChoice::Best, RootChoice::Overlay, RootChoice::Bind, RootChoice::Private] {
                assert_eq!(
                    run(request("/usr/bin/cat").root(root).stdin(Input::Bytes(b"root".to_vec()))),
                    "root"
                );
            }
            let without_store = request("/usr/bin/cat").store(StoreChoice::None);
            assert_eq!(run(without_store.stdin(Input::Bytes(b"none".to_vec()))), "none");
            for write in [false, true] {
                assert_eq!(run(file("/bound").bind(bind(write))), "bound\n");
            }
            let tree = Work::parse(&format!("{}:/work", dir.join("tree").display()), Path::new("/")).unwrap();
            let worker = parse("worker.json", WORKER.as_bytes()).unwrap();
            let worker = request_under(worker, "/usr/bin/cat").args(["/work/below/file"]);
            assert_eq!(run(worker.work(tree)), "in the tree\n");
            let echoed = run(request("/usr/bin/echo").args(words.clone()).env("LONG", "x".repeat(100_000)));
            assert_eq!(echoed, words.join(" ") + "\n");
            let environment = run(file("/proc/self/environ").env("GIVEN", "it"));
            assert!(environment.split('\0').any(|word| word == "GIVEN=it"), "{environment}");
            let made = dir.join(format!("out-{turn}"));
            let out = Out::parse(made.to_str().unwrap()).unwrap();
            let copied = request("/usr/bin/cp").args(["/box/program", "/out/copy"]).out(out);
            assert_eq!(run(copied), "");
            let copy = fs::metadata(made.join("copy")).unwrap();
            assert_eq!(copy.len(), fs::metadata("/usr/bin/cp").unwrap().len());
            assert_eq!(run(file("/dev/null").explain(true)), "");
        }
        assert_eq!(templates().len(), 1);
    });
}
