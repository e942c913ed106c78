//! Recipes, each to the end: an image of a runtime or compiler as Debian packages
//! it, and a program that uses a good part of it, in a box.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_cli;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::skip;
use image_cli::Stockade;
use serde_json::{Value, json};

/// A file of `tests/recipes`.
fn source(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recipes").join(name);
    path.to_str().unwrap().to_owned()
}

/// Whether a program is there; `.ci/run` installs `package` only where `cheap`.
fn there(program: &str, package: &str, cheap: bool) -> bool {
    if Path::new(program).exists() {
        return true;
    }
    if cheap {
        skip(&format!("there is no {program}: root can install {package}"));
    } else {
        // Hundreds of megabytes: nobody installs it for this alone.
        eprintln!("SKIPPED: there is no {program}: as root, install {package}");
    }
    false
}

/// An image of one program, by the name of its recipe.
fn build(stockade: &Stockade, program: &str, name: &str) -> Value {
    let built = stockade.json(["image", "build", "--program", program, "--name", name, "--json"]);
    assert_eq!(built["shells"], json!([]), "{built}");
    built
}

/// Runs a script in the image `name`, with "b a" as input and two arguments.
fn script(stockade: &Stockade, name: &str, program: &str, file: &str) -> String {
    let place = format!("/box/{file}");
    let policy = json!({
        "version": 1, "name": "script", "comment": "A script.", "extends": "base",
        "image": {"name": name}, "payload": {"as": place, "executable": false},
        "command": [program, "{payload}", "{args}"], "env": {"LANG": "C.UTF-8"},
    });
    let policy = stockade.write(&format!("{name}.json"), policy.to_string());
    let input = stockade.write("input", "b a\n");
    let ran = stockade.run(["-p", &policy, "--stdin", &input, "--", &source(file), "x", "y"]);
    assert_eq!((ran.status, ran.stderr.as_str()), (0, ""), "{name}: {}", ran.all());
    ran.text()
}

/// What a compiler of the image `name` makes of a file of `tests/recipes`: the
/// directory that it wrote to.
fn compiled(stockade: &Stockade, name: &str, command: &[&str], env: &Value, file: &str) -> PathBuf {
    let out = stockade.dir.join(format!("out-{name}"));
    fs::create_dir(&out).unwrap();
    fs::set_permissions(&out, fs::Permissions::from_mode(0o777)).unwrap();
    let place = format!("/box/{file}");
    let policy = json!({
        "version": 1, "name": "compiler", "comment": "A compiler.", "extends": "base",
        "image": {"name": name}, "payload": {"as": place, "executable": false},
        "command": command, "env": env, "exec": "image", "wx": "allow",
        "syscalls+": {"allow": [
            {"calls": ["execve"], "comment": "drivers start the stages of a compiler"},
            {"calls": ["socketpair"], "if": [{"arg": "domain", "eq": "AF_UNIX"},
                {"arg": "type", "masked": "0xf", "in": ["SOCK_STREAM", "SOCK_SEQPACKET"]}],
                "comment": "rustc and javac wake threads by one"}]},
        "limits": {"cpu_time": "300s", "wall_time": "600s", "memory": "2GiB", "processes": 64},
    });
    let policy = stockade.write(&format!("{name}.json"), policy.to_string());
    let bind = format!("{}:/out", out.display());
    let ran = stockade.run(["-p", &policy, "--rw", &bind, "--tmp", "512MiB", "--", &source(file)]);
    assert_eq!(ran.status, 0, "{name}: {}", ran.all());
    out
}

/// What a program that was compiled in a box says outside, given "b a": written
/// before it starts, since it may end without having read.
fn says(program: &Path) -> String {
    let (input, mut words) = std::io::pipe().unwrap();
    words.write_all(b"b a\n").unwrap();
    drop(words);
    let out = Command::new(program).stdin(input).output().unwrap();
    assert!(out.status.success(), "{}: {}", program.display(), out.status);
    String::from_utf8(out.stdout).unwrap()
}

fn plain_env() -> Value {
    json!({"PATH": "/usr/bin", "TMPDIR": "/tmp"})
}

#[test]
fn c_and_cpp_are_compiled_in_boxes() {
    let stockade = Stockade::new();
    let built = build(&stockade, "/usr/bin/gcc", "gcc");
    assert_eq!(built["programs"].as_array().unwrap().len(), 5, "{built}");
    let command = ["/usr/bin/gcc", "-O2", "-Wall", "-Werror", "-o", "/out/main", "{payload}", "-lm"];
    let out = compiled(&stockade, "gcc", &command, &plain_env(), "main.c");
    assert_eq!(says(&out.join("main")), "2.8284 5.0000 ok\n");
    build(&stockade, "/usr/bin/g++", "gxx");
    let command = ["/usr/bin/g++", "-O1", "-std=c++20", "-o", "/out/main", "{payload}"];
    let out = compiled(&stockade, "gxx", &command, &plain_env(), "main.cpp");
    assert_eq!(says(&out.join("main")), "123 axc\n");
}

#[test]
fn perl_runs_its_library_in_a_box() {
    let stockade = Stockade::new();
    let built = build(&stockade, "/usr/bin/perl", "perl");
    assert_eq!(built["programs"], json!(["/usr/bin/perl"]));
    let said = script(&stockade, "perl", "/usr/bin/perl", "main.pl");
    assert_eq!(said, "10 2 [1,{\"a\":2}] 1180591620717411303424\n2d711642 Ü € a\n42\nx y b a\naßb 0.667\n");
}

#[test]
fn ruby_runs_its_library_and_its_own_gems_in_a_box() {
    if !there("/usr/bin/ruby", "ruby", true) {
        return;
    }
    let stockade = Stockade::new();
    build(&stockade, "/usr/bin/ruby", "ruby");
    let said = script(&stockade, "ruby", "/usr/bin/ruby", "main.rb");
    let expected = "{\"a\":[1,2]}\n1\n0.3e0\n2d711642\n2d711642\n2024-03-01\n- 1\n[2, 3, 5]\n-2\nz\nthread\n\
        [\"x\", \"y\"]\nB A\nUTF-8\n/box/main.rb:22:in `<main>': message (RuntimeError)\n";
    assert_eq!(said, expected);
}

#[test]
fn lua_runs_in_a_box() {
    if !there("/usr/bin/lua5.4", "lua5.4", true) {
        return;
    }
    let stockade = Stockade::new();
    let built = build(&stockade, "/usr/bin/lua5.4", "lua");
    assert!(built["bytes"].as_u64().unwrap() < 4_500_000, "{built}");
    let said = script(&stockade, "lua", "/usr/bin/lua5.4", "main.lua");
    assert_eq!(said, "a,b\t2\tx\tinteger\tü\t 3.14\nx\t1\ttrue\n");
}

#[test]
fn go_is_compiled_in_a_box() {
    if !there("/usr/bin/go", "golang-go", false) {
        return;
    }
    let stockade = Stockade::new();
    build(&stockade, "/usr/bin/go", "go");
    let env = json!({"PATH": "/usr/bin", "TMPDIR": "/tmp", "HOME": "/tmp", "GOCACHE": "/tmp/cache", "CGO_ENABLED": "0"});
    let command = ["/usr/bin/go", "build", "-o", "/out/main", "{payload}"];
    let out = compiled(&stockade, "go", &command, &env, "main.go");
    assert_eq!(says(&out.join("main")), "[1,2,3] GO bb 1s\nb a\n");
}

#[test]
fn rust_is_compiled_in_a_box() {
    if !there("/usr/bin/rustc", "rustc", false) {
        return;
    }
    let stockade = Stockade::new();
    build(&stockade, "/usr/bin/rustc", "rustc");
    let command = ["/usr/bin/rustc", "-O", "--edition=2021", "-o", "/out/main", "{payload}"];
    let out = compiled(&stockade, "rustc", &command, &plain_env(), "counts.rs");
    assert_eq!(says(&out.join("main")), "{\"a\": 1}\nb a true\n");
}

#[test]
fn java_is_compiled_in_one_box_and_runs_in_another() {
    if !there("/usr/bin/javac", "openjdk-17-jdk-headless", false) {
        return;
    }
    let stockade = Stockade::new();
    let built = build(&stockade, "/usr/bin/javac", "javac");
    assert_eq!(built["notes"], json!([]), "nothing of it is said to be broken");
    let command = ["/usr/bin/javac", "-J-XX:-UsePerfData", "-d", "/out", "{payload}"];
    let out = compiled(&stockade, "javac", &command, &plain_env(), "Main.java");
    let jar = stockade.dir.join("main.jar");
    let mut archive = Command::new("jar");
    archive.args(["--create", "--main-class", "Main", "--file"]).arg(&jar).arg("-C").arg(&out).arg(".");
    assert!(archive.status().unwrap().success());
    fs::set_permissions(&jar, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = stockade.run(["-p", "java", "--", jar.to_str().unwrap(), "x"]);
    let expected = "[Point[x=0], Point[x=1], Point[x=2]]\n1180591620717411303424\nü false 1\n";
    assert_eq!((ran.text().as_str(), ran.status), (expected, 0), "{}", ran.all());
}

#[test]
fn node_runs_in_a_box() {
    if !there("/usr/bin/node", "nodejs", false) {
        return;
    }
    let stockade = Stockade::new();
    let file = stockade.write(
        "main.js",
        "const u = new URL('http://a/b?c=d'); import('node:zlib').then(z => {\n\
         console.log(u.searchParams.get('c'), z.inflateSync(z.deflateSync('z')).toString(),\n\
         'ß'.localeCompare('t'), new Intl.NumberFormat('de-DE').format(1234.5), process.argv.length);});",
    );
    let ran = stockade.run(["-p", "node", "--", &file, "x"]);
    assert_eq!((ran.text().as_str(), ran.status), ("d z -1 1.234,5 3\n", 0), "{}", ran.all());
}

/// Certificates, locales and time zones, as Python sees them.
const DATA: &str = r#"
import ssl, locale, zoneinfo, datetime, sys
context = ssl.create_default_context()
assert len(context.get_ca_certs()) > 50, len(context.get_ca_certs())
assert locale.setlocale(locale.LC_ALL, "") == "C.UTF-8"
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
assert locale.localeconv()["decimal_point"] == ","
assert locale.strxfrm("ä") < locale.strxfrm("b")
for name, hours in [("Europe/Berlin", 2), ("Asia/Tokyo", 9), ("America/New_York", -4)]:
    moment = datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo(name))
    assert moment.utcoffset() == datetime.timedelta(hours=hours), name
try:
    zoneinfo.ZoneInfo("No/Where")
except zoneinfo.ZoneInfoNotFoundError:
    print("data", len(zoneinfo.available_timezones()) > 400)
"#;

#[test]
fn certificates_locales_and_time_zones_are_found_where_programs_look() {
    for (path, package) in [
        ("/usr/bin/python3", "python3"),
        ("/usr/bin/localedef", "locales"),
        ("/usr/share/i18n/locales/de_DE", "locales"),
        ("/usr/share/zoneinfo/Asia/Tokyo", "tzdata"),
        ("/etc/ssl/certs/ca-certificates.crt", "ca-certificates"),
    ] {
        if !there(path, package, true) {
            return;
        }
    }
    let stockade = Stockade::new();
    let spec = |recipes: &Value| {
        json!({"version": 1, "name": "data", "comment": "c", "programs": ["/usr/bin/python3"],
            "recipes": recipes, "entry": ["/usr/bin/python3", "-I", "-B", "{payload}"],
            "env": {"LANG": "C.UTF-8"}, "policy": "python"})
    };
    let recipes = json!(["ca-certificates", {"recipe": "locale", "names": ["de_DE.UTF-8"]}]);
    let file = stockade.write("spec.json", spec(&recipes).to_string());
    stockade.json(["image", "build", &file, "--json"]);
    let script = stockade.write("data.py", DATA);
    let ran = stockade.run(["-i", "data", "--", &script]);
    assert_eq!((ran.text().as_str(), ran.status), ("data True\n", 0), "{}", ran.all());
    // The control: without its recipe there is no certificate.
    let file =
        stockade.write("spec.json", spec(&json!([{"recipe": "locale", "names": ["C.UTF-8"]}])).to_string());
    stockade.json(["image", "build", &file, "--json"]);
    let ran = stockade.run(["-i", "data", "--", &script]);
    assert_eq!(ran.status, 1, "{}", ran.all());
    assert!(ran.stderr.contains("AssertionError: 0"), "{}", ran.all());
    let bad = json!([{"recipe": "time-zones", "names": ["Europe/Berlin", "Europe/Berln"]}]);
    let file = stockade.write("spec.json", spec(&bad).to_string());
    let refused = stockade.go(["image", "build", &file]);
    assert_eq!(refused.status, 125);
    assert!(refused.stderr.contains("there is no time zone 'Europe/Berln' here"), "{}", refused.all());
}

#[test]
fn java_image_is_small_and_writes_as_every_language_does() {
    if !there("/usr/bin/java", "openjdk-17-jre-headless", false) {
        return;
    }
    let stockade = Stockade::new();
    let built = build(&stockade, "/usr/bin/java", "java");
    if Path::new("/usr/bin/jlink").exists() {
        assert!(built["bytes"].as_u64().unwrap() <= 50_000_000, "{built}");
    }
    let Some(jar) = jar_of(&stockade, "Formats.java") else { return };
    let ran = stockade.run(["-p", "java", "--", jar.to_str().unwrap()]);
    let bare = Command::new("/usr/bin/java").arg("-jar").arg(&jar).output().unwrap();
    let bare = String::from_utf8(bare.stdout).unwrap();
    assert_eq!(bare.lines().count(), 27, "{bare}");
    assert_eq!((ran.text(), ran.status), (bare, 0), "{}", ran.stderr);
}

/// A program of `tests/recipes`, compiled by the host's own compiler.
fn jar_of(stockade: &Stockade, name: &str) -> Option<PathBuf> {
    if !there("/usr/bin/javac", "openjdk-17-jdk-headless", false) {
        return None;
    }
    let (out, jar) = (stockade.dir.join("classes"), stockade.dir.join("formats.jar"));
    let done = Command::new("/usr/bin/javac").arg("-d").arg(&out).arg(source(name)).status();
    assert!(done.unwrap().success());
    let main = name.strip_suffix(".java").unwrap();
    let mut archive = Command::new("jar");
    archive.args(["--create", "--main-class", main, "--file"]).arg(&jar).arg("-C").arg(&out).arg(".");
    assert!(archive.status().unwrap().success());
    fs::set_permissions(&jar, fs::Permissions::from_mode(0o644)).unwrap();
    Some(jar)
}
