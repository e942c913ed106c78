//! Jobs under the policy `ci`: they build, and run what they have built, in one box.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use common::{Caller, is_root, run, skip};

/// A small project: a library with a link to it, a program, and its tests, which are a program and a script.
const PROJECT: &[(&str, &str)] = &[
    ("add.c", "int add(int a, int b) { return a + b; }\n"),
    (
        "main.c",
        "#include <stdio.h>\nint add(int, int);\nint main(void) { printf(\"%d\\n\", add(40, 2)); return 0; }\n",
    ),
    (
        "check.c",
        "#include <stdlib.h>\nint add(int, int);\nint main(void) { if (add(1, 2) != 3) abort(); return 0; }\n",
    ),
    (
        "Makefile",
        "all: program\n\
         libadd.so.1: add.c\n\tgcc -shared -fPIC -o $@ add.c\n\
         libadd.so: libadd.so.1\n\tln -sf libadd.so.1 $@\n\
         program: main.c libadd.so\n\tgcc -o $@ main.c -L. -ladd -Wl,-rpath,/work\n\
         check: check.c libadd.so\n\tgcc -o $@ check.c -L. -ladd -Wl,-rpath,/work\n\
         test: program check\n\t./check\n\t./test.sh\n",
    ),
    ("test.sh", "#!/bin/sh\ntest \"$(./program)\" = 42 && echo all tests passed\n"),
];

/// The image `ci` in the caller's store; `None`: a tool is not there.
fn image(caller: Caller) -> Option<()> {
    let tools = [
        "/bin/sh",
        "/usr/bin/make",
        "/usr/bin/gcc",
        "/usr/bin/cp",
        "/usr/bin/ln",
        "/usr/bin/ls",
        "/usr/bin/sleep",
        "/usr/bin/timeout",
    ];
    if let Some(absent) = tools.iter().find(|tool| !Path::new(tool).exists()) {
        skip(&format!("{absent} is not there"));
        return None;
    }
    let mut build = caller.command(common::stockade());
    build.args(["image", "build", "--name", "ci"]);
    for tool in tools {
        build.args(["--program", tool]);
    }
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    Some(())
}

/// These files in a directory of the caller's own.
fn project(caller: Caller, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let top = caller.home().join(name);
    if top.exists() {
        fs::remove_dir_all(&top).unwrap();
    }
    fs::create_dir(&top).unwrap();
    for (file, text) in files {
        fs::write(top.join(file), text).unwrap();
    }
    for (file, mode) in [("test.sh", 0o755), (".", 0o700)] {
        if top.join(file).exists() {
            fs::set_permissions(top.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
    }
    if is_root() {
        let owner = fs::metadata(caller.home()).unwrap();
        for path in files.iter().map(|(file, _)| top.join(file)).chain([top.clone()]) {
            chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
        }
    }
    top
}

/// Every file of the directory: inode, time of the last change of any kind, and content.
fn state(dir: &Path) -> Vec<(PathBuf, u64, i64, i64, Vec<u8>)> {
    let entry = |path: PathBuf| {
        let meta = fs::metadata(&path).unwrap();
        let content = fs::read(&path).unwrap_or_default();
        (path, meta.ino(), meta.ctime(), meta.ctime_nsec(), content)
    };
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|e| entry(e.unwrap().path())).collect();
    all.push(entry(dir.to_owned()));
    all.sort();
    all
}

fn job(caller: Caller, text: &str) -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let path = caller.home().join(format!("job-{number}.sh"));
    fs::write(&path, text).unwrap();
    path
}

#[test]
fn ci_job_builds_a_project_and_runs_its_tests_in_one_box_and_leaves_the_host_as_it_was() {
    for caller in Caller::all() {
        if image(caller).is_none() {
            return;
        }
        let tree = project(caller, "project", PROJECT);
        let before = state(&tree);
        let out = caller.home().join("ci-out");
        if out.exists() {
            fs::remove_dir_all(&out).unwrap();
        }
        let text = "set -e\nmake -s \"$@\"\ncp program libadd.so.1 /out\n\
            cp program /tmp/program\nif /tmp/program 2> /dev/null; then echo ran; else echo not run $?; fi\n\
            ls /usr/bin/id || exit 3\n";
        let (work, collected) = (tree.to_str().unwrap(), out.to_str().unwrap());
        let ran = run(caller, job(caller, text))
            .options(["--policy", "ci", "--work", work, "--out", collected])
            .args(["test"])
            .go();
        assert_eq!(ran.status, 3, "{}", ran.all());
        assert_eq!(ran.text(), "all tests passed\nnot run 126\n", "{}", ran.all());
        assert_eq!(state(&tree), before, "{caller:?}");
        // What was collected runs in a box of its own, and on the host, with the library beside it.
        assert!(out.join("program").exists() && out.join("libadd.so.1").exists(), "{}", ran.all());
    }
}

#[test]
fn make_sees_in_the_work_tree_what_was_built_before() {
    for caller in Caller::all() {
        if image(caller).is_none() {
            return;
        }
        let makefile = "made: source\n\tcp source made\n";
        let tree = project(caller, "fresh", &[("Makefile", makefile), ("source", ""), ("made", "")]);
        // Both within one second: only the nanoseconds tell which is newer.
        for (name, nanos) in [("source", 200), ("made", 100)] {
            let file = File::options().write(true).open(tree.join(name)).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::new(1_600_000_000, nanos)).unwrap();
        }
        let work = tree.to_str().unwrap();
        let script = job(caller, "make\nmake\n");
        let ran = run(caller, script).options(["--policy", "ci", "--work", work]).go();
        assert_eq!(
            (ran.status, ran.text().as_str()),
            (0, "cp source made\nmake: 'made' is up to date.\n"),
            "{}",
            ran.all()
        );
    }
}

#[test]
fn tools_that_look_at_owners_attributes_and_groups_do_in_a_job_what_they_do_bare() {
    let text = "set -e\ncp -a /box copy\n[ -f copy/job.sh ]\n\
                ls -l copy > list\n\
                timeout 0.2 sleep 60 || echo \"status $?\"\n\
                echo from a descriptor > /dev/fd/1\n";
    for caller in Caller::all() {
        if image(caller).is_none() {
            return;
        }
        let tree = project(caller, "owners", &[]);
        let ran =
            run(caller, job(caller, text)).options(["--policy", "ci", "--work", tree.to_str().unwrap()]).go();
        let expected = (0, "status 124\nfrom a descriptor\n");
        assert_eq!((ran.status, ran.text().as_str()), expected, "{}", ran.all());
        assert_eq!(ran.stderr, "", "{}", ran.all());
    }
}
