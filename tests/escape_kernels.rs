//! What the escape check came to on other kernels: the golden rows, which `.ci/kernels/run --full` measures, and
//! the document that shows them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use common::held;
use stockade::escape::all;

#[test]
fn document_has_the_numbers_of_the_other_kernels() {
    const BEGIN: &str = "<!-- kernels -->\n";
    const END: &str = "<!-- end of kernels -->";
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let rows = fs::read_to_string(root.join("tests/golden/kernels.txt")).unwrap();
    let mut as_they_are = BTreeSet::new();
    for row in rows.lines() {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [kernel, caller, host, held, leaked, unknown, ids] = cells[..] else { panic!("{row}") };
        if held == "refused" {
            assert_eq!((leaked, unknown, ids), ("", "", ""), "{row}");
            continue;
        }
        assert_eq!(leaked, "0", "{row}");
        let least = if host == "as it is" { 170 } else { 40 };
        assert!(held.parse::<usize>().unwrap() >= least, "{row}");
        let ids: Vec<&str> = ids.split_whitespace().collect();
        assert_eq!(unknown, ids.len().to_string(), "{row}");
        assert!(ids.iter().all(|id| all().iter().any(|a| a.id == *id)), "{row}");
        if host == "as it is" {
            as_they_are.insert((kernel, caller));
        }
    }
    for kernel in ["6.1", "6.12"] {
        assert!(["root", "user"].iter().all(|caller| as_they_are.contains(&(kernel, *caller))), "{kernel}");
    }
    let head =
        "\n| kernel | caller | host | held | leaked | inconclusive | which |\n|--|--|--|--|--|--|--|\n";
    let table = format!("{head}{rows}\n");
    held("docs/escape-check.md", BEGIN, END, &table, "escape_kernels");
}
