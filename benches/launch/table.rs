//! What came of it, for people and for programs.

use serde_json::{Value, json};

use crate::host::Host;
use crate::measure::{Entrant, Mode, Sample};
use crate::memory::Memory;

/// The median of a row of this name, in that mode.
fn median_of(entrants: &[Entrant], samples: &[Sample], name: &str) -> Option<f64> {
    samples[entrants.iter().position(|e| e.of.name == name)?].at(0.5)
}

/// Times the bare spawn and the two floors.
fn ratios(entrants: &[Entrant], samples: &[Sample], row: usize) -> [Option<f64>; 3] {
    ["bare spawn", "floor", "whole floor"].map(|name| {
        let compared = median_of(entrants, samples, name)?;
        Some(samples[row].at(0.5)? / compared)
    })
}

fn title(mode: &Mode) -> String {
    match (mode.side, mode.gap.as_millis()) {
        (side, 0) => format!("{side} at a time"),
        (1, gap) => format!("{gap} ms apart"),
        (side, gap) => format!("{side}, {gap} ms apart"),
    }
}

fn cell(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(String::new, |value| format!("{value:.digits$}"))
}

pub fn print(entrants: &[Entrant], modes: &[Mode], samples: &[Vec<Sample>], fixed: bool) {
    println!(
        "a static program that does nothing, started by the {} build",
        if fixed { "static" } else { "dynamic" }
    );
    println!(
        "medians in ms, back to back where nothing else is said; × bare spawn, × floor, × whole floor; launches a second\n"
    );
    let widths = modes
        .iter()
        .map(|mode| if mode.gap.is_zero() { (mode.side == 1, true) } else { (mode.side == 1, false) });
    let widths: Vec<(bool, bool)> = widths.collect();
    let mut head = format!("{:<28}", "");
    let mut below = format!("{:<28}", "");
    for (mode, (ratios, rate)) in modes.iter().zip(&widths) {
        let columns = format!(
            "{}{}{}",
            " ms    ",
            if *ratios { " × bare × floor × whole" } else { "" },
            if *rate { "    /s" } else { "" }
        );
        let width = columns.chars().count() + 2;
        head.push_str(&format!("| {:<w$}", title(mode), w = width - 2));
        below.push_str(&format!("| {columns:<w$}", w = width - 2));
    }
    println!("{head}\n{below}");
    for (row, entrant) in entrants.iter().enumerate() {
        if let Some(said) = &entrant.refused {
            println!("{:<28}| does not run here: {said}", entrant.of.name);
            continue;
        }
        let mut line = format!("{:<28}", entrant.of.name);
        for (samples, (with_ratios, rate)) in samples.iter().zip(&widths) {
            let sample = &samples[row];
            line.push_str(&format!("|{:>7} ", cell(sample.at(0.5).map(|us| us / 1e3), 2)));
            if *with_ratios {
                let [bare, floor, whole] = ratios(entrants, samples, row);
                line.push_str(&format!("{:>7}{:>8}{:>8}", cell(bare, 1), cell(floor, 2), cell(whole, 2)));
            }
            if *rate {
                line.push_str(&format!("{:>6}", cell(sample.rate(), 0)));
            }
        }
        println!("{line}");
    }
}

pub fn json(
    entrants: &[Entrant],
    modes: &[Mode],
    samples: &[Vec<Sample>],
    memory: &Memory,
    host: &Host,
    fixed: bool,
) -> Value {
    let row = |row: usize| {
        let modes = modes.iter().zip(samples).filter(|(_, samples)| !samples[row].took.is_empty());
        let modes: Vec<Value> = modes
            .map(|(mode, samples)| {
                let [bare, floor, whole] = ratios(entrants, samples, row);
                let sample = &samples[row];
                json!({
                    "at_a_time": mode.side, "gap_ms": mode.gap.as_secs_f64() * 1e3, "launches": sample.took.len(),
                    "median_us": sample.at(0.5), "p95_us": sample.at(0.95), "least_us": sample.at(0.0),
                    "per_second": sample.rate().filter(|_| mode.gap.is_zero()),
                    "times_bare": bare, "times_floor": floor, "times_whole_floor": whole,
                })
            })
            .collect();
        let entrant = &entrants[row];
        json!({ "name": entrant.of.name, "does_not_run": entrant.refused, "modes": modes })
    };
    let rows: Vec<Value> = (0..entrants.len()).map(row).collect();
    json!({ "static": fixed, "rows": rows, "memory": memory.json(), "host": host.json() })
}
