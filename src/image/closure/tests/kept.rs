//! What is remembered of a closure, and when it is forgotten.

use super::*;

/// The tree of a root, which must come from the store.
fn tree(root: &Root) -> PathBuf {
    match &root.source {
        RootSource::Tree { path, dev, ino, .. } => {
            let meta = fs::symlink_metadata(path).unwrap();
            assert_eq!((meta.dev(), meta.ino()), (*dev, *ino));
            path.clone()
        }
        RootSource::Private(_) | RootSource::Packed { .. } => panic!("the root is private: {:?}", root.notes),
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
    let program = Craft::program(&["libc.so.6"]);
    // On a busy machine "just now" may be over before the closure is made: then again.
    for _ in 0..50 {
        let start = std::time::Instant::now();
        let fake = Fake::new();
        let store = fake.store();
        tree(&fake.root(Some(&store), &program).unwrap());
        if start.elapsed() > std::time::Duration::from_millis(90) {
            continue;
        }
        assert!(!fake.at("/store/closures").exists());
        settle();
        tree(&fake.root(Some(&store), &program).unwrap());
        assert_eq!(fs::read_dir(fake.at("/store/closures")).unwrap().count(), 1);
        return;
    }
    panic!("this machine never made a closure within 90 ms");
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
        format!("the root is a private copy, not kept: openat({}/lock) in the store", store.path().display());
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
