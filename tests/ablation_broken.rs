//! Builds that forget a layer, apply it too early, or apply it to the wrong
//! process: somebody notices, and the payload never runs.
#![cfg(feature = "ablation")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::OnceLock;

use common::{Caller, Ran, payload_of, run};
use stockade::Layer;

fn canary() -> &'static std::path::Path {
    static MADE: OnceLock<std::path::PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let text = "#include <stdio.h>\nint main(void) { puts(\"the payload ran\"); return 42; }";
        payload_of("canary", text, &["-static"])
    })
}

fn spoilt(caller: Caller, spec: &str) -> Ran {
    run(caller, canary()).env("STOCKADE_BREAK", spec).go()
}

/// The run is refused, for this reason, and the payload has not run.
fn refused(caller: Caller, spec: &str, because: &str) {
    let ran = spoilt(caller, spec);
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{caller:?} {spec}: {}", ran.all());
    assert!(ran.stdout.is_empty(), "{caller:?} {spec}: {}", ran.all());
    let reason = ran.report["reason"].as_str().unwrap();
    assert!(because.split('|').any(|b| reason.contains(b)), "{caller:?} {spec}: {reason}");
}

#[test]
fn box_that_nobody_spoils_runs() {
    for caller in Caller::all() {
        let ran = run(caller, canary()).go();
        assert_eq!((ran.status, ran.text().as_str()), (42, "the payload ran\n"), "{}", ran.all());
    }
}

#[test]
fn layer_that_is_forgotten_is_missed_by_the_attestation() {
    for caller in Caller::all() {
        for layer in Layer::ALL {
            // Whatever is not closed is closed by the exec: nothing is missing, as the next test shows.
            if *layer == Layer::Descriptors || *layer == Layer::Cgroup && !caller.has_cgroup() {
                continue;
            }
            // Landlock and the filter are refused by the kernel itself without it.
            let because = match layer {
                Layer::NoNewPrivs => "landlock-enforce: ".to_owned(),
                // pivot_root leaves the old root in reach, and with it every mount of the host.
                Layer::MountNs => "mount_ns: /".to_owned(),
                layer => format!("{}: ", layer.name()),
            };
            let spec = format!("{}:skipped", layer.name());
            let because = if *layer == Layer::NoNewPrivs { because } else { format!("expects: {because}") };
            let ran = spoilt(caller, &spec);
            let reason = ran.report["reason"].as_str().unwrap_or_default().replace("; ", "; expects: ");
            assert_eq!(
                (ran.status, ran.verdict()),
                (125, "setup_failed"),
                "{caller:?} {spec}: {}",
                ran.all()
            );
            assert!(ran.stdout.is_empty(), "{caller:?} {spec}: {}", ran.all());
            assert!(reason.contains(&because), "{caller:?} {spec}: {reason}");
        }
    }
}

#[test]
fn descriptors_that_are_not_closed_are_closed_by_the_exec() {
    // Where there is no /proc: every number is tried.
    const COUNTS: &str = "#include <fcntl.h>\nint main(void) { int n = 0; \
        for (int i = 0; i < 4096; i++) n += fcntl(i, F_GETFD) >= 0; return n; }";
    let counts = payload_of("counts", COUNTS, &["-static"]);
    // Inherited by whoever is started from here, if nobody closes it.
    let inherited = nix::unistd::dup(std::fs::File::open("/").unwrap()).unwrap();
    let beside = std::process::Command::new(&counts).status().unwrap();
    assert!(beside.code() > Some(3), "{beside}");
    for caller in Caller::all() {
        for spec in [None, Some("descriptors:skipped")] {
            let mut run = run(caller, &counts);
            if let Some(spec) = spec {
                run = run.env("STOCKADE_BREAK", spec);
            }
            let ran = run.go();
            assert_eq!(
                (ran.status, ran.verdict()),
                (3, "nonzero_exit"),
                "{caller:?} {spec:?}: {}",
                ran.all()
            );
        }
    }
    drop(inherited);
}

#[test]
fn layer_that_is_applied_to_pid_1_is_missed_in_the_payload() {
    for caller in Caller::all() {
        for (layer, because) in [
            // Pid 1 and the payload still share their memory, whose owner is another namespace then.
            (Layer::UserNs, "user_ns: |inner-maps: "),
            // What pid 1 has given up it cannot give up again, for itself.
            (Layer::Capabilities, "init-capabilities: "),
            (Layer::NoNewPrivs, "landlock-enforce: "),
            (Layer::Landlock, "landlock-|landlock: "),
            (Layer::Seccomp, "init-capabilities: "),
            (Layer::Cgroup, "cgroup: the payload is not in the cgroup"),
            (Layer::Rlimits, "rlimits: RLIMIT_"),
        ] {
            if layer != Layer::Cgroup || caller.has_cgroup() {
                refused(caller, &format!("{}:elsewhere", layer.name()), because);
            }
        }
    }
}

#[test]
fn layer_that_is_applied_too_early_fails_what_must_come_before_it() {
    for caller in Caller::all() {
        // The inner namespace has no right over the mounts; where it is root's, a further one can be made.
        refused(caller, "user_ns:early", "user_ns: |pivot: ");
        refused(caller, "capabilities:early", "pivot: ");
        refused(caller, "landlock:early", "landlock-");
        refused(caller, "seccomp:early", "personality: ");
    }
}

/// For these it makes no difference: what is in force is the same, and attested.
#[test]
fn layer_that_may_come_early_is_attested_as_ever() {
    for caller in Caller::all() {
        let whole = run(caller, canary()).go();
        for layer in [Layer::NoNewPrivs, Layer::Rlimits, Layer::Cgroup] {
            let ran = spoilt(caller, &format!("{}:early", layer.name()));
            assert_eq!(ran.status, 42, "{}", ran.all());
            let name = layer.name();
            let shown = |ran: &Ran| {
                let mut facts = ran.report["layers"][name].clone();
                // The leaf's own name.
                facts["kernel"]["paths"] = serde_json::Value::Null;
                facts
            };
            assert_eq!(shown(&ran), shown(&whole), "{caller:?}");
        }
    }
}

#[test]
fn layer_or_way_that_does_not_exist_is_refused() {
    let caller = Caller::all()[0];
    for spec in ["landlok:skipped", "landlock:later", "landlock", "landlock:removed", "net_ns:early"] {
        let ran = spoilt(caller, spec);
        assert_eq!(ran.status, 125, "{spec}: {}", ran.all());
        assert!(ran.stderr.contains("cannot spoil a box so: "), "{spec}: {}", ran.stderr);
    }
}
