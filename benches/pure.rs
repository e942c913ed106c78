//! What the parts cost that only compute: nothing here starts a process.
//!
//! ```text
//! cargo bench --bench pure [-- [--json]]
//! ```
//!
//! Not with criterion: it would bring 35 packages to a tree of 95, and every build of
//! a test would wait for them. What is wanted here is a median and how far it spreads.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark may stop anywhere")]
#![allow(clippy::cast_precision_loss, reason = "numbers for people")]

mod place;

use std::fs::File;
use std::hint::black_box;
use std::time::{Duration, Instant};

use place::{Place, at};
use serde_json::{Value, json};
use stockade::image::closure::{self, Request};
use stockade::image::elf;
use stockade::image::store::Store;
use stockade::policy::{builtin_text, load_builtin, parse};
use stockade::sandbox::seccomp::{Rules, compile, prebuilt, prove, table};
use stockade::sandbox::{Pool, Sandbox, StoreChoice};

/// Measurements of each part, and how long one of them takes at the least.
const SAMPLES: usize = 40;
const AT_LEAST: Duration = Duration::from_millis(2);

/// What a part took.
struct Row {
    name: String,
    median_us: f64,
    p95_us: f64,
}

/// As often in a row as the clock needs to tell, and that many times.
fn measure<T>(name: &str, mut part: impl FnMut() -> T) -> Row {
    let mut repeated = |times: u32| {
        let begin = Instant::now();
        (0..times).for_each(|_| drop(black_box(part())));
        begin.elapsed()
    };
    let mut times = 1;
    while repeated(times) < AT_LEAST {
        times *= 2;
    }
    let us: Vec<f64> = (0..SAMPLES).map(|_| repeated(times).as_secs_f64() * 1e6 / f64::from(times)).collect();
    Row { name: name.to_owned(), median_us: at(us.clone(), 0.5), p95_us: at(us, 0.95) }
}

fn policies(rows: &mut Vec<Row>) {
    for name in ["native", "python"] {
        let text = builtin_text(name).unwrap().as_bytes();
        rows.push(measure(&format!("parse and extend {name}"), || parse(name, text).unwrap()));
        let policy = load_builtin(name).unwrap();
        let rules = Rules::of(&policy, &table);
        rows.push(measure(&format!("lower and compile {name}'s filters"), || compile(&rules).unwrap()));
        rows.push(measure(&format!("find {name}'s filters, made at build time"), || {
            prebuilt(&policy).expect("a policy that ships")
        }));
    }
    let native = load_builtin("native").unwrap();
    let rules = Rules::of(&native, &table);
    let compiled = compile(&rules).unwrap();
    rows.push(measure("prove native's filters", || prove(&compiled, &rules).unwrap()));
}

/// Of a real run: what a report has in it is not for a benchmark to say.
fn reports(rows: &mut Vec<Row>, place: &Place) {
    let pool = Pool::new(1).unwrap();
    let job = Sandbox::builder(load_builtin("native").unwrap(), place.nothing());
    let job = job.store(StoreChoice::At(place.path("store")));
    let job = if nix::unistd::geteuid().is_root() { job } else { job.degrade(stockade::Layer::Cgroup) };
    let report = pool.run(job).unwrap().report;
    rows.push(measure("print a report as JSON", || serde_json::to_vec(&report).unwrap()));
}

fn programs(rows: &mut Vec<Row>, place: &Place) {
    let store = Store::open(&place.path("closures")).unwrap();
    for (name, path) in [("a static program", place.nothing()), ("/usr/bin/sort", "/usr/bin/sort".into())] {
        let file = File::open(&path).unwrap();
        rows.push(measure(&format!("read the ELF of {name}"), || elf::inspect(&file).unwrap()));
        let dirs = ["/box", "/dev", "/proc", "/tmp"];
        let request = Request {
            payload: &file,
            mount_dirs: &dirs,
            mount_files: &[],
            uid: 1000,
            gid: 1000,
            loopback: false,
        };
        rows.push(measure(&format!("closure of {name}, known"), || {
            closure::closure(Some(&store), &request).unwrap()
        }));
    }
}

fn main() {
    let as_json = std::env::args().any(|word| word == "--json");
    let place = Place::new();
    let mut rows = Vec::new();
    policies(&mut rows);
    programs(&mut rows, &place);
    reports(&mut rows, &place);
    if as_json {
        let row = |r: &Row| json!({ "name": r.name, "median_us": r.median_us, "p95_us": r.p95_us });
        println!("{}", json!({ "rows": rows.iter().map(row).collect::<Vec<Value>>() }));
        return;
    }
    println!("{:<44} {:>10} {:>10}", "", "median", "p95");
    for Row { name, median_us, p95_us } in rows {
        println!("{name:<44} {median_us:>7.1} µs {p95_us:>7.1} µs");
    }
}
