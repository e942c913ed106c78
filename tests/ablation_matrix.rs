//! Each attack with exactly one layer left out: the golden table of who holds what.
//!
//! What is tried here is compared with `tests/golden/ablation.txt`: a few layers,
//! which ones depends on the day, with the starred attacks and all that the table
//! says of them. `STOCKADE_ABLATION=all`, or names of layers, tries every attack, at
//! about half a minute a layer; with `STOCKADE_WRITE_DOCS=1` it writes the table anew.
#![cfg(feature = "ablation")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use common::{Caller, is_root, skip, stockade};
use serde_json::Value;
use stockade::Layer;
use stockade::escape::all;

/// How many layers a day.
const A_DAY: usize = 2;

fn golden_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ablation.txt")
}

/// Rows of the table: a mark for each layer.
type Table = BTreeMap<String, Vec<char>>;

fn golden() -> Table {
    let text = fs::read_to_string(golden_path()).unwrap();
    let rows = text.lines().skip(1).filter_map(|l| l.split_once(' '));
    rows.map(|(id, marks)| (id.to_owned(), marks.chars().collect())).collect()
}

fn tried() -> Vec<&'static str> {
    all().into_iter().filter(|a| a.not_applicable().is_none()).map(|a| a.id).collect()
}

/// What the table has for an outcome.
fn mark(attack: &Value) -> char {
    let (saw, control) = (attack["saw"].as_str().unwrap(), &attack["control"]);
    match attack["outcome"].as_str().unwrap() {
        "held" => '.',
        "leaked" => 'X',
        // An answer that a whole box never gives.
        _ if control["worked"] == true => 'o',
        // Where only the answer tells who refuses: it is the host itself.
        _ if control["saw"].as_str().unwrap().starts_with("the same without a box: ") => '=',
        _ if saw.starts_with("it did not end within") => 'T',
        _ if saw.contains("setup_failed") => '-',
        _ => '?',
    }
}

/// What becomes of these attacks without this layer.
fn without(layer: Option<Layer>, ids: &[&str]) -> BTreeMap<String, char> {
    // A pid namespace around it: what outlives a box ends with this.
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(stockade());
    command.args(["escape-check", "--format", "json", "--attack-time", "60s", "--only", &ids.join(",")]);
    command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", Caller::Root.home());
    if let Some(layer) = layer {
        command.env("STOCKADE_ABLATE", layer.name());
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    let value: Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("without {layer:?}: {e}: {}", String::from_utf8_lossy(&out.stderr)));
    let attacks = value["attacks"].as_array().unwrap();
    for attack in attacks.iter().filter(|a| !['.', 'X'].contains(&mark(a))) {
        let (id, saw) = (&attack["id"], &attack["saw"]);
        eprintln!("without {layer:?}: {} {id}: {saw}; control: {}", mark(attack), attack["control"]["saw"]);
    }
    attacks.iter().map(|a| (a["id"].as_str().unwrap().to_owned(), mark(a))).collect()
}

/// Which layers to leave out, and the attacks to try without each.
fn plan(table: &Table) -> Vec<(usize, Layer, Vec<&'static str>)> {
    let layers = || Layer::ALL.iter().copied().enumerate();
    let named = std::env::var("STOCKADE_ABLATION").unwrap_or_default();
    if named == "all" {
        return layers().map(|(n, layer)| (n, layer, tried())).collect();
    }
    if !named.is_empty() {
        let named: Vec<Layer> = named.split(',').map(|name| name.parse().unwrap()).collect();
        let chosen = layers().filter(|(_, layer)| named.contains(layer));
        return chosen.map(|(n, layer)| (n, layer, tried())).collect();
    }
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    let first = usize::try_from(day).unwrap() * A_DAY;
    let of_today = (first..first + A_DAY).map(|n| n % Layer::ALL.len());
    of_today
        .map(|n| {
            let star = |id: &str| all().iter().any(|a| a.id == id && a.star);
            let told = |id: &str| table.get(id).is_some_and(|marks| marks[n] != '.');
            (n, Layer::ALL[n], tried().into_iter().filter(|id| star(id) || told(id)).collect())
        })
        .collect()
}

fn write(table: &Table) {
    let names: Vec<&str> = Layer::ALL.iter().map(|l| l.name()).collect();
    let row = |id: &&str| format!("{id} {}\n", table[*id].iter().collect::<String>());
    let rows: String = tried().iter().map(row).collect();
    fs::write(golden_path(), format!("{}\n{rows}", names.join(" "))).unwrap();
}

#[test]
fn attack_with_one_layer_left_out_is_held_by_the_others_as_the_golden_table_says() {
    if !is_root() {
        return skip("the table is root's");
    }
    let golden = golden();
    let stars: Vec<&str> =
        all().iter().filter(|a| a.star && a.not_applicable().is_none()).map(|a| a.id).collect();
    let whole = without(None, &stars);
    assert!(whole.values().all(|mark| *mark == '.'), "with all layers: {whole:?}");

    let mut table = golden.clone();
    let mut other = Vec::new();
    for (n, layer, ids) in plan(&golden) {
        let marks = without(Some(layer), &ids);
        assert_eq!(marks.len(), ids.len(), "without {layer:?}");
        for (id, mark) in marks {
            let row = table.entry(id.clone()).or_insert_with(|| vec!['?'; Layer::ALL.len()]);
            if row[n] != mark {
                other.push(format!("{id} without {}: {mark}, not {}", layer.name(), row[n]));
                row[n] = mark;
            }
        }
        eprintln!("without {}: {} attacks", layer.name(), ids.len());
    }
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        eprintln!("{other:#?}");
        return write(&table);
    }
    assert!(other.is_empty(), "{other:#?}");
}
