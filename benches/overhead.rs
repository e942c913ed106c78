//! What the box costs a program inside: a system call under the filter, and
//! Python's start beside what it takes bare and what a box takes.
//!
//! ```text
//! cargo bench --bench overhead [-- [--launches N] [--json] [--check]]
//! ```
//!
//! `--check` fails where something is beyond what is promised. The static release
//! build is measured when there is one, otherwise cargo's own.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark may stop anywhere")]

mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use place::Place;

/// Calls of one kind that a process makes, in batches, and processes of each
/// contender: the fastest batch was disturbed least.
const CALLS: &str = "400000";
const PROCESSES: usize = 15;

/// The promises. Nanoseconds that the filter of `native` adds to a call without
/// arguments; how much more than a filter of six instructions that may be, which
/// is what the measurement itself strays by; Python's start in a box, times its
/// bare start and a box that does nothing together.
const MOST_ADDED: f64 = 80.0;
const MOST_BEYOND_SIX: f64 = 10.0;
const MOST_START: f64 = 1.25;

/// Launches that fill the store and the caches.
const WARM_UP: usize = 5;

/// One way to make calls.
struct Caller {
    name: &'static str,
    /// Instructions of a filter of its own.
    instructions: &'static str,
    policy: Option<&'static str>,
}

const CALLERS: [Caller; 5] = [
    Caller { name: "no filter", instructions: "0", policy: None },
    Caller { name: "6 instructions", instructions: "6", policy: None },
    Caller { name: "300 instructions", instructions: "300", policy: None },
    Caller { name: "box, native", instructions: "0", policy: Some("native") },
    Caller { name: "box, strict", instructions: "0", policy: Some("strict") },
];

struct Bench {
    place: Place,
    stockade: PathBuf,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { place: Place::new(), stockade: place::stockade().0 };
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/getppid.c");
        bench.compile(&source, "getppid");
        let nothing = bench.place.path("nothing.c");
        fs::write(&nothing, "int main(void) { return 0; }\n").unwrap();
        bench.compile(&nothing, "nothing");
        fs::write(bench.place.path("nothing.py"), "pass\n").unwrap();
        bench
    }

    fn compile(&self, source: &Path, name: &str) {
        let mut gcc = Command::new("gcc");
        let made = gcc.args(["-O2", "-static", "-o"]).arg(self.place.path(name)).arg(source).status();
        assert!(made.expect("gcc is needed").success());
    }

    fn file(&self, name: &str) -> String {
        self.place.path(name).display().to_string()
    }

    /// `stockade run` with these words after it.
    fn boxed(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.stockade);
        command.arg("run");
        if !nix::unistd::geteuid().is_root() {
            command.args(["--degrade", "cgroup"]);
        }
        command.args(words);
        command
    }

    /// Runs it to its good end; what it printed, and microseconds.
    fn take(&self, mut command: Command) -> (String, f64) {
        command.env_clear().env("LANG", "C.UTF-8").env("STOCKADE_STORE", self.place.path("store"));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).current_dir("/");
        let begin = Instant::now();
        let output = command.spawn().and_then(std::process::Child::wait_with_output).unwrap();
        let took = begin.elapsed().as_secs_f64() * 1e6;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {} {said}", output.status);
        (String::from_utf8(output.stdout).unwrap(), took)
    }

    /// Nanoseconds of `getppid` and of `fcntl`.
    fn calls(&self, caller: &Caller) -> [f64; 2] {
        let program = self.file("getppid");
        let command = match caller.policy {
            Some(policy) => self.boxed(&["-q", "-p", policy, "--", &program, CALLS, caller.instructions]),
            None => {
                let mut command = Command::new(&program);
                command.args([CALLS, caller.instructions]);
                command
            }
        };
        let (said, _) = self.take(command);
        let numbers: Vec<f64> = said.split_whitespace().map(|n| n.parse().unwrap()).collect();
        numbers.try_into().unwrap()
    }

    /// The least of each, all in turn.
    fn all_calls(&self) -> [[f64; 2]; CALLERS.len()] {
        let mut least = [[f64::MAX; 2]; CALLERS.len()];
        for round in 0..PROCESSES {
            for turn in 0..CALLERS.len() {
                let place = (round + turn) % CALLERS.len();
                let took = self.calls(&CALLERS[place]);
                least[place] = [0, 1].map(|call| least[place][call].min(took[call]));
            }
        }
        least
    }

    fn start(&self, which: usize) -> f64 {
        let python = ["-I", "-B"];
        let script = self.file("nothing.py");
        let command = match which {
            0 => {
                let mut command = Command::new(PYTHON);
                command.args(python).arg(script);
                command
            }
            1 => self.boxed(&["-q", "--", &self.file("nothing")]),
            _ => self.boxed(&["-q", "-p", "python", "--", &script]),
        };
        self.take(command).1
    }

    /// Python bare, a box that does nothing, Python in a box: microseconds that a
    /// tenth of the undisturbed starts stays below.
    fn starts(&self, launches: usize) -> Option<[f64; 3]> {
        if !Path::new(PYTHON).exists() {
            return None;
        }
        let mut took = [const { Vec::new() }; 3];
        for round in 0..launches + WARM_UP {
            for turn in 0..3 {
                let which = (round + turn) % 3;
                let time = self.start(which);
                if round >= WARM_UP {
                    took[which].push(time);
                }
            }
        }
        Some(took.map(|mut all| {
            all.sort_by(f64::total_cmp);
            all[all.len() / 10]
        }))
    }
}

const PYTHON: &str = "/usr/bin/python3";

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let launches = words.iter().position(|w| w == "--launches").map_or(100, |at| {
        words.get(at + 1).and_then(|n| n.parse().ok()).filter(|n| *n > 0).expect("--launches N")
    });
    let bench = Bench::new();
    let calls = bench.all_calls();
    let starts = bench.starts(launches);
    let [none, six, _, native, _] = calls.map(|times| times[0]);
    let (added, beyond) = (native - none, native - six);
    let ratio = starts.map(|[bare, nothing, boxed]| boxed / (bare + nothing));
    if has("--json") {
        let rows: Vec<_> = CALLERS
            .iter()
            .zip(calls)
            .map(|(c, [getppid, fcntl])| serde_json::json!({"name": c.name, "getppid_ns": getppid, "fcntl_ns": fcntl}))
            .collect();
        println!(
            "{}",
            serde_json::json!({"calls": rows, "added_ns": added, "beyond_six_ns": beyond,
                "starts_us": starts, "start_ratio": ratio})
        );
    } else {
        println!("{:<20} {:>12} {:>12}", "ns a call", "getppid", "fcntl");
        for (caller, [getppid, fcntl]) in CALLERS.iter().zip(calls) {
            println!("{:<20} {getppid:>12.1} {fcntl:>12.1}", caller.name);
        }
        println!("native adds {added:.1} ns to getppid (at most {MOST_ADDED})");
        println!("  {beyond:.1} ns more than 6 instructions (at most {MOST_BEYOND_SIX})");
        match (starts, ratio) {
            (Some([bare, nothing, boxed]), Some(ratio)) => println!(
                "Python bare {bare:.0} µs, a box {nothing:.0} µs, Python in a box {boxed:.0} µs: × {ratio:.2} of both (at most {MOST_START})"
            ),
            _ => println!("Python's start: there is no {PYTHON}"),
        }
    }
    let kept =
        added <= MOST_ADDED && beyond <= MOST_BEYOND_SIX && ratio.is_none_or(|ratio| ratio <= MOST_START);
    assert!(kept || !has("--check"), "beyond what is promised");
}
