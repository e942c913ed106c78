//! What images cost: launching a box from one with ten files and from one with
//! five thousand, in turn; comparing every byte; and building Python's.
//!
//! ```text
//! cargo bench --bench images [-- [--launches N] [--json] [--check]]
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
use std::time::{Duration, Instant};

use place::Place;

/// Files of the two images that are launched from.
const FEW: usize = 10;
const MANY: usize = 5000;

/// What is compared: this many files of this size.
const BIG_FILES: usize = 24;
const BIG_BYTES: usize = 8 << 20;

/// Repetitions of what takes long.
const REPEATED: usize = 5;

/// The promises: many files may cost a tenth more than few; megabytes (10^6) that
/// one core compares in a second; seconds that Python's image takes.
const MOST_RATIO: f64 = 1.10;
const LEAST_RATE: f64 = 500.0;
const MOST_SECONDS: f64 = 3.0;

struct Bench {
    place: Place,
    stockade: PathBuf,
}

impl Bench {
    fn new() -> Self {
        Self { place: Place::new(), stockade: place::stockade().0 }
    }

    fn path(&self, name: &str) -> String {
        self.place.path(name).to_str().unwrap().to_owned()
    }

    fn command(&self, store: &str, args: &[&str]) -> Command {
        let mut command = Command::new(&self.stockade);
        command.args(args).env_clear().env("PATH", "/usr/bin:/bin").env("STOCKADE_STORE", self.path(store));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command
    }

    /// How long a command takes, and how much of a CPU.
    fn take(&self, store: &str, args: &[&str]) -> (Duration, Duration) {
        let mut command = self.command(store, args);
        let (begin, busy) = (Instant::now(), children());
        let output = command.spawn().and_then(std::process::Child::wait_with_output).unwrap();
        let took = (begin.elapsed(), children().saturating_sub(busy));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {} {said}", output.status);
        took
    }

    /// An image of a program that does nothing and some files beside it.
    fn image(&self, name: &str, files: usize, bytes: usize) {
        let dir = self.path(name);
        for number in 0..files {
            let below = format!("{dir}/{}", number % 50);
            fs::create_dir_all(&below).unwrap();
            let mut content = format!("{name} {number}\n").into_bytes();
            // Not the same bytes in each file: contents are kept once.
            content.resize(bytes.max(content.len()), u8::try_from(number % 251).unwrap());
            fs::write(format!("{below}/{number}"), content).unwrap();
        }
        let (program, include) = (format!("{}:/app", self.path("nothing")), format!("{dir}:/data"));
        self.take("store", &["image", "build", "--program", &program, "--include", &include, "--name", name]);
    }

    fn program(&self) {
        let source = self.path("nothing.c");
        fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let made =
            Command::new("gcc").args(["-O2", "-static", "-o", &self.path("nothing"), &source]).status();
        assert!(made.expect("gcc is needed").success());
    }

    /// What undisturbed launches from both images take, which take turns: a tenth of
    /// them is faster. Medians are other people's work as much, on a busy machine.
    fn launches(&self, times: usize) -> (f64, f64) {
        let mut took = [Vec::new(), Vec::new()];
        let names = ["few", "many"];
        let degrade: &[&str] = if nix::unistd::geteuid().is_root() { &[] } else { &["--degrade", "cgroup"] };
        for round in 0..times + 5 {
            for turn in 0..2 {
                let place = (round + turn) % 2;
                let args = [&["run", "-q"], degrade, &["-i", names[place]]].concat();
                let (wall, _) = self.take("store", &args);
                // The first ones fill the caches.
                if round >= 5 {
                    took[place].push(wall.as_secs_f64() * 1e6);
                }
            }
        }
        let [few, many] = took;
        (at(few, 0.1), at(many, 0.1))
    }

    /// Millions of bytes that one core compares in a second.
    fn rate(&self) -> f64 {
        self.image("big", BIG_FILES, BIG_BYTES);
        #[allow(clippy::cast_precision_loss, reason = "some millions")]
        let megabytes = (BIG_FILES * BIG_BYTES) as f64 / 1e6;
        let busy = || self.take("store", &["image", "verify", "big", "--full"]).1.as_secs_f64();
        megabytes / median((0..REPEATED).map(|_| busy()).collect())
    }

    /// Seconds for Python's image in a store that holds nothing; the host's files are in memory.
    fn python(&self) -> Option<f64> {
        if !Path::new("/usr/bin/python3").exists() {
            return None;
        }
        let build = |store: &str| {
            self.take(store, &["image", "build", "--program", "/usr/bin/python3"]).0.as_secs_f64()
        };
        build("cold");
        Some(median((0..REPEATED).map(|n| build(&format!("warm-{n}"))).collect()))
    }
}

/// The CPU time of children that have ended.
fn children() -> Duration {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_CHILDREN).unwrap();
    let time = |value: nix::sys::time::TimeVal| {
        Duration::from_micros(u64::try_from(value.tv_sec() * 1_000_000 + value.tv_usec()).unwrap())
    };
    time(usage.user_time()) + time(usage.system_time())
}

fn median(all: Vec<f64>) -> f64 {
    at(all, 0.5)
}

fn at(mut all: Vec<f64>, part: f64) -> f64 {
    all.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let place = (all.len() as f64 * part) as usize;
    all[place]
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let has = |word: &str| words.iter().any(|w| w == word);
    let launches = words.iter().position(|w| w == "--launches").map_or(200, |at| {
        words.get(at + 1).and_then(|n| n.parse().ok()).filter(|n| *n > 0).expect("--launches N")
    });
    let bench = Bench::new();
    bench.program();
    bench.image("few", FEW, 0);
    bench.image("many", MANY, 0);
    let (few, many) = bench.launches(launches);
    let (rate, python) = (bench.rate(), bench.python());
    let ratio = many / few;
    if has("--json") {
        println!(
            "{}",
            serde_json::json!({"few_us": few, "many_us": many, "ratio": ratio, "verify_mb_s": rate, "python_s": python})
        );
    } else {
        println!("launch from {FEW} files    {few:>8.0} µs");
        println!("launch from {MANY} files  {many:>8.0} µs   × {ratio:.3} (at most {MOST_RATIO})");
        println!("every byte compared     {rate:>8.0} MB/s a core (at least {LEAST_RATE})");
        match python {
            Some(seconds) => println!("Python's image built    {seconds:>8.2} s (at most {MOST_SECONDS})"),
            None => println!("Python's image: there is no /usr/bin/python3"),
        }
    }
    let kept = ratio <= MOST_RATIO && rate >= LEAST_RATE && python.is_none_or(|s| s <= MOST_SECONDS);
    assert!(kept || !has("--check"), "beyond what is promised");
}
