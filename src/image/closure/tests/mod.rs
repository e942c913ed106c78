//! Closures on hosts that are made up: every file of the system in a directory
//! of the test's own, whose owner plays root.
#![allow(clippy::cast_possible_truncation, reason = "crafted files are small")]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use craft::Craft;

mod again;
#[path = "../../../../tests/elf/craft.rs"]
mod craft;
mod kept;
mod lookup;
mod root;

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
                PrivateKind::Stored { .. } => panic!("a closure has its contents with it"),
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
