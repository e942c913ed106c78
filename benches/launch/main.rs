//! How long a launch takes: the same static program that does nothing, started
//! bare, by `bwrap` and by stockade, one after the other in turn, so that what
//! else the machine does hits all alike. Nothing is subtracted.
//!
//! ```text
//! cargo bench --bench launch -- [--launches N] [--spaced N] [--gap MS] [--json]
//! ```
//!
//! The static release build is measured when there is one (`.ci/run release`
//! makes it), otherwise cargo's own.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark may stop anywhere")]

mod place;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use place::{Place, stockade};

/// Somebody who owns nothing.
const USER: u32 = 64_242;

/// Launches before any is counted: they fill the store and the caches.
const WARM_UP: usize = 5;

/// What the command line says.
struct Options {
    launches: usize,
    spaced: usize,
    gap: Duration,
    json: bool,
}

impl Options {
    fn parse() -> Self {
        let mut options = Self { launches: 200, spaced: 60, gap: Duration::from_millis(50), json: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut number = || -> usize {
                let value = words.next().unwrap_or_default();
                value.parse().unwrap_or_else(|_| panic!("{word} takes a number, not '{value}'"))
            };
            match word.as_str() {
                "--launches" => options.launches = number().max(1),
                "--spaced" => options.spaced = number(),
                "--gap" => options.gap = Duration::from_millis(number() as u64),
                "--json" => options.json = true,
                // Cargo says so to every benchmark.
                "--bench" => {}
                other => panic!("unknown option '{other}'"),
            }
        }
        options
    }
}

/// One way to start the program.
struct Contender {
    name: &'static str,
    /// What it is compared with.
    bwrap: Option<&'static str>,
    words: Vec<String>,
    home: PathBuf,
    user: bool,
}

impl Contender {
    fn launch(&self) -> Duration {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]).env_clear().env("STOCKADE_STORE", self.home.join("store"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).current_dir("/");
        if self.user {
            command.uid(USER).gid(USER);
        }
        let begin = Instant::now();
        let output = command.spawn().and_then(std::process::Child::wait_with_output).unwrap();
        let took = begin.elapsed();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {} {said}", self.name, output.status);
        took
    }
}

impl Place {
    fn home(&self, user: bool) -> PathBuf {
        let home = self.path(if user { "user" } else { "caller" });
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            if user {
                std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
            }
        }
        home
    }

    /// The program that does nothing.
    fn program(&self) -> String {
        let (source, program) = (self.path("nothing.c"), self.path("nothing"));
        fs::write(&source, "int main(void) { return 0; }\n").unwrap();
        let made = Command::new("gcc").args(["-O2", "-static", "-o"]).args([&program, &source]).status();
        assert!(made.expect("gcc is needed").success());
        program.display().to_string()
    }
}

fn contenders(place: &Place, stockade: &Path) -> Vec<Contender> {
    let program = place.program();
    let copy = place.path("stockade");
    fs::copy(stockade, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let copy = copy.display().to_string();
    let root = nix::unistd::geteuid().is_root();
    let mut all = Vec::new();
    let mut add = |name, bwrap, user: bool, words: &[&str]| {
        let words = words.iter().map(|w| (*w).to_owned()).collect();
        all.push(Contender { name, bwrap, words, home: place.home(user && root), user: user && root });
    };
    let bwrap = ["bwrap", "--unshare-all", "--ro-bind", &program, "/p", "--", "/p"];
    let has_bwrap = Command::new("bwrap").arg("--version").stdout(Stdio::null()).status().is_ok();
    add("bare", None, false, &[&program]);
    for user in if root { &[false, true][..] } else { &[true] } {
        let (theirs, plain, report) = if *user {
            ("bwrap, user", "stockade, user", "stockade, user, --report")
        } else {
            ("bwrap, root", "stockade, root", "stockade, root, --report")
        };
        let compared = has_bwrap.then_some(theirs);
        if has_bwrap {
            add(theirs, compared, *user, &bwrap);
        }
        let file = place.home(*user && root).join("report.json").display().to_string();
        let degrade: &[&str] = if *user { &["--degrade", "cgroup"] } else { &[] };
        let run = [&[copy.as_str(), "run"], degrade].concat();
        add(plain, compared, *user, &[&run[..], &["--", &program]].concat());
        add(report, compared, *user, &[&run[..], &["--report", &file, "--", &program]].concat());
    }
    all
}

/// What one contender took, sorted.
struct Sample<'a> {
    of: &'a Contender,
    took: Vec<Duration>,
}

impl Sample<'_> {
    fn at(&self, part: f64) -> f64 {
        // A place in a list of at most some thousands.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let place = ((self.took.len() - 1) as f64 * part).round() as usize;
        self.took[place].as_secs_f64() * 1e6
    }
}

/// Every contender in turn, starting with another one each time.
fn measure<'a>(contenders: &'a [Contender], launches: usize, gap: Duration) -> Vec<Sample<'a>> {
    let mut samples: Vec<Sample<'_>> =
        contenders.iter().map(|of| Sample { of, took: Vec::with_capacity(launches) }).collect();
    for round in 0..launches {
        for turn in 0..samples.len() {
            let place = (round + turn) % contenders.len();
            std::thread::sleep(gap);
            let took = samples[place].of.launch();
            samples[place].took.push(took);
        }
    }
    samples.iter_mut().for_each(|sample| sample.took.sort_unstable());
    samples
}

fn times_bwrap(samples: &[Sample<'_>], sample: &Sample<'_>) -> Option<f64> {
    let bwrap = samples.iter().find(|s| Some(s.of.name) == sample.of.bwrap)?;
    Some(sample.at(0.5) / bwrap.at(0.5))
}

fn table(samples: &[Sample<'_>], gap: Duration) {
    let how = if gap.is_zero() { "back to back".to_owned() } else { format!("{} ms apart", gap.as_millis()) };
    let launches = samples[0].took.len();
    println!(
        "\n{:<26} {:>9} {:>9} {:>9}   × bwrap",
        format!("{how}, {launches} each"),
        "median",
        "p95",
        "least"
    );
    for sample in samples {
        let times = times_bwrap(samples, sample).map_or_else(String::new, |t| format!("{t:.2}"));
        let [median, p95, least] = [0.5, 0.95, 0.0].map(|part| format!("{:.0} µs", sample.at(part)));
        println!("{:<26} {median:>9} {p95:>9} {least:>9}   {times:>7}", sample.of.name);
    }
}

fn json(samples: &[Sample<'_>], gap: Duration) -> serde_json::Value {
    let rows: Vec<_> = samples
        .iter()
        .map(|s| {
            serde_json::json!({
                "name": s.of.name, "median_us": s.at(0.5), "p95_us": s.at(0.95), "least_us": s.at(0.0),
                "times_bwrap": times_bwrap(samples, s),
            })
        })
        .collect();
    serde_json::json!({ "gap_ms": gap.as_secs_f64() * 1e3, "launches": samples[0].took.len(), "rows": rows })
}

fn main() {
    let options = Options::parse();
    let place = Place::new();
    let (binary, fixed) = stockade();
    let contenders = contenders(&place, &binary);
    for contender in &contenders {
        for _ in 0..WARM_UP {
            contender.launch();
        }
    }
    let plans = [(options.launches, Duration::ZERO), (options.spaced, options.gap)];
    let runs: Vec<_> = plans
        .into_iter()
        .filter(|(launches, _)| *launches > 0)
        .map(|(launches, gap)| (measure(&contenders, launches, gap), gap))
        .collect();
    if options.json {
        let modes: Vec<_> = runs.iter().map(|(samples, gap)| json(samples, *gap)).collect();
        println!("{}", serde_json::json!({ "static": fixed, "modes": modes }));
        return;
    }
    println!(
        "a static program that does nothing, started by the {} build",
        if fixed { "static" } else { "dynamic" }
    );
    runs.iter().for_each(|(samples, gap)| table(samples, *gap));
}
