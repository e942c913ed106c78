//! `stockade policy`: what it prints and with which status.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use common::{stockade, work};
use serde_json::Value;
use stockade::policy::{self, builtin_names, names};
use stockade::sandbox::seccomp::{self, ARCH_X86_64, Answer, Call, Rules, decide};

/// Status, standard output, standard error.
fn tool(arguments: &[&str]) -> (i32, String, String) {
    let out = Command::new(stockade()).arg("policy").args(arguments).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

fn file(name: &str, text: &str) -> String {
    let path = work().join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn native(name: &str, fields: &str) -> String {
    let text = format!(
        "{{ \"version\": 1, \"name\": \"mine\", \"comment\": \"a test\", \"extends\": \"native\",\n{fields} }}"
    );
    file(name, &text)
}

#[test]
fn file_without_an_end_is_refused_after_as_much_as_a_policy_may_have() {
    let tell = |arguments: &[&str], expected: i32, words: &str| {
        let (status, out, err) = tool(arguments);
        assert_eq!(status, expected, "{arguments:?}: {err}");
        assert!(err.contains(words) && out.is_empty(), "{arguments:?}: {err}");
    };
    let words = "the policy has more than 1048576 bytes";
    tell(&["check", "/dev/zero"], 1, words);
    tell(&["lint", "/dev/zero"], 1, words);
    tell(&["show", "/dev/zero", "--resolved"], 125, words);
    tell(&["explain", "/dev/zero"], 125, words);
    tell(&["diff", "native", "/dev/zero"], 125, words);
    tell(&["show", "/dev/zero"], 125, "/dev/zero has more than 1048576 bytes, which is no policy");
    let out = Command::new(stockade()).args(["run", "-p", "/dev/zero", "--", "/bin/true"]).output().unwrap();
    assert_eq!(out.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&out.stderr).contains(words), "{out:?}");
    // One that fits is read to its end.
    let fits = file("fits.json", &format!("{{\"version\": 1{}", " ".repeat(policy::MAX_BYTES - 13)));
    tell(&["check", &fits], 1, "the policy ends inside an object");
    assert_eq!(fs::metadata(&fits).unwrap().len(), policy::MAX_BYTES as u64);
}

#[test]
fn list_names_every_policy_that_ships() {
    let (status, out, err) = tool(&["list"]);
    assert_eq!((status, err.as_str()), (0, ""));
    let listed: Vec<&str> = out.lines().map(|l| l.split(' ').next().unwrap()).collect();
    assert_eq!(listed, builtin_names().collect::<Vec<_>>());
}

#[test]
fn show_prints_the_text_and_resolved_a_policy_that_means_the_same() {
    for name in builtin_names() {
        let (status, out, _) = tool(&["show", name]);
        assert_eq!((status, out.as_str()), (0, policy::builtin_text(name).unwrap()));
        let (status, resolved, err) = tool(&["show", name, "--resolved"]);
        if name == "compile" {
            // Only there to be extended, and no end of a chain.
            assert_eq!((status, err.contains("cannot be run")), (125, true), "{err}");
            continue;
        }
        assert_eq!(status, 0, "{err}");
        match policy::load_builtin(name) {
            Ok(policy) => {
                let read = policy::parse("r.json", resolved.as_bytes()).unwrap();
                assert_eq!(read.digest, policy.digest);
                assert!(!resolved.contains("extends"));
            }
            Err(_) => assert_eq!(resolved, out),
        }
    }
    let (status, _, err) = tool(&["show", "nativ"]);
    assert_eq!(status, 125);
    assert!(err.contains("there is no policy `nativ`") && err.contains("did you mean `native`?"), "{err}");
}

#[test]
fn check_of_several_files_tells_all_findings_of_all() {
    let good = native("check-good.json", "\"cwd\": \"/tmp\"");
    let bad = native("check-bad.json", "\"cwd\": \"tmp\", \"wxx\": 1,\n\"exec\": \"all\"");
    let worse = file("check-worse.json", "{");
    let (status, out, err) = tool(&["check", &good, "native", "base"]);
    assert_eq!((status, err.as_str()), (0, ""));
    assert!(out.contains(&format!("{good}: good, sha256:")), "{out}");
    assert!(out.contains("base (built in): good, but only to be extended"), "{out}");
    let (status, out, err) = tool(&["check", &bad, &good, &worse]);
    assert_eq!(status, 1);
    assert!(out.contains(&good), "{out}");
    for expected in [
        "error: `cwd` `tmp` is not absolute",
        "unknown field `wxx`",
        "`exec` cannot be `all`",
        "has 3 findings",
        "has 1 finding",
    ] {
        assert!(err.contains(expected), "{expected}\n{err}");
    }
    let (status, _, err) = tool(&["check", &good, "/no/such/file.json"]);
    assert_eq!(status, 125, "{err}");
    assert!(err.contains("cannot read the policy /no/such/file.json: ENOENT"), "{err}");
}

#[test]
fn lint_answers_0_1_or_125() {
    let quiet = native("lint-quiet.json", "\"cwd\": \"/tmp\"");
    let loud = native("lint-loud.json", "\"wx\": \"allow\"");
    assert_eq!(tool(&["lint", &quiet, "native"]).0, 0);
    let (status, out, err) = tool(&["lint", &loud, &quiet]);
    assert_eq!(status, 1);
    assert!(err.contains("warning[broader]: `wx` is broader than in `native`"), "{err}");
    assert!(err.contains(": 1 warning"), "{err}");
    assert!(out.contains(&format!("{quiet}: nothing to say")), "{out}");
    assert_eq!(tool(&["lint", &file("lint-broken.json", "[]")]).0, 1);
    assert_eq!(tool(&["lint", "/no/such/file.json"]).0, 125);
}

/// What the text claims of each call is what the filter does.
#[test]
fn explain_agrees_with_the_filter_on_every_call() {
    for name in ["native", "strict"] {
        let policy = policy::load_builtin(name).unwrap();
        let (status, out, err) = tool(&["explain", name, "--json"]);
        assert_eq!(status, 0, "{err}");
        let value: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(value["schema"], "stockade.explain/1");
        let listed = |list: &Value| -> BTreeSet<String> {
            list.as_array()
                .unwrap()
                .iter()
                .map(|c| c["call"].as_str().or(c.as_str()).unwrap().to_owned())
                .collect()
        };
        let calls = &value["calls"];
        let (always, sometimes, violations) =
            (listed(&calls["always"]), listed(&calls["conditional"]), listed(&calls["violations"]));
        let rules = Rules::of(&policy, &seccomp::table);
        for (call, nr) in names::all() {
            let answers: BTreeSet<Answer> = [[0; 6], [u64::MAX; 6], [6; 6], [0x5401; 6], [0x5412; 6]]
                .into_iter()
                .map(|args| decide(&rules, [7, 8, 9], &Call { arch: ARCH_X86_64, nr, args }))
                .collect();
            let known = (always.contains(call), violations.contains(call), sometimes.contains(call));
            match known {
                (true, false, false) => assert_eq!(answers, [Answer::Allow].into(), "{call}"),
                (false, true, false) => assert_eq!(answers, [Answer::Notify].into(), "{call}"),
                (false, false, true) => assert!(answers != [Answer::Errno(38)].into(), "{call}"),
                (false, false, false) => assert_eq!(answers, [Answer::Errno(38)].into(), "{call}"),
                several => panic!("{call} {several:?}"),
            }
        }
        let (_, text, _) = tool(&["explain", name]);
        for word in
            ["sees", "writes", "calls", "uses", "what stops the rest", "landlock", policy.digest.as_str()]
        {
            assert!(text.contains(word), "{word}\n{text}");
        }
    }
}

#[test]
fn diff_is_by_meaning_and_not_by_text() {
    let other_words = native(
        "diff-same.json",
        r#""limits": { "memory": "262144KiB", "wall_time": "0.5m" }, "hostname": "box""#,
    );
    let (status, out, err) = tool(&["diff", "native", &other_words]);
    assert_eq!((status, err.as_str()), (0, ""), "{out}");
    assert_eq!(out, "native and mine allow the same\n");
    assert_eq!(tool(&["diff", "native", "native"]).0, 0);

    let more = native(
        "diff-more.json",
        r#""limits": { "memory": "128MiB", "processes": 65 },
        "syscalls+": { "allow": [{ "calls": ["flock", "chroot2"], "comment": "c" }] }"#,
    );
    let (status, _, err) = tool(&["diff", "native", &more]);
    assert_eq!(status, 125, "{err}");
    let more = native(
        "diff-more.json",
        r#""limits": { "memory": "128MiB", "processes": 65 }, "wx": "allow",
        "syscalls+": { "allow": [{ "calls": ["flock"], "comment": "c" }] }"#,
    );
    let (status, out, err) = tool(&["diff", "native", &more]);
    assert_eq!((status, err.as_str()), (1, ""));
    let expected = "\
mine allows, and native does not
  wx
      native: deny
      mine: allow
  flock
      native: ENOSYS
      mine: allowed
  mmap
      native: EPERM for memory both writable and executable; allowed unless flags has MAP_HUGETLB, otherwise EPERM
      mine: allowed unless flags has MAP_HUGETLB, otherwise EPERM
      mmap(length=0, prot=PROT_EXEC|PROT_WRITE, flags=0, fd=0, offset=0): EPERM / allowed
  mprotect
      native: EPERM for memory both writable and executable; allowed
      mine: allowed
      mprotect(len=0, prot=PROT_EXEC|PROT_WRITE): EPERM / allowed
  processes
      native: 64
      mine: 65

native allows, and mine does not
  memory
      native: 256MiB
      mine: 128MiB
";
    assert_eq!(out, expected);
    let (status, out, _) = tool(&["diff", &more, "native", "--json"]);
    assert_eq!(status, 1);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&value["schema"], &value["same"]), (&"stockade.diff/1".into(), &false.into()));
    let found: Vec<(&str, &str, &str)> = value["differences"]
        .as_array()
        .unwrap()
        .iter()
        .map(|d| (d["kind"].as_str().unwrap(), d["name"].as_str().unwrap(), d["b_allows"].as_str().unwrap()))
        .collect();
    let expected = [
        ("field", "wx", "less"),
        ("call", "flock", "less"),
        ("call", "mmap", "less"),
        ("call", "mprotect", "less"),
        ("limit", "memory", "more"),
        ("limit", "processes", "less"),
    ];
    assert_eq!(found, expected);
    let flock = &value["differences"][1];
    assert_eq!((&flock["cases"][0]["a"], &flock["cases"][0]["b"]), (&"allowed".into(), &"ENOSYS".into()));
}

#[test]
fn schema_printed_is_the_one_that_ships() {
    let (status, out, _) = tool(&["schema"]);
    assert_eq!(status, 0);
    assert_eq!(
        out,
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/schema.json")).unwrap()
    );
}

#[test]
fn reader_that_goes_away_is_no_error() {
    let command = format!("{} policy schema | head -c 10; echo ${{PIPESTATUS[0]}}", stockade().display());
    let out = Command::new("bash").args(["-c", &command]).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).ends_with("0\n"), "{out:?}");
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_reader_that_is_gone_is_not() {
    for command in ["schema", "list"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_stockade"))
            .args(["policy", command])
            .stdout(full)
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(125), "{command}");
        let told = "stockade: error: standard output: ENOSPC, no space left on device\n";
        assert_eq!(String::from_utf8_lossy(&out.stderr), told);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["policy", "schema"])
        .stdout(writer)
        .output()
        .unwrap();
    assert_eq!((out.status.code(), out.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn ceiling_is_explained_and_compared_like_the_most_that_a_job_may_be() {
    let site = native(
        "site.json",
        r#""wx": "allow", "ceiling": { "ro": ["/srv/fixtures"], "env": ["LANG", "CI_*"], "free": ["user"] }"#,
    );
    let (status, out, err) = tool(&["explain", &site]);
    assert_eq!(status, 0, "{err}");
    let besides = "\nmay be asked for besides, as a ceiling\n  --ro and --work, at or below: /srv/fixtures\n  \
                   --rw and --ro, at or below: nothing\n  variables, with any value: LANG CI_*\n  not compared: user\n";
    assert!(out.starts_with("mine: a test\n") && out.ends_with(besides), "{out}");
    let (status, out, err) = tool(&["explain", &site, "--json"]);
    assert_eq!(status, 0, "{err}");
    let json: Value = serde_json::from_str(&out).unwrap();
    let lists = serde_json::json!({
        "ro": ["/srv/fixtures"], "rw": [], "env": ["LANG", "CI_*"], "free": ["user"]
    });
    assert_eq!(json["ceiling"], lists);
    let (status, out, err) = tool(&["diff", "native", &site]);
    assert_eq!(status, 1, "{err}");
    assert!(out.starts_with("mine allows, and native does not\n  wx\n"), "{out}");
    // A plain policy has no such part, also from a pipe, which can be read once.
    let (_, out, _) = tool(&["explain", "native", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap().get("ceiling"), None);
    let command = format!("{} policy diff native <(cat {site})", stockade().display());
    let out = Command::new("bash").args(["-c", &command]).output().unwrap();
    assert_eq!(out.status.code(), Some(1), "{out:?}");
}
