//! The manifest's spelling is unique, and the parser takes nothing else.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

fn entry(path: &str, what: What) -> Entry {
    Entry { path: path.as_bytes().to_vec(), mtime: 946_684_800, what }
}

fn dir(path: &str) -> Entry {
    entry(path, What::Dir { mode: 0o755 })
}

fn file(path: &str, content: &[u8]) -> Entry {
    let digest = Digest::of(content);
    entry(path, What::File { mode: 0o444, size: content.len() as u64, digest })
}

fn link(path: &str, target: &[u8]) -> Entry {
    entry(path, What::Symlink { target: target.to_vec() })
}

fn small() -> Manifest {
    let entries = vec![link("/lib/b", b"a c\\"), file("/lib/a", b""), dir("/"), dir("/lib"), dir("/lib-x")];
    let header = Header {
        entry: Some(b"/box/program".to_vec()),
        args: vec![b"".to_vec(), b"{payload}".to_vec()],
        env: [(b"A".to_vec(), b"1=2\n".to_vec()), (b"B".to_vec(), b"".to_vec())].into(),
        policy: Some(Digest::of(b"policy")),
    };
    Manifest::new(header, entries).unwrap()
}

#[test]
fn manifest_of_known_entries_has_the_documented_text() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let policy = Digest::of(b"policy");
    let text = format!(
        "stockade-image/1\nentry /box/program\narg \narg {{payload}}\nenv A=1=2\\x0a\nenv B=\n\
         policy sha256:{policy}\nd 0755 946684800 /\nd 0755 946684800 /lib\nd 0755 946684800 /lib-x\n\
         f 0444 946684800 0 {empty} /lib/a\nl 946684800 a\\x20c\\x5c /lib/b\n"
    );
    assert_eq!(String::from_utf8(small().to_bytes()).unwrap(), text);
    assert_eq!(Manifest::parse(text.as_bytes()), Ok(small()));
    assert_eq!(small().digest(), Digest::of(text.as_bytes()));
}

#[test]
fn entries_in_any_order_make_the_same_id() {
    let mut entries = small().entries;
    entries.reverse();
    assert_eq!(Manifest::new(small().header, entries).unwrap().digest(), small().digest());
}

#[test]
fn header_difference_changes_the_id() {
    let mut other = small().header;
    other.args.pop();
    assert_ne!(Manifest::new(other, small().entries).unwrap().digest(), small().digest());
}

#[test]
fn entries_that_no_image_can_hold_are_refused() {
    let long = format!("/{}", "n".repeat(256));
    let cases: Vec<(Vec<Entry>, &str, &str)> = vec![
        (vec![], "/", "the first entry must be the root directory"),
        (vec![file("/", b"")], "/", "the first entry must be the root directory"),
        (vec![dir("/"), dir("/a/b")], "/a/b", "its parent is not a directory of the image"),
        (vec![dir("/"), file("/a", b""), dir("/a/b")], "/a/b", "its parent is not a directory of the image"),
        (vec![dir("/"), link("/a", b"/"), dir("/a/b")], "/a/b", "its parent is not a directory of the image"),
        (vec![dir("/"), dir("/a"), dir("/a")], "/a", "entries must be sorted by path, each path once"),
        (vec![dir("/"), dir("/..")], "/..", "the path has an empty, '.' or '..' component"),
        (vec![dir("/"), dir("/a/")], "/a/", "the path has an empty, '.' or '..' component"),
        (vec![dir("/"), dir("/./a")], "/./a", "the path has an empty, '.' or '..' component"),
        (vec![dir("/"), dir("a")], "a", "the path is not absolute"),
        (vec![dir("/"), dir("/a\0b")], "/a\\x00b", "a name holds a NUL"),
        (vec![dir("/"), dir(&long)], &long, "a name is longer than 255 bytes"),
        (
            vec![dir("/"), link("/l", b"")],
            "/l",
            "a link's target must have 1 to 4095 bytes, none of them NUL",
        ),
        (vec![dir("/"), entry("/s", What::Dir { mode: 0o1777 })], "/s", "the mode has bits above 0777"),
        (
            vec![dir("/"), entry("/s", What::File { mode: 0o4755, size: 0, digest: Digest::of(b"") })],
            "/s",
            "the mode has bits above 0777",
        ),
    ];
    for (entries, at, what) in cases {
        assert_eq!(
            Manifest::new(Header::default(), entries),
            Err(ManifestProblem { at: at.into(), what }),
            "{at}: {what}"
        );
    }
    assert!(Manifest::new(Header::default(), vec![dir("/"), dir("/a"), dir("/a/b")]).is_ok());
}

#[test]
fn text_with_a_second_spelling_is_refused() {
    let good = "stockade-image/1\narg x\nd 0755 0 /\nl 0 t /l\n";
    assert!(Manifest::parse(good.as_bytes()).is_ok());
    let cases: &[(&str, usize, &str)] = &[
        ("", 1, "empty"),
        ("stockade-image/2\nd 0755 0 /\n", 1, "not 'stockade-image/1'"),
        ("stockade-image/1\r\nd 0755 0 /\n", 1, "not 'stockade-image/1'"),
        ("stockade-image/1\nd 0755 0 /", 2, "the last line does not end"),
        ("stockade-image/1\n\nd 0755 0 /\n", 2, "unknown record"),
        ("stockade-image/1\nx 0755 0 /\n", 2, "unknown record"),
        ("stockade-image/1\nd 755 0 /\n", 2, "not a mode of four octal digits"),
        ("stockade-image/1\nd +755 0 /\n", 2, "not a mode of four octal digits"),
        ("stockade-image/1\nd 0855 0 /\n", 2, "not a mode of four octal digits"),
        ("stockade-image/1\nd 0755 00 /\n", 2, "not the shortest spelling of a number"),
        ("stockade-image/1\nd 0755 +1 /\n", 2, "not the shortest spelling of a number"),
        ("stockade-image/1\nd 0755 -0 /\n", 2, "not the shortest spelling of a number"),
        ("stockade-image/1\nd 0755 99999999999999999999 /\n", 2, "not a number"),
        ("stockade-image/1\nd 0755  0 /\n", 2, "not a number"),
        ("stockade-image/1\nd 0755 0 / \n", 2, "too many fields"),
        ("stockade-image/1\nd 0755 0\n", 2, "too few fields"),
        ("stockade-image/1\nd 0755 0 /\\x61\n", 2, "an escape of a byte that stands for itself"),
        ("stockade-image/1\nd 0755 0 /\\xFF\n", 2, "an escape that is not two lower-case hexadecimal digits"),
        ("stockade-image/1\nd 0755 0 /\\x0\n", 2, "an incomplete escape"),
        ("stockade-image/1\nd 0755 0 /\\\\\n", 2, "an incomplete escape"),
        ("stockade-image/1\nd 0755 0 /\u{e9}\n", 2, "a byte that must be escaped"),
        ("stockade-image/1\nd 0755 0 /\narg x\n", 3, "this record comes too late, or twice"),
        ("stockade-image/1\nentry /a\nentry /b\nd 0755 0 /\n", 3, "this record comes too late, or twice"),
        ("stockade-image/1\nenv A\nd 0755 0 /\n", 2, "a variable without '='"),
        (
            "stockade-image/1\nenv B=1\nenv A=1\nd 0755 0 /\n",
            3,
            "variables must be sorted by name, each name once",
        ),
        (
            "stockade-image/1\nenv A=1\nenv A=1\nd 0755 0 /\n",
            3,
            "variables must be sorted by name, each name once",
        ),
        ("stockade-image/1\npolicy sha256:00\nd 0755 0 /\n", 2, "not a digest"),
        ("stockade-image/1\nd 0755 0 /\nf 0444 0 0 00 /f\n", 3, "not a digest"),
    ];
    for &(text, line, what) in cases {
        assert_eq!(Manifest::parse(text.as_bytes()), Err(ParseProblem::Line { line, what }), "{text:?}");
    }
    let unsorted = b"stockade-image/1\nd 0755 0 /\nd 0755 0 /b\nd 0755 0 /a\n";
    let problem = ManifestProblem { at: "/a".into(), what: "entries must be sorted by path, each path once" };
    assert_eq!(Manifest::parse(unsorted), Err(ParseProblem::Content(problem)));
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>().prop_map(|byte| if matches!(byte, 0 | b'/' | b'.') { b' ' } else { byte }), 1..6)
}

prop_compose! {
    fn word()(bytes in vec(1..=255_u8, 0..8)) -> Vec<u8> { bytes }
}

/// Paths grow out of directories that exist, so that every drawn tree is valid.
fn manifests() -> impl Strategy<Value = Manifest> {
    let entry = (any::<prop::sample::Index>(), name(), any::<i64>(), 0..3_u8, 0..=0o777_u16, word());
    let env = btree_map(word(), word(), 0..4).prop_map(|env| {
        env.into_iter().filter(|(name, _)| !name.is_empty() && !name.contains(&b'=')).collect()
    });
    let header = (prop::option::of(name()), vec(word(), 0..4), env, any::<bool>());
    (header, vec(entry, 0..24)).prop_map(|((program, args, env, policy), drawn)| {
        let mut directories = vec![b"/".to_vec()];
        let mut entries = vec![dir("/")];
        for (parent, name, mtime, kind, mode, bytes) in drawn {
            let mut path = directories[parent.index(directories.len())].clone();
            if path != b"/" {
                path.push(b'/');
            }
            path.extend(name);
            if entries.iter().any(|entry: &Entry| entry.path == path) {
                continue;
            }
            let what = match kind {
                0 => What::Dir { mode },
                1 => What::File { mode, size: bytes.len() as u64, digest: Digest::of(&bytes) },
                _ => What::Symlink { target: [b"t", bytes.as_slice()].concat() },
            };
            if kind == 0 {
                directories.push(path.clone());
            }
            entries.push(Entry { path, mtime, what });
        }
        let entry = program.map(|name| [b"/".as_slice(), &name].concat());
        let policy = policy.then(|| Digest::of(b"p"));
        Manifest::new(Header { entry, args, env, policy }, entries).unwrap()
    })
}

proptest! {
    #[test]
    fn manifest_printed_and_parsed_is_the_same(manifest in manifests()) {
        prop_assert_eq!(Manifest::parse(&manifest.to_bytes()), Ok(manifest));
    }

    #[test]
    fn accepted_bytes_print_back_to_themselves(
        manifest in manifests(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut bytes = manifest.to_bytes();
        for (at, byte, kind) in changes {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        if let Ok(read) = Manifest::parse(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(read) = Manifest::parse(&bytes) {
            prop_assert_eq!(read.to_bytes(), bytes);
        }
    }
}
