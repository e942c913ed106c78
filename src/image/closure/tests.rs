//! Closures on hosts that are made up: every file of the system in a directory
//! of the test's own, whose owner plays root.
#![allow(clippy::cast_possible_truncation, reason = "crafted files are small")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use craft::Craft;

#[path = "../../../tests/elf/craft.rs"]
mod craft;

const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
const HOME: &str = "/lib/x86_64-linux-gnu";

struct Fake {
    dir: tempfile::TempDir,
    host: Host,
}

impl Fake {
    /// A host with a loader and a C library.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let owner = fs::metadata(dir.path()).unwrap().uid();
        let host = Host::below(dir.path(), owner);
        let fake = Self { dir, host };
        let loader = Craft::library("ld-linux-x86-64.so.2", &[]).build();
        fake.file(LOADER, &[&loader, b"\0/lib/x86_64-linux-gnu/\0/lib/\0".as_slice()].concat());
        fake.library(&format!("{HOME}/libc.so.6"), &["ld-linux-x86-64.so.2"]);
        fake
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join(path.strip_prefix('/').unwrap())
    }

    fn dir(&self, path: &str, mode: u32) {
        fs::create_dir_all(self.at(path)).unwrap();
        fs::set_permissions(self.at(path), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn mode(&self, path: &str, mode: u32) {
        fs::set_permissions(self.at(path), PermissionsExt::from_mode(mode)).unwrap();
    }

    fn file(&self, path: &str, bytes: &[u8]) {
        let place = self.at(path);
        let mut parent = place.parent().unwrap();
        fs::create_dir_all(parent).unwrap();
        while parent.starts_with(self.dir.path()) {
            fs::set_permissions(parent, PermissionsExt::from_mode(0o755)).unwrap();
            parent = parent.parent().unwrap();
        }
        fs::write(&place, bytes).unwrap();
        fs::set_permissions(&place, PermissionsExt::from_mode(0o644)).unwrap();
    }

    /// A library whose SONAME is its file name.
    fn library(&self, path: &str, needed: &[&'static str]) {
        self.craft(path, &Craft::library("", needed));
    }

    fn craft(&self, path: &str, craft: &Craft) {
        let name: &'static str = Path::new(path).file_name().unwrap().to_str().unwrap().to_owned().leak();
        let soname = craft.soname.filter(|soname| !soname.is_empty()).or(Some(name));
        self.file(path, &Craft { soname, ..craft.clone() }.build());
    }

    fn link(&self, target: &str, path: &str) {
        fs::create_dir_all(self.at(path).parent().unwrap()).unwrap();
        symlink(target, self.at(path)).unwrap();
    }

    fn store(&self) -> Store {
        Store::open(&self.at("/store")).unwrap()
    }

    fn root(&self, store: Option<&Store>, program: &Craft) -> Result<Root> {
        with_payload(program, |request| closure_on(&self.host, store, request))
    }

    /// Files and links of a program's root that come from the host, or the error in one line.
    fn files(&self, program: &Craft) -> std::result::Result<Vec<String>, String> {
        let root =
            self.root(None, program).map_err(|error| format!("{:?}: {}", error.kind(), error.message()))?;
        let RootSource::Private(entries) = root.source else { panic!("no store was given") };
        let shown = entries.iter().filter(|entry| !entry.path.starts_with("/etc"));
        Ok(shown
            .filter_map(|entry| match &entry.kind {
                PrivateKind::Dir => None,
                PrivateKind::File(_) => Some(entry.path.display().to_string()),
                PrivateKind::Symlink(target) => {
                    Some(format!("{} -> {}", entry.path.display(), target.display()))
                }
            })
            .collect())
    }
}

fn with_payload<T>(program: &Craft, run: impl FnOnce(&Request<'_>) -> T) -> T {
    let mut file = tempfile::tempfile().unwrap();
    std::io::Write::write_all(&mut file, &program.build()).unwrap();
    run(&Request {
        payload: &file,
        mount_dirs: &["/box"],
        mount_files: &[],
        uid: 1000,
        gid: 1000,
        loopback: false,
    })
}

/// The loader and these libraries.
fn plain(libraries: &[&str]) -> std::result::Result<Vec<String>, String> {
    Ok(libraries.iter().map(|name| format!("{HOME}/{name}")).chain([LOADER.to_owned()]).collect())
}

/// Long enough for a file's times to be told apart from those of a later change.
fn settle() {
    std::thread::sleep(std::time::Duration::from_millis(150));
}

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
fn need_that_is_no_plain_name_is_refused_and_named() {
    let fake = Fake::new();
    fake.library("/tmp/evil.so", &[]);
    fake.library("/lib/x86_64-linux-gnu/sub/evil.so", &[]);
    fake.library("/lib/x86_64-linux-gnu/good.so", &[]);
    let rest = "only names are looked up, in the system's directories";
    for (name, what) in [
        ("/tmp/evil.so", "a path"),
        ("../../tmp/evil.so", "a path"),
        ("sub/evil.so", "a path"),
        ("./good.so", "a path"),
        ("..", "no name of a library"),
        (".", "no name of a library"),
        ("", "no name of a library"),
    ] {
        let message = format!("NotRunnable: the program needs the library '{name}', which is {what}; {rest}");
        assert_eq!(fake.files(&Craft::program(&[name, "libc.so.6"])), Err(message));
    }
    assert_eq!(fake.files(&Craft::program(&["good.so", "libc.so.6"])), plain(&["good.so", "libc.so.6"]));
}

#[test]
fn need_that_is_nowhere_is_the_programs_problem() {
    let fake = Fake::new();
    let mut program = Craft::program(&["libc.so.6", "libmissing.so.3"]);
    let message = "NotRunnable: the program needs the library 'libmissing.so.3', which is in none of the system's \
                   library directories";
    assert_eq!(fake.files(&program), Err(message.to_owned()));
    program.runpath = Some("$ORIGIN/lib\n");
    let message = format!("{message}; the program's RUNPATH '$ORIGIN/lib\\n' is not followed");
    assert_eq!(fake.files(&program), Err(message));
    fake.library("/usr/lib/libmissing.so.3", &[]);
    assert_eq!(fake.files(&program), plain(&["libc.so.6", "libmissing.so.3"]));
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

proptest::proptest! {
    #[test]
    fn needs_of_any_spelling_never_lead_out_of_the_systems_directories(
        needed in proptest::collection::vec(
            proptest::collection::vec(
                proptest::sample::select(vec![
                    "/", "..", ".", "opt", "evil.so", "libc.so.6", "good.so", "lib", "x86_64-linux-gnu", "$ORIGIN", "\n", "",
                ]),
                1..6,
            ),
            1..4,
        ),
    ) {
        thread_local!(static FAKE: Fake = {
            let fake = Fake::new();
            fake.library("/opt/evil.so", &[]);
            fake.library("/evil.so", &[]);
            fake.library("/usr/lib/good.so", &[]);
            fake
        });
        let needed: Vec<&'static str> = needed.into_iter().map(|parts| &*parts.concat().leak()).collect();
        let mut program = Craft::program(&needed);
        (program.rpath, program.runpath) = (Some("/opt"), Some("/:/opt:$ORIGIN"));
        let known = ["libc.so.6", "good.so"];
        match FAKE.with(|fake| fake.files(&program)) {
            Ok(files) => {
                proptest::prop_assert!(needed.iter().all(|name| known.contains(name)), "{needed:?}");
                proptest::prop_assert!(files.iter().all(|file| !file.contains("evil")), "{files:?}");
            }
            Err(message) => {
                proptest::prop_assert!(message.starts_with("NotRunnable: the "), "{message}");
                proptest::prop_assert!(needed.iter().any(|name| !known.contains(name)), "{needed:?}: {message}");
            }
        }
    }
}

#[test]
fn library_that_others_can_change_is_refused() {
    let fake = Fake::new();
    let program = Craft::program(&["libc.so.6", "libx.so"]);
    let path = format!("{HOME}/libx.so");
    fake.library(&path, &[]);
    assert_eq!(fake.files(&program), plain(&["libc.so.6", "libx.so"]));
    let refused = |why: String| Err(format!("Host: the library {path} cannot be used: {why}"));
    for (mode, why) in [
        (0o664, "can be written by others than root (mode 0664)"),
        (0o646, "can be written by others than root (mode 0646)"),
        (0o640, "cannot be read by everybody (mode 0640)"),
    ] {
        fake.mode(&path, mode);
        assert_eq!(fake.files(&program), refused(format!("{path} {why}")));
    }
    fake.mode(&path, 0o644);
    for dir in ["/", "/lib", HOME] {
        fake.mode(dir, 0o775);
        let result = fake.files(&program);
        let why = format!("{dir} can be written by others than root (mode 0775)");
        // The loader comes first, by another directory.
        let first = if dir == "/" { LOADER } else { HOME };
        let Err(message) = result else { panic!("{dir} is writable by its group") };
        assert!(
            message.starts_with(&format!("Host: the library {first}")) && message.ends_with(&why),
            "{message}"
        );
        fake.mode(dir, 0o755);
    }
    assert_eq!(fake.files(&program), plain(&["libc.so.6", "libx.so"]));
}

#[test]
fn library_of_someone_else_is_refused() {
    let fake = Fake::new();
    let owner = fs::metadata(fake.dir.path()).unwrap().uid();
    let stranger = Host::below(fake.dir.path(), owner + 1);
    let program = Craft::program(&["libc.so.6"]);
    let error = with_payload(&program, |request| closure_on(&stranger, None, request)).unwrap_err();
    let message = format!("the library {LOADER} cannot be used: / belongs to uid {owner}, not to root");
    assert_eq!((error.kind(), error.message()), (Kind::Host, message.as_str()));
    assert!(fake.root(None, &program).is_ok());
}

#[test]
fn chain_of_links_becomes_one_file_by_the_name_that_was_looked_up() {
    let fake = Fake::new();
    fake.library("/usr/lib/real/libx.so.1.2", &[]);
    fake.link("libx.so.1", &format!("{HOME}/libx.so"));
    fake.link("/usr/lib/real/libx.so.1.2", &format!("{HOME}/libx.so.1"));
    assert_eq!(fake.files(&Craft::program(&["libc.so.6", "libx.so"])), plain(&["libc.so.6", "libx.so"]));
}

#[test]
fn link_that_leads_out_of_the_systems_directories_is_refused() {
    let fake = Fake::new();
    fake.library("/opt/libx.so", &[]);
    for target in ["/opt/libx.so", "../../opt/libx.so", "../../../../../opt/libx.so"] {
        fake.link(target, &format!("{HOME}/libx.so"));
        let message = format!("Host: the library {HOME}/libx.so leads out of the system's: /opt/libx.so");
        assert_eq!(fake.files(&Craft::program(&["libc.so.6", "libx.so"])), Err(message), "{target}");
        fs::remove_file(fake.at(HOME).join("libx.so")).unwrap();
    }
    let missing = "NotRunnable: the program needs the library 'libx.so', which is in none of the system's library \
                   directories";
    let path = format!("{HOME}/libx.so");
    let looping =
        format!("Host: the library {path} cannot be used: {path} is behind more than 40 symbolic links");
    for (target, message) in [("nowhere", missing), ("libx.so", &looping)] {
        fake.link(target, &path);
        assert_eq!(
            fake.files(&Craft::program(&["libc.so.6", "libx.so"])),
            Err(message.to_owned()),
            "{target}"
        );
        fs::remove_file(fake.at(&path)).unwrap();
    }
}

#[test]
fn thing_that_is_no_library_is_refused_and_blamed_on_who_names_it() {
    let fake = Fake::new();
    let path = format!("{HOME}/libx.so");
    fake.library(&format!("{HOME}/liby.so"), &["libx.so"]);
    let check = |why: &str| {
        let message = format!("the library {path} cannot be used: {why}");
        let direct = fake.files(&Craft::program(&["libc.so.6", "libx.so"]));
        assert_eq!(direct, Err(format!("NotRunnable: {message}")));
        assert_eq!(fake.files(&Craft::program(&["liby.so"])), Err(format!("Host: {message}")));
    };
    fake.file(&path, b"/* GNU ld script */\nGROUP ( libc.so.6 )\n");
    check("it is a text file, not an ELF file");
    fake.file(&path, b"");
    check("it is an empty file");
    fake.craft(&path, &Craft::program(&["libc.so.6"]));
    check("it is malformed: it is a program, not a shared library");
    fs::remove_file(fake.at(&path)).unwrap();
    fake.dir(&path, 0o755);
    check(&format!("{path} is not a regular file"));
}

#[test]
fn library_for_another_machine_is_passed_over() {
    let fake = Fake::new();
    let mut foreign = Craft::library("libx.so", &[]).build();
    craft::put(&mut foreign, craft::at::CLASS, &[1]);
    craft::put(&mut foreign, craft::at::MACHINE, &[3, 0]);
    fake.file(&format!("{HOME}/libx.so"), &foreign);
    let program = Craft::program(&["libc.so.6", "libx.so"]);
    let message = format!(
        "NotRunnable: the program needs the library 'libx.so', which is in none of the system's library \
         directories ({HOME}/libx.so is for another machine)"
    );
    assert_eq!(fake.files(&program), Err(message));
    fake.library("/usr/lib/libx.so", &[]);
    assert_eq!(fake.files(&program), plain(&["libc.so.6", "libx.so"]));
}

#[test]
fn needs_of_a_library_are_followed_by_its_own_search_path() {
    let fake = Fake::new();
    let mut pulse = Craft::library("", &["libprivate.so", "libc.so.6"]);
    pulse.runpath = Some("/nowhere:${ORIGIN}/pulse");
    fake.craft(&format!("{HOME}/libpulse.so"), &pulse);
    fake.library(&format!("{HOME}/pulse/libprivate.so"), &["libc.so.6"]);
    let program = Craft::program(&["libc.so.6", "libpulse.so"]);
    assert_eq!(fake.files(&program), plain(&["libc.so.6", "libprivate.so", "libpulse.so"]));
    // Not for the program itself.
    let direct = fake.files(&Craft::program(&["libprivate.so"]));
    assert!(direct.unwrap_err().starts_with("NotRunnable: the program needs the library 'libprivate.so'"));
    // Nor from a place that others can change.
    fake.mode(&format!("{HOME}/pulse"), 0o777);
    let message = format!(
        "Host: the library {HOME}/libpulse.so needs 'libprivate.so', which is in none of the system's library directories"
    );
    assert_eq!(fake.files(&program), Err(message));
}

#[test]
fn rpath_is_inherited_and_runpath_is_not() {
    let fake = Fake::new();
    let mut outer = Craft::library("", &["libmiddle.so"]);
    outer.rpath = Some("$ORIGIN/own");
    fake.craft(&format!("{HOME}/libouter.so"), &outer);
    fake.library(&format!("{HOME}/own/libmiddle.so"), &["libinner.so"]);
    fake.library(&format!("{HOME}/own/libinner.so"), &[]);
    let program = Craft::program(&["libouter.so"]);
    assert_eq!(fake.files(&program), plain(&["libinner.so", "libmiddle.so", "libouter.so"]));
    outer.runpath = outer.rpath.take();
    fake.craft(&format!("{HOME}/libouter.so"), &outer);
    let message = format!(
        "Host: the library {HOME}/own/libmiddle.so needs 'libinner.so', which is in none of the system's library directories"
    );
    assert_eq!(fake.files(&program), Err(message));
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
fn name_that_is_a_loaded_librarys_soname_is_not_looked_up() {
    let fake = Fake::new();
    fake.craft(&format!("{HOME}/liba.so"), &Craft::library("libz.so.1", &[]));
    assert_eq!(fake.files(&Craft::program(&["liba.so", "libz.so.1"])), plain(&["liba.so"]));
}

#[test]
fn library_cycle_ends() {
    let fake = Fake::new();
    fake.library(&format!("{HOME}/liba.so"), &["libb.so"]);
    fake.library(&format!("{HOME}/libb.so"), &["liba.so", "libb.so"]);
    assert_eq!(fake.files(&Craft::program(&["liba.so"])), plain(&["liba.so", "libb.so"]));
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

/// The tree of a root, which must come from the store.
fn tree(root: &Root) -> PathBuf {
    match &root.source {
        RootSource::Tree { path, dev, ino } => {
            let meta = fs::symlink_metadata(path).unwrap();
            assert_eq!((meta.dev(), meta.ino()), (*dev, *ino));
            path.clone()
        }
        RootSource::Private(_) => panic!("the root is private: {:?}", root.notes),
    }
}

fn digest(root: &Root) -> Digest {
    Digest::from_id(&root.id).unwrap()
}

#[test]
fn known_closure_is_found_without_looking_it_up_again() {
    let fake = Fake::new();
    settle();
    let (store, program) = (fake.store(), Craft::program(&["libc.so.6"]));
    let first = fake.root(Some(&store), &program).unwrap();
    assert!(store.verify_full(&digest(&first)).unwrap().is_clean());
    // What a slow launch would have to read or make again.
    fs::remove_dir_all(fake.at("/store/objects")).unwrap();
    fs::remove_dir_all(fake.at("/store/manifests")).unwrap();
    let second = fake.root(Some(&store), &program).unwrap();
    assert_eq!((&first.id, &first.top, tree(&first)), (&second.id, &second.top, tree(&second)));
    assert_eq!((first.files, first.bytes, first.notes), (second.files, second.bytes, second.notes));
    assert!(!fake.at("/store/objects").exists() && !fake.at("/store/manifests").exists());
}

#[test]
fn change_of_the_host_is_seen_at_the_next_launch() {
    let fake = Fake::new();
    fake.library("/usr/lib/libx.so", &[]);
    settle();
    let (store, program) = (fake.store(), Craft::program(&["libc.so.6", "libx.so"]));
    let id = || fake.root(Some(&store), &program).unwrap().id;
    let mut ids = vec![id()];
    assert_eq!(id(), ids[0]);
    // Another library of the same size and time, by rename.
    let old = fs::metadata(fake.at("/usr/lib/libx.so")).unwrap();
    let other = Craft { soname: Some("libx.se"), ..Craft::library("", &[]) };
    fake.file("/usr/lib/libx.new", &other.build());
    fs::File::open(fake.at("/usr/lib/libx.new")).unwrap().set_modified(old.modified().unwrap()).unwrap();
    fs::rename(fake.at("/usr/lib/libx.new"), fake.at("/usr/lib/libx.so")).unwrap();
    assert_eq!(fs::metadata(fake.at("/usr/lib/libx.so")).unwrap().len(), old.len());
    settle();
    ids.push(id());
    // A new file in a directory that is searched earlier, and one in a directory that was not there.
    fake.craft("/usr/lib/x86_64-linux-gnu/libx.so", &Craft::library("liby.so", &[]));
    settle();
    ids.push(id());
    fake.craft(&format!("{HOME}/libx.so"), &Craft::library("libw.so", &[]));
    settle();
    ids.push(id());
    let unique: BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "{ids:?}");
    // A library that has become unusable is not served from memory.
    fake.mode(&format!("{HOME}/libx.so"), 0o666);
    assert_eq!(fake.root(Some(&store), &program).unwrap_err().kind(), Kind::Host);
}

#[test]
fn closure_of_files_that_changed_just_now_is_not_remembered() {
    let fake = Fake::new();
    let (store, program) = (fake.store(), Craft::program(&["libc.so.6"]));
    tree(&fake.root(Some(&store), &program).unwrap());
    assert!(!fake.at("/store/closures").exists());
    settle();
    tree(&fake.root(Some(&store), &program).unwrap());
    assert_eq!(fs::read_dir(fake.at("/store/closures")).unwrap().count(), 1);
}

#[test]
fn record_that_is_damaged_or_someone_elses_is_made_anew() {
    let fake = Fake::new();
    settle();
    let (store, program) = (fake.store(), Craft::program(&["libc.so.6"]));
    let other = Craft { imports: vec!["backtrace"], ..program.clone() };
    let id = fake.root(Some(&store), &program).unwrap().id;
    let entry = fs::read_dir(fake.at("/store/closures")).unwrap().next().unwrap().unwrap().path();
    fake.library(&format!("{HOME}/libgcc_s.so.1"), &[]);
    settle();
    fake.root(Some(&store), &program).unwrap();
    let good = fs::read(&entry).unwrap();
    let foreign = {
        fake.root(Some(&store), &other).unwrap();
        let mut entries = fs::read_dir(fake.at("/store/closures")).unwrap().map(|e| e.unwrap().path());
        fs::read(entries.find(|path| *path != entry).unwrap()).unwrap()
    };
    let huge = vec![b' '; 2 << 20];
    let later =
        String::from_utf8(good.clone()).unwrap().replacen("\"version\":1", "\"version\":2", 1).into_bytes();
    for bad in [b"".as_slice(), b"{}", &good[..good.len() / 2], &foreign, &huge, &later, b"[[[[[[[["] {
        fs::remove_file(&entry).unwrap();
        fs::write(&entry, bad).unwrap();
        let root = fake.root(Some(&store), &program).unwrap();
        assert_eq!(root.id, id);
        tree(&root);
        assert_eq!(fs::read(&entry).unwrap(), good);
    }
    // A link or a pipe in its place is not followed, and does not stop anything.
    fs::remove_file(&entry).unwrap();
    symlink("/dev/zero", &entry).unwrap();
    assert_eq!(fake.root(Some(&store), &program).unwrap().id, id);
}

#[test]
fn tree_that_was_tampered_with_is_made_anew() {
    let fake = Fake::new();
    settle();
    let (store, program) = (fake.store(), Craft::program(&["libc.so.6"]));
    let first = fake.root(Some(&store), &program).unwrap();
    let path = tree(&first);
    fs::write(path.join("root/evil"), "x").unwrap();
    assert!(!store.verify_stat(&digest(&first)).unwrap().is_clean());
    let second = fake.root(Some(&store), &program).unwrap();
    assert_eq!((tree(&second), &second.id), (path.clone(), &first.id));
    assert!(!path.join("root/evil").exists());
    assert!(store.verify_full(&digest(&first)).unwrap().is_clean());
    fs::remove_dir_all(&path).unwrap();
    assert_eq!(tree(&fake.root(Some(&store), &program).unwrap()), path);
    assert!(store.verify_full(&digest(&first)).unwrap().is_clean());
}

#[test]
fn store_that_fails_gives_a_private_root_and_a_note() {
    let fake = Fake::new();
    settle();
    let (store, program) = (fake.store(), Craft::program(&["libc.so.6"]));
    let control = fake.root(Some(&store), &program).unwrap();
    tree(&control);
    fs::remove_dir_all(fake.at("/store/trees")).unwrap();
    fs::write(fake.at("/store/trees"), "").unwrap();
    let root = fake.root(Some(&store), &program).unwrap();
    assert!(matches!(root.source, RootSource::Private(_)));
    assert_eq!(root.id, control.id);
    let trees = store.path().join("trees");
    let note = format!(
        "the root is a private copy, not kept: {0} in the store is not a directory (remove or rename {0})",
        trees.display()
    );
    assert_eq!(root.notes, [note]);
}

#[test]
fn store_that_cannot_be_written_gives_a_private_root_and_a_note() {
    let fake = Fake::new();
    let program = Craft::program(&["libc.so.6"]);
    // Nobody, not even root, makes a directory in sysfs.
    let store = if nix::unistd::geteuid().is_root() {
        Store::open(Path::new("/sys/kernel")).unwrap()
    } else {
        let store = fake.store();
        fake.mode("/store", 0o555);
        store
    };
    let root = fake.root(Some(&store), &program).unwrap();
    assert!(matches!(root.source, RootSource::Private(_)));
    assert_eq!(root.id, fake.root(None, &program).unwrap().id);
    let start =
        format!("the root is a private copy, not kept: mkdirat({}/tmp) in the store", store.path().display());
    assert!(root.notes.len() == 1 && root.notes[0].starts_with(&start), "{:?}", root.notes);
}

#[test]
fn store_that_is_full_takes_no_further_closure() {
    let fake = Fake::new();
    settle();
    let store = fake.store();
    let (known, new) = (Craft::program(&["libc.so.6"]), Craft::program(&[]));
    tree(&fake.root(Some(&store), &known).unwrap());
    for number in 0..4095 {
        fs::write(fake.at(&format!("/store/closures/{number}")), "").unwrap();
    }
    let root = fake.root(Some(&store), &new).unwrap();
    assert!(matches!(root.source, RootSource::Private(_)));
    assert!(root.notes[0].contains("holds 4096 closures"), "{:?}", root.notes);
    tree(&fake.root(Some(&store), &known).unwrap());
    fs::remove_file(fake.at("/store/closures/0")).unwrap();
    tree(&fake.root(Some(&store), &new).unwrap());
}
