//! What boxes that are made ahead are worth: times and throughput of a pool and of
//! `stockade batch` against the floors (`floor.c`): what a box of the same layers
//! costs at least when it is made for its program. Both take turns in one run, so
//! that what else the machine does hits both alike. Nothing is subtracted.
//!
//! ```text
//! cargo bench --bench warm -- [--launches N] [--jobs N] [--json]
//! ```
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark may stop anywhere")]
#![allow(clippy::cast_precision_loss, reason = "numbers for people")]

mod place;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use place::{Floor, Launcher, Layers, Place, median, pss_with_children, raise_descriptors};
use stockade::Layer;
use stockade::policy::{Policy, load_builtin};
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Builder, Pool, Sandbox, StoreChoice};

/// Boxes that wait while something else is launched.
const IDLE: usize = 200;
const IDLE_ROUNDS: usize = 5;

/// What the command line says.
struct Options {
    launches: usize,
    jobs: usize,
    json: bool,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self { launches: 200, jobs: 600, json: false };
        place::each_option(|word, number| {
            match word {
                "--launches" => options.launches = number().max(1),
                "--jobs" => options.jobs = number().max(4),
                "--json" => options.json = true,
                _ => return false,
            }
            true
        });
        options
    }
}

/// What is measured, and with what.
struct Bench {
    place: Place,
    floor: Floor,
    nothing: PathBuf,
    degrade: bool,
}

impl Bench {
    fn new() -> Self {
        let place = Place::new();
        let nothing = place.nothing();
        let floor = place.floor(&nothing);
        Self { place, floor, nothing, degrade: !nix::unistd::geteuid().is_root() }
    }

    /// The policy is read once and shared, as `batch` does it.
    fn job(&self, policy: &Arc<Policy>, program: &Path) -> Builder {
        let job =
            Sandbox::builder(Arc::clone(policy), program).store(StoreChoice::At(self.place.path("store")));
        if self.degrade { job.degrade(Layer::Cgroup) } else { job }
    }

    /// Microseconds of both floors, of a job in a box that waits for it, and of one in a box made for it.
    fn latency(&self, launches: usize) -> [f64; 4] {
        let policy = Arc::new(load_builtin("native").unwrap());
        let pool = Pool::new(4).unwrap();
        let mut floors = [Layers::Bare, Layers::Whole].map(|layers| self.floor.launcher(layers));
        let mut took = [const { Vec::new() }; 4];
        for round in 0..launches + 5 {
            pool.warm_up(&self.job(&policy, &self.nothing)).unwrap();
            let [bare, whole] = floors.each_mut().map(Launcher::launch);
            let warm = timed(|| pool.run(self.job(&policy, &self.nothing)).unwrap());
            pool.warm_up(&self.job(&policy, &self.nothing)).unwrap();
            let cold = timed(|| self.job(&policy, &self.nothing).run().unwrap());
            if round >= 5 {
                took.iter_mut().zip([bare, whole, warm, cold]).for_each(|(all, one)| all.push(one));
            }
        }
        floors.into_iter().for_each(Launcher::end);
        took.map(median)
    }

    fn batch(&self, policy: &str, slots: usize, input: &str) -> (Duration, Vec<serde_json::Value>) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
        command.args(["batch", "-q", "-p", policy, "--slots", &slots.to_string()]);
        command.arg("--store").arg(self.place.path("store"));
        if self.degrade {
            command.args(["--degrade", "cgroup"]);
        }
        let file = self.place.path("jobs.jsonl");
        fs::write(&file, input).unwrap();
        let begin = Instant::now();
        let output = command.stdin(fs::File::open(file).unwrap()).output().unwrap();
        let took = begin.elapsed();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        (took, lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Jobs a second.
    fn batch_rate(&self, policy: &str, slots: usize, jobs: usize) -> f64 {
        let line = format!("{{\"program\": {:?}}}\n", self.nothing.display().to_string());
        let (took, answers) = self.batch(policy, slots, &line.repeat(jobs));
        assert_eq!(answers.len(), jobs);
        assert!(answers.iter().all(|a| a["report"]["verdict"] == "ok"));
        jobs as f64 / took.as_secs_f64()
    }

    /// The floor while boxes wait, how many times as long that is as before and after it while none does, and
    /// bytes for each box that waits. In several rounds: what else the machine does comes and goes.
    fn idle(&self, launches: usize) -> [f64; 3] {
        let policy = Arc::new(load_builtin("native").unwrap());
        let mut seen = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..IDLE_ROUNDS {
            let memory = pss_with_children();
            let before = self.floor_median(launches);
            let pool = Pool::new(IDLE).unwrap();
            let waiting = pool.warm_up(&self.job(&policy, &self.nothing)).unwrap();
            let each = (pss_with_children() - memory) / waiting as f64;
            let beside = self.floor_median(launches);
            drop(pool);
            let alone = f64::midpoint(before, self.floor_median(launches));
            let round = [beside, beside / alone, each];
            seen.iter_mut().zip(round).for_each(|(all, one)| all.push(one));
        }
        seen.map(median)
    }

    fn floor_median(&self, launches: usize) -> f64 {
        let mut floor = self.floor.launcher(Layers::Bare);
        let all = (0..launches).map(|_| floor.launch()).collect();
        floor.end();
        median(all)
    }

    /// Milliseconds that jobs run beyond their CPU time, with every CPU busy.
    fn overshoot(&self, policy: &str, jobs: usize) -> f64 {
        const LIMIT_MS: f64 = 30.0;
        let spin = self.place.text("spin", "int main(void) { for (;;) ; }\n", &["-static"]);
        let program = spin.display().to_string();
        let line = format!("{{\"program\": {program:?}, \"limits\": {{\"cpu_time\": \"30ms\"}}}}\n");
        let (_, answers) = self.batch(policy, 2, &line.repeat(jobs));
        assert!(answers.iter().all(|a| a["report"]["verdict"] == "cpu_limit"));
        let over = |a: &serde_json::Value| a["report"]["usage"]["cpu_ns"].as_f64().unwrap() / 1e6 - LIMIT_MS;
        median(answers.iter().map(over).collect())
    }
}

fn timed(run: impl FnOnce() -> stockade::sandbox::Outcome) -> f64 {
    let begin = Instant::now();
    let outcome = run();
    let took = begin.elapsed();
    assert_eq!(outcome.report.verdict, Verdict::Ok, "{}", outcome.report.reason);
    took.as_secs_f64() * 1e6
}

fn main() {
    let options = Options::parse();
    raise_descriptors();
    let bench = Bench::new();
    let [floor, whole, warm, cold] = bench.latency(options.launches);
    let rounds: Vec<[f64; 4]> = (0..3)
        .map(|_| {
            let [floor, whole] = [Layers::Bare, Layers::Whole].map(|l| bench.floor.rate(l, options.jobs, 2));
            let [two, four] = [2, 4].map(|slots| bench.batch_rate("native", slots, options.jobs));
            [floor, whole, two, four]
        })
        .collect();
    let [floor_rate, whole_rate, two, four] =
        [0, 1, 2, 3].map(|i| median(rounds.iter().map(|r| r[i]).collect()));
    let [beside, times_alone, each] = bench.idle(options.launches);
    let over = bench.overshoot("native", 60);
    let of_floors = |value: f64, of: [f64; 2]| vec![("× floor", value / of[0]), ("× whole", value / of[1])];
    let rows = [
        ("floor, a launch", floor, "µs", vec![]),
        ("whole floor, a launch", whole, "µs", vec![("× floor", whole / floor)]),
        ("a job in a box that waits", warm, "µs", of_floors(warm, [floor, whole])),
        ("a job in a box made for it", cold, "µs", of_floors(cold, [floor, whole])),
        ("floor, two at a time", floor_rate, "/s", vec![]),
        ("whole floor, two at a time", whole_rate, "/s", vec![("× floor", whole_rate / floor_rate)]),
        ("batch, two slots", two, "/s", of_floors(two, [floor_rate, whole_rate])),
        ("batch, four slots", four, "/s", vec![("× two slots", four / two)]),
        ("floor beside 200 boxes", beside, "µs", vec![("× alone", times_alone)]),
        ("memory of a box that waits", each / 1024.0, "KiB", vec![]),
        ("beyond 30 ms of CPU time", over, "ms", vec![]),
    ];
    if options.json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(name, value, unit, ratios)| {
                let ratios: serde_json::Map<_, _> =
                    ratios.iter().map(|(of, ratio)| ((*of).to_owned(), (*ratio).into())).collect();
                serde_json::json!({ "name": name, "value": value, "unit": unit, "ratios": ratios })
            })
            .collect();
        println!("{}", serde_json::json!({ "rows": rows }));
        return;
    }
    for (name, value, unit, ratios) in rows {
        let ratios: Vec<_> = ratios.iter().map(|(of, ratio)| format!("{ratio:.2} {of}")).collect();
        println!("{name:<28} {value:>9.2} {unit:<4} {}", ratios.join("  "));
    }
}
