//! Every policy in `tests/policies/good` is accepted, and what it resolves to
//! is itself such a policy.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use stockade::policy::model::Word;

#[test]
fn good_policies_are_accepted_and_read_back_as_themselves() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/policies/good");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let policy = match stockade::policy::parse(&name, &fs::read(&path).unwrap()) {
            Ok(policy) => policy,
            Err(findings) => panic!("{findings}"),
        };
        let printed = policy.to_json();
        assert_eq!(stockade::policy::parse(&name, printed.as_bytes()).unwrap(), policy, "{name}");
        count += 1;
    }
    assert!(count >= 10, "only {count} good policies were found");
}

/// The example in the README is a policy, and a reader may copy it.
#[test]
fn policy_in_the_readme_is_good() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("policies/README.md")).unwrap();
    let (_, rest) = readme.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    match stockade::policy::parse("README.md", example.as_bytes()) {
        Ok(policy) => assert_eq!(policy.limits.memory, 1 << 30),
        Err(findings) => panic!("{findings}"),
    }
    let (_, rest) = readme.split_once("### Another language").unwrap();
    let (example, _) = rest.split_once("```json\n").unwrap().1.split_once("```").unwrap();
    let policy = stockade::policy::parse("README.md", example.as_bytes());
    assert_eq!(policy.unwrap_or_else(|findings| panic!("{findings}")).command[2], Word::Payload);
    for name in stockade::policy::builtin_names() {
        assert!(readme.contains(&format!("| `{name}` |")), "{name} is not in the table");
    }
}
