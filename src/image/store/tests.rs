//! The store on its own: places, owners, objects, trees, leftovers.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::image::layout::{Content, Contents, Layout};
use crate::image::manifest::Header;

fn place(explicit: Option<&str>, vars: &[(&str, &str)], euid: u32) -> Result<PathBuf, StoreProblem> {
    let vars: BTreeMap<_, _> = vars.iter().copied().collect();
    Store::locate(explicit.map(Path::new), &|name| vars.get(name).map(OsString::from), euid)
}

#[test]
fn place_of_the_store_follows_the_contract() {
    type Case<'a> = (Option<&'a str>, &'a [(&'a str, &'a str)], u32, &'a str);
    let home = ("HOME", "/home/u");
    let data = ("XDG_DATA_HOME", "/data");
    let own = ("STOCKADE_STORE", "rel/own");
    let cases: &[Case<'_>] = &[
        (Some("/opt"), &[home, data, own], 1, "/opt"),
        (None, &[home, data, own], 1, "rel/own"),
        (None, &[home, data], 1, "/data/stockade"),
        (None, &[home], 1, "/home/u/.local/share/stockade"),
        (None, &[home, ("STOCKADE_STORE", ""), ("XDG_DATA_HOME", "")], 1, "/home/u/.local/share/stockade"),
        (None, &[home, ("XDG_DATA_HOME", "relative")], 1, "/home/u/.local/share/stockade"),
        (None, &[home], 0, "/var/lib/stockade"),
        (None, &[], 0, "/var/lib/stockade"),
        (None, &[home, data], 0, "/data/stockade"),
        (None, &[own], 0, "rel/own"),
    ];
    for (explicit, vars, euid, expected) in cases {
        assert_eq!(place(*explicit, vars, *euid), Ok(expected.into()), "{explicit:?} {vars:?} {euid}");
    }
    assert_eq!(place(None, &[], 1), Err(StoreProblem::NoPlace));
    assert_eq!(place(None, &[("HOME", "relative")], 1), Err(StoreProblem::NoPlace));
}

fn temporary() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("deep/store")).unwrap();
    (dir, store)
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

#[test]
fn store_is_made_where_it_is_missing_and_found_again() {
    let (dir, store) = temporary();
    let real = dir.path().canonicalize().unwrap().join("deep/store");
    assert_eq!(store.path(), real);
    assert_eq!(fs::metadata(&real).unwrap().mode() & 0o022, 0);
    assert_eq!(Store::open(&dir.path().join("deep/../deep/store")).unwrap().path(), real);
    symlink("deep/store", dir.path().join("link")).unwrap();
    assert_eq!(Store::open(&dir.path().join("link")).unwrap().path(), real);
}

#[test]
fn store_that_others_can_write_is_refused() {
    let (_dir, store) = temporary();
    for mode in [0o777_u16, 0o775, 0o757, 0o1777] {
        chmod(store.path(), mode.into());
        let problem = StoreProblem::WritableByOthers { path: store.path().into(), mode };
        assert_eq!(Store::open(store.path()).unwrap_err(), problem);
    }
    for mode in [0o755, 0o700, 0o711] {
        chmod(store.path(), mode);
        assert!(Store::open(store.path()).is_ok(), "{mode:o}");
    }
}

#[test]
fn store_of_someone_else_is_refused() {
    // Root's own directory for a user; for root, a directory given away.
    let caller = nix::unistd::geteuid().as_raw();
    let dir = tempfile::tempdir().unwrap();
    let (path, owner) = if caller == 0 {
        std::os::unix::fs::chown(dir.path(), Some(12345), None).unwrap();
        (dir.path().canonicalize().unwrap(), 12345)
    } else {
        (PathBuf::from("/usr"), 0)
    };
    assert_eq!(Store::open(&path).unwrap_err(), StoreProblem::Foreign { path, owner, caller });
}

#[test]
fn store_that_is_no_directory_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("file");
    fs::write(&path, "").unwrap();
    assert_eq!(Store::open(&path).unwrap_err(), StoreProblem::NotADirectory(path.clone()));
    let problem = StoreProblem::Call { call: "mkdir", path: path.join("below"), errno: Errno::ENOTDIR };
    let found = Store::open(&path.join("below")).unwrap_err();
    assert!(found == problem || found == StoreProblem::NotADirectory(path.join("below")), "{found:?}");
}

/// An image with a library, a program, a link and some empty files of different ages.
fn sealed() -> (Manifest, Contents) {
    let mut layout = Layout::new();
    let bytes = |text: &str| Content::Bytes(text.as_bytes().to_vec());
    layout.file(b"/lib/a.so", 0o444, 1_700_000_000, bytes("library")).unwrap();
    layout.file(b"/bin/a", 0o555, 1_700_000_001, bytes("library")).unwrap();
    layout.file(b"/lib/old.py", 0o444, 5, bytes("")).unwrap();
    layout.file(b"/lib/new.py", 0o444, -6, bytes("")).unwrap();
    layout.file(b"/lib/odd", 0o640, 7, bytes("odd mode")).unwrap();
    layout.symlink(b"/lib/l\nink", b"a.so").unwrap();
    layout.dir(b"/tmp/deep/er").unwrap();
    layout.seal(Header::default()).unwrap()
}

#[test]
fn image_laid_out_is_exactly_its_manifest() {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let digest = manifest.digest();
    assert_eq!(store.tree(&digest), Ok(None));
    let (tree, stamp) = store.materialise(&manifest, &contents).unwrap();
    assert_eq!(tree.path, store.path().join("trees").join(digest.to_string()));
    assert_eq!(store.tree(&digest), Ok(Some((tree.clone(), stamp))));
    let expected = Checked { files: 5, bytes: 22, mismatches: vec![] };
    assert_eq!(store.verify_full(&digest), Ok(expected.clone()));
    assert_eq!(store.verify_stat(&digest), Ok(expected));
    assert_eq!(store.manifest(&digest), Ok(Some(manifest.clone())));
    // A second time, nothing is made anew.
    assert_eq!(store.materialise(&manifest, &contents).unwrap(), (tree.clone(), stamp));
    // Each content once, a program's twin apart; other times and modes by copy.
    let inode = |path: &str| fs::symlink_metadata(tree.path.join("root").join(path)).unwrap().ino();
    assert_ne!(inode("lib/a.so"), inode("bin/a"));
    assert_ne!(inode("lib/old.py"), inode("lib/new.py"));
    let objects = walk(&store.path().join("objects"));
    assert_eq!(objects.len(), 4, "{objects:?}");
    for object in objects {
        let meta = fs::symlink_metadata(&object).unwrap();
        let mode = if object.extension().is_some() { 0o555 } else { 0o444 };
        assert_eq!(meta.mode() & 0o7777, mode);
        let name = object.file_stem().unwrap().to_str().unwrap();
        assert_eq!(Digest::of(&fs::read(&object).unwrap()).to_string(), name);
    }
    assert_eq!(walk(&store.path().join("tmp")), Vec::<PathBuf>::new());
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            files.extend(walk(&entry.path()));
        } else {
            files.push(entry.path());
        }
    }
    files
}

#[test]
fn image_is_the_same_under_every_umask() {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let old = nix::sys::stat::umask(Mode::from_bits_truncate(0o077));
    let made = store.materialise(&manifest, &contents);
    nix::sys::stat::umask(old);
    assert!(made.is_ok());
    assert!(store.verify_full(&manifest.digest()).unwrap().is_clean());
}

/// What a change of the tree looks like to each verification: respects by path.
fn differences(change: impl Fn(&Path)) -> (Vec<String>, Vec<String>) {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let (tree, _) = store.materialise(&manifest, &contents).unwrap();
    change(&tree.path);
    let shown = |checked: Checked| {
        checked.mismatches.iter().map(|m| format!("{} {}", m.path.display(), m.what)).collect()
    };
    let digest = manifest.digest();
    (shown(store.verify_stat(&digest).unwrap()), shown(store.verify_full(&digest).unwrap()))
}

fn rewrite(path: &Path, bytes: &str, mtime: u64) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(mtime);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
    chmod(path, 0o444);
}

#[test]
fn every_kind_of_change_is_found_and_named() {
    let same = |expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|&text| text.to_owned()).collect();
        (expected.clone(), expected)
    };
    assert_eq!(differences(|_| ()), same(&[]));
    let lib = |tree: &Path| tree.join("root/lib/a.so");
    // Size and time put back: only reading finds it.
    let found = differences(|tree| rewrite(&lib(tree), "LIBRARY", 1_700_000_000));
    assert_eq!(found, (vec!["/lib mtime".into()], vec!["/lib mtime".into(), "/lib/a.so digest".into()]));
    let found = differences(|tree| chmod(&lib(tree), 0o555));
    assert_eq!(found, same(&["/lib/a.so mode"]));
    let found = differences(|tree| rewrite(&lib(tree), "library", 1));
    assert_eq!(found, same(&["/lib mtime", "/lib/a.so mtime"]));
    let (stat, full) = differences(|tree| rewrite(&lib(tree), "longer library", 1_700_000_000));
    assert_eq!(stat, ["/lib mtime", "/lib/a.so size"]);
    assert_eq!(full, ["/lib mtime", "/lib/a.so size", "/lib/a.so digest"]);
    let found = differences(|tree| fs::remove_file(lib(tree)).unwrap());
    assert_eq!(found, same(&["/lib mtime", "/lib/a.so presence"]));
    let found = differences(|tree| fs::write(tree.join("root/tmp/deep/evil"), "").unwrap());
    assert_eq!(found, same(&["/tmp/deep mtime", "/tmp/deep/evil presence"]));
    let found = differences(|tree| {
        fs::remove_file(lib(tree)).unwrap();
        symlink("/etc/passwd", lib(tree)).unwrap();
    });
    assert_eq!(found, same(&["/lib mtime", "/lib/a.so type"]));
    let found = differences(|tree| {
        fs::rename(tree.join("root/tmp"), tree.join("root/lib/tmp")).unwrap();
        symlink("lib/tmp", tree.join("root/tmp")).unwrap();
    });
    assert_eq!(found, same(&["/ mtime", "/lib mtime", "/tmp type", "/lib/tmp presence"]));
    let found = differences(|tree| {
        fs::remove_file(tree.join("root/lib/l\nink")).unwrap();
        symlink("b.so", tree.join("root/lib/l\nink")).unwrap();
    });
    assert_eq!(found, same(&["/lib mtime", "/lib/l\nink mtime", "/lib/l\nink target"]));
    let found = differences(|tree| fs::write(tree.join("empty/x"), "").unwrap());
    assert_eq!(found, same(&["/ presence"]));
    let found = differences(|tree| chmod(&tree.join("root/tmp"), 0o777));
    assert_eq!(found, same(&["/tmp mode"]));
}

#[test]
fn full_verification_tells_both_digests() {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let (tree, _) = store.materialise(&manifest, &contents).unwrap();
    rewrite(&tree.path.join("root/lib/a.so"), "LIBRARY", 1_700_000_000);
    let checked = store.verify_full(&manifest.digest()).unwrap();
    let expected = Mismatch {
        path: "/lib/a.so".into(),
        what: "digest",
        expected: Digest::of(b"library").to_string(),
        found: Digest::of(b"LIBRARY").to_string(),
    };
    assert!(checked.mismatches.contains(&expected), "{checked:?}");
}

#[test]
fn missing_tree_or_manifest_cannot_be_verified() {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let digest = manifest.digest();
    let missing = |place: &str| {
        let path = store.path().join(place).join(digest.to_string());
        Err(StoreProblem::Damaged { path, why: "it is missing".into() })
    };
    assert_eq!(store.verify_full(&digest), missing("manifests"));
    let (tree, _) = store.materialise(&manifest, &contents).unwrap();
    fs::remove_dir_all(&tree.path).unwrap();
    assert_eq!(store.verify_stat(&digest), missing("trees"));
    let path = store.path().join("manifests").join(digest.to_string());
    chmod(&path, 0o644);
    fs::write(&path, b"stockade-image/1\nd 0755 0 /\n").unwrap();
    let found = Digest::of(b"stockade-image/1\nd 0755 0 /\n");
    let damaged = StoreProblem::Damaged { path, why: format!("its digest is {found}") };
    assert_eq!(store.manifest(&digest), Err(damaged.clone()));
    assert_eq!(store.verify_full(&digest), Err(damaged));
    assert!(store.materialise(&manifest, &contents).is_ok());
    assert!(store.verify_full(&digest).unwrap().is_clean());
}

#[test]
fn damaged_object_is_replaced_before_it_is_linked_again() {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let digest = manifest.digest();
    let (tree, _) = store.materialise(&manifest, &contents).unwrap();
    // Through the link in the tree, the object's own bytes change.
    let path = tree.path.join("root/lib/a.so");
    chmod(&path, 0o644);
    fs::write(&path, "LIBRARY").unwrap();
    chmod(&path, 0o444);
    let (tree, _) = store.materialise(&manifest, &contents).unwrap();
    assert!(store.verify_full(&digest).unwrap().is_clean());
    assert_eq!(fs::read(tree.path.join("root/lib/a.so")).unwrap(), b"library");
}

#[test]
fn source_that_changed_since_it_was_hashed_leaves_nothing() {
    let (dir, store) = temporary();
    let source = dir.path().join("source");
    fs::write(&source, "before").unwrap();
    let mut layout = Layout::new();
    let content = Content::Opened(fs::File::open(&source).unwrap(), 6);
    layout.file(b"/file", 0o444, 1, content).unwrap();
    let (manifest, contents) = layout.seal(Header::default()).unwrap();
    for change in ["AFTER!", "", "longer than before"] {
        fs::write(&source, change).unwrap();
        let problem = store.materialise(&manifest, &contents).unwrap_err();
        assert!(matches!(problem, StoreProblem::Changed(_)), "{problem:?}");
        assert_eq!(store.tree(&manifest.digest()), Ok(None));
    }
    assert!(!store.path().join("objects").exists());
    assert!(walk(&store.path().join("tmp")).is_empty());
    fs::write(&source, "before").unwrap();
    assert!(store.materialise(&manifest, &contents).is_ok());
}

#[test]
fn link_inside_the_store_is_never_followed() {
    let (manifest, contents) = sealed();
    for name in ["objects", "manifests", "trees", "tmp"] {
        let (dir, store) = temporary();
        let outside = dir.path().join("outside");
        fs::create_dir(&outside).unwrap();
        symlink(&outside, store.path().join(name)).unwrap();
        let problem = StoreProblem::NotADirectory(store.path().join(name));
        assert_eq!(store.materialise(&manifest, &contents), Err(problem), "{name}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
        fs::remove_file(store.path().join(name)).unwrap();
        assert!(store.materialise(&manifest, &contents).is_ok());
    }
    // Nor a tree that is a link to another place.
    let (dir, store) = temporary();
    let (tree, _) = store.materialise(&manifest, &contents).unwrap();
    fs::rename(&tree.path, dir.path().join("elsewhere")).unwrap();
    symlink(dir.path().join("elsewhere"), &tree.path).unwrap();
    assert_eq!(store.tree(&manifest.digest()), Err(StoreProblem::NotADirectory(tree.path.clone())));
}

#[test]
fn leftovers_of_dead_writers_are_swept_and_live_ones_kept() {
    let (_dir, store) = temporary();
    assert_eq!(store.sweep_temporaries(), Ok(0));
    let live = store.scratch().unwrap();
    live.write(OsStr::new("file"), b"x", 0o444).unwrap();
    let dead = store.path().join("tmp/1-2-3");
    fs::create_dir_all(dead.join("tree/root/lib")).unwrap();
    fs::write(dead.join("tree/root/lib/a"), "x").unwrap();
    chmod(&dead.join("tree/root/lib"), 0o555);
    assert_eq!(store.sweep_temporaries(), Ok(1));
    assert!(!dead.exists());
    assert_eq!(walk(&store.path().join("tmp")).len(), 1);
    drop(live);
    assert_eq!(fs::read_dir(store.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(store.sweep_temporaries(), Ok(0));
}

#[test]
fn many_writers_and_sweepers_at_once_all_succeed() {
    let (_dir, store) = temporary();
    let (manifest, contents) = sealed();
    let trees: Vec<_> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|number| {
                let (store, manifest, contents) = (&store, &manifest, &contents);
                scope.spawn(move || {
                    let own = Store::open(store.path()).unwrap();
                    if number % 2 == 0 {
                        own.sweep_temporaries().unwrap();
                    }
                    own.materialise(manifest, contents).unwrap()
                })
            })
            .collect();
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    assert!(trees.iter().all(|tree| *tree == trees[0]), "{trees:?}");
    assert!(store.verify_full(&manifest.digest()).unwrap().is_clean());
    assert_eq!(walk(&store.path().join("tmp")), Vec::<PathBuf>::new());
    assert_eq!(walk(&store.path().join("objects")).len(), 4);
}
