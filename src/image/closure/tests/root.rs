//! What a root consists of.

use super::*;

#[test]
fn plain_program_gets_loader_libc_and_three_files() {
    let fake = Fake::new();
    let root = fake.root(None, &Craft::program(&["libc.so.6"])).unwrap();
    let RootSource::Private(entries) = &root.source else { panic!("no store was given") };
    let shown: Vec<_> = entries.iter().map(|e| (e.path.to_str().unwrap(), e.mode)).collect();
    let expected = [
        ("/", 0o755),
        ("/box", 0o755),
        ("/etc", 0o755),
        ("/etc/group", 0o444),
        ("/etc/nsswitch.conf", 0o444),
        ("/etc/passwd", 0o444),
        ("/lib", 0o755),
        ("/lib/x86_64-linux-gnu", 0o755),
        ("/lib/x86_64-linux-gnu/libc.so.6", 0o444),
        ("/lib64", 0o755),
        ("/lib64/ld-linux-x86-64.so.2", 0o555),
    ];
    assert_eq!(shown, expected);
    assert_eq!((root.files, root.programs, root.notes.len()), (5, 0, 0));
    let sizes: u64 =
        entries.iter().map(|e| if let PrivateKind::File(c) = &e.kind { c.size() } else { 0 }).sum();
    assert_eq!(root.bytes, sizes);
    let top = |name| root.top.iter().find(|top| top.name == name).unwrap();
    assert!(top("box").is_mount && !top("box").has_program && top("box").is_dir);
    assert!(top("lib64").has_program && !top("lib").has_program && !top("etc").has_program);
    assert_eq!(root.top.len(), 4);
}

#[test]
fn static_program_gets_no_library() {
    let fake = Fake::new();
    let program = Craft { bare: true, ..Craft::default() };
    assert_eq!(fake.files(&program), Ok(vec![]));
    let root = fake.root(None, &program).unwrap();
    assert_eq!((root.files, root.programs), (3, 0));
}

#[test]
fn search_path_of_the_program_is_never_followed() {
    let fake = Fake::new();
    fake.library("/opt/lib/libown.so", &[]);
    for tag in ["RPATH", "RUNPATH"] {
        let mut program = Craft::program(&["libown.so", "libc.so.6"]);
        *(if tag == "RPATH" { &mut program.rpath } else { &mut program.runpath }) = Some("/opt/lib");
        let message = format!(
            "NotRunnable: the program needs the library 'libown.so', which is in none of the system's library \
             directories; the program's {tag} '/opt/lib' is not followed"
        );
        assert_eq!(fake.files(&program), Err(message));
        program.needed = vec!["libc.so.6"];
        let note = format!("the program's {tag} '/opt/lib' was not followed, and not needed");
        assert_eq!(fake.root(None, &program).unwrap().notes, [note]);
    }
}

#[test]
fn second_name_of_a_file_becomes_a_link() {
    let fake = Fake::new();
    fake.craft(&format!("{HOME}/liba.so.1"), &Craft::library("liba.so.1", &[]));
    fake.link("liba.so.1", &format!("{HOME}/libb.so"));
    let files = fake.files(&Craft::program(&["libb.so", "liba.so.1"])).unwrap();
    assert_eq!(files, [format!("{HOME}/liba.so.1"), format!("{HOME}/libb.so -> liba.so.1"), LOADER.into()]);
}

#[test]
fn unwinder_comes_with_what_unwinds_and_with_nothing_else() {
    let fake = Fake::new();
    fake.library(&format!("{HOME}/libgcc_s.so.1"), &["libc.so.6"]);
    let libc = Craft { imports: vec!["_Unwind_Find_FDE"], ..Craft::library("", &[]) };
    fake.craft(&format!("{HOME}/libc.so.6"), &libc);
    let mut program = Craft::program(&["libc.so.6"]);
    assert_eq!(fake.files(&program), plain(&["libc.so.6"]));
    for symbol in
        ["pthread_cancel", "pthread_exit", "pthread_create", "thrd_create", "backtrace", "_Unwind_Resume"]
    {
        program.imports = vec!["puts", symbol];
        assert_eq!(fake.files(&program), plain(&["libc.so.6", "libgcc_s.so.1"]), "{symbol}");
    }
    program.imports = vec!["puts", "dlopen"];
    assert_eq!(fake.files(&program), plain(&["libc.so.6"]));
    let threaded = Craft { imports: vec!["pthread_create"], ..Craft::library("", &[]) };
    fake.craft(&format!("{HOME}/libomp.so"), &threaded);
    program.needed.push("libomp.so");
    assert_eq!(fake.files(&program), plain(&["libc.so.6", "libgcc_s.so.1", "libomp.so"]));
    fs::remove_file(fake.at(HOME).join("libgcc_s.so.1")).unwrap();
    let notes = fake.root(None, &program).unwrap().notes;
    assert!(notes.iter().any(|note| note.starts_with("this host has no libgcc_s.so.1")), "{notes:?}");
}

#[test]
fn musl_program_gets_its_loader_and_no_libc_besides() {
    let fake = Fake::new();
    let loader = Craft::library("libc.so", &[]).build();
    let mut program = Craft::program(&["libc.so", "libz.so.1"]);
    program.interpreter = Some("/lib/ld-musl-x86_64.so.1");
    let message =
        "NotRunnable: the program wants the loader '/lib/ld-musl-x86_64.so.1', which this host does not have";
    assert_eq!(fake.files(&program), Err(message.to_owned()));
    fake.file("/usr/lib/musl/lib/libc.so", &loader);
    fake.link("../usr/lib/musl/lib/libc.so", "/lib/ld-musl-x86_64.so.1");
    fake.library("/usr/lib/x86_64-linux-musl/libz.so.1", &["libc.musl-x86_64.so.1"]);
    let expected = ["/lib/ld-musl-x86_64.so.1", "/lib/libz.so.1"].map(str::to_owned);
    assert_eq!(fake.files(&program), Ok(expected.to_vec()));
}

#[test]
fn loader_with_other_directories_gets_its_libraries_there() {
    let fake = Fake::new();
    let loader = Craft::library("ld-linux-x86-64.so.2", &[]).build();
    fake.file(LOADER, &[&loader, b"\0/lib64/\0/usr/lib64/\0".as_slice()].concat());
    fs::remove_file(fake.at(HOME).join("libc.so.6")).unwrap();
    fake.library("/usr/lib64/libc.so.6", &[]);
    let expected = [LOADER, "/lib64/libc.so.6"].map(str::to_owned);
    assert_eq!(fake.files(&Craft::program(&["libc.so.6"])), Ok(expected.to_vec()));
}

#[test]
fn place_that_cannot_be_mounted_on_is_refused() {
    let fake = Fake::new();
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &Craft::program(&["libc.so.6"]).build()).unwrap();
    let with = |dirs: &[&str], files: &[&str]| {
        let request =
            Request { payload: &file, mount_dirs: dirs, mount_files: files, uid: 7, gid: 8, loopback: true };
        closure_on(&fake.host, None, &request).map_err(|error| (error.kind(), error.message().to_owned()))
    };
    let refused =
        |at: &str, what: &str| Err((Kind::Usage, format!("nothing can be mounted at '{at}': {what}")));
    let cases: &[(&[&str], &[&str], _)] = &[
        (&["box"], &[], refused("box", "the path is not absolute")),
        (&["/box/../lib"], &[], refused("/box/../lib", "the path has an empty, '.' or '..' component")),
        (&["/box/"], &[], refused("/box/", "the path has an empty, '.' or '..' component")),
        (&[LOADER], &[], refused(LOADER, "it is not a directory")),
        (&["/etc/passwd/x"], &[], refused("/etc/passwd", "it is not a directory")),
        (&["/data"], &["/data"], refused("/data", "there is something else at this path")),
        (&[], &["/"], refused("/", "there is something else at this path")),
    ];
    for (dirs, files, expected) in cases {
        assert_eq!(with(dirs, files).map(|_| ()), *expected, "{dirs:?} {files:?}");
    }
    let root = with(&["/", "/data/in/deep", "/etc"], &["/data/file", "/etc/passwd", "/single"]).unwrap();
    let top = |name: &str| root.top.iter().find(|top| top.name == name).unwrap().clone();
    assert!(top("data").holds_mounts && !top("data").is_mount && top("data").is_dir);
    assert!(top("etc").holds_mounts && top("etc").is_mount);
    assert!(top("single").is_mount && !top("single").is_dir);
    assert!(!top("lib").holds_mounts && !top("lib").is_mount);
    // Four generated files with the loopback's names, two to mount on, libc and the loader.
    assert_eq!(root.files, 8);
}

#[test]
fn order_and_repetition_of_needs_do_not_change_the_root() {
    let fake = Fake::new();
    fake.library(&format!("{HOME}/liba.so"), &[]);
    let id = |needed: &[&'static str]| fake.root(None, &Craft::program(needed)).unwrap().id;
    assert_eq!(id(&["libc.so.6", "liba.so"]), id(&["liba.so", "libc.so.6", "liba.so"]));
    assert_ne!(id(&["libc.so.6", "liba.so"]), id(&["libc.so.6"]));
}

#[test]
fn request_decides_the_id_and_the_store_does_not() {
    let fake = Fake::new();
    let store = fake.store();
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &Craft::program(&["libc.so.6"]).build()).unwrap();
    let mut ids = BTreeSet::new();
    for (uid, gid, loopback, dirs) in [
        (1, 1, false, ["/box"].as_slice()),
        (2, 1, false, &["/box"]),
        (1, 2, false, &["/box"]),
        (1, 1, true, &["/box"]),
        (1, 1, false, &["/box", "/tmp"]),
    ] {
        let request = Request { payload: &file, mount_dirs: dirs, mount_files: &[], uid, gid, loopback };
        let kept = closure_on(&fake.host, Some(&store), &request).unwrap();
        let private = closure_on(&fake.host, None, &request).unwrap();
        assert_eq!(kept.id, private.id);
        assert_eq!((kept.files, kept.bytes, &kept.top), (private.files, private.bytes, &private.top));
        assert!(ids.insert(kept.id), "{uid} {gid} {loopback} {dirs:?}");
    }
}
