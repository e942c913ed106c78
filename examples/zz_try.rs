#![allow(dead_code, missing_docs)]
#[path = "../tests/seccomp_support/mod.rs"]
mod support;
use std::collections::*;
use stockade::policy::model::*;
use stockade::sandbox::*;
fn main() {
    let acc = |r, w, c, x| Access { read: r, write: w, create: c, execute: x };
    let p = |at: &str, from, access| PathEntry {
        at: at.into(),
        from,
        access,
        optional: at == "/proc",
        comment: "x".into(),
    };
    let policy = Policy {
        name: "native".into(),
        comment: "".into(),
        image: ImageSource::PayloadClosure,
        payload: PayloadPlace { path: "/box/program".into(), executable: true },
        command: vec![Word::Payload, Word::Args],
        argv0: Some(Word::Given),
        user: User { uid: 1000, gid: 1000 },
        hostname: "box".into(),
        cwd: "/box".into(),
        env: BTreeMap::new(),
        paths: vec![
            p("/", PathSource::Image, acc(true, false, false, true)),
            p("/box", PathSource::Payload, acc(true, false, false, true)),
            p("/proc", PathSource::Proc, acc(true, false, false, false)),
            p(
                "/dev",
                PathSource::Devices(["null", "zero", "full", "random", "urandom"].map(String::from).to_vec()),
                acc(true, true, false, false),
            ),
            p("/tmp", PathSource::Tmpfs { size: 64 << 20, inodes: 4096 }, acc(true, true, true, false)),
        ],
        network: Network::None,
        landlock_min_abi: 1,
        exec: Exec::LaunchOnly,
        wx: Wx::Deny,
        syscalls: support::base().syscalls,
        limits: Limits {
            cpu_ns: 10_000_000_000,
            wall_ns: 30_000_000_000,
            memory: 256 << 20,
            processes: 64,
            open_files: 256,
            file_size: 64 << 20,
            output: 16 << 20,
            on_output: OnOutput::Kill,
            stack: Stack::Memory,
        },
        degrade: BTreeSet::new(),
        digest: "sha256:0".into(),
    };
    let mut policy = policy;
    for v in &mut policy.syscalls.violations {
        v.calls.retain(|c| *c != 317);
    }
    policy.syscalls.max_violations = 1000;
    let mut args = std::env::args().skip(1);
    let prog = args.next().unwrap();
    let mut b = Sandbox::builder(policy, prog)
        .args(args)
        .stdin(Input::Inherit)
        .stdout(Output::Inherit)
        .stderr(Output::Inherit);
    if std::env::var_os("DEGRADE").is_some() {
        b = b.degrade(stockade::Layer::Cgroup);
    }
    match b.run() {
        Ok(o) => {
            eprintln!("{}", serde_json::to_string_pretty(&o.report).unwrap());
            eprintln!("{}", stockade::report::text::line(&o.report));
        }
        Err(e) => eprintln!("error: {e}"),
    }
}
