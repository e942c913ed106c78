//! What a program that comes again is recalled by, and when it is not.

use std::sync::Arc;

use super::*;

struct Again {
    fake: Fake,
    store: Store,
    program: fs::File,
    memory: Memory,
}

const DIRS: [&str; 1] = ["/box"];

impl Again {
    /// A program that was looked up, remembered, and is recalled.
    fn new() -> (Self, Arc<Root>) {
        let fake = Fake::new();
        let mut program = tempfile::tempfile().unwrap();
        std::io::Write::write_all(&mut program, &Craft::program(&["libc.so.6"]).build()).unwrap();
        settle();
        let (store, memory) = (fake.store(), Memory::of(fake.host.clone()));
        let again = Self { fake, store, program, memory };
        assert!(again.recall().is_none(), "nothing is known yet");
        again.closure();
        assert!(again.recall().is_none(), "what has come once is not");
        let root = again.closure();
        assert!(Arc::ptr_eq(&again.recall().unwrap(), &root));
        assert!(Arc::ptr_eq(&again.recall().unwrap(), &root), "and again");
        (again, root)
    }

    fn request<'a>(&'a self, dirs: &'a [&'a str]) -> Request<'a> {
        Request {
            payload: &self.program,
            mount_dirs: dirs,
            mount_files: &[],
            uid: 1,
            gid: 1,
            loopback: false,
        }
    }

    fn place(&self) -> PathBuf {
        self.fake.at("/store")
    }

    fn closure(&self) -> Arc<Root> {
        self.memory.closure(&self.store, &self.place(), &self.request(&DIRS)).unwrap()
    }

    fn recall(&self) -> Option<Arc<Root>> {
        self.memory.recall(&self.place(), &self.request(&DIRS))
    }
}

fn tree(root: &Root) -> &Path {
    let RootSource::Tree { path, .. } = &root.source else { panic!("the root is private") };
    path
}

#[test]
fn recall_needs_the_same_request_and_store() {
    let (again, _root) = Again::new();
    let same = again.request(&DIRS);
    let others = [
        again.request(&["/box", "/tmp"]),
        again.request(&[]),
        Request { mount_files: &["/x"], ..same },
        Request { uid: 2, ..same },
        Request { gid: 2, ..same },
        Request { loopback: true, ..same },
    ];
    for other in others {
        assert!(again.memory.recall(&again.place(), &other).is_none(), "{other:?}");
    }
    assert!(again.memory.recall(&again.fake.at("/elsewhere"), &same).is_none());
    let copy = tempfile::tempfile().unwrap();
    std::io::copy(&mut &again.program, &mut &copy).unwrap();
    assert!(again.memory.recall(&again.place(), &Request { payload: &copy, ..same }).is_none());
    assert!(again.recall().is_some(), "the control");
}

#[test]
fn change_of_anything_is_seen_by_a_recall() {
    type Change = fn(&Again, &Root);
    let changes: [(&str, Change); 7] = [
        ("the program, in its bytes", |again, _| {
            std::os::unix::fs::FileExt::write_all_at(&again.program, b"x", 4000).unwrap();
        }),
        ("the program, in its mode", |again, _| {
            again.program.set_permissions(PermissionsExt::from_mode(0o700)).unwrap();
        }),
        ("a library", |again, _| again.fake.library(&format!("{HOME}/libc.so.6"), &["libm.so.6"])),
        ("a library that is gone", |again, _| {
            fs::remove_file(again.fake.at(&format!("{HOME}/libc.so.6"))).unwrap();
        }),
        ("the tree, moved away", |_, root| {
            fs::rename(tree(root), tree(root).with_extension("away")).unwrap();
        }),
        ("the tree, in its mode", |_, root| {
            fs::set_permissions(tree(root).join("root"), PermissionsExt::from_mode(0o700)).unwrap();
        }),
        ("a name at the top of the tree", |_, root| {
            fs::set_permissions(tree(root).join("root"), PermissionsExt::from_mode(0o755)).unwrap();
            fs::write(tree(root).join("root/new"), "").unwrap();
        }),
    ];
    for (what, change) in changes {
        let (again, root) = Again::new();
        change(&again, &root);
        assert!(again.recall().is_none(), "{what}");
    }
}

#[test]
fn root_that_nobody_holds_is_not_kept_by_being_known() {
    let (again, root) = Again::new();
    drop(root);
    assert!(again.recall().is_none());
}

#[test]
fn program_that_changed_just_now_is_not_remembered() {
    let (again, _root) = Again::new();
    for _ in 0..50 {
        let start = std::time::Instant::now();
        again.program.set_permissions(PermissionsExt::from_mode(0o711)).unwrap();
        let _root = again.closure();
        let recalled = again.recall();
        if start.elapsed() < std::time::Duration::from_millis(90) {
            assert!(recalled.is_none());
            return;
        }
    }
    panic!("this machine never looked a closure up within 90 ms");
}
