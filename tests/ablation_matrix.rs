//! Each attack with exactly one layer left out: the golden table of who holds what.
//!
//! The starred attacks are tried here and compared with `tests/golden/ablation.txt`;
//! `STOCKADE_ABLATION=all` tries every one, and `STOCKADE_WRITE_DOCS=1` writes the
//! table anew. It takes about half a minute a layer for all of them, so that it runs
//! only when asked for: `cargo test --features ablation --test ablation_matrix -- --ignored`.
#![cfg(feature = "ablation")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Caller, is_root, skip, stockade};
use serde_json::Value;
use stockade::Layer;
use stockade::escape::all;

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ablation.txt")
}

/// What becomes of these attacks without this layer: `.` held, `o` no effect but an answer that a
/// whole box never gives, `X` leaked, `?` not known.
fn without(layer: Option<Layer>, ids: &[&str]) -> BTreeMap<String, char> {
    // Without a pid namespace processes of a box may outlive it, and keep it from ever ending.
    if layer == Some(Layer::PidNs) {
        return ids.iter().flat_map(|id| check(layer, id, &["timeout", "--kill-after=2", "40"])).collect();
    }
    check(layer, &ids.join(","), &["nice", "-n", "0"])
}

fn check(layer: Option<Layer>, ids: &str, through: &[&str]) -> BTreeMap<String, char> {
    // A pid namespace around it: what outlives a box ends with this.
    let mut command = Command::new(through[0]);
    command.args(&through[1..]).args(["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]);
    command.arg(stockade()).args(["escape-check", "--format", "json", "--only", ids]).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("HOME", Caller::Root.home());
    if let Some(layer) = layer {
        command.env("STOCKADE_ABLATE", layer.name());
    }
    let out = command.stdin(Stdio::null()).output().unwrap();
    const TIMED_OUT: [i32; 2] = [124, 137];
    if out.status.code().is_some_and(|code| TIMED_OUT.contains(&code)) {
        return BTreeMap::from([(ids.to_owned(), 'X')]);
    }
    let value: Value = serde_json::from_slice(&out.stdout)
        .unwrap_or_else(|e| panic!("without {layer:?}: {e}: {}", String::from_utf8_lossy(&out.stderr)));
    let mark = |attack: &Value| match (attack["outcome"].as_str().unwrap(), &attack["control"]["worked"]) {
        ("held", _) => '.',
        ("leaked", _) => 'X',
        (_, Value::Bool(true)) => 'o',
        _ => '?',
    };
    let attacks = value["attacks"].as_array().unwrap().iter();
    attacks.map(|a| (a["id"].as_str().unwrap().to_owned(), mark(a))).collect()
}

/// Lines of the table: an id, and a mark for each layer.
fn table(ids: &[&str]) -> BTreeMap<String, String> {
    let mut rows: BTreeMap<String, String> = ids.iter().map(|id| ((*id).to_owned(), String::new())).collect();
    for layer in Layer::ALL {
        for (id, mark) in without(Some(*layer), ids) {
            rows.get_mut(&id).unwrap().push(mark);
        }
        eprintln!("without {}", layer.name());
    }
    rows
}

#[test]
#[ignore = "minutes: run it with --ignored after a change of the layers or of the attacks"]
fn attack_with_one_layer_left_out_is_held_by_the_others_as_the_golden_table_says() {
    if !is_root() {
        return skip("the table is root's");
    }
    let write = std::env::var_os("STOCKADE_WRITE_DOCS").is_some();
    let every = write || std::env::var_os("STOCKADE_ABLATION").is_some_and(|v| v == "all");
    let tried = all().into_iter().filter(|a| a.not_applicable().is_none());
    let ids: Vec<&str> = tried.filter(|a| every || a.star).map(|a| a.id).collect();

    let whole = without(None, &ids);
    assert!(whole.values().all(|mark| *mark == '.'), "with all layers: {whole:?}");
    let rows = table(&ids);
    if write {
        let names: Vec<&str> = Layer::ALL.iter().map(|l| l.name()).collect();
        let lines: Vec<String> = ids.iter().map(|id| format!("{id} {}", rows[*id])).collect();
        fs::write(golden(), format!("{}\n{}\n", names.join(" "), lines.join("\n"))).unwrap();
        return;
    }
    let text = fs::read_to_string(golden()).unwrap();
    let golden: BTreeMap<&str, &str> = text.lines().skip(1).filter_map(|l| l.split_once(' ')).collect();
    let other: Vec<String> = rows
        .iter()
        .filter(|(id, row)| golden.get(id.as_str()) != Some(&row.as_str()))
        .map(|(id, row)| format!("{id}: {row}, not {:?}", golden.get(id.as_str())))
        .collect();
    assert!(other.is_empty(), "{other:#?}");
}
