//! Images kept, looked at, used and removed, through the command line.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_archives;
mod image_cli;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{is_root, skip};
use image_archives::{dir, file, packed, program, symlink, tar};
use image_cli::Stockade;

/// A small image by this name, and its id.
fn small(stockade: &Stockade, name: &str, program: &str) -> String {
    let built = stockade.json(["image", "build", "--program", program, "--name", name, "--json"]);
    built["id"].as_str().unwrap().to_owned()
}

/// The one tree of the store that has this path in it.
fn in_tree(stockade: &Stockade, path: &str) -> PathBuf {
    let trees = fs::read_dir(stockade.store().join("trees")).unwrap();
    trees.map(|tree| tree.unwrap().path().join("root").join(path)).find(|path| path.exists()).unwrap()
}

/// Whatever the mode says, for whoever owns it.
fn overwrite(path: &std::path::Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    let meta = fs::metadata(path).unwrap();
    change(&mut bytes);
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    // In place: the same inode, linked from object and tree.
    let mut file = fs::File::options().write(true).truncate(true).open(path).unwrap();
    std::io::Write::write_all(&mut file, &bytes).unwrap();
    file.set_modified(meta.modified().unwrap()).unwrap();
    fs::set_permissions(path, meta.permissions()).unwrap();
}

#[test]
fn list_and_inspect_tell_what_is_there_in_text_and_json() {
    let stockade = Stockade::new();
    let id = small(&stockade, "sort", "/usr/bin/sort");
    let list = stockade.json(["image", "list", "--json"]);
    assert_eq!(list[0]["id"], id.as_str(), "{list}");
    assert_eq!(list[0]["name"], "sort");
    let text = stockade.text(["image", "list"]);
    assert!(text.starts_with("sort ") && text.contains("1 program · 0 shells · 0 setuid"), "{text}");
    let short = &id[..15];
    for name in ["sort", &id, short, &format!("sort@{id}")] {
        assert_eq!(stockade.json(["image", "inspect", name, "--json"])["id"], id.as_str(), "{name}");
    }
    let other = format!("sort@sha256:{}", "0".repeat(64));
    let refused = stockade.go(["image", "inspect", &other]);
    assert_eq!(refused.status, 125);
    assert!(
        refused.stderr.contains(&format!("the image 'sort' is {id}, and is pinned to")),
        "{}",
        refused.all()
    );
    let near = stockade.go(["image", "inspect", "sorr"]);
    assert!(
        near.stderr.contains("there is no image 'sorr'") && near.stderr.contains("did you mean 'sort'?"),
        "{}",
        near.all()
    );
    let files = stockade.files("sort");
    assert!(files.contains(&"/usr/bin/sort".to_owned()) && files.is_sorted(), "{files:?}");
}

#[test]
fn sbom_names_the_packages_in_both_forms() {
    if !std::path::Path::new("/var/lib/dpkg/status").exists() {
        return skip("this host has no dpkg");
    }
    let stockade = Stockade::new();
    small(&stockade, "sort", "/usr/bin/sort");
    let spdx = stockade.json(["image", "sbom", "sort"]);
    assert_eq!(spdx["spdxVersion"], "SPDX-2.3");
    let names: Vec<&str> =
        spdx["packages"].as_array().unwrap().iter().filter_map(|p| p["name"].as_str()).collect();
    assert!(names.contains(&"coreutils") && names.contains(&"libc6"), "{names:?}");
    let cyclone = stockade.json(["image", "sbom", "sort", "--format", "cyclonedx"]);
    assert_eq!(cyclone["bomFormat"], "CycloneDX");
    let purls: Vec<&str> =
        cyclone["components"].as_array().unwrap().iter().filter_map(|c| c["purl"].as_str()).collect();
    assert!(purls.iter().any(|purl| purl.starts_with("pkg:deb/debian/coreutils@")), "{purls:?}");
    assert_eq!(spdx, stockade.json(["image", "sbom", "sort"]), "the same image, the same list");
}

#[test]
fn changed_byte_refuses_the_run_with_path_and_both_digests() {
    let stockade = Stockade::new();
    small(&stockade, "sort", "/usr/bin/sort");
    assert_eq!(stockade.run(["-i", "sort", "--verify", "full"]).status, 0);
    let path = in_tree(&stockade, "usr/bin/sort");
    overwrite(&path, |bytes| bytes[5000] ^= 1);
    let full = stockade.run(["-i", "sort", "--verify", "full"]);
    assert_eq!(full.status, 125, "{}", full.all());
    let line = full.stderr.lines().next().unwrap();
    assert!(line.contains("the image is not what it should be: /usr/bin/sort: "), "{line}");
    let digests = line.split(|c: char| !c.is_ascii_hexdigit()).filter(|word| word.len() == 64).count();
    assert_eq!(digests, 2, "{line}");
    let private = stockade.run(["-i", "sort", "--root", "private"]);
    assert_eq!(private.status, 125, "{}", private.all());
    let verify = stockade.go(["image", "verify", "sort", "--full", "--json"]);
    assert_eq!(verify.status, 1);
    let verify: serde_json::Value = serde_json::from_str(&verify.text()).unwrap();
    assert_eq!(verify["mismatches"][0]["path"], "/usr/bin/sort", "{verify}");
    // Built again, it is whole again, under the same id.
    small(&stockade, "sort", "/usr/bin/sort");
    let again = stockade.run(["-i", "sort", "--verify", "full"]);
    assert_eq!(again.status, 0, "{}", again.all());
    assert_eq!(stockade.go(["image", "verify", "sort", "--full"]).status, 0);
}

#[test]
fn size_changed_is_seen_without_reading_bytes() {
    let stockade = Stockade::new();
    small(&stockade, "sort", "/usr/bin/sort");
    assert_eq!(stockade.run(["-i", "sort"]).report["image"]["verified"], "stamp");
    assert_eq!(stockade.run(["-i", "sort", "--verify", "stat"]).report["image"]["verified"], "stat");
    overwrite(&in_tree(&stockade, "usr/bin/sort"), |bytes| bytes.push(0));
    let stat = stockade.run(["-i", "sort", "--verify", "stat"]);
    assert_eq!(stat.status, 125, "{}", stat.all());
    assert!(stat.stderr.contains("/usr/bin/sort: size"), "{}", stat.all());
}

#[test]
fn each_back_end_of_the_root_runs_and_refuses_writes() {
    let stockade = Stockade::new();
    let script = "use strict; for my $f ('/usr/bin/perl', '/etc/passwd') { print open(my $h, '>>', $f) ? 'open' : 0+$!, ' ' } \
                  print mkdir('/new') ? 'made' : 0+$!, ' ', unlink('/etc/passwd') ? 'gone' : 0+$!, \"\\n\";";
    let script = stockade.write("try.pl", script);
    let spec = stockade.write(
        "spec.json",
        r#"{"version": 1, "name": "perl", "comment": "c", "programs": ["/usr/bin/perl"], "entry": ["/usr/bin/perl", "{payload}"]}"#,
    );
    stockade.json(["image", "build", &spec, "--json"]);
    let mut ids = Vec::new();
    // A read-only superblock is asked before a file's mode, a read-only mount after it.
    for (root, verified, answers) in [
        ("overlay", "stamp", "30 30 30 30\n"),
        ("bind", "stamp", "13 13 30 30\n"),
        ("private", "copied", "13 13 30 30\n"),
    ] {
        let ran = stockade.run(["-i", "perl", "--root", root, "--", &script]);
        assert_eq!((ran.text(), ran.status), (answers.into(), 0), "{root}: {}", ran.all());
        assert_eq!(ran.report["image"]["verified"], verified, "{root}");
        ids.push(ran.report["image"]["id"].clone());
    }
    assert!(ids.windows(2).all(|pair| pair[0] == pair[1]), "{ids:?}");
    let none = stockade.run(["-i", "perl", "--root", "tape", "--", &script]);
    assert!(none.status == 125 && none.stderr.contains("overlay, bind or private"), "{}", none.all());
}

#[test]
fn image_in_use_is_not_removed_and_goes_afterwards() {
    let stockade = Stockade::new();
    let id = small(&stockade, "sleep", "/usr/bin/sleep");
    let mut args = vec!["run", "-i", "sleep"];
    if !is_root() {
        args.extend(["--degrade", "cgroup"]);
    }
    args.extend(["--", "20"]);
    let mut child = stockade.command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Until the box runs, its tree is not there.
    let start = Instant::now();
    while fs::read_dir(stockade.store().join("trees")).map_or(0, Iterator::count) == 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "no tree");
        common::pause(50);
    }
    common::pause(1500);
    stockade.text(["image", "remove", &id]);
    let gc = stockade.json(["image", "gc", "--max", "0B", "--json"]);
    assert_eq!((gc["in_use"].as_u64(), gc["trees"].as_u64()), (Some(1), Some(0)), "{gc}");
    assert!(in_tree(&stockade, "usr/bin/sleep").exists());
    assert_eq!(stockade.run(["-i", "sleep", "--", "0"]).status, 125, "its name is gone");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let gc = stockade.json(["image", "gc", "--max", "0B", "--json"]);
    assert_eq!((gc["in_use"].as_u64(), gc["trees"].as_u64()), (Some(0), Some(1)), "{gc}");
    assert_eq!(fs::read_dir(stockade.store().join("trees")).unwrap().count(), 0);
    let used = stockade.json(["image", "gc", "--max", "0B", "--json"]);
    assert_eq!(used["bytes_after"], 0, "{used}");
}

#[test]
fn gc_keeps_named_images_and_removes_others() {
    let stockade = Stockade::new();
    let named = small(&stockade, "sort", "/usr/bin/sort");
    let lost = small(&stockade, "x", "/usr/bin/true");
    small(&stockade, "x", "/usr/bin/false");
    stockade.text(["image", "gc", "--max", "0B"]);
    assert_eq!(stockade.go(["image", "verify", &named, "--full"]).status, 0);
    assert_eq!(stockade.go(["image", "verify", "x", "--full"]).status, 0);
    let gone = stockade.go(["image", "inspect", &lost]);
    assert!(gone.status == 125 && gone.stderr.contains("there is no image"), "{}", gone.all());
    assert_eq!(stockade.run(["-i", "sort"]).status, 0);
}

#[test]
fn policy_names_an_image_and_a_pin_that_differs_is_refused() {
    let stockade = Stockade::new();
    let id = small(&stockade, "sort", "/usr/bin/sort");
    let policy = |image: &str| {
        format!(
            r#"{{"version": 1, "name": "p", "comment": "c", "extends": "base", "image": {image},
               "payload": {{"as": "/box/in", "executable": false}}, "command": ["/usr/bin/sort", "{{payload}}"]}}"#
        )
    };
    let input = stockade.write("in.txt", "b\na\n");
    let go = |image: &str| {
        let path = stockade.write("p.json", policy(image));
        stockade.run(["-p", &path, "--", &input])
    };
    for image in [
        r#"{"name": "sort"}"#.to_owned(),
        format!(r#"{{"id": "{id}"}}"#),
        format!(r#"{{"name": "sort", "id": "{id}", "verify": "full"}}"#),
    ] {
        let ran = go(&image);
        assert_eq!((ran.text(), ran.status), ("a\nb\n".into(), 0), "{image}: {}", ran.all());
        assert_eq!(ran.report["image"]["id"], id.as_str());
    }
    let pin = format!("sha256:{}", "0".repeat(64));
    for (image, said) in [
        (
            format!(r#"{{"name": "sort", "id": "{pin}"}}"#),
            format!("the image 'sort' is {id}, and is pinned to {pin}"),
        ),
        (format!(r#"{{"id": "{pin}"}}"#), format!("there is no image {pin}")),
        (r#"{"name": "other"}"#.to_owned(), "there is no image 'other'".to_owned()),
        (
            format!(r#"{{"recipe": "perl", "program": "/usr/bin/perl", "id": "{pin}"}}"#),
            "and the policy is pinned to".to_owned(),
        ),
        (
            r#"{"recipe": "perl", "program": "/no/perl"}"#.to_owned(),
            "/no/perl: there is no such file".to_owned(),
        ),
    ] {
        let ran = go(&image);
        assert!(ran.status == 125 || ran.status == 127, "{}", ran.all());
        assert!(ran.stderr.contains(&said), "{image}: {}", ran.all());
    }
}

#[test]
fn mount_place_that_is_a_link_or_a_file_in_the_image_is_refused() {
    let stockade = Stockade::new();
    let probe = fs::read(common::payload("probe.c", &["-static"])).unwrap();
    for (what, piece, said) in [
        (
            "proc",
            symlink("proc", "/etc"),
            "nothing can be mounted at '/proc': it is a symbolic link to '/etc' in the image",
        ),
        (
            "dev",
            symlink("dev", "etc"),
            "nothing can be mounted at '/dev': it is a symbolic link to 'etc' in the image",
        ),
        (
            "tmp",
            symlink("tmp", "/"),
            "nothing can be mounted at '/tmp': it is a symbolic link to '/' in the image",
        ),
        (
            "box",
            symlink("box", "/etc/../.."),
            "nothing can be mounted at '/box': it is a symbolic link to '/etc/../..' in the image",
        ),
        ("tmp", file("tmp", "x"), "nothing can be mounted at '/tmp': it is a file in the image"),
    ] {
        let archive = tar(&[dir("etc/"), piece, program("probe", &probe)]);
        let path = stockade.write("root.tar", archive);
        stockade.json(["image", "import", &path, "--name", "trap", "--json"]);
        for root in ["overlay", "bind", "private"] {
            let spec = stockade.run(["-i", "trap", "-p", "native", "--root", root, "--", "/usr/bin/true"]);
            assert_eq!(spec.status, 125, "{what} {root}: {}", spec.all());
            assert!(spec.stderr.contains(said), "{what} {root}: {}", spec.all());
        }
    }
}

#[test]
fn image_without_the_programs_loader_is_named_as_the_reason() {
    let stockade = Stockade::new();
    let archive = stockade.write("bare.tar", tar(&[dir("data"), file("data/x", "x")]));
    stockade.text(["image", "import", &archive, "--name", "bare"]);
    let ran = stockade.run(["-i", "bare", "-p", "native", "--", "/usr/bin/true"]);
    assert_eq!((ran.status, ran.verdict()), (125, "setup_failed"), "{}", ran.all());
    let reason = ran.report["reason"].as_str().unwrap();
    assert!(reason.starts_with("exec: execve: ENOENT") && !reason.contains("{}"), "{reason}");
    assert!(ran.stderr.contains("not the loader that it names"), "{}", ran.stderr);
}

#[test]
fn full_disk_refuses_and_leaves_nothing_that_looks_whole() {
    if !is_root() {
        return skip("mounting a small file system takes root");
    }
    let stockade = Stockade::new();
    let disk = stockade.dir.join("disk");
    fs::create_dir(&disk).unwrap();
    nix::mount::mount(Some("x"), &disk, Some("tmpfs"), nix::mount::MsFlags::empty(), Some("size=1m"))
        .unwrap();
    let store = disk.join("store");
    // Compressed, so that it is unpacked into the store before it is read.
    let archive = stockade.write("much.tar.gz", packed("gzip", &tar(&[file("f", noise(2 << 20))])));
    let ran = [["build", "--program", "/usr/bin/sort"].as_slice(), &["import", &archive]].map(|words| {
        let words = ["image"].iter().chain(words).chain(&["--name", "s", "--store"]);
        let out = stockade.command(words).arg(&store).output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    });
    let count = |name: &str| fs::read_dir(store.join(name)).map_or(0, Iterator::count);
    let kept = ["refs", "manifests", "images", "trees", "tmp"].map(|name| (name, count(name)));
    nix::mount::umount(&disk).unwrap();
    for (status, said) in ran {
        assert_eq!(status, Some(125), "{said}");
        let first = said.lines().next().unwrap_or_default();
        assert!(first.contains(" in the store: ") && first.ends_with("No space left on device"), "{said}");
        assert!(said.contains("help: make room on that file system"), "{said}");
    }
    assert_eq!(kept, ["refs", "manifests", "images", "trees", "tmp"].map(|name| (name, 0)));
}

/// Bytes that no compression makes fewer.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let next = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        state.to_be_bytes()[0]
    };
    (0..count).map(next).collect()
}

#[test]
fn cap_of_the_store_is_kept() {
    let stockade = Stockade::new();
    let out = stockade
        .command(["image", "build", "--program", "/usr/bin/sort"])
        .env("STOCKADE_STORE_MAX", "1MiB")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(125), "{said}");
    assert!(
        said.contains("would hold more than 1 MiB") || said.contains("would hold more than 1MiB"),
        "{said}"
    );
    assert_eq!(stockade.text(["image", "list"]), "");
}

#[test]
fn builds_at_once_and_killed_ones_leave_a_store_that_verifies() {
    let stockade = Stockade::in_memory();
    fs::create_dir(stockade.dir.join("many")).unwrap();
    for number in 0..150 {
        stockade.write(&format!("many/{number}"), format!("{number}\n").repeat(900));
    }
    let include = format!("{}:/many", stockade.dir.join("many").display());
    let build = |store: &str, name: &str| {
        let mut command = stockade.command([
            "image",
            "build",
            "--program",
            "/usr/bin/true",
            "--include",
            &include,
            "--name",
            name,
        ]);
        command.env("STOCKADE_STORE", stockade.store().with_file_name(store));
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    // How long undisturbed work takes decides when to strike.
    let start = Instant::now();
    assert!(build("control", "one").wait().unwrap().success());
    let span = start.elapsed();
    let mut struck = 0;
    for round in 0..6 {
        let mut killed = build("store", "killed");
        let mut one = build("store", "one");
        let mut two = build("store", "two");
        // Three at once take longer than one alone.
        std::thread::sleep(span * round / 4);
        // It may be done already, and that is fine, too.
        drop(killed.kill());
        struck += u32::from(killed.wait().unwrap().code().is_none());
        assert!(one.wait().unwrap().success() && two.wait().unwrap().success(), "round {round}");
        for name in ["one", "two"] {
            assert_eq!(stockade.go(["image", "verify", name, "--full"]).status, 0, "round {round}");
        }
        let list = stockade.json(["image", "list", "--json"]);
        let ids = list.as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap());
        let ids: std::collections::BTreeSet<&str> = ids.collect();
        assert_eq!(ids.len(), 1, "one content, one image: {list}");
        stockade.text(["image", "remove", "one", "two"]);
        if stockade.go(["image", "inspect", "killed"]).status == 0 {
            stockade.text(["image", "remove", "killed"]);
        }
        stockade.text(["image", "gc", "--max", "0B"]);
        assert_eq!(
            fs::read_dir(stockade.store().join("tmp")).unwrap().count(),
            0,
            "what was killed is swept"
        );
    }
    assert!(struck >= 2, "only {struck} of 6 were killed before they were done");
}

#[test]
fn store_of_somebody_else_is_refused() {
    if !is_root() {
        return skip("giving a directory away takes root");
    }
    let stockade = Stockade::new();
    fs::create_dir(stockade.store()).unwrap();
    std::os::unix::fs::chown(stockade.store(), Some(common::SOMEBODY), None).unwrap();
    let ran = stockade.go(["image", "build", "--program", "/usr/bin/true"]);
    assert_eq!(ran.status, 125, "{}", ran.all());
    assert!(ran.stderr.contains(&format!("belongs to uid {}", common::SOMEBODY)), "{}", ran.all());
    assert_eq!(fs::read_dir(stockade.store()).unwrap().count(), 0);
}

#[test]
fn slim_image_keeps_the_program_and_loses_the_rest() {
    let stockade = Stockade::new();
    stockade.json([
        "image",
        "build",
        "--program",
        "/usr/bin/perl",
        "--program",
        "/usr/bin/sort",
        "--name",
        "both",
        "--json",
    ]);
    let slim =
        stockade.json(["image", "slim", "both", "--entrypoint", "/usr/bin/sort", "--name", "slim", "--json"]);
    assert_eq!(slim["programs"], serde_json::json!(["/usr/bin/sort"]));
    let files = stockade.files("slim");
    assert!(!files.iter().any(|path| path.contains("perl")), "{files:?}");
    assert_eq!(stockade.run(["-i", "slim"]).status, 0);
    let bad = stockade.go(["image", "slim", "both", "--entrypoint", "/usr/bin/no"]);
    assert!(bad.status != 0 && bad.stderr.contains("/usr/bin/no"), "{}", bad.all());
}

#[test]
fn slim_image_of_python_runs_its_library() {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        return common::skip("there is no /usr/bin/python3");
    }
    let stockade = Stockade::new();
    let both = ["--program", "/usr/bin/python3", "--program", "/usr/bin/sort"];
    stockade.json(["image", "build"].iter().chain(&both).chain(&["--name", "both", "--json"]));
    let alone = ["image", "build", "--program", "/usr/bin/python3", "--name", "alone", "--json"];
    let (alone, slim) = (
        stockade.json(alone),
        stockade.json([
            "image",
            "slim",
            "both",
            "--entrypoint",
            "/usr/bin/python3",
            "--name",
            "slim",
            "--json",
        ]),
    );
    assert_eq!(slim["programs"], alone["programs"]);
    assert_eq!(stockade.files("slim"), stockade.files("alone"));
    let script = stockade.write("main.py", "import json, decimal, zoneinfo\nprint(json.dumps([1]))\n");
    let policy = stockade.write(
        "slim-policy.json",
        r#"{"version": 1, "name": "slim", "comment": "c", "extends": "python", "image": {"name": "slim"}}"#,
    );
    let ran = stockade.run(["-p", &policy, "--", &script]);
    assert_eq!((ran.text().as_str(), ran.status), ("[1]\n", 0), "{}", ran.all());
}

#[test]
fn slim_image_of_a_compiler_has_all_that_the_compiler_has() {
    if !std::path::Path::new("/usr/bin/gcc").exists() {
        return common::skip("there is no /usr/bin/gcc");
    }
    let stockade = Stockade::new();
    let made = |words: &[&str]| stockade.json(["image"].iter().chain(words).chain(&["--json"]));
    made(&["build", "--program", "/usr/bin/gcc", "--program", "/usr/bin/sort", "--name", "both"]);
    let slim = made(&["slim", "both", "--entrypoint", "/usr/bin/gcc", "--name", "slim"]);
    let alone = made(&["build", "--program", "/usr/bin/gcc", "--name", "alone"]);
    assert_eq!(slim["programs"], alone["programs"]);
    assert_eq!(stockade.files("slim"), stockade.files("alone"));
}
