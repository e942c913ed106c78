//! The library's way to run a box.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use stockade::Layer;
use stockade::error::Kind;
use stockade::policy::load_builtin;
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Builder, Input, Output, Sandbox};

fn request(program: &str) -> Builder {
    let builder = Sandbox::builder(load_builtin("native").unwrap(), program);
    if common::is_root() { builder } else { builder.degrade(Layer::Cgroup) }
}

#[test]
fn spawn_of_a_request_that_is_refused_is_an_error() {
    for _ in 0..20 {
        let refused = request("/no/such/program").spawn().map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), Kind::NotFound, "{refused}");
    }
    let outcome = request("/usr/bin/true").spawn().unwrap().wait().unwrap();
    assert_eq!(outcome.report.verdict, Verdict::Ok);
}

#[test]
fn running_box_that_is_killed_says_cancelled_from_any_thread() {
    let running = request("/usr/bin/sleep").args(["20"]).spawn().unwrap();
    assert!(!running.is_finished());
    let canceller = running.canceller();
    std::thread::spawn(move || canceller.cancel()).join().unwrap();
    let outcome = running.wait().unwrap();
    assert_eq!(outcome.report.verdict, Verdict::Cancelled);
    assert_eq!(outcome.report.exit_code, None);
    assert!(outcome.report.cleanup.ok);
}

#[test]
fn boxes_of_several_threads_do_not_mix_their_streams() {
    let threads: Vec<_> = (0..4)
        .map(|n| {
            std::thread::spawn(move || {
                for turn in 0..5 {
                    let text = format!("{n} {turn}\n");
                    let outcome = request("/usr/bin/cat")
                        .stdin(Input::Bytes(text.clone().into_bytes()))
                        .stdout(Output::Capture)
                        .stderr(Output::Capture)
                        .run()
                        .unwrap();
                    assert_eq!(outcome.report.verdict, Verdict::Ok, "{:?}", outcome.report.reason);
                    assert_eq!((outcome.stdout, outcome.stderr), (text.into_bytes(), Vec::new()));
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}
