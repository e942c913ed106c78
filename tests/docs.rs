//! The documents say what the code says.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use common::{Caller, held, payload, payload_of, run};
use serde_json::Value;
use stockade::report::evidence::{Evidence, Rule};
use stockade::report::verdict::{Decision, Verdict, exit_status};
use stockade::sandbox::order::{ORDER, Who};
use stockade::sys::process::Ended;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// Cells of the rows of all tables whose first column is headed like this.
fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        let Some(cells) = line.strip_prefix("| ").and_then(|l| l.strip_suffix(" |")) else {
            inside &= line.starts_with("|-");
            continue;
        };
        let cells: Vec<String> = cells.split(" | ").map(str::to_owned).collect();
        if cells[0] == head {
            inside = true;
        } else if inside {
            rows.push(cells);
        }
    }
    rows
}

#[test]
fn order_table_is_that_of_the_code() {
    let mut table = String::from("\n| # | who | step | call | why |\n|---|---|---|---|---|\n");
    for (number, line) in ORDER.iter().enumerate() {
        let who = match line.who {
            Who::Supervisor => "S",
            Who::Middle => "M",
            Who::Init => "I",
            Who::Payload => "P",
        };
        let call = line.call.replace('|', "\\|");
        table.push_str(&format!("| {} | {who} | {} | `{call}` | {} |\n", number + 1, line.name, line.why));
    }
    table.push('\n');
    held("docs/architecture.md", "<!-- order -->\n", "<!-- end of order -->", &table, "docs");
}

/// Every field of a report, by its path. Empty objects and lists count themselves.
fn fields(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        // Parts of policies.
        Value::Object(_) if at.ends_with(".extends") => {
            into.insert(at.to_owned());
        }
        Value::Array(_) if at.ends_with(".patch") => {
            into.insert(at.to_owned());
        }
        Value::Object(map) => {
            for (name, value) in map {
                let path = match at {
                    "" => name.clone(),
                    "layers" => format!("layers.{}", name),
                    _ => format!("{at}.{name}"),
                };
                fields(value, &path, into);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_object) => {
            list.iter().for_each(|value| fields(value, &format!("{at}[]"), into));
        }
        _ => {
            // What every layer has is written once.
            let common = ["status", "kernel.reason"].into_iter().find(|tail| {
                at.strip_prefix("layers.")
                    .is_some_and(|rest| rest.split_once('.').is_some_and(|(_, t)| t == *tail))
            });
            into.insert(common.map_or_else(|| at.to_owned(), |tail| format!("layers.*.{tail}")));
        }
    }
}

/// The types that the document names.
fn is_of_type(value: &Value, words: &str) -> bool {
    words.split(" or ").any(|word| match word {
        "string" => value.is_string(),
        "number" => value.is_u64(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "object" => value.is_object(),
        "list of objects" => value.as_array().is_some_and(|l| l.iter().all(Value::is_object)),
        "list of strings" => value.as_array().is_some_and(|l| l.iter().all(Value::is_string)),
        "list of 6 strings" => {
            value.as_array().is_some_and(|l| l.len() == 6 && l.iter().all(Value::is_string))
        }
        _ => panic!("unknown type {word}"),
    })
}

/// The value at a path; `[]` stands for the first element, `*` for any layer that has the rest.
fn value_at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    let Some((name, rest)) = path.split_once('.') else { return value.get(path) };
    if name == "*" {
        return value.as_object()?.values().find_map(|layer| value_at(layer, rest));
    }
    match name.strip_suffix("[]") {
        Some(name) => value_at(value.get(name)?.get(0)?, rest),
        None => value_at(value.get(name)?, rest),
    }
}

/// A policy with a work tree, and a directory of which a part is left out.
fn work_tree() -> (String, String) {
    let (policy, tree) = (common::work().join("documented.json"), common::work().join("documented"));
    let text = r#"{"version": 1, "name": "w", "comment": "c", "extends": "native", "paths+": [{"at": "/work",
        "from": "work", "size": "1MiB", "inodes": 9, "access": ["read"], "comment": "c"}]}"#;
    std::fs::write(&policy, text).unwrap();
    std::fs::create_dir(&tree).unwrap();
    nix::unistd::mkfifo(&tree.join("fifo"), nix::sys::stat::Mode::S_IRUSR).unwrap();
    [policy, tree].map(|path| path.to_str().unwrap().to_owned()).into()
}

#[test]
fn report_fields_are_all_documented_and_none_is_made_up() {
    let probe = payload("probe.c", &["-static", "-pthread"]);
    let caller = Caller::all()[0];
    let collects = payload_of(
        "collects",
        "#include <fcntl.h>\nint main(void) { return creat(\"/out/a\\tb\", 0644) < 0; }",
        &["-static"],
    );
    let (policy, tree) = work_tree();
    // With violations; with a layer that is degraded; with files that are left out; explained; ended by a signal; never started.
    let reports = [
        run(caller, &probe).args(["sibling"]).go().report,
        run(Caller::User, &probe).args(["exit", "3"]).go().report,
        run(caller, &collects)
            .options(["--out", "documented", "--policy", &policy, "--work", &tree])
            .go()
            .report,
        run(caller, &probe)
            .options(["--explain"])
            .args(["cat", "/etc/passwd", "/etc/hostname", "/no/such"])
            .go()
            .report,
        run(caller, &probe).args(["abort"]).go().report,
        run(caller, "/no/such/program").go().report,
    ];
    let (mut seen, mut with_nulls) = (BTreeSet::new(), BTreeSet::new());
    fields(&reports[0], "", &mut seen);
    fields(&reports[1], "", &mut seen);
    fields(&reports[2], "", &mut seen);
    fields(&reports[3], "", &mut seen);
    for report in &reports[4..] {
        fields(report, "", &mut with_nulls);
    }
    let documented: Vec<Vec<String>> = rows(&document("docs/report.md"), "field");
    let names: BTreeSet<String> = documented.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(documented.len(), names.len(), "a field is documented twice");
    assert!(names.len() > 80, "{}", names.len());
    // A list of objects that is empty shows no field of theirs.
    let empty_list = |name: &str| names.iter().any(|n| n.starts_with(&format!("{name}[].")));
    let missing: Vec<_> = seen.difference(&names).filter(|name| !empty_list(name)).collect();
    assert!(missing.is_empty(), "not in docs/report.md: {missing:?}");
    let made_up: Vec<_> = names.difference(&seen).collect();
    assert!(made_up.is_empty(), "in no report: {made_up:?}");
    // Where a run never began, whole parts are null, which the document says of them.
    let text = document("docs/report.md");
    for null in with_nulls.difference(&names).filter(|name| !empty_list(name)) {
        assert!(text.contains(&format!("`{null}` is null")), "{null}");
    }
    for row in &documented {
        let name = row[0].trim_matches('`');
        assert_eq!(row.len(), 3, "{row:?}");
        for value in reports[..5].iter().filter_map(|report| value_at(report, name)) {
            assert!(is_of_type(value, &row[1]), "{name} is {value}, not {}", row[1]);
        }
    }
}

#[test]
fn verdicts_are_documented_in_their_order_with_their_status() {
    let rows = rows(&document("docs/exit-status.md"), "verdict");
    let names: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let strongest_first: Vec<&str> = Verdict::ALL.iter().rev().map(|v| v.name()).collect();
    assert_eq!(names, strongest_first);
    for (verdict, row) in Verdict::ALL.iter().rev().zip(&rows) {
        let status = |ended| {
            let evidence = Evidence { ended: Some(ended), cancelled_by: Some(2), ..Evidence::none() };
            let decision = Decision {
                verdict: *verdict,
                rule: Rule::Ended,
                at_ns: 0,
                killed: false,
                reason: String::new(),
            };
            exit_status(&evidence, &decision)
        };
        let (ended, signaled) = (status(Ended::Exited(77)), status(Ended::Signaled(9)));
        let expected = match row[1].as_str() {
            "its own" => (77, 128 + 9),
            // By SIGINT, here.
            "128 + N" if *verdict == Verdict::Cancelled => (130, 130),
            "128 + N" => (77, 128 + 9),
            // That it is 0 is what makes it `ok`.
            "0" => (77, 128 + 9),
            number => (number.parse().unwrap(), number.parse().unwrap()),
        };
        assert_eq!((ended, signaled), expected, "{verdict}");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents: Vec<PathBuf> =
        fs::read_dir(root().join("docs")).unwrap().map(|e| e.unwrap().path()).collect();
    documents.extend(["README.md", "CHANGELOG.md", "policies/README.md"].map(|name| root().join(name)));
    let mut links = 0;
    for file in documents.iter().filter(|f| f.extension().is_some_and(|e| e == "md")) {
        let text = fs::read_to_string(file).unwrap();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let place = file.parent().unwrap().join(target);
            assert!(place.exists(), "{} links to {target}", file.display());
            links += 1;
        }
    }
    assert!(links >= 8, "{links}");
}

#[test]
fn feature_table_is_that_of_the_code() {
    let mut table = String::from("\n| id | feature | what is lost without it |\n|---|---|---|\n");
    for feature in stockade::doctor::FEATURES {
        table.push_str(&format!("| `{}` | {} | {} |\n", feature.id, feature.title, feature.without));
    }
    table.push('\n');
    held("docs/kernel-features.md", "<!-- features -->\n", "<!-- end of features -->", &table, "docs");
}

#[test]
fn fields_of_doctor_are_all_documented_and_none_is_made_up() {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["doctor", "--json"])
        .env("STOCKADE_STORE", common::work().join("doctor-store"))
        .output()
        .unwrap();
    let found: Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut seen = BTreeSet::new();
    fields(&found, "", &mut seen);
    let documented = rows(&document("docs/kernel-features.md"), "field");
    let names: BTreeSet<String> = documented.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(seen, names);
    for row in &documented {
        let name = row[0].trim_matches('`');
        let value = value_at(&found, name).unwrap_or_else(|| panic!("{name}"));
        assert!(is_of_type(value, &row[1]), "{name} is {value}, not {}", row[1]);
    }
}
