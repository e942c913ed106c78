//! Everybody in turn.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, How};
use crate::place::at;

/// How many at a time, with what time between.
#[derive(Clone)]
pub struct Mode {
    pub side: usize,
    pub gap: Duration,
    pub rounds: usize,
}

/// Launches before any is counted: they fill stores and caches, and shelves of boxes.
const WARM_UP: usize = 4;

/// What takes longer than this has fewer turns, of fewer launches.
const SLOW: Duration = Duration::from_millis(12);

/// In a turn of those that are quick, back to back, for each that launches at one time.
const IN_A_ROW: usize = 3;

/// Who takes part, or why not.
pub struct Entrant {
    pub of: Contender,
    pub refused: Option<String>,
    slow: bool,
}

/// What one entrant took in one mode: microseconds each, and seconds in all.
#[derive(Default, Clone)]
pub struct Sample {
    pub took: Vec<f64>,
    pub busy: f64,
}

impl Sample {
    pub fn at(&self, part: f64) -> Option<f64> {
        (!self.took.is_empty()).then(|| at(self.took.clone(), part))
    }

    /// Launches a second.
    pub fn rate(&self) -> Option<f64> {
        (self.busy > 0.0).then(|| self.took.len() as f64 / self.busy)
    }
}

/// Whether it can run here at all, and how quickly.
pub fn try_first(of: Contender) -> Entrant {
    let launched: Result<Vec<Duration>, String> = std::thread::scope(|scope| {
        let tried = scope.spawn(|| {
            of.prepare_thread();
            (0..WARM_UP).map(|_| of.launch(0)).collect()
        });
        tried.join().unwrap()
    });
    // This project's own, and what is compared with, must run.
    let own =
        !matches!(of.how, How::Command(_)) || of.name.starts_with("stockade") || of.name == "bare spawn";
    match launched {
        Ok(took) => Entrant { slow: took.iter().min().is_some_and(|t| *t > SLOW), of, refused: None },
        Err(said) if own => panic!("{}: {said}", of.name),
        Err(said) => Entrant { of, refused: Some(said), slow: false },
    }
}

/// Each in turn, starting with another one each time.
pub fn measure(entrants: &[Entrant], mode: &Mode) -> Vec<Sample> {
    let mut samples = vec![Sample::default(); entrants.len()];
    for round in 0..mode.rounds {
        for turn in 0..entrants.len() {
            let place = (round + turn) % entrants.len();
            let entrant = &entrants[place];
            if entrant.refused.is_some() || (entrant.slow && round % 4 != 0) {
                continue;
            }
            std::thread::sleep(mode.gap);
            let in_a_row = if entrant.slow || !mode.gap.is_zero() { 1 } else { IN_A_ROW };
            let (took, busy) = at_once(&entrant.of, mode.side, in_a_row);
            samples[place].took.extend(took);
            samples[place].busy += busy;
        }
    }
    samples
}

/// So many threads that launch at one time.
fn at_once(contender: &Contender, side: usize, in_a_row: usize) -> (Vec<f64>, f64) {
    let ready = Barrier::new(side + 1);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..side)
            .map(|thread| {
                let ready = &ready;
                scope.spawn(move || {
                    contender.prepare_thread();
                    ready.wait();
                    let launch =
                        |_| contender.launch(thread).unwrap_or_else(|e| panic!("{}: {e}", contender.name));
                    (0..in_a_row).map(launch).map(|took| took.as_secs_f64() * 1e6).collect::<Vec<f64>>()
                })
            })
            .collect();
        ready.wait();
        let begin = Instant::now();
        let took = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
        (took, begin.elapsed().as_secs_f64())
    })
}
