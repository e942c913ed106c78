//! Linked programs that want more than the system's libraries.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops at the first surprise, and says why it was skipped"
)]

mod image_support;

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use image_support::{compile, directory, has, request, skip};
use stockade::error::Kind;
use stockade::image::{RootSource, Store, closure};

struct Linked {
    dir: tempfile::TempDir,
    library: PathBuf,
}

impl Linked {
    /// A library of the program's own, without a SONAME; `None`: no compiler.
    fn new() -> Option<Self> {
        let dir = directory();
        let library = dir.path().join("libprivate.so");
        has("gcc").then(|| {
            fs::rename(compile(dir.path(), "private.c", &["-shared", "-fPIC"]), &library).unwrap();
            Self { dir, library }
        })
    }

    /// The root of a program that was linked with these options, or kind and message.
    fn root(&self, options: &[&str]) -> Result<(u64, Vec<String>), (Kind, String)> {
        let program = compile(self.dir.path(), "uses_private.c", options);
        // It runs where its own library is: the refusal is ours.
        assert!(std::process::Command::new(&program).status().unwrap().success());
        let file = File::open(&program).unwrap();
        let root = closure(None, &request(&file));
        root.map(|root| (root.files, root.notes)).map_err(|error| (error.kind(), error.message().to_owned()))
    }
}

#[test]
fn library_linked_by_its_path_is_refused_and_named() {
    let Some(linked) = Linked::new() else { return skip("library_linked_by_its_path", "no gcc") };
    // Without a SONAME the linker writes down the path that it was given.
    let path = linked.library.to_str().unwrap();
    let message = format!(
        "the program needs the library '{path}', which is a path; only names are looked up, in the system's directories"
    );
    assert_eq!(linked.root(&[path]), Err((Kind::NotRunnable, message)));
}

#[test]
fn library_found_by_the_programs_own_search_path_is_refused_and_named() {
    let Some(linked) = Linked::new() else { return skip("library_found_by_the_programs_own", "no gcc") };
    let dir = linked.dir.path().to_str().unwrap();
    for (tag, option, value) in [
        ("RUNPATH", format!("-Wl,--enable-new-dtags,-rpath,{dir}"), dir),
        ("RPATH", format!("-Wl,--disable-new-dtags,-rpath,{dir}"), dir),
        ("RUNPATH", "-Wl,--enable-new-dtags,-rpath,$ORIGIN".into(), "$ORIGIN"),
    ] {
        let message = format!(
            "the program needs the library 'libprivate.so', which is in none of the system's library directories; \
             the program's {tag} '{value}' is not followed"
        );
        let found = linked.root(&["-L", dir, "-lprivate", &option]);
        assert_eq!(found, Err((Kind::NotRunnable, message)));
        // Linked in, the same program with the same search path is fine, and told about it.
        let object = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/elf/private.c");
        let note = format!("the program's {tag} '{value}' was not followed, and not needed");
        assert_eq!(linked.root(&[object.to_str().unwrap(), &option]), Ok((5, vec![note])));
    }
}

#[test]
fn program_that_cannot_run_leaves_nothing_in_the_store() {
    let dir = directory();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let script = dir.path().join("script");
    fs::write(&script, "#!/usr/bin/env python3\nprint(1)\n").unwrap();
    let file = File::open(&script).unwrap();
    let error = closure(Some(&store), &request(&file)).unwrap_err();
    assert_eq!(error.kind(), Kind::NotRunnable);
    assert_eq!(error.message(), "the program is a script for 'python3', not a compiled program");
    assert_eq!(fs::read_dir(store.path()).unwrap().count(), 0);
    let this = File::open(std::env::current_exe().unwrap()).unwrap();
    assert!(matches!(closure(Some(&store), &request(&this)).unwrap().source, RootSource::Tree { .. }));
}

#[test]
fn program_itself_is_never_stored() {
    let dir = directory();
    let store = Store::open(&dir.path().join("store")).unwrap();
    let path = std::env::current_exe().unwrap();
    let size = fs::metadata(&path).unwrap().len();
    closure(Some(&store), &request(&File::open(&path).unwrap())).unwrap();
    let mut todo = vec![store.path().to_path_buf()];
    let mut files = 0;
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                todo.push(entry.path());
            } else {
                files += 1;
                assert_ne!(meta.len(), size, "{}", entry.path().display());
            }
        }
    }
    assert!(files >= 10, "only {files} files in the store");
}
