//! The schema and the reader agree: what is wrong in shape both refuse, and what
//! the reader takes the schema takes.
//!
//! After a change of the tables: `STOCKADE_BLESS=1 cargo test --test policy_schema`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod policy_support;
mod schema_support;

use std::fs;
use std::path::{Path, PathBuf};

use policy_support::{collect, policy};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use schema_support::problems;
use serde_json::{Value, json};
use stockade::policy::{builtin_names, builtin_text, check, schema};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files(directory: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(directory)).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = entries.filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    files
}

fn refused(value: &Value) -> bool {
    !problems(&schema::schema(), value).is_empty()
}

#[test]
fn schema_that_ships_is_the_one_of_the_tables() {
    let file = root().join("policies/schema.json");
    if std::env::var_os("STOCKADE_BLESS").is_some() {
        fs::write(&file, schema::text()).unwrap();
    }
    assert_eq!(fs::read_to_string(&file).unwrap_or_default(), schema::text());
}

#[test]
fn good_policies_are_good_to_the_schema() {
    let mut texts: Vec<(String, String)> = files("tests/policies/good")
        .iter()
        .map(|f| (f.display().to_string(), fs::read_to_string(f).unwrap()))
        .collect();
    texts.extend(builtin_names().map(|n| (n.to_owned(), builtin_text(n).unwrap().to_owned())));
    for (name, text) in &texts.clone() {
        if let Ok(Some(policy)) = check(name, text.as_bytes()) {
            texts.push((format!("{name}, resolved"), policy.to_json()));
        }
    }
    assert!(texts.len() >= 20);
    for (name, text) in texts {
        let value = serde_json::from_str(&text).unwrap();
        assert_eq!(problems(&schema::schema(), &value), [""; 0], "{name}");
    }
}

/// Broken policies of which the schema sees nothing, and why not.
const BEYOND_THE_SCHEMA: &[(&str, &[&str])] = &[
    (
        "a field that is given twice: most readers of JSON keep the last",
        &["duplicate_key", "duplicate_key_nested", "duplicate_variable"],
    ),
    ("a whole number written with a fraction: `1.0`", &["version_is_a_fraction"]),
    (
        "what rules say about each other, and about `exec` and the launcher",
        &[
            "call_allowed_and_violation",
            "call_in_two_rules",
            "exec_without_execve",
            "execve_violation",
            "execve_without_exec",
        ],
    ),
    (
        "what must be true of a call before a policy may allow it",
        &["nameless_program", "never_allowed", "set_id_bits", "socket_families", "socket_forbidden_family"],
    ),
    (
        "what the argument of that call is, how wide, and which constants it takes",
        &[
            "condition_foreign_constant",
            "condition_impossible",
            "condition_of_two_widths",
            "condition_unknown_constant",
        ],
    ),
    (
        "what the words of `command` and `argv0` mean",
        &[
            "command_given",
            "command_payload_not_executable",
            "command_placeholder_inside",
            "command_relative_program",
            "command_starts_with_args",
            "command_twice",
            "command_unknown_placeholder",
            "command_without_payload",
        ],
    ),
    (
        "what the extended policy has already, or lacks",
        &[
            "extends_call_collision",
            "extends_path_collision",
            "extends_violation_collision",
            "half_runnable",
            "not_runnable",
        ],
    ),
    (
        "where paths, `payload` and `cwd` lie to each other",
        &[
            "cwd_missing_directory",
            "path_nested",
            "path_two_of_a_kind",
            "payload_elsewhere",
            "payload_is_the_directory",
            "payload_too_deep",
        ],
    ),
];

#[test]
fn broken_policies_are_broken_to_the_schema_but_for_what_it_cannot_say() {
    let beyond: Vec<&str> = BEYOND_THE_SCHEMA.iter().flat_map(|b| b.1).copied().collect();
    let (mut seen, mut passed) = (0, Vec::new());
    for file in files("tests/policies/broken") {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        // What is not JSON has no value to look at.
        let Ok(value) = serde_json::from_slice::<Value>(&fs::read(&file).unwrap()) else { continue };
        if refused(&value) {
            seen += 1;
            assert!(!beyond.contains(&name.as_str()), "the schema refuses {name} after all");
        } else {
            passed.push(name);
        }
    }
    passed.retain(|name| !beyond.contains(&name.as_str()));
    assert_eq!(passed, [""; 0]);
    assert!(seen >= 60, "only {seen} broken policies are broken in shape");
    let names: Vec<String> = files("tests/policies/broken")
        .iter()
        .map(|f| f.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    for name in beyond {
        assert!(names.iter().any(|n| n == name), "there is no broken policy {name}");
    }
}

/// Every reason for which the schema takes what the reader refuses is told to the reader of the documents.
#[test]
fn limits_of_the_schema_are_documented() {
    let document = fs::read_to_string(root().join("docs/policy.md")).unwrap();
    for (why, _) in BEYOND_THE_SCHEMA {
        assert!(document.contains(&format!("- {why}")), "docs/policy.md does not say: {why}");
    }
}

/// Texts of which both must think the same.
fn valid() -> impl Strategy<Value = Value> {
    let mut texts: Vec<String> = builtin_names().filter_map(builtin_text).map(str::to_owned).collect();
    texts.extend(files("tests/policies/good").iter().map(|f| fs::read_to_string(f).unwrap()));
    let random = policy().prop_map(|p| p.to_json());
    prop_oneof![select(texts), random].prop_map(|text| serde_json::from_str(&text).unwrap())
}

fn taken(value: &Value) -> bool {
    check("p.json", value.to_string().as_bytes()).is_ok()
}

/// Pointers to everything that is an object with fixed fields.
fn objects(value: &Value) -> Vec<String> {
    let mut pointers = vec![String::new()];
    collect(value, String::new(), &mut pointers);
    pointers.retain(|p| p != "/env" && value.pointer(p).is_some_and(Value::is_object));
    pointers
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn value_of_another_type_is_refused_by_both(value in valid(), at in any::<Index>(), with in select(vec![
        Value::Null, json!(true), json!(1.5), json!([[]]), json!({ "no": "thing" }),
    ])) {
        let mut value = value;
        let mut pointers = Vec::new();
        collect(&value, String::new(), &mut pointers);
        let pointer = at.get(&pointers).clone();
        let old = value.pointer(&pointer).unwrap().clone();
        // Of the same type it might be as good; a variable may have any name.
        let same = std::mem::discriminant(&old) == std::mem::discriminant(&with);
        prop_assume!(!same && pointer != "/env");
        *value.pointer_mut(&pointer).unwrap() = with;
        prop_assert!(!taken(&value), "the reader takes {} at {}", value.pointer(&pointer).unwrap(), pointer);
        prop_assert!(refused(&value), "the schema takes {} at {}", value.pointer(&pointer).unwrap(), pointer);
    }

    #[test]
    fn unknown_field_is_refused_by_both(value in valid(), at in any::<Index>(), name in "[a-z]{1,3}x") {
        let mut value = value;
        let pointer = at.get(&objects(&value)).clone();
        value.pointer_mut(&pointer).unwrap().as_object_mut().unwrap().insert(name, json!("read"));
        prop_assert!(!taken(&value) && refused(&value), "{pointer}");
    }

    #[test]
    fn field_left_out_is_refused_by_the_schema_only_if_by_the_reader(value in valid(), at in any::<Index>()) {
        let mut value = value;
        let pointer = at.get(&objects(&value)).clone();
        let object = value.pointer_mut(&pointer).unwrap().as_object_mut().unwrap();
        prop_assume!(!object.is_empty());
        let field = at.get(&object.keys().cloned().collect::<Vec<_>>()).clone();
        object.remove(&field);
        prop_assert!(!refused(&value) || !taken(&value), "{pointer} without {field}");
        // What every policy says itself, and every rule.
        let needed = ["version", "name", "calls", "arg", "at", "from", "access", "as", "closure", "mode", "min_abi"];
        let comment = field == "comment" && (pointer.is_empty() || pointer.contains("/allow/") || pointer.contains("paths"));
        // `comment` on a condition or on a small object is not there to begin with.
        if needed.contains(&field.as_str()) || comment {
            prop_assert!(!taken(&value) && refused(&value), "{pointer} without {field}");
        }
    }

    #[test]
    fn word_that_is_not_known_is_refused_by_both(value in valid(), at in any::<Index>()) {
        let mut value = value;
        let mut pointers = Vec::new();
        collect(&value, String::new(), &mut pointers);
        let closed = ["/wx", "/exec", "/mode", "/from", "/otherwise", "/on_violation", "/on_output", "/closure", "/extends"];
        pointers.retain(|p| closed.iter().any(|c| p.ends_with(c)) || p.contains("/calls/") || p.contains("/access/"));
        let pointer = at.get(&pointers).clone();
        *value.pointer_mut(&pointer).unwrap() = json!("nothing");
        prop_assert!(!taken(&value) && refused(&value), "{pointer}");
    }

    #[test]
    fn whatever_the_reader_takes_the_schema_takes(value in valid(), at in any::<Index>(), with in select(vec![
        json!(0), json!(1), json!(-1), json!(4096), json!("x"), json!("0"), json!("/"), json!("/box"), json!("/a/.b/..c"),
        json!("1.5MiB"), json!("10ms"), json!("kill"), json!("O_RDONLY | 0x10"), json!("read"), json!([]), json!({}),
    ])) {
        let mut value = value;
        let mut pointers = Vec::new();
        collect(&value, String::new(), &mut pointers);
        let pointer = at.get(&pointers).clone();
        *value.pointer_mut(&pointer).unwrap() = with;
        if taken(&value) {
            prop_assert_eq!(problems(&schema::schema(), &value), Vec::<String>::new());
        }
    }
}
