//! What a box has made reaches its caller: `--out`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::PathBuf;

use common::{Caller, payload, run};

fn maker() -> PathBuf {
    payload("maker.c", &["-static"])
}

/// A name for a directory that is not there yet, below what the caller can write.
fn fresh(caller: Caller, name: &str) -> PathBuf {
    let dir = caller.home().join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    dir
}

fn spec(dir: &std::path::Path) -> String {
    format!("{}:/out", dir.display())
}

fn policy(name: &str, text: &str) -> String {
    let path = common::work().join(format!("{name}.json"));
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn out_files_arrive_as_the_callers_own_whatever_the_exit_status() {
    for caller in Caller::all() {
        let dir = fresh(caller, "made");
        let ran = run(caller, maker()).options(["--out", &spec(&dir)]).args(["/out", "plain", "3"]).go();
        assert_eq!(ran.status, 3, "{}", ran.all());
        assert_eq!(fs::read(dir.join("plain")).unwrap(), b"plain\n");
        assert_eq!(fs::read(dir.join("dir/below")).unwrap(), b"below");
        let meta = |name: &str| fs::metadata(dir.join(name)).unwrap();
        let owner = fs::metadata(caller.home()).unwrap().uid();
        for name in ["plain", "program", "dir", "dir/below"] {
            assert_eq!(meta(name).uid(), owner, "{caller:?} {name}");
        }
        assert_eq!(meta("plain").mode() & 0o7111, 0, "{caller:?}");
        assert_eq!(meta("program").mode() & 0o7100, 0o100, "{caller:?}");
        let outputs = &ran.report["outputs"];
        assert_eq!(outputs[0]["at"], "/out", "{}", ran.all());
        assert_eq!((&outputs[0]["files"], &outputs[0]["bytes"]), (&3.into(), &13.into()));
        assert_eq!(outputs[0]["skipped_count"], 0);
        // A second run replaces what has the same name, and leaves the rest.
        let ran = run(caller, maker()).options(["--out", &spec(&dir)]).args(["/out", "again"]).go();
        assert_eq!(ran.status, 0, "{}", ran.all());
        assert_eq!(fs::read(dir.join("plain")).unwrap(), b"again\n");
        assert_eq!(fs::read(dir.join("dir/below")).unwrap(), b"below");
    }
}

#[test]
fn out_report_has_no_outputs_where_none_were_asked_for() {
    let ran = run(Caller::all()[0], maker()).args(["/tmp", "plain"]).go();
    assert_eq!(ran.status, 0, "{}", ran.all());
    assert_eq!(ran.report["outputs"], serde_json::Value::Null);
    assert_eq!(ran.report["verdict"], "ok");
}

#[test]
fn out_links_and_fifos_cannot_be_made_even_where_the_calls_are_allowed() {
    let allowed = policy(
        "makes-links",
        r#"{"version": 1, "name": "makes-links", "comment": "c", "extends": "native", "syscalls+": {"allow": [
            {"calls": ["symlink", "symlinkat", "link", "linkat"], "comment": "symlink, link: to be tried"},
            {"calls": ["mknod", "mknodat"], "unless": [{"arg": "mode", "any_bit": "06000"}], "comment": "mknod: to be tried"}]}}"#,
    );
    for caller in Caller::all() {
        for (name, expected) in [("native", "38 38 38\n"), (allowed.as_str(), "13 0 13\n")] {
            let dir = fresh(caller, "special");
            let ran = run(caller, maker())
                .options(["--policy", name, "--out", &spec(&dir)])
                .args(["/out", "plain", "special"])
                .go();
            assert_eq!((ran.status, ran.text().as_str()), (0, expected), "{}", ran.all());
            // Two names of one file are two files.
            assert_eq!(dir.join("hard").exists(), name != "native");
            assert!(!dir.join("symlink").is_symlink() && !dir.join("fifo").exists());
        }
    }
}

#[test]
fn out_hostile_names_deep_trees_and_sparse_files_are_left_out_and_told() {
    for caller in Caller::all() {
        let dir = fresh(caller, "hostile");
        let ran = run(caller, maker())
            .options(["--file-size", "2GiB", "--out", &spec(&dir)])
            .args(["/out", "names", "sparse", "deep"])
            .go();
        assert_eq!(ran.status, 0, "{}", ran.all());
        let told: Vec<(String, String)> = ran.report["outputs"][0]["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| (s["path"].as_str().unwrap().to_owned(), s["reason"].as_str().unwrap().to_owned()))
            .collect();
        let name = "its name has characters that no name on the host should have";
        let expected = [
            ("\\x1b[2J".to_owned(), name),
            ("a\\x0ab".to_owned(), name),
            (["d"; 33].join("/"), "too many directories deep"),
            ("sparse".to_owned(), "larger than all that is collected"),
            ("\\xff\\xfe".to_owned(), name),
        ];
        let expected: Vec<_> = expected.into_iter().map(|(p, r)| (p, r.to_owned())).collect();
        assert_eq!(told, expected, "{}", ran.all());
        let mut names: Vec<_> =
            fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(names, ["good name", "real"]);
    }
}

#[test]
fn out_hundred_thousand_files_end_at_the_cap() {
    let many = policy(
        "many",
        r#"{"version": 1, "name": "many", "comment": "c", "extends": "native",
            "limits": {"memory": "512MiB", "comment": "memory: for inodes"},
            "paths+": [{"at": "/many", "from": "out", "size": "4MiB", "inodes": 100100,
                        "access": ["read", "write", "create"], "comment": "c"}]}"#,
    );
    let caller = Caller::all()[0];
    let dir = fresh(caller, "many");
    let ran = run(caller, maker())
        .options(["--policy", &many, "--out", dir.to_str().unwrap()])
        .args(["/many", "many"])
        .go();
    assert_eq!(ran.status, 0, "{}", ran.all());
    let told = &ran.report["outputs"][0];
    assert_eq!((&told["files"], &told["skipped_count"]), (&10_000.into(), &90_000.into()));
    assert_eq!(told["skipped"].as_array().unwrap().len(), 100);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 10_000);
}

#[test]
fn out_of_a_box_that_was_killed_for_a_limit_is_collected() {
    for caller in Caller::all() {
        let dir = fresh(caller, "limit");
        let ran = run(caller, maker())
            .options(["--wall-time", "300ms", "--out", &spec(&dir)])
            .args(["/out", "plain", "wait"])
            .go();
        assert_eq!((ran.status, ran.verdict()), (124, "wall_limit"), "{}", ran.all());
        assert_eq!(fs::read(dir.join("plain")).unwrap(), b"plain\n");
    }
}

#[test]
fn out_of_a_run_that_was_cancelled_is_not_collected() {
    let caller = Caller::all()[0];
    let dir = fresh(caller, "cancelled");
    let (mut command, report) =
        run(caller, maker()).options(["--out", &spec(&dir)]).args(["/out", "plain", "wait"]).command();
    let mut child = command.stdin(std::process::Stdio::null()).spawn().unwrap();
    common::pause(1000);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::SIGTERM)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let report: serde_json::Value = serde_json::from_slice(&fs::read(report).unwrap()).unwrap();
    assert_eq!(report["verdict"], "cancelled");
    assert_eq!(report.get("outputs"), None);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
}

#[test]
fn out_links_on_the_host_are_never_followed() {
    for caller in Caller::all() {
        let dir = fresh(caller, "planted");
        let victim = fresh(caller, "victim");
        for made in [&dir, &victim] {
            fs::create_dir(made).unwrap();
            let owner = fs::metadata(caller.home()).unwrap();
            std::os::unix::fs::chown(made, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
        fs::write(victim.join("file"), "mine").unwrap();
        symlink(victim.join("file"), dir.join("plain")).unwrap();
        symlink(&victim, dir.join("dir")).unwrap();
        let ran = run(caller, maker()).options(["--out", &spec(&dir)]).args(["/out", "plain"]).go();
        assert_eq!(ran.status, 0, "{}", ran.all());
        assert_eq!(fs::read(victim.join("file")).unwrap(), b"mine");
        assert!(!victim.join("below").exists());
        assert!(!dir.join("plain").is_symlink());
        let skipped = &ran.report["outputs"][0]["skipped"];
        assert_eq!(skipped[0]["path"], "dir/below", "{}", ran.all());
        assert_eq!(skipped[0]["reason"], "something else has its name on the host");
    }
}

#[test]
fn out_that_cannot_be_is_refused_before_anything_runs() {
    let caller = Caller::all()[0];
    let dir = fresh(caller, "refused");
    fs::create_dir(&dir).unwrap();
    let link = caller.home().join("refused-link");
    drop(fs::remove_file(&link));
    symlink(&dir, &link).unwrap();
    let program = maker();
    let own = dir.join("own.json");
    let text = r#"{"version": 1, "name": "own", "comment": "c", "extends": "native"}"#;
    fs::write(&own, text).unwrap();
    let cases: [(&[&str], &str); 6] = [
        (&["--out", link.to_str().unwrap()], "symbolic link"),
        (&["--out", "no/such/dir"], "those above it are not"),
        (&["--out", program.to_str().unwrap()], "not a directory"),
        (&["--out", "x:relative"], "must be absolute"),
        (&["--out", "x:/tmp"], "something else in the policy"),
        (&["--out", dir.to_str().unwrap(), "--policy", own.to_str().unwrap()], "put it elsewhere"),
    ];
    for (options, words) in cases {
        let ran = run(caller, &program).options(options.iter().copied()).args(["/out", "plain"]).go();
        assert_eq!(ran.status, 125, "{options:?}: {}", ran.all());
        assert!(ran.stderr.contains(words), "{options:?}: {}", ran.stderr);
    }
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    // Where the program is what is wrong, no directory is made for it.
    let unmade = fresh(caller, "unmade");
    let ran = run(caller, dir.join("missing")).options(["--out", &spec(&unmade)]).go();
    assert_eq!((ran.status, unmade.exists()), (127, false), "{}", ran.all());
}
