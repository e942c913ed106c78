//! How far a program gets beyond its limit before it is dead.
//!
//! ```text
//! cargo bench --bench limits [-- [--runs N] [--json]]
//! ```
//!
//! Each case runs the release build's command line and takes the figures from its
//! report: CPU time (or wall time) used in the end, less the limit. Once on the
//! machine as it is, once with a busy process for each CPU beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::process::Stdio;

use common::{Caller, Load, payload, run};
use serde_json::{Value, json};

/// The limit that every case runs into.
const LIMIT: &str = "200ms";
const LIMIT_NS: u64 = 200_000_000;

/// Runs of one case.
const RUNS: usize = 50;

/// What runs into which limit.
struct Case {
    name: &'static str,
    option: &'static str,
    args: &'static [&'static str],
    verdict: &'static str,
    field: &'static str,
}

const CASES: [Case; 4] = [
    Case {
        name: "cpu time, one thread",
        option: "--cpu-time",
        args: &["spin"],
        verdict: "cpu_limit",
        field: "cpu_ns",
    },
    Case {
        name: "cpu time, four threads",
        option: "--cpu-time",
        args: &["spin-threads", "4"],
        verdict: "cpu_limit",
        field: "cpu_ns",
    },
    Case {
        name: "wall time, asleep",
        option: "--wall-time",
        args: &["sleep"],
        verdict: "wall_limit",
        field: "wall_ns",
    },
    Case {
        name: "wall time, busy",
        option: "--wall-time",
        args: &["spin"],
        verdict: "wall_limit",
        field: "wall_ns",
    },
];

/// Nanoseconds beyond the limit, ascending.
fn measure(caller: Caller, case: &Case, runs: usize) -> Vec<u64> {
    let probe = payload("probe.c", &["-static", "-pthread"]);
    let one = |_| {
        let (mut command, path) =
            run(caller, &probe).options([case.option, LIMIT]).args(case.args.iter().copied()).command();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        let report: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(report["verdict"], case.verdict, "{report:#}");
        report["usage"][case.field].as_u64().unwrap() - LIMIT_NS
    };
    let mut beyond: Vec<u64> = (0..runs).map(one).collect();
    beyond.sort_unstable();
    beyond
}

fn at(sorted: &[u64], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    #[allow(clippy::cast_precision_loss)] // milliseconds for people
    let ms = sorted[index] as f64 / 1e6;
    ms
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let as_json = words.iter().any(|w| w == "--json");
    let runs = words
        .iter()
        .position(|w| w == "--runs")
        .and_then(|i| words.get(i + 1))
        .map_or(RUNS, |n| n.parse().expect("--runs N"));
    let mut rows = Vec::new();
    if !as_json {
        println!("milliseconds beyond a limit of {LIMIT}, {runs} runs each");
        println!("{:<6} {:<9} {:<24} {:>8} {:>8} {:>8}", "caller", "machine", "case", "median", "p95", "max");
    }
    for caller in Caller::all() {
        for loaded in [false, true] {
            let _load = loaded.then(Load::on_all_cpus);
            for case in &CASES {
                let beyond = measure(caller, case, runs);
                let (who, machine) = (
                    if caller == Caller::Root { "root" } else { "user" },
                    if loaded { "loaded" } else { "as is" },
                );
                let (median, p95, max) = (at(&beyond, 50), at(&beyond, 95), at(&beyond, 100));
                if as_json {
                    rows.push(json!({
                        "caller": who, "loaded": loaded, "case": case.name, "runs": runs,
                        "median_ms": median, "p95_ms": p95, "max_ms": max,
                    }));
                } else {
                    println!("{who:<6} {machine:<9} {:<24} {median:>8.2} {p95:>8.2} {max:>8.2}", case.name);
                }
            }
        }
    }
    if as_json {
        println!("{:#}", json!({ "limit_ns": LIMIT_NS, "rows": rows }));
    }
}
