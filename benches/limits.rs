//! How far a program gets beyond its limit before it is dead.
//!
//! ```text
//! cargo bench --bench limits [-- [--runs N] [--json] [--readme] [--check]]
//! ```
//!
//! `--readme` puts the table into the README; `--check` fails where root's runs are
//! beyond what is promised.
//!
//! Each case runs the release build's command line and takes the figures from its
//! report: CPU time (or wall time) used in the end, less the limit. Once on the
//! machine as it is, once with a busy process for each CPU beside it, in the caller's
//! session or in others: the kernel shares a CPU among sessions first (autogroups),
//! which matters to a caller that cannot go ahead of others. The last cases are jobs of
//! a batch with a slot for each of two CPUs, in boxes made ahead.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

#[path = "../tests/common/mod.rs"]
mod common;

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use common::{Caller, Load, payload, run, stockade};
use serde_json::{Value, json};

/// The limit that every case runs into.
const LIMIT: &str = "200ms";
const LIMIT_NS: u64 = 200_000_000;

/// Runs of one case.
const RUNS: usize = 50;

/// The most that `--check` lets pass.
const MEDIAN_MS: f64 = 2.0;
const P95_MS: f64 = 6.0;

/// Around the table in the README.
const BEGIN: &str = "<!-- overshoot -->\n";
const END: &str = "<!-- end of overshoot -->";

/// What runs into which limit.
struct Case {
    name: &'static str,
    option: &'static str,
    args: &'static [&'static str],
    verdict: &'static str,
    field: &'static str,
    /// Two at a time, in boxes made ahead.
    batch: bool,
}

const CASES: [Case; 6] = [
    Case {
        name: "cpu time, one thread",
        option: "--cpu-time",
        args: &["spin"],
        verdict: "cpu_limit",
        field: "cpu_ns",
        batch: false,
    },
    Case {
        name: "cpu time, four threads",
        option: "--cpu-time",
        args: &["spin-threads", "4"],
        verdict: "cpu_limit",
        field: "cpu_ns",
        batch: false,
    },
    Case {
        name: "wall time, asleep",
        option: "--wall-time",
        args: &["sleep"],
        verdict: "wall_limit",
        field: "wall_ns",
        batch: false,
    },
    Case {
        name: "wall time, busy",
        option: "--wall-time",
        args: &["spin"],
        verdict: "wall_limit",
        field: "wall_ns",
        batch: false,
    },
    Case {
        name: "cpu time, batch of two slots",
        option: "cpu_time",
        args: &["spin"],
        verdict: "cpu_limit",
        field: "cpu_ns",
        batch: true,
    },
    Case {
        name: "wall time, batch of two slots",
        option: "wall_time",
        args: &["spin"],
        verdict: "wall_limit",
        field: "wall_ns",
        batch: true,
    },
];

/// Nanoseconds beyond the limit, ascending.
fn measure(caller: Caller, case: &Case, runs: usize) -> Vec<u64> {
    let probe = payload("probe.c", &["-static", "-pthread"]);
    if case.batch {
        return in_a_batch(caller, case, runs, &probe);
    }
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

fn in_a_batch(caller: Caller, case: &Case, runs: usize, probe: &Path) -> Vec<u64> {
    let mut command = caller.command(stockade());
    command.args(["batch", "-q", "--slots", "2"]);
    if !caller.has_cgroup() {
        command.args(["--degrade", "cgroup"]);
    }
    let jobs = caller.home().join("limits.jsonl");
    let job = json!({ "program": probe, "args": case.args, "limits": { case.option: LIMIT } });
    std::fs::write(&jobs, format!("{job}\n").repeat(runs)).unwrap();
    let output = command.stdin(File::open(&jobs).unwrap()).stderr(Stdio::inherit()).output().unwrap();
    let one = |line: &str| {
        let answer: Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["report"]["verdict"], case.verdict, "{answer:#}");
        answer["report"]["usage"][case.field].as_u64().unwrap() - LIMIT_NS
    };
    let mut beyond: Vec<u64> = String::from_utf8(output.stdout).unwrap().lines().map(one).collect();
    assert_eq!(beyond.len(), runs);
    beyond.sort_unstable();
    beyond
}

fn at(sorted: &[u64], percent: usize) -> f64 {
    let index = (sorted.len() * percent).div_ceil(100).max(1) - 1;
    #[allow(clippy::cast_precision_loss)] // milliseconds for people
    let ms = sorted[index] as f64 / 1e6;
    ms
}

/// What is asked for.
struct Options {
    runs: usize,
    json: bool,
    check: bool,
    readme: bool,
}

impl Options {
    fn parse() -> Self {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let has = |word: &str| words.iter().any(|w| w == word);
        let runs = words.iter().position(|w| w == "--runs").map_or(RUNS, |i| {
            words.get(i + 1).and_then(|n| n.parse().ok()).filter(|n| *n > 0).expect("--runs N")
        });
        Self { runs, json: has("--json"), check: has("--check"), readme: has("--readme") }
    }
}

/// One line of the table.
struct Row {
    caller: &'static str,
    machine: &'static str,
    case: &'static str,
    median: f64,
    p95: f64,
    max: f64,
}

impl Row {
    /// What is promised of a caller whose supervisor may go ahead of other work.
    fn keeps_the_promise(&self) -> bool {
        self.caller != "root" || (self.median <= MEDIAN_MS && self.p95 <= P95_MS)
    }
}

/// What else a machine has to do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Machine {
    AsItIs,
    Busy,
    BusyOtherwise,
}

impl Machine {
    fn name(self) -> &'static str {
        match self {
            Machine::AsItIs => "as it is",
            Machine::Busy => "every CPU busy",
            Machine::BusyOtherwise => "… by other sessions",
        }
    }

    fn load(self) -> Option<Load> {
        match self {
            Machine::AsItIs => None,
            Machine::Busy => Some(Load::on_all_cpus()),
            Machine::BusyOtherwise => Some(Load::of_other_sessions()),
        }
    }
}

fn rows(runs: usize) -> impl Iterator<Item = Row> {
    use Machine::{AsItIs, Busy, BusyOtherwise};
    let matters = |caller, machine| caller != Caller::Root || machine != BusyOtherwise;
    let machines = Caller::all().into_iter().flat_map(move |caller| {
        [AsItIs, Busy, BusyOtherwise]
            .into_iter()
            .filter(move |machine| matters(caller, *machine))
            .map(move |machine| (caller, machine))
    });
    machines.flat_map(move |(caller, machine)| {
        let load = machine.load();
        CASES.iter().map(move |case| {
            let _load = &load;
            let beyond = measure(caller, case, runs);
            Row {
                caller: if caller == Caller::Root { "root" } else { "user" },
                machine: machine.name(),
                case: case.name,
                median: at(&beyond, 50),
                p95: at(&beyond, 95),
                max: at(&beyond, 100),
            }
        })
    })
}

/// Puts the table where the README has it.
fn write_readme(rows: &[Row]) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the mark where the table begins");
    let (_, after) = rest.split_once(END).expect("the mark where it ends");
    let mut table = String::from("\n| caller | machine | case | median | p95 |\n|---|---|---|---|---|\n");
    for r in rows {
        let numbers = format!("{:.1} ms | {:.1} ms", r.median, r.p95);
        table.push_str(&format!("| {} | {} | {} | {numbers} |\n", r.caller, r.machine, r.case));
    }
    std::fs::write(path, format!("{before}{BEGIN}{table}\n{END}{after}")).unwrap();
}

fn main() {
    let options = Options::parse();
    if !options.json {
        println!("milliseconds beyond a limit of {LIMIT}, {} runs each", options.runs);
        println!(
            "{:<6} {:<19} {:<30} {:>8} {:>8} {:>8}",
            "caller", "machine", "case", "median", "p95", "max"
        );
    }
    let tell = |r: &Row| {
        let Row { caller, machine, case, median, p95, max } = r;
        println!("{caller:<6} {machine:<19} {case:<30} {median:>8.2} {p95:>8.2} {max:>8.2}");
    };
    let rows: Vec<Row> = rows(options.runs)
        .inspect(|r| {
            if !options.json {
                tell(r)
            }
        })
        .collect();
    if options.json {
        let list: Vec<Value> = rows
            .iter()
            .map(|r| {
                json!({
                    "caller": r.caller, "machine": r.machine, "case": r.case, "runs": options.runs,
                    "median_ms": r.median, "p95_ms": r.p95, "max_ms": r.max,
                })
            })
            .collect();
        println!("{:#}", json!({ "limit_ns": LIMIT_NS, "rows": list }));
    }
    if options.readme {
        write_readme(&rows);
    }
    if options.check {
        let broken: Vec<&str> = rows.iter().filter(|r| !r.keeps_the_promise()).map(|r| r.case).collect();
        assert!(broken.is_empty(), "beyond {MEDIAN_MS} ms in the median or {P95_MS} ms in 95 %: {broken:?}");
    }
}
