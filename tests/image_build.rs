//! Images made from files of this host, through the command line.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_cli;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use common::{Caller, payload_of, skip, work};
use image_cli::Stockade;
use serde_json::Value;

const PYTHON_TEST: &str = r#"
import json, sqlite3, ssl, decimal, zoneinfo, threading, re, unicodedata, datetime, sys
assert json.loads('{"a": [1]}') == {"a": [1]}
assert sqlite3.connect(":memory:").execute("select 40 + 2").fetchone() == (42,)
assert ssl.create_default_context().verify_mode == ssl.CERT_REQUIRED
assert decimal.Decimal("0.1") * 3 == decimal.Decimal("0.3")
assert datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")).utcoffset().seconds == 7200
done = []
thread = threading.Thread(target=lambda: done.append(1)); thread.start(); thread.join()
assert done == [1] and re.sub(r"(\w)-", r"\1", "a-b") == "ab"
assert unicodedata.name("\u00fc") == "LATIN SMALL LETTER U WITH DIAERESIS"
print("all", sys.argv[1:])
"#;

#[test]
fn python_image_runs_its_library_and_holds_one_program_and_no_shell() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return skip("there is no /usr/bin/python3");
    }
    let stockade = Stockade::new();
    let script = stockade.write("main.py", PYTHON_TEST);
    let built = stockade.json(["image", "build", "--program", "/usr/bin/python3", "--name", "py", "--json"]);
    assert_eq!(built["programs"].as_array().unwrap().len(), 1, "{built}");
    assert_eq!(built["shells"], serde_json::json!([]));
    // More than half of it are the interpreter, the C library, OpenSSL and SQLite.
    assert!(built["bytes"].as_u64().unwrap() < 30_000_000, "{built}");
    let ran = stockade.run(["-i", "py", "--", &script, "one", "two"]);
    assert_eq!((ran.text(), ran.status), ("all ['one', 'two']\n".into(), 0), "{}", ran.all());
    assert_eq!(ran.report["image"]["id"], built["id"]);
    assert_eq!(ran.report["image"]["verified"], "stamp");
    assert_eq!(ran.report["policy"]["name"], "python");
    // The same by the policy's recipe, without a name.
    let ran = stockade.run(["-p", "python", "--", &script, "x"]);
    assert_eq!((ran.text(), ran.status), ("all ['x']\n".into(), 0), "{}", ran.all());
}

/// What is left out of the modules, in the same words as in the test above.
const WITHOUT_SSL: [(&str, &str); 2] =
    [("sqlite3, ssl, decimal", "sqlite3, decimal"), ("assert ssl.", "assert not hasattr(sys, 'ssl') #")];

#[test]
fn python_image_of_some_modules_holds_what_they_import_and_nothing_else() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return skip("there is no /usr/bin/python3");
    }
    let stockade = Stockade::new();
    let names =
        ["json", "sqlite3", "ssl", "decimal", "zoneinfo", "threading", "re", "unicodedata", "datetime"];
    let build = |names: &[&str]| {
        let spec = serde_json::json!({"version": 1, "name": "part", "comment": "c",
            "programs": [{"host": "/usr/bin/python3", "modules": names}],
            "entry": ["/usr/bin/python3", "-I", "-B", "{payload}", "{args}"], "policy": "python"});
        stockade.go(["image", "build", &stockade.write("spec.json", spec.to_string()), "--json"])
    };
    let size = |names: &[&str]| {
        let built = build(names);
        assert_eq!((built.status, built.stderr.as_str()), (0, ""), "{}", built.all());
        serde_json::from_slice::<Value>(&built.stdout).unwrap()["bytes"].as_u64().unwrap()
    };
    let with_ssl = size(&names);
    assert!(with_ssl < 21_500_000, "{with_ssl}");
    let script = stockade.write("main.py", PYTHON_TEST);
    let ran = stockade.run(["-i", "part", "--", &script, "one"]);
    assert_eq!((ran.text(), ran.status), ("all ['one']\n".into(), 0), "{}", ran.all());
    // Without OpenSSL it is half of the whole.
    let without: Vec<&str> = names.into_iter().filter(|name| *name != "ssl").collect();
    let without_ssl = size(&without);
    assert!(without_ssl <= 15_000_000, "{without_ssl}");
    let text = WITHOUT_SSL.iter().fold(PYTHON_TEST.to_owned(), |text, (old, new)| text.replace(old, new));
    let ran = stockade.run(["-i", "part", "--", &stockade.write("less.py", text), "two"]);
    assert_eq!((ran.text(), ran.status), ("all ['two']\n".into(), 0), "{}", ran.all());
    let ran = stockade.run(["-i", "part", "--", &script]);
    assert!(ran.status == 1 && ran.stderr.contains("No module named 'ssl'"), "{}", ran.all());
    for (name, said) in [
        ("jsno", "there is no module 'jsno' in /usr/lib/python3.11\n  help: did you mean 'json'?"),
        ("a-b", "`a-b` is not the name of a module"),
        ("site-packages", "`site-packages` is not the name of a module"),
    ] {
        let refused = build(&[name]);
        assert_eq!(refused.status, 125, "{}", refused.all());
        assert!(refused.stderr.contains(said), "{name}: {}", refused.all());
    }
    let spec = r#"{"version": 1, "name": "x", "comment": "c", "programs": [{"host": "/usr/bin/sort", "modules": ["re"]}]}"#;
    let refused = stockade.go(["image", "build", &stockade.write("spec.json", spec)]);
    assert_eq!(refused.status, 125);
    assert!(refused.stderr.contains("`modules` of /usr/bin/sort fit nothing"), "{}", refused.all());
}

#[test]
fn same_build_in_two_stores_by_two_users_has_the_same_id() {
    let spec = r#"{"version": 1, "name": "s", "comment": "c", "programs": ["/usr/bin/sort", "/usr/bin/env"],
        "recipes": [{"recipe": "locale", "names": ["C.UTF-8"]}], "files": [{"at": "/x", "text": "y"}]}"#;
    let ids: Vec<Value> = [Caller::Root, Caller::User, Caller::User]
        .into_iter()
        .filter(|caller| *caller == Caller::User || common::is_root())
        .map(|caller| {
            let stockade = Stockade::of(caller);
            let spec = stockade.write("spec.json", spec);
            stockade.json(["image", "build", &spec, "--json"])["id"].clone()
        })
        .collect();
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1] && pair[0].is_string()), "{ids:?}");
}

#[test]
fn specification_decides_entry_arguments_environment_and_files() {
    let stockade = Stockade::new();
    fs::create_dir_all(stockade.dir.join("data/tests/deep")).unwrap();
    for name in ["data/a.csv", "data/b.txt", "data/tests/deep/c.csv"] {
        stockade.write(name, name);
    }
    let program = payload_of(
        "spec-entry",
        "#include <stdio.h>\n#include <stdlib.h>\nint main(int n, char **v) { for (int i = 1; i < n; i++) puts(v[i]); puts(getenv(\"WHO\"));\n\
         char b[99]; FILE *f = fopen(\"/etc/motd\", \"r\"); puts(fgets(b, 99, f)); return 0; }",
        &[],
    );
    fs::copy(program, stockade.dir.join("prog")).unwrap();
    let spec = stockade.write(
        "spec.json",
        r#"{"version": 1, "name": "tool", "comment": "all fields",
          "programs": [{"host": "prog", "at": "/usr/bin/prog"}],
          "include": [{"host": "data/**/*.csv", "at": "/srv", "except": ["tests/**"]}],
          "files": [{"at": "/etc/motd", "text": "made"}],
          "links": [{"at": "/prog", "to": "usr/bin/prog"}],
          "entry": ["/prog", "first", "{args}", "last"], "env": {"WHO": "me"}}"#,
    );
    let built = stockade.json(["image", "build", &spec, "--json"]);
    assert_eq!(built["name"], "tool");
    let ran = stockade.run(["-i", "tool", "--", "x", "-y"]);
    assert_eq!((ran.text(), ran.status), ("first\nx\n-y\nlast\nme\nmade\n".into(), 0), "{}", ran.all());
    let files = stockade.files("tool");
    assert!(files.contains(&"/srv/a.csv".into()) && !files.contains(&"/srv/b.txt".into()), "{files:?}");
    assert!(!files.iter().any(|path| path.starts_with("/srv/tests")), "{files:?}");
    // Another entry point, another id.
    let other = fs::read_to_string(&spec).unwrap().replace("\"first\"", "\"other\"");
    let other = stockade.json(["image", "build", &stockade.write("other.json", &other), "--json"]);
    assert_ne!(other["id"], built["id"]);
    let diff = stockade.go(["image", "diff", built["id"].as_str().unwrap(), "tool"]);
    assert_eq!(diff.status, 1, "{}", diff.all());
}

#[test]
fn entry_with_a_payload_takes_the_first_argument_from_the_host() {
    let stockade = Stockade::new();
    let spec = stockade.write(
        "spec.json",
        r#"{"version": 1, "name": "show", "comment": "c", "programs": ["/usr/bin/cat"],
            "entry": ["/usr/bin/cat", "{payload}", "{args}"]}"#,
    );
    stockade.json(["image", "build", &spec, "--json"]);
    let file = stockade.write("hello.txt", "hello\n");
    let ran = stockade.run(["-i", "show", "--", &file, "/etc/passwd"]);
    assert!(ran.text().starts_with("hello\n") && ran.text().contains("/box"), "{}", ran.all());
    let none = stockade.run(["-i", "show"]);
    assert_eq!(none.status, 125);
    assert!(none.stderr.contains("the image takes a file of the host, and none is named"), "{}", none.all());
    // An entry without places for arguments does not swallow them.
    let fixed = stockade.write(
        "fixed.json",
        r#"{"version": 1, "name": "fixed", "comment": "c", "programs": ["/usr/bin/true"], "entry": ["/usr/bin/true"]}"#,
    );
    stockade.json(["image", "build", &fixed, "--json"]);
    assert_eq!(stockade.run(["-i", "fixed"]).status, 0);
    let extra = stockade.run(["-i", "fixed", "--", "x"]);
    assert_eq!(extra.status, 125);
    assert!(extra.stderr.contains("the image takes no arguments, and 1 were given"), "{}", extra.all());
}

#[test]
fn script_brings_its_interpreter_through_env() {
    let stockade = Stockade::new();
    let script = stockade.write("hello.pl", "#!/usr/bin/env perl\nprint \"perl @ARGV\\n\";\n");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let program = format!("{script}:/app/hello");
    stockade.json(["image", "build", "--program", &program, "--name", "script", "--json"]);
    let ran = stockade.run(["-i", "script", "-p", "native", "--", "a"]);
    // Its policy lets nothing else be started, so env cannot start perl: 126 names it.
    assert_eq!(ran.status, 126, "{}", ran.all());
    let why = stockade.text(["image", "why", "script", "/usr/bin/perl"]);
    assert!(why.contains("starts /app/hello"), "{why}");
    assert!(why.contains("asked for as a program"), "{why}");
}

#[test]
fn capture_refuses_what_was_named_and_lists_what_merely_lay_there() {
    let stockade = Stockade::new();
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n";
    fs::create_dir_all(stockade.dir.join("app/.git")).unwrap();
    for (name, text) in [
        ("app/.git/config", "x"),
        ("app/key.pem", key),
        ("app/shadow", "x"),
        ("app/good", "x"),
        ("app/secret", "x"),
    ] {
        stockade.write(name, text);
    }
    fs::set_permissions(stockade.dir.join("app/secret"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(stockade.dir.join("app/good"), fs::Permissions::from_mode(0o4755)).unwrap();
    nix::unistd::mkfifo(&stockade.dir.join("app/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(stockade.dir.join("app/socket")).unwrap();
    symlink("/etc/shadow", stockade.dir.join("app/link")).unwrap();
    let include = format!("{}:/app", stockade.dir.join("app").display());
    let built = stockade.json([
        "image",
        "build",
        "--program",
        "/usr/bin/true",
        "--include",
        &include,
        "--name",
        "x",
        "--json",
    ]);
    let left: Vec<(String, String)> = built["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| (left["path"].as_str().unwrap().to_owned(), left["why"].as_str().unwrap().to_owned()))
        .collect();
    let expected = [
        ("/app/.git", "a hidden directory"),
        ("/app/fifo", "a fifo"),
        ("/app/good", "its set-id bits (the file itself is there)"),
        ("/app/key.pem", "a private key"),
        ("/app/secret", "not everybody on this host may read it"),
        ("/app/shadow", "a file that holds secrets"),
        ("/app/socket", "a socket"),
    ];
    assert_eq!(left, expected.map(|(path, why)| (path.to_owned(), why.to_owned())));
    let kept: Vec<String> = stockade.files("x").into_iter().filter(|path| path.starts_with("/app")).collect();
    assert_eq!(kept, ["/app", "/app/good", "/app/link"]);
    for (name, why) in [
        ("key.pem", "a private key"),
        ("shadow", "a file that holds secrets"),
        ("fifo", "a fifo"),
        ("socket", "a socket"),
    ] {
        let path = stockade.dir.join("app").join(name);
        let refused = stockade.go([
            "image",
            "build",
            "--program",
            "/usr/bin/true",
            "--include",
            path.to_str().unwrap(),
        ]);
        assert_eq!(refused.status, 125, "{name}: {}", refused.all());
        assert!(
            refused.stderr.contains(&format!("{} cannot go into an image: {why}", path.display())),
            "{}",
            refused.all()
        );
    }
}

#[test]
fn specification_with_mistakes_names_each_with_its_line() {
    let stockade = Stockade::new();
    let spec = stockade.write(
        "bad.json",
        "{\n  \"version\": 2,\n  \"name\": \"-x\",\n  \"comment\": \"c\",\n  \"programs\": [{\"host\": \"/a\", \"recipe\": \"pyhton3\"}],\n\
         \"entry\": [\"python3\", \"{given}\"],\n  \"incldue\": []\n}",
    );
    let refused = stockade.go(["image", "build", &spec]);
    assert_eq!(refused.status, 125);
    for said in [
        "has 6 findings",
        "unknown version 2",
        "`-x` cannot be the name of an image",
        "did you mean `python3`",
        "is not absolute",
        "`{given}` is not a word of `entry`",
        "did you mean `include`",
    ] {
        assert!(refused.stderr.contains(said), "{said}: {}", refused.stderr);
    }
    for (text, said) in [
        ("", "empty"),
        ("[]", "an object"),
        ("{\"version\": 1, \"name\": \"x\", \"comment\": \"c\"}", "puts nothing into the image"),
    ] {
        let refused = stockade.go(["image", "build", &stockade.write("bad.json", text)]);
        assert!(refused.status == 125 && refused.stderr.contains(said), "{said}: {}", refused.all());
    }
}

#[test]
fn program_that_is_not_there_is_named() {
    let stockade = Stockade::new();
    for (program, said) in [("/no/such", "/no/such: there is no such file"), ("/usr", "/usr is a directory")]
    {
        let refused = stockade.go(["image", "build", "--program", program]);
        assert!(refused.status == 127 || refused.status == 125, "{}", refused.all());
        assert!(refused.stderr.contains(said), "{}", refused.all());
    }
    // A name alone is a file here; PATH has no say.
    let refused = stockade.go(["image", "build", "--program", "sort"]);
    let said = format!(
        "{}: there is no such file\n  help: write its path: /usr/bin/sort",
        stockade.dir.join("sort").display()
    );
    assert!(refused.status == 125 && refused.stderr.contains(&said), "{}", refused.all());
    assert_eq!(stockade.text(["image", "list"]), "");
    assert!(work().exists());
}

#[test]
fn cpp_runtime_is_small_and_every_file_has_a_reason() {
    let stockade = Stockade::new();
    let source = "#include <cstdio>\n#include <string>\n#include <thread>\nint main() { std::string s(\"ok\"); std::thread t([&] { std::puts(s.c_str()); }); t.join(); }";
    let path = work().join("small.cpp");
    fs::write(&path, source).unwrap();
    let program = work().join("small-cpp");
    common::compile(&path, &program, &[]);
    let place = format!("{}:/app/small", program.display());
    let built = stockade.json(["image", "build", "--program", &place, "--name", "cpp", "--json"]);
    assert!(built["bytes"].as_u64().unwrap() <= 6_000_000, "{built}");
    let ran = stockade.run(["-i", "cpp"]);
    assert_eq!((ran.text(), ran.status), ("ok\n".into(), 0), "{}", ran.all());
    for path in stockade.file_paths("cpp") {
        let why = stockade.text(["image", "why", "cpp", &path]);
        assert!(why.starts_with(&format!("{path}: ")) && !why.contains("unknown"), "{why}");
    }
    let why = stockade.text(["image", "why", "cpp", "/usr/lib/x86_64-linux-gnu/libstdc++.so.6"]);
    assert!(why.contains("needed by /app/small (DT_NEEDED)"), "{why}");
}

#[test]
fn secret_is_named_as_one_and_nobody_is_told_to_open_it() {
    let stockade = Stockade::new();
    let secret = stockade.write("shadow", "x");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let plain = stockade.write("plain", "x");
    fs::set_permissions(&plain, fs::Permissions::from_mode(0o600)).unwrap();
    let build = |path: &str| stockade.go(["image", "build", "--program", "/usr/bin/true", "--include", path]);
    let refused = build(&secret);
    let said = format!("stockade: error: {secret} cannot go into an image: a file that holds secrets\n");
    assert!(refused.status == 125 && refused.stderr.starts_with(&said), "{}", refused.all());
    assert!(!refused.stderr.contains("chmod"), "{}", refused.all());
    // The control: what only has the mode of one can be opened to everybody.
    let refused = build(&plain);
    assert!(refused.status == 125 && refused.stderr.contains("help: chmod a+r"), "{}", refused.all());
    let key = "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEF\\n";
    for (at, text, why) in
        [("/etc/shadow", "x", "a file that holds secrets"), ("/key.pem", key, "a private key")]
    {
        let made = |at: &str, text: &str| {
            let spec = format!(
                r#"{{"version": 1, "name": "x", "comment": "c", "files": [{{"at": "{at}", "text": "{text}"}}]}}"#
            );
            stockade.go(["image", "build", &stockade.write("spec.json", spec)])
        };
        let refused = made(at, text);
        let said = format!("stockade: error: {at} cannot go into an image: {why}\n");
        assert!(refused.status == 125 && refused.stderr.starts_with(&said), "{}", refused.all());
        assert_eq!(made("/etc/motd", "x").status, 0);
    }
}

#[test]
fn what_boxes_hide_is_told_when_it_is_put_there() {
    let stockade = Stockade::new();
    let file = stockade.write("table", "x");
    let notes = |at: &str| {
        let include = format!("{file}:{at}");
        let args = ["image", "build", "--program", "/usr/bin/true", "--include", &include, "--json"];
        stockade.json(args)["notes"].clone()
    };
    assert_eq!(notes("/srv/table"), serde_json::json!([]));
    let said = "a box has a /tmp of its own, which hides '/tmp/table': \
                give it another place (PATH:/usr/bin/NAME, or 'at')";
    assert_eq!(notes("/tmp/table"), serde_json::json!([said]));
}

#[test]
fn include_whose_only_fits_nothing_is_refused() {
    let stockade = Stockade::new();
    fs::create_dir(stockade.dir.join("app")).unwrap();
    stockade.write("app/a.py", "x");
    let build = |only: &str| {
        let spec = format!(
            r#"{{"version": 1, "name": "x", "comment": "c",
                "include": [{{"host": "app", "at": "/app", "only": ["{only}"]}}]}}"#
        );
        stockade.go(["image", "build", &stockade.write("spec.json", spec)])
    };
    assert_eq!(build("*.py").status, 0);
    let refused = build("*.pl");
    let said = format!("nothing fits '{}' and its `only`\n", stockade.dir.join("app").display());
    assert!(refused.status == 125 && refused.stderr.contains(&said), "{}", refused.all());
}
