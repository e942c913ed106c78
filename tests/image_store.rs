//! The store under many processes, sudden deaths and two users; and real
//! programs started in the roots that come out of it.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and says why it was skipped"
)]

mod image_support;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use image_support::{compile, directory, has, is_root, request, skip};
use stockade::image::build;
use stockade::image::digest::Digest;
use stockade::image::store::Limits;
use stockade::image::{PrivateKind, Request, RootSource, Store, closure};

const CHILD_STORE: &str = "STOCKADE_TEST_CHILD_STORE";
const CHILD_PAYLOAD: &str = "STOCKADE_TEST_CHILD_PAYLOAD";
const CHILD_BUILDS: &str = "STOCKADE_TEST_CHILD_BUILDS";

/// Builds the closure of a program for several users, one after the other.
#[test]
#[ignore = "the child process of the other tests; does nothing alone"]
fn child_that_builds() {
    let Some(store) = std::env::var_os(CHILD_STORE) else { return };
    let payload = File::open(std::env::var_os(CHILD_PAYLOAD).unwrap()).unwrap();
    let builds: u32 = std::env::var(CHILD_BUILDS).unwrap().parse().unwrap();
    let store = Store::open(store.as_ref()).unwrap();
    for uid in 1000..1000 + builds {
        let root = closure(Some(&store), &Request { uid, ..request(&payload) }).unwrap();
        assert!(matches!(root.source, RootSource::Tree { .. }), "{:?}", root.notes);
        println!("\nid={}", root.id);
    }
}

/// The command that starts the child; its own copy, where other users may enter.
fn child(command: &mut Command, store: &Path, payload: &Path, builds: u32) -> Child {
    command
        .args(["--exact", "child_that_builds", "--ignored", "--nocapture"])
        .env(CHILD_STORE, store)
        .env(CHILD_PAYLOAD, payload)
        .env(CHILD_BUILDS, builds.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn ids(child: Child) -> Vec<String> {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| line.strip_prefix("id=")).map(str::to_owned).collect()
}

fn this() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// A payload with several libraries, wherever this runs: the test itself.
fn payload() -> PathBuf {
    this()
}

/// Every tree of a store, verified in full; how many there are.
fn all_clean(path: &Path) -> usize {
    let store = Store::open(path).unwrap();
    let Ok(trees) = fs::read_dir(path.join("trees")) else { return 0 };
    let mut count = 0;
    for tree in trees {
        let name = tree.unwrap().file_name().into_string().unwrap();
        let checked = store.verify_full(&name.parse::<Digest>().unwrap()).unwrap();
        assert!(checked.is_clean(), "{name}: {:?}", checked.mismatches);
        assert!(checked.files >= 5, "{name}: {checked:?}");
        count += 1;
    }
    count
}

#[test]
fn processes_that_build_the_same_closure_at_once_all_succeed() {
    let dir = directory();
    let store = dir.path().join("store");
    let children: Vec<_> = (0..8).map(|_| child(&mut Command::new(this()), &store, &payload(), 3)).collect();
    let all: Vec<_> = children.into_iter().map(ids).collect();
    assert_eq!(all[0].len(), 3);
    assert!(all.iter().all(|ids| *ids == all[0]), "{all:?}");
    assert_eq!(all_clean(&store), 3);
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(store.join("closures")).unwrap().count(), 3);
}

#[test]
fn builder_killed_at_any_moment_leaves_nothing_that_looks_finished() {
    let dir = directory();
    let store = dir.path().join("store");
    // How long undisturbed work takes decides when to strike; the victim has work for longer.
    let start = std::time::Instant::now();
    let expected = ids(child(&mut Command::new(this()), &dir.path().join("control"), &payload(), 4));
    let span = u32::try_from(start.elapsed().as_micros()).unwrap();
    let (mut seed, mut leftovers) = (0x2545_f491_u32, 0);
    for _ in 0..50 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let mut child = child(&mut Command::new(this()), &store, &payload(), 1000);
        std::thread::sleep(Duration::from_micros((seed % span).into()));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        if store.exists() {
            all_clean(&store);
        }
        leftovers += fs::read_dir(store.join("tmp")).map_or(0, Iterator::count);
        // From what the last one left, from its objects only, from nothing.
        if !(seed >> 8).is_multiple_of(3) {
            for place in ["trees", "closures"] {
                fs::remove_dir_all(store.join(place)).or_else(ignore_missing).unwrap();
            }
        }
        if (seed >> 8).is_multiple_of(5) {
            fs::remove_dir_all(&store).or_else(ignore_missing).unwrap();
        }
    }
    assert!(leftovers >= 5, "only {leftovers} of 50 were killed in the middle of a build");
    assert_eq!(ids(child(&mut Command::new(this()), &store, &payload(), 4)), expected);
    assert!(all_clean(&store) >= 4);
    Store::open(&store).unwrap().sweep_temporaries().unwrap();
    assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0);
    eprintln!("{leftovers} of 50 were killed in the middle of a build");
}

fn ignore_missing(error: std::io::Error) -> std::io::Result<()> {
    if error.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

#[test]
fn two_users_and_no_store_give_the_same_id() {
    let dir = directory();
    let mut stores = vec![ids(child(&mut Command::new(this()), &dir.path().join("one"), &payload(), 2))];
    stores.push(ids(child(&mut Command::new(this()), &dir.path().join("two"), &payload(), 2)));
    let file = File::open(payload()).unwrap();
    let private = closure(None, &request(&file)).unwrap();
    assert_eq!(private.id, stores[0][0]);
    if !is_root() {
        eprintln!("not root: two stores of one user were compared, not two users'");
    } else if has("setpriv") {
        let (exe, store) = (dir.path().join("exe"), dir.path().join("theirs"));
        fs::copy(this(), &exe).unwrap();
        fs::create_dir(&store).unwrap();
        std::os::unix::fs::chown(&store, Some(65534), Some(65534)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&exe).current_dir("/");
        stores.push(ids(child(&mut command, &store, &exe, 2)));
        // And this store is not root's.
        assert!(Store::open(&store).is_err());
    } else {
        skip("two_users_and_no_store_give_the_same_id", "no setpriv");
    }
    let all: BTreeSet<_> = stores.iter().collect();
    assert_eq!((all.len(), stores[0].len()), (1, 2), "{stores:?}");
}

/// What a program prints in a root of its own, with nothing of the host around it.
fn run_in(root: &Path, program: &Path) -> Option<String> {
    fs::copy(program, root.join("box/program")).unwrap();
    let mut command = if is_root() { Command::new("chroot") } else { Command::new("unshare") };
    if !is_root() {
        command.args(["-r", "chroot"]);
    }
    let output =
        command.arg(root).arg("/box/program").env_clear().env("PATH", "/usr/sbin:/usr/bin").output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    if !is_root() && error.contains("unshare") {
        return None;
    }
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}: {} {text} {error}", program.display(), output.status);
    Some(text)
}

#[test]
fn compiled_programs_start_in_their_roots_and_nothing_is_missing() {
    if !has("gcc") || !has("g++") || !has("rustc") {
        return skip("compiled_programs_start_in_their_roots", "gcc, g++ or rustc is missing");
    }
    let dir = directory();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let cases: &[(&str, &[&str], &str, &[&str])] = &[
        ("hello.c", &[], "hello 1\n", &["libc.so.6"]),
        ("hello.c", &["-no-pie"], "hello 1\n", &["libc.so.6"]),
        ("hello.c", &["-static"], "hello 1\n", &[]),
        ("hello.c", &["-static-pie"], "hello 1\n", &[]),
        ("hello.c", &["-lm", "-Wl,--no-as-needed,-lm"], "hello 1\n", &["libc.so.6", "libm.so.6"]),
        ("cancel.c", &["-pthread"], "cancelled\n", &["libc.so.6", "libgcc_s.so.1"]),
        ("cancel.c", &["-pthread", "-static"], "cancelled\n", &[]),
        ("throw.cpp", &[], "caught 1\n", &["libc.so.6", "libgcc_s.so.1", "libm.so.6", "libstdc++.so.6"]),
        ("hello.rs", &[], "sum 55\n", &["libc.so.6", "libgcc_s.so.1"]),
        ("hello.rs", &["-Ctarget-feature=+crt-static"], "sum 55\n", &[]),
        ("users.c", &[], "box /box box\n65534 no root\nno localhost\n", &["libc.so.6"]),
    ];
    for (source, options, expected, libraries) in cases {
        let program = compile(dir.path(), source, options);
        let file = File::open(&program).unwrap();
        let root = closure(Some(&store), &request(&file)).unwrap();
        let private = closure(None, &request(&file)).unwrap();
        assert_eq!((&private.id, private.files), (&root.id, root.files));
        let copy = dir.path().join("root");
        unpack(&private.source, &copy);
        let found: Vec<_> = fs::read_dir(copy.join("lib/x86_64-linux-gnu"))
            .map(|dir| dir.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
            .unwrap_or_default();
        let found: BTreeSet<String> = found.into_iter().collect();
        assert_eq!(found, libraries.iter().map(|&name| name.to_owned()).collect(), "{source} {options:?}");
        let files = 3 + libraries.len() + usize::from(!libraries.is_empty());
        assert_eq!((root.files, root.programs), (files as u64, 0), "{source} {options:?}");
        let RootSource::Tree { path, .. } = &root.source else { panic!("{:?}", root.notes) };
        assert_same(&path.join("root"), &copy);
        match run_in(&copy, &program) {
            Some(text) => assert_eq!(text, *expected, "{source} {options:?}"),
            None => {
                return skip("compiled_programs_start_in_their_roots", "no user namespaces for this user");
            }
        }
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn musl_programs_start_with_their_loader_alone() {
    if !has("musl-gcc") {
        return skip("musl_programs_start_with_their_loader_alone", "no musl-gcc (Debian: musl-tools)");
    }
    let dir = directory();
    for (source, expected) in [("hello.c", "hello 1\n"), ("cancel.c", "cancelled\n")] {
        let program = dir.path().join(source.replace('.', "_"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/elf").join(source);
        assert!(Command::new("musl-gcc").arg(source).arg("-o").arg(&program).status().unwrap().success());
        let file = File::open(&program).unwrap();
        let root = closure(None, &request(&file)).unwrap();
        assert_eq!((root.files, root.programs), (4, 0));
        let copy = dir.path().join("root");
        unpack(&root.source, &copy);
        assert!(copy.join("lib/ld-musl-x86_64.so.1").is_file());
        match run_in(&copy, &program) {
            Some(text) => assert_eq!(text, expected),
            None => {
                return skip(
                    "musl_programs_start_with_their_loader_alone",
                    "no user namespaces for this user",
                );
            }
        }
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn loopback_has_a_name_and_a_box_user_has_its_own_id() {
    if !has("gcc") {
        return skip("loopback_has_a_name", "no gcc");
    }
    let dir = directory();
    let program = compile(dir.path(), "users.c", &[]);
    let file = File::open(&program).unwrap();
    let root = closure(None, &Request { loopback: true, uid: 7, gid: 1000, ..request(&file) }).unwrap();
    let copy = dir.path().join("root");
    unpack(&root.source, &copy);
    match run_in(&copy, &program) {
        Some(text) => assert_eq!(text, "? ? box\n65534 no root\nlocalhost\n"),
        None => skip("loopback_has_a_name", "no user namespaces for this user"),
    }
}

/// Makes a private root, as the launcher does.
fn unpack(source: &RootSource, to: &Path) {
    use std::io::{Read, Seek, Write};
    let RootSource::Private(entries) = source else { panic!("not private") };
    for entry in entries {
        let path = to.join(entry.path.strip_prefix("/").unwrap());
        match &entry.kind {
            PrivateKind::Dir => fs::create_dir(&path).unwrap(),
            PrivateKind::Stored { .. } => panic!("a closure has its contents with it"),
            PrivateKind::Symlink(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
            PrivateKind::File(content) => {
                let mut bytes = Vec::new();
                match content {
                    stockade::image::Content::Bytes(made) => bytes.extend_from_slice(made),
                    stockade::image::Content::Opened(file, size) => {
                        let mut file = file;
                        file.rewind().unwrap();
                        file.take(*size).read_to_end(&mut bytes).unwrap();
                    }
                }
                File::create_new(&path).unwrap().write_all(&bytes).unwrap();
            }
        }
        if !matches!(entry.kind, PrivateKind::Symlink(_)) {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(entry.mode.into());
            fs::set_permissions(&path, mode).unwrap();
        }
    }
}

/// Both directories hold the same names, types, modes and bytes.
fn assert_same(one: &Path, other: &Path) {
    let listing = |root: &Path| {
        use std::os::unix::fs::MetadataExt;
        let mut found = BTreeSet::new();
        let mut todo = vec![root.to_path_buf()];
        while let Some(path) = todo.pop() {
            let meta = fs::symlink_metadata(&path).unwrap();
            let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            found.insert((path.strip_prefix(root).unwrap().to_path_buf(), meta.mode(), Digest::of(&bytes)));
            if meta.is_dir() {
                todo.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            }
        }
        found
    };
    assert_eq!(listing(one), listing(other));
}

#[test]
fn image_keeps_its_account_while_another_name_of_it_is_taken_away() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("source");
    fs::write(&source, "content").unwrap();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let request = || build::Request {
        includes: vec![build::Include {
            host: source.to_str().unwrap().to_owned(),
            at: Some(PathBuf::from("/data")),
            ..build::Include::default()
        }],
        ..build::Request::default()
    };
    let first = request().build(&store, &build::Quiet).unwrap();
    first.name(&store, "first").unwrap();
    drop(first);
    // Made, and not named yet, when somebody else removes the only name that the image has.
    let second = request().build(&store, &build::Quiet).unwrap();
    let limits = Limits { bytes: 0, closures: 0, wait: false };
    assert_eq!(store.forget(&second.image, Some("first")).unwrap(), ["first"]);
    assert!(store.collect(&limits).unwrap().busy, "a sweeper would take it before it has a name");
    second.name(&store, "second").unwrap();
    let image = second.image;
    drop(second);
    assert!(!store.collect(&limits).unwrap().busy);
    assert!(store.card(&image).unwrap().is_some() && store.about(&image).unwrap().is_some());
    assert!(store.manifest(&image).unwrap().is_some());
    // The control: without a name, all of it goes.
    assert_eq!(store.forget(&image, Some("second")).unwrap(), ["second"]);
    store.collect(&limits).unwrap();
    assert_eq!(store.manifest(&image).unwrap(), None);
}
