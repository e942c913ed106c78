//! `docs/policy.md` and the schema say the same.
//!
//! After a change of the schema: `STOCKADE_BLESS=1 cargo test --test policy_document`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod schema_support;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use schema_support::problems;
use serde_json::Value;
use stockade::policy::{builtin_names, check, is_ceiling, lint, schema};

/// What a field may hold, in a few words.
fn values(root: &Value, schema: &Value) -> String {
    let list = |values: &Value| {
        let words: Vec<String> = values.as_array().unwrap().iter().map(|v| format!("`{v}`")).collect();
        if words.len() > 20 { format!("one of {} words", words.len()) } else { words.join(", ") }
    };
    if let Some(reference) = schema["$ref"].as_str() {
        return match reference.rsplit('/').next().unwrap() {
            "comment" => "text".to_owned(),
            "path" => "an absolute path".to_owned(),
            "duration" => "a duration: `\"250ms\"`".to_owned(),
            "size" => "a size: `\"64MiB\"`".to_owned(),
            "word" => "a word".to_owned(),
            "id" => "1 to 4294967294".to_owned(),
            "value" => "a value".to_owned(),
            "calls" => "names of calls".to_owned(),
            _ => values(root, root.pointer(reference.trim_start_matches('#')).unwrap()),
        };
    }
    match schema {
        s if s["const"].is_u64() => format!("`{}`", s["const"]),
        s if s["enum"].is_array() => list(&s["enum"]),
        s if s["anyOf"].is_array() => {
            let any = s["anyOf"].as_array().unwrap();
            any.iter()
                .map(|s| if s["const"].is_string() { format!("`{}`", s["const"]) } else { values(root, s) })
                .collect::<Vec<_>>()
                .join(" or ")
        }
        s if s["type"] == "integer" => format!("{} to {}", s["minimum"], s["maximum"]),
        s if s["type"] == "array" && s["items"]["enum"].is_array() => {
            format!("a list of {}", list(&s["items"]["enum"]))
        }
        s if s["type"] == "array" => "a list".to_owned(),
        s if s["type"] == "boolean" => "`true`, `false`".to_owned(),
        s if s["type"] == "object" => "an object".to_owned(),
        _ => "text".to_owned(),
    }
}

/// One table: the fields of an object.
fn table(root: &Value, title: &str, object: &Value, out: &mut String) {
    let required: Vec<&str> =
        object["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    writeln!(out, "\n### {title}\n\n| field | value | meaning |\n|---|---|---|").unwrap();
    // One of several shapes: the fields of all of them.
    let shapes = match &object["properties"] {
        Value::Null => object["oneOf"].as_array().unwrap().iter().collect(),
        _ => vec![object],
    };
    let fields: std::collections::BTreeMap<&String, &Value> =
        shapes.iter().flat_map(|shape| shape["properties"].as_object().unwrap()).collect();
    for (name, schema) in fields {
        let needed = if required.contains(&name.as_str()) { "" } else { " (optional)" };
        let description = schema["description"].as_str().unwrap_or("");
        let values = values(root, schema).replace('|', "\\|");
        let optional = if title == "A policy" { "" } else { needed };
        writeln!(out, "| `{name}`{optional} | {values} | {description} |").unwrap();
    }
}

fn tables() -> String {
    let root = schema::schema();
    let property = |name: &str| root["properties"][name].clone();
    let definition = |name: &str| root["$defs"][name].clone();
    let mut out = String::from(
        "\nEvery policy has `version`, `name` and `comment`. One that extends nothing has all the others as well, but \
         for\n`argv0`, `env`, `degrade` and `ceiling`, which may be left out; without `image`, `payload` and `command` it is only there to be extended.\n",
    );
    table(&root, "A policy", &root, &mut out);
    for name in ["image", "payload", "user", "network", "landlock", "syscalls", "limits", "ceiling"] {
        table(&root, &format!("`{name}`"), &property(name), &mut out);
    }
    table(&root, "An entry of `paths` and `paths+`", &definition("path_entry"), &mut out);
    table(&root, "A rule of `allow`", &definition("allow_rule"), &mut out);
    table(&root, "A rule of `violations`", &definition("violation_rule"), &mut out);
    table(&root, "A condition", &definition("condition"), &mut out);
    out.push('\n');
    out
}

fn document() -> (std::path::PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/policy.md");
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

#[test]
fn tables_of_fields_are_those_of_the_schema() {
    let (path, text) = document();
    let (before, rest) = text.split_once("<!-- fields -->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end of fields -->").unwrap();
    let expected = format!("{before}<!-- fields -->\n{}<!-- end of fields -->{after}", tables());
    if std::env::var_os("STOCKADE_BLESS").is_some() {
        fs::write(path, &expected).unwrap();
    }
    assert!(text == expected || std::env::var_os("STOCKADE_BLESS").is_some(), "{}", tables());
}

#[test]
fn every_described_field_has_words() {
    let root = schema::schema();
    for (name, schema) in root["properties"].as_object().unwrap() {
        assert!(schema["description"].as_str().is_some_and(|d| d.ends_with('.')), "{name}");
    }
}

#[test]
fn examples_are_good_to_the_reader_the_schema_and_the_lint() {
    let (_, text) = document();
    let examples: Vec<&str> =
        text.split("```json\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    assert!(!examples.is_empty());
    for example in examples {
        assert!(is_ceiling(example.as_bytes()), "{example}");
        check("docs/policy.md", example.as_bytes()).unwrap_or_else(|f| panic!("{f}"));
        let value = serde_json::from_str(example).unwrap();
        assert_eq!(problems(&schema::schema(), &value), [""; 0]);
        let warnings = lint::lint("docs/policy.md", example.as_bytes()).unwrap();
        assert!(warnings.is_none(), "{}", warnings.unwrap());
    }
}

#[test]
fn every_code_of_the_lint_is_documented() {
    let (_, text) = document();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy/lint");
    let mut codes = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let source = fs::read_to_string(entry.unwrap().path()).unwrap();
        for part in source.split("warn(\"").skip(1) {
            codes.push(part.split('"').next().unwrap().to_owned());
        }
        for part in source.split("warn(code").skip(1) {
            assert!(part.starts_with(", span"));
        }
    }
    assert!(codes.len() >= 8, "{codes:?}");
    for code in codes {
        assert!(text.contains(&format!("`{code}`")), "docs/policy.md does not name `{code}`");
    }
    assert!(builtin_names().count() > 0);
}
