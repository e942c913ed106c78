//! Whether a large process launches as quickly as a small one: the library, in a process of its own.

use std::io::Read as _;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use stockade::Layer;
use stockade::policy::load_builtin;
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Sandbox, StoreChoice};

use crate::place::{Launcher, Place, at};

/// What makes this program the process that launches.
pub const OPTION: &str = "--host";

/// Where such a process finds what it launches.
const PROGRAM: &str = "STOCKADE_BENCH_PROGRAM";
const STORE: &str = "STOCKADE_BENCH_STORE";

/// MiB that the large one has written to.
const LARGE: usize = 50;

/// The promise: so many times what a small one takes.
const MOST_RATIO: f64 = 1.15;

/// Microseconds of a launch.
pub struct Host {
    small: f64,
    large: f64,
}

impl Host {
    fn ratio(&self) -> f64 {
        self.large / self.small
    }

    pub fn keeps_the_promise(&self) -> bool {
        self.ratio() <= MOST_RATIO
    }

    pub fn json(&self) -> Value {
        json!({ "small_us": self.small, "large_us": self.large, "large_mib": LARGE, "ratio": self.ratio() })
    }

    pub fn print(&self) {
        println!("\na launch by the library, from a small process   {:>6.2} ms", self.small / 1e3);
        println!(
            "from one that has written to {LARGE} MiB            {:>6.2} ms   × {:.2} (at most {MOST_RATIO})",
            self.large / 1e3,
            self.ratio()
        );
    }
}

/// Launches once for each byte that it is sent.
pub fn launch_when_told(mib: usize) {
    let held = vec![7u8; mib << 20];
    let policy = load_builtin("native").unwrap();
    let (program, store) = (std::env::var(PROGRAM).unwrap(), std::env::var(STORE).unwrap());
    for byte in std::io::stdin().lock().bytes() {
        byte.unwrap();
        let job = Sandbox::builder(policy.clone(), &program).store(StoreChoice::At(store.clone().into()));
        let job = if nix::unistd::geteuid().is_root() { job } else { job.degrade(Layer::Cgroup) };
        let begin = Instant::now();
        let outcome = job.run().unwrap();
        let took = begin.elapsed();
        assert_eq!(outcome.report.verdict, Verdict::Ok, "{}", outcome.report.reason);
        println!("{}", took.as_nanos());
    }
    assert_eq!(held.iter().map(|b| usize::from(*b)).sum::<usize>(), 7 * (mib << 20));
}

/// Both in turn. Not the median: on a busy machine that is other people's work as much.
pub fn measure(place: &Place, launches: usize) -> Host {
    let start = |mib: usize| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([OPTION, &mib.to_string()]);
        command.env(PROGRAM, place.path("nothing")).env(STORE, place.path("host-store"));
        Launcher::start(&mut command)
    };
    let mut processes = [start(0), start(LARGE)];
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..launches + 4 {
        for turn in 0..2 {
            let which = (round + turn) % 2;
            let one = processes[which].launch();
            if round >= 4 {
                took[which].push(one);
            }
        }
    }
    processes.into_iter().for_each(Launcher::end);
    let [small, large] = took.map(|all| at(all, 0.25));
    Host { small, large }
}
