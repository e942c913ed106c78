//! What the golden table of the ablation says, and what the documents make of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::held;
use stockade::Layer;
use stockade::escape::all;

/// The rows of the golden table: an attack, and a mark for each layer.
fn golden() -> Vec<(String, Vec<char>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/ablation.txt");
    let text = fs::read_to_string(path).unwrap();
    let (head, rows) = text.split_once('\n').unwrap();
    let names: Vec<&str> = Layer::ALL.iter().map(|l| l.name()).collect();
    assert_eq!(head.split(' ').collect::<Vec<_>>(), names);
    let rows = rows.lines().map(|l| l.split_once(' ').unwrap());
    rows.map(|(id, marks)| (id.to_owned(), marks.chars().collect())).collect()
}

/// Layers without which an attack leaks.
fn alone(marks: &[char]) -> Vec<&'static str> {
    Layer::ALL.iter().zip(marks).filter(|(_, m)| **m == 'X').map(|(l, _)| l.name()).collect()
}

/// Heads of the columns, in the order of the layers.
const COLUMNS: [&str; 17] = [
    "usr", "mnt", "pid", "net", "ipc", "uts", "cgn", "root", "cap", "nnp", "ll", "sec", "cg", "rl", "fd",
    "key", "proc",
];

/// The golden table as a heat map that a web view of the tree shows.
fn heat_map() -> String {
    let golden = golden();
    assert_eq!(COLUMNS.len(), Layer::ALL.len());
    let mut out = String::from("\n| layer | column | attacks that it holds alone |\n|---|---|---|\n");
    for (layer, column) in Layer::ALL.iter().zip(COLUMNS) {
        let held = golden.iter().filter(|(_, marks)| alone(marks).contains(&layer.name()));
        let ids: Vec<&str> = held.map(|(id, _)| id.as_str()).collect();
        let list =
            if ids.is_empty() { "none".to_owned() } else { format!("{}: {}", ids.len(), ids.join(" ")) };
        out.push_str(&format!("| `{}` | {column} | {list} |\n", layer.name()));
    }
    let line = "---|".repeat(COLUMNS.len());
    out.push_str(&format!("\n| id | attack | {} |\n|---|---|{line}\n", COLUMNS.join(" | ")));
    for (id, marks) in &golden {
        let attack = all().into_iter().find(|a| a.id == id).unwrap();
        let cell = |mark: &char| match mark {
            '.' => "·",
            'o' => "🟨",
            'X' => "🟥",
            '=' => "⬜",
            other => panic!("{id}: {other}"),
        };
        let cells: Vec<&str> = marks.iter().map(cell).collect();
        let star = if attack.star { " ★" } else { "" };
        let vector = attack.vector.replace('|', "\\|");
        out.push_str(&format!("| {id}{star} | {vector} | {} |\n", cells.join(" | ")));
    }
    out.push('\n');
    out
}

/// What the table of a document has in its first two columns, where the first is an attack.
fn attacks_of(section: &str) -> Vec<(String, String)> {
    let rows = section.lines().filter_map(|l| l.strip_prefix("| ")).map(|l| l.split(" | "));
    rows.filter_map(|mut cells| Some((cells.next()?.to_owned(), cells.next()?.to_owned())))
        .filter(|(id, _)| all().iter().any(|a| a.id == id))
        .collect()
}

#[test]
fn security_page_explains_the_starred_attacks_that_one_layer_holds_alone_and_no_others() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("SECURITY.md");
    let text = fs::read_to_string(path).unwrap();
    let section = text.split_once("\n## Held by one layer alone\n").expect("the section").1;
    let section = section.split("\n## ").next().unwrap();
    let mut explained = attacks_of(section);
    let stars: BTreeSet<&str> = all().iter().filter(|a| a.star).map(|a| a.id).collect();
    let mut single: Vec<(String, String)> = golden()
        .iter()
        .filter(|(id, marks)| stars.contains(id.as_str()) && !alone(marks).is_empty())
        .map(|(id, marks)| {
            let names: Vec<String> = alone(marks).iter().map(|name| format!("`{name}`")).collect();
            (id.clone(), names.join(", "))
        })
        .collect();
    explained.sort();
    single.sort();
    assert_eq!(explained, single);
    for line in section.lines().filter(|l| l.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        assert!(cells.len() == 3 && cells.iter().all(|c| !c.is_empty()), "{line}");
    }
}

#[test]
fn golden_table_knows_something_of_every_attack_without_every_layer() {
    for (id, marks) in golden() {
        assert!(marks.iter().all(|m| ".oX=".contains(*m)), "{id}: {marks:?}");
    }
}

#[test]
fn heat_map_is_that_of_the_golden_table() {
    const BEGIN: &str = "<!-- heat map -->\n";
    const END: &str = "<!-- end of heat map -->";
    let tried: Vec<&str> = all().iter().filter(|a| a.not_applicable().is_none()).map(|a| a.id).collect();
    let golden = golden();
    assert_eq!(golden.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), tried);
    for (id, marks) in &golden {
        assert_eq!(marks.len(), Layer::ALL.len(), "{id}");
    }
    held("docs/ablation.md", BEGIN, END, &heat_map(), "escape_layers");
}
