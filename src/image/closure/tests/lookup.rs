//! Which libraries are found, and which are refused.

use super::*;

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
