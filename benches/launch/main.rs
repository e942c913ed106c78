//! How long a launch takes: the same static program that does nothing, started bare,
//! in the floor (`floor.c`: what a box of these layers costs at least), by stockade in
//! each of its ways and by other sandboxes of Debian; one, two and four at a time,
//! back to back and spaced. All take turns, so that what else the machine does hits
//! all alike. Medians; nothing is subtracted.
//!
//! ```text
//! cargo bench --bench launch -- [--launches N] [--spaced N] [--gap MS] [--json] [--check]
//! ```
//!
//! The static release build is measured when there is one (`.ci/run release` makes
//! it), otherwise cargo's own. `--check` fails where a large process launches more
//! slowly than is promised. What cannot run here says in its row what it answered.
#![allow(clippy::print_stdout, reason = "the table is what it is for")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark may stop anywhere")]
#![allow(clippy::cast_precision_loss, reason = "numbers for people")]

#[path = "../place/mod.rs"]
mod place;

mod batch;
mod contenders;
mod host;
mod measure;
mod memory;
mod others;
mod table;

use std::time::Duration;

use measure::Mode;
use place::{Place, raise_descriptors, stockade};

/// What the command line says.
struct Options {
    launches: usize,
    spaced: usize,
    gap: Duration,
    json: bool,
    check: bool,
    /// Be the process that launches, of so many MiB.
    host: Option<usize>,
}

impl Options {
    fn parse() -> Self {
        let gap = Duration::from_millis(50);
        let mut options = Self { launches: 60, spaced: 20, gap, json: false, check: false, host: None };
        place::each_option(|word, number| {
            match word {
                "--launches" => options.launches = number().max(1),
                "--spaced" => options.spaced = number(),
                "--gap" => options.gap = Duration::from_millis(number() as u64),
                "--json" => options.json = true,
                "--check" => options.check = true,
                host::OPTION => options.host = Some(number()),
                _ => return false,
            }
            true
        });
        options
    }

    fn modes(&self) -> Vec<Mode> {
        let of = |rounds: usize, gap| {
            let sides = [(1, rounds), (2, rounds / 2), (4, rounds / 2)];
            sides.map(|(side, rounds)| Mode { side, gap, rounds })
        };
        let all = [of(self.launches, Duration::ZERO), of(self.spaced, self.gap)].concat();
        all.into_iter().filter(|mode| mode.rounds > 0).collect()
    }
}

fn main() {
    let options = Options::parse();
    raise_descriptors();
    if let Some(mib) = options.host {
        return host::launch_when_told(mib);
    }
    let place = Place::new();
    let (binary, fixed) = stockade();
    let contenders = contenders::all(&place, &binary);
    let contenders: Vec<_> = contenders.into_iter().map(measure::try_first).collect();
    let modes = options.modes();
    let samples: Vec<_> = modes.iter().map(|mode| measure::measure(&contenders, mode)).collect();
    let memory = memory::of_a_box(&place, &binary);
    let host = host::measure(&place, options.launches);
    if options.json {
        println!("{}", table::json(&contenders, &modes, &samples, &memory, &host, fixed));
    } else {
        table::print(&contenders, &modes, &samples, fixed);
        memory.print();
        host.print();
    }
    assert!(host.keeps_the_promise() || !options.check, "beyond what is promised");
}
