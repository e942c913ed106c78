//! Honest archives: of other tools, and of a builder whose every entry is known.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_archives;
mod image_cli;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use common::{is_root, skip};
use image_archives::*;
use image_cli::Stockade;
use proptest::prelude::*;
use serde_json::{Value, json};

fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success())
}

fn ok(command: &mut Command) -> String {
    let out = command.output().unwrap();
    assert!(out.status.success(), "{command:?}: {}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn import(stockade: &Stockade, source: &str, name: &str) -> String {
    let built = stockade.json(["image", "import", source, "--name", name, "--json"]);
    built["id"].as_str().unwrap().to_owned()
}

/// Path, target and size of everything but the root.
fn listing(stockade: &Stockade, image: &str) -> BTreeMap<String, String> {
    let list = stockade.json(["image", "files", image, "--json"]);
    let words = |entry: &Value| {
        let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
        match entry["type"].as_str().unwrap() {
            "file" => format!("file {} {}", text("mode"), entry["size"]),
            "directory" => "directory".to_owned(),
            _ => format!("link {}", text("target")),
        }
    };
    let entries = list.as_array().unwrap().iter().filter(|entry| entry["path"] != "/");
    entries.map(|entry| (entry["path"].as_str().unwrap().to_owned(), words(entry))).collect()
}

#[test]
fn export_comes_back_with_the_same_id_in_every_form() {
    let stockade = Stockade::new();
    let spec = stockade.write(
        "spec.json",
        r#"{"version": 1, "name": "tool", "comment": "c", "programs": ["/usr/bin/sort"], "recipes": ["time-zones"],
            "files": [{"at": "/umläut x", "text": "1"}],
            "entry": ["/usr/bin/sort", "-r", "{payload}", "{args}"], "env": {"A": "b c", "LANG": "C"}, "policy": "strict"}"#,
    );
    let id = stockade.json(["image", "build", &spec, "--json"])["id"].clone();
    let mut packed_forms = Vec::new();
    for (to, format) in [("layout", "oci"), ("layout.tar", "oci"), ("root.tar", "tar")] {
        stockade.text(["image", "export", "tool", to, "--format", format]);
        stockade.text(["image", "export", "tool", &format!("again-{to}"), "--format", format]);
        let [one, two] = [to.to_owned(), format!("again-{to}")].map(|name| stockade.dir.join(name));
        if one.is_file() {
            assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap(), "{to} is not the same twice");
            fs::write(stockade.dir.join(format!("{to}.gz")), packed("gzip", &fs::read(&one).unwrap()))
                .unwrap();
            packed_forms.push(format!("{to}.gz"));
        }
    }
    // Into a store that has never seen it, with the policy and how it starts.
    for source in ["layout", "layout.tar", "root.tar"].into_iter().map(str::to_owned).chain(packed_forms) {
        let path = stockade.dir.join(&source);
        let other = Stockade::new();
        assert_eq!(import(&other, path.to_str().unwrap(), "back"), id.as_str().unwrap(), "{source}");
        let input = other.write("in", "a\nb\n");
        let ran = other.run(["-i", "back", "--", &input]);
        assert_eq!((ran.text(), ran.status), ("b\na\n".into(), 0), "{source}: {}", ran.all());
        assert_eq!(ran.report["policy"]["name"], "strict");
        assert_eq!(other.go(["image", "verify", "back", "--full"]).status, 0);
    }
    let taken = stockade.go(["image", "export", "tool", "layout"]);
    assert!(taken.status == 125 && taken.stderr.contains("layout is there already"), "{}", taken.all());
    // What was built here keeps its account when it comes back.
    import(&stockade, "root.tar", "back");
    assert_eq!(stockade.json(["image", "inspect", "back", "--json"])["made"], "build");
}

#[test]
fn export_is_read_by_skopeo_and_umoci_and_theirs_by_us() {
    if !has("skopeo") || !has("umoci") {
        return skip("skopeo or umoci is missing");
    }
    let stockade = Stockade::new();
    let id =
        stockade.json(["image", "build", "--program", "/usr/bin/sort", "--name", "sort", "--json"])["id"]
            .clone();
    let id = id.as_str().unwrap();
    stockade.text(["image", "export", "sort", "layout"]);
    let run = |program: &str, args: &[&str]| ok(Command::new(program).args(args).current_dir(&stockade.dir));
    let seen: Value = serde_json::from_str(&run("skopeo", &["inspect", "oci:layout:sort"])).unwrap();
    assert_eq!((seen["Architecture"].as_str(), seen["Layers"].as_array().unwrap().len()), (Some("amd64"), 1));
    let policy = ["--insecure-policy", "copy", "-q"];
    run("skopeo", &[&policy[..], &["oci:layout:sort", "docker-archive:docker.tar:x/sort:1"]].concat());
    run(
        "skopeo",
        &[&policy[..], &["--dest-compress-format", "zstd", "oci:layout:sort", "oci:zstd:one"]].concat(),
    );
    run("skopeo", &[&policy[..], &["oci:layout:sort", "oci-archive:archive.tar:one"]].concat());
    for source in
        ["docker.tar", "docker.tar:sort:1", "docker.tar:x/sort:1", "zstd", "zstd:one", "archive.tar"]
    {
        let other = Stockade::new();
        let path = stockade.dir.join(source);
        assert_eq!(import(&other, path.to_str().unwrap(), "back"), id, "{source}");
    }
    let missing = stockade.go(["image", "import", "zstd:two"]);
    assert!(missing.stderr.contains("there is no image 'two' for linux/amd64 in it"), "{}", missing.all());
    // An image that umoci makes in layers, with removals, hard links and links.
    run("umoci", &["init", "--layout", "made"]);
    run("umoci", &["new", "--image", "made:m"]);
    let rootless: &[&str] = if is_root() { &[] } else { &["--rootless"] };
    run("umoci", &[&["unpack"], rootless, &["--image", "made:m", "bundle"]].concat());
    let root = stockade.dir.join("bundle/rootfs");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::copy(common::payload("probe.c", &["-static"]), root.join("usr/bin/probe")).unwrap();
    fs::set_permissions(root.join("usr/bin/probe"), fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("usr/bin", root.join("bin")).unwrap();
    for name in ["a/gone", "a/stays", "a/b/gone"] {
        fs::write(root.join(name), name).unwrap();
    }
    fs::hard_link(root.join("a/stays"), root.join("a/second")).unwrap();
    fs::write(root.join("long-".to_owned() + &"x".repeat(200)), "long").unwrap();
    run("umoci", &["repack", "--image", "made:m", "bundle"]);
    fs::remove_dir_all(stockade.dir.join("bundle")).unwrap();
    run("umoci", &[&["unpack"], rootless, &["--image", "made:m", "bundle"]].concat());
    fs::remove_file(root.join("a/gone")).unwrap();
    fs::remove_dir_all(root.join("a/b")).unwrap();
    fs::write(root.join("new"), "new").unwrap();
    run("umoci", &["repack", "--image", "made:m", "bundle"]);
    run(
        "umoci",
        &[
            "config",
            "--image",
            "made:m",
            "--config.entrypoint",
            "probe",
            "--config.cmd",
            "exit",
            "--config.cmd",
            "7",
            "--config.env",
            "PATH=/usr/bin:/bin",
        ],
    );
    import(&stockade, "made:m", "made");
    let seen: Vec<String> = listing(&stockade, "made").into_keys().collect();
    let long = format!("/long-{}", "x".repeat(200));
    assert_eq!(
        seen,
        ["/a", "/a/second", "/a/stays", "/bin", &long, "/new", "/usr", "/usr/bin", "/usr/bin/probe"]
    );
    let ran = stockade.run(["-i", "made"]);
    assert_eq!(ran.status, 7, "{}", ran.all());
    // What umoci unpacks is what we have laid out.
    let dir = Stockade::new();
    let from_dir = import(&dir, root.to_str().unwrap(), "dir");
    assert_eq!(listing(&dir, "dir"), listing(&stockade, "made"), "{from_dir}");
}

#[test]
fn layers_are_put_on_each_other_as_the_specification_says() {
    let base = tar(&[
        dir("./"),
        dir("usr/"),
        dir("usr/lib/"),
        symlink("lib", "usr/lib"),
        file("usr/lib/a", "1"),
        dir("etc/"),
        file("etc/one", "1"),
        file("etc/two", "2"),
        dir("opaque/"),
        file("opaque/low", "1"),
        dir("opaque/deep/"),
        file("opaque/deep/low", "1"),
        dir("swap/"),
        file("swap/in", "1"),
        file("later", "1"),
        hardlink("etc/hard", "etc/one"),
    ]);
    let upper = tar(&[
        // Through a link of a lower layer, which stays in the image.
        file("lib/b", "22"),
        hardlink("lib/c", "lib/b"),
        hardlink("etc/lower", "lib/a"),
        file("etc/.wh.two", ""),
        file("etc/.wh.never", ""),
        file("opaque/high", "22"),
        file("opaque/.wh..wh..opq", ""),
        file("swap", "now a file"),
        dir("later/"),
        file("later/in", "22"),
        file("etc/one", "changed"),
        Block::new(".wh..wh.plnk", b'5').sealed(),
    ]);
    let upper = upper.into_iter().collect::<Vec<u8>>();
    // A storage driver's note is a directory: other removals are empty files.
    let refused = Layout::of(&[base.clone(), upper.clone()]).archive();
    let stockade = Stockade::new();
    let path = stockade.write("refused.tar", refused);
    assert_eq!(stockade.go(["image", "import", &path]).status, 125);
    let upper = tar(&[upper[..upper.len() - 1024 - 512].to_vec(), file(".wh..wh.aufs", "")]);
    let path = stockade.write("good.tar", Layout::of(&[base, upper]).archive());
    import(&stockade, &path, "layers");
    let seen = listing(&stockade, "layers");
    let expected = [
        ("/etc", "directory"),
        ("/etc/hard", "file 0444 1"),
        ("/etc/lower", "file 0444 1"),
        ("/etc/one", "file 0444 7"),
        ("/later", "directory"),
        ("/later/in", "file 0444 2"),
        ("/lib", "link usr/lib"),
        ("/opaque", "directory"),
        ("/opaque/high", "file 0444 2"),
        ("/swap", "file 0444 10"),
        ("/usr", "directory"),
        ("/usr/lib", "directory"),
        ("/usr/lib/a", "file 0444 1"),
        ("/usr/lib/b", "file 0444 2"),
        ("/usr/lib/c", "file 0444 2"),
    ];
    assert_eq!(seen, expected.map(|(path, what)| (path.to_owned(), what.to_owned())).into());
    let why = stockade.text(["image", "why", "layers", "/usr/lib/b"]);
    assert!(why.contains("in layer 2 of what was imported"), "{why}");
}

#[test]
fn names_and_numbers_in_every_dialect_are_understood() {
    let long = format!("dir/{}", "n".repeat(180));
    let target = "t/".repeat(80) + "t";
    let archive = tar(&[
        global(&[("comment", b"0123456789")]),
        Block::new("v7", b'\0').with(257, &[0; 8]).holding(b"x"),
        Block::new("v7dir/", b'\0').with(257, &[0; 8]).sealed(),
        Block::new("x", b'0').with(345, b"pre/fix").holding(b"x"),
        gnu_long(b'L', format!("{long}\0").as_bytes()),
        file("short", "x"),
        gnu_long(b'K', format!("{target}\0").as_bytes()),
        symlink("l", "short"),
        pax(&[("path", "ü/pax".as_bytes()), ("mtime", b"1700000000.123"), ("size", b"3")]),
        Block::new("x", b'0').size(0).before(b"abc"),
        Block::new("base256", b'0')
            .with(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x03")
            .with(136, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0x65, 0x53, 0xf1, 0x00])
            .before(b"abc"),
        Block::new("contiguous", b'7').holding(b"x"),
        Block::new(b"latin-\xe9", b'0').holding(b"x"),
        file("./dot//slash", "x"),
    ]);
    let stockade = Stockade::new();
    let path = stockade.write("a.tar", &archive);
    import(&stockade, &path, "a");
    let seen = listing(&stockade, "a");
    for (path, what) in [
        ("/v7", "file 0444 1"),
        ("/v7dir", "directory"),
        ("/pre/fix/x", "file 0444 1"),
        (&format!("/{long}"), "file 0444 1"),
        ("/l", &format!("link {target}")),
        ("/base256", "file 0444 3"),
        ("/contiguous", "file 0444 1"),
        ("/dot/slash", "file 0444 1"),
    ] {
        assert_eq!(seen.get(path).map(String::as_str), Some(what), "{path} in {seen:?}");
    }
    assert!(seen.keys().any(|path| path.ends_with("/pax")), "{seen:?}");
    // The same from a pipe, and without its blocks of zeros at the end of a tape.
    let mut child = stockade
        .command(["image", "import", "-"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut longer = archive;
    longer.resize(longer.len().next_multiple_of(10240), 0);
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &longer).unwrap();
    let out = child.wait_with_output().unwrap();
    let id = stockade.json(["image", "inspect", "a", "--json"])["id"].clone();
    assert!(String::from_utf8_lossy(&out.stdout).starts_with(id.as_str().unwrap()));
}

#[test]
fn tar_of_gnu_and_of_python_are_read() {
    let stockade = Stockade::new();
    let root = stockade.dir.join("root");
    fs::create_dir_all(root.join("sub")).unwrap();
    fs::write(root.join("sub/file"), "x").unwrap();
    fs::hard_link(root.join("sub/file"), root.join("hard")).unwrap();
    std::os::unix::fs::symlink("sub/file", root.join("link")).unwrap();
    fs::write(root.join("n".repeat(150)), "x").unwrap();
    let expected = import(&stockade, root.to_str().unwrap(), "dir");
    for form in ["gnu", "pax", "posix", "oldgnu"] {
        ok(Command::new("tar")
            .args(["--format", form, "-cf", "gnu.tar", "-C", "root", "."])
            .current_dir(&stockade.dir));
        assert_eq!(import(&stockade, "gnu.tar", form), expected, "{form}");
    }
    if !has("/usr/bin/python3") {
        return skip("there is no /usr/bin/python3");
    }
    for form in ["PAX_FORMAT", "GNU_FORMAT"] {
        let script = format!(
            "import tarfile; t = tarfile.open('py.tar', 'w', format=tarfile.{form}); t.add('root', '.'); t.close()"
        );
        ok(Command::new("/usr/bin/python3").args(["-c", &script]).current_dir(&stockade.dir));
        assert_eq!(import(&stockade, "py.tar", form), expected, "{form}");
    }
}

/// As `docker save a:latest b:latest` writes them, and images without a name.
#[test]
fn one_of_several_images_is_chosen_by_whole_name_or_digest() {
    let (one, two) = (
        Layout::of(&[tar(&[file("one", "")])]),
        Layout::of(&[tar(&[file("one", "")]), tar(&[file("two", "")])]),
    );
    let index = |names: [Option<&str>; 2]| {
        let mut first = one.index()["manifests"][0].clone();
        let mut second = two.index()["manifests"][0].clone();
        for (image, name) in [&mut first, &mut second].into_iter().zip(names) {
            if let Some(name) = name {
                image["annotations"] = json!({
                    "org.opencontainers.image.ref.name": "latest",
                    "io.containerd.image.name": format!("docker.io/library/{name}:latest"),
                });
            }
        }
        json!({"schemaVersion": 2, "manifests": [first, second]})
    };
    let stockade = Stockade::new();
    let digest = |layout: &Layout| layout.index()["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let write = |names| {
        let blob = |bytes: &[u8]| file(format!("blobs/sha256/{}", sha256(bytes)), bytes);
        let json = |value: Value| serde_json::to_vec(&value).unwrap();
        let parts = [&one, &two].map(|image| {
            let documents = [blob(&json(image.config.clone())), blob(&json(image.manifest()))].concat();
            [documents, blob(image.layers.last().unwrap())].concat()
        });
        let index = file("index.json", json(index(names)));
        let archive = tar(&[parts.concat(), index, file("oci-layout", &one.version)]);
        stockade.write("several.tar", archive)
    };
    let path = write([Some("a"), Some("b")]);
    for (name, files) in [
        ("a:latest".to_owned(), &["/one"][..]),
        ("docker.io/library/b:latest".to_owned(), &["/one", "/two"]),
        (digest(&one), &["/one"]),
    ] {
        import(&stockade, &format!("{path}:{name}"), "chosen");
        assert_eq!(listing(&stockade, "chosen").into_keys().collect::<Vec<_>>(), files, "{name}");
    }
    let said = |name: &str| {
        let refused = stockade.go(["image", "import", &format!("{path}{name}")]);
        assert_eq!(refused.status, 125, "{}", refused.all());
        refused.stderr.lines().next().unwrap().split_once("imported: ").unwrap().1.to_owned()
    };
    let several = "index.json: there are several images in it";
    let both = "docker.io/library/a:latest, docker.io/library/b:latest";
    assert_eq!(said(""), format!("{several} ({both}): say which, as SOURCE:NAME"));
    assert_eq!(said(":latest"), format!("{several} ({both}): say which, as SOURCE:NAME"));
    let digests = format!("{}, {}", digest(&one), digest(&two));
    write([None, None]);
    assert_eq!(said(""), format!("{several} ({digests}): say which, as SOURCE:NAME"));
    write([Some("a"), Some("a")]);
    assert_eq!(said(":a:latest"), format!("{several} ({digests}): say which, as SOURCE:NAME"));
    import(&stockade, &format!("{path}:{}", digest(&two)), "chosen");
    assert_eq!(listing(&stockade, "chosen").into_keys().collect::<Vec<_>>(), ["/one", "/two"]);
}

#[test]
fn configuration_decides_how_a_foreign_image_starts() {
    let probe = fs::read(common::payload("probe.c", &["-static"])).unwrap();
    let layer = tar(&[program("bin/probe", &probe), file("etc/x", "y")]);
    let stockade = Stockade::new();
    let start = |config: Value| {
        let mut layout = Layout::of(std::slice::from_ref(&layer));
        layout.config["config"] = config;
        let path = stockade.write("start.tar", layout.archive());
        let built = stockade.json(["image", "import", &path, "--name", "s", "--json"]);
        (stockade.json(["image", "inspect", "s", "--json"]), built)
    };
    let (seen, _) =
        start(json!({"Entrypoint": ["/bin/probe"], "Cmd": ["exit", "3"], "Env": ["PATH=/bin", "A=b"]}));
    assert_eq!(
        (&seen["entry"], &seen["args"]),
        (&json!("/bin/probe"), &json!(["exit", "3", "{args}"])),
        "{seen}"
    );
    assert_eq!(seen["env"], json!(["A=b", "PATH=/bin"]));
    assert_eq!(stockade.run(["-i", "s"]).status, 3);
    let (seen, _) = start(json!({"Cmd": ["probe", "exit"], "Env": ["PATH=/sbin:/bin"]}));
    assert_eq!(seen["entry"], "/bin/probe");
    assert_eq!(stockade.run(["-i", "s", "--", "5"]).status, 5);
    let (seen, built) = start(json!({"Entrypoint": ["/no/such"]}));
    assert_eq!(seen["entry"], Value::Null);
    assert_eq!(
        built["notes"],
        json!(["its entry point '/no/such' is no program of the image: it does not start by itself"])
    );
    let ran = stockade.run(["-i", "s"]);
    assert!(
        ran.status == 125 && ran.stderr.contains("the image has no entry point and no policy"),
        "{}",
        ran.all()
    );
    let (seen, _) = start(Value::Null);
    assert_eq!(seen["entry"], Value::Null);
}

/// What an entry of a random archive is.
#[derive(Debug, Clone)]
enum Piece {
    File(String, u8),
    Dir(String),
    Link(String, String),
    Hard(String, String),
    Removal(String),
}

fn piece() -> impl Strategy<Value = Piece> {
    let path = || "[ab](/[ab]){0,2}";
    prop_oneof![
        4 => (path(), 0..9_u8).prop_map(|(path, n)| Piece::File(path, n)),
        2 => path().prop_map(Piece::Dir),
        1 => (path(), "[ab./]{1,4}").prop_map(|(path, to)| Piece::Link(path, to)),
        1 => (path(), path()).prop_map(|(path, to)| Piece::Hard(path, to)),
        1 => path().prop_map(Piece::Removal),
    ]
}

/// What a tree must be, or that it must be refused, thought out anew: plain maps
/// and no resolution of links, which this model refuses to go through.
type Model = BTreeMap<String, String>;

fn apply(lower: &Model, layer: &[Piece]) -> Option<Model> {
    let mut all = lower.clone();
    let mut mine: BTreeMap<String, String> = BTreeMap::new();
    for piece in layer {
        let (path, what) = match piece {
            Piece::Removal(path) => {
                // The parents of a removal are only looked at.
                let own = |p: &String| {
                    let below = format!("{p}/");
                    mine.keys().any(|own| own == p || own.starts_with(&below))
                };
                let gone = |p: &String| p == path || p.starts_with(&format!("{path}/"));
                if passes_link(&all, path) {
                    return None;
                }
                all.retain(|p, _| own(p) || !gone(p));
                continue;
            }
            Piece::File(path, n) => (path, format!("file {n}")),
            Piece::Dir(path) => (path, "dir".to_owned()),
            Piece::Link(path, to) => (path, format!("link {to}")),
            Piece::Hard(path, to) => {
                let found = all.get(to).cloned()?;
                if found == "dir" {
                    return None;
                }
                (path, found)
            }
        };
        if passes_link(&all, path) {
            return None;
        }
        for (at, _) in path.match_indices('/') {
            let above = &path[..at];
            match all.get(above).map(String::as_str) {
                None => {
                    all.insert(above.to_owned(), "dir".into());
                    mine.insert(above.to_owned(), "dir".into());
                }
                Some("dir") => {}
                Some(_) => return None,
            }
        }
        let below = format!("{path}/");
        if let Some(old) = all.get(path)
            && (old != "dir" || what != "dir")
        {
            if mine.contains_key(path) || mine.keys().any(|p| p.starts_with(&below)) {
                return None;
            }
            all.retain(|p, _| p != path && !p.starts_with(&below));
        }
        all.insert(path.clone(), what.clone());
        mine.insert(path.clone(), what);
    }
    Some(all)
}

/// Whether a path goes through a link: those archives are not made.
fn passes_link(all: &Model, path: &str) -> bool {
    path.match_indices('/').any(|(at, _)| all.get(&path[..at]).is_some_and(|what| what.starts_with("link")))
}

fn tar_of(layer: &[Piece]) -> Vec<u8> {
    let pieces: Vec<Vec<u8>> = layer
        .iter()
        .map(|piece| match piece {
            Piece::File(path, n) => file(path, vec![b'x'; usize::from(*n)]),
            Piece::Dir(path) => dir(&format!("{path}/")),
            Piece::Link(path, to) => symlink(path, to),
            Piece::Hard(path, to) => hardlink(path, to),
            Piece::Removal(path) => match path.rsplit_once('/') {
                Some((above, name)) => file(format!("{above}/.wh.{name}"), ""),
                None => file(format!(".wh.{path}"), ""),
            },
        })
        .collect();
    tar(&pieces)
}

/// Whether any layer goes through a link when it is applied.
fn goes_through_links(layers: &[Vec<Piece>]) -> bool {
    let mut links: Vec<String> = Vec::new();
    for piece in layers.iter().flatten() {
        if let Piece::Link(path, _) = piece {
            links.push(format!("{path}/"));
        }
    }
    let hard = layers.iter().flatten().any(|piece| matches!(piece, Piece::Hard(..)));
    let names = layers.iter().flatten().flat_map(|piece| match piece {
        Piece::Hard(path, to) => vec![path, to],
        Piece::File(path, _) | Piece::Dir(path) | Piece::Link(path, _) | Piece::Removal(path) => vec![path],
    });
    // A hard link may make a second link of one.
    (hard && !links.is_empty())
        || names.into_iter().any(|path| links.iter().any(|link| path.starts_with(link.as_str())))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn random_layers_make_the_tree_of_the_model(
        layers in proptest::collection::vec(proptest::collection::vec(piece(), 1..7), 1..4)
    ) {
        prop_assume!(!goes_through_links(&layers));
        let model = layers.iter().try_fold(Model::new(), |lower, layer| apply(&lower, layer));
        let dir = tempfile::tempdir().unwrap();
        let store = stockade::image::Store::open(&dir.path().join("store")).unwrap();
        let tars: Vec<Vec<u8>> = layers.iter().map(|layer| tar_of(layer)).collect();
        let path = dir.path().join("image.tar");
        fs::write(&path, Layout::of(&tars).archive()).unwrap();
        let limits = stockade::image::import::Limits::default();
        let built = stockade::image::import::import(&store, path.to_str().unwrap(), limits, &stockade::image::build::Quiet);
        match (built, model) {
            (Ok(built), Some(model)) => {
                let manifest = store.manifest(&built.image).unwrap().unwrap();
                let seen: Model = manifest.entries().iter().skip(1).map(|entry| {
                    use stockade::image::manifest::What;
                    let what = match &entry.what {
                        What::Dir { .. } => "dir".to_owned(),
                        What::File { size, .. } => format!("file {size}"),
                        What::Symlink { target } => format!("link {}", String::from_utf8_lossy(target)),
                    };
                    (String::from_utf8_lossy(entry.relative()).into_owned(), what)
                }).collect();
                prop_assert_eq!(seen, model);
            }
            (Err(_), None) => {}
            (built, model) => prop_assert!(false, "{:?} and {:?}", built.map(|b| b.image), model),
        }
    }
}

#[test]
fn list_of_packages_says_that_those_of_rpm_are_missing() {
    let stockade = Stockade::new();
    let pieces = |database: &str| {
        let mut pieces = vec![dir("usr/"), dir("usr/bin/"), program("usr/bin/tool", b"#!/bin/sh\n")];
        pieces.extend([dir("var/"), dir("var/lib/"), dir("var/lib/rpm/")]);
        pieces.push(file(database, "SQLite format 3\0"));
        tar(&pieces)
    };
    for (name, database, gap) in
        [("with", "var/lib/rpm/rpmdb.sqlite", true), ("without", "var/lib/other.sqlite", false)]
    {
        let archive = stockade.write(&format!("{name}.tar"), pieces(database));
        stockade.text(["image", "import", &archive, "--name", name]);
        let why = "this list is incomplete: there is a database of rpm packages, which is not read: none of them is listed";
        let spdx = stockade.go(["image", "sbom", name]);
        let said = if gap { format!("stockade: note: {why}\n") } else { String::new() };
        assert_eq!((spdx.status, spdx.stderr.as_str()), (0, said.as_str()), "{name}");
        let document: Value = serde_json::from_slice(&spdx.stdout).unwrap();
        assert_eq!(document["comment"], if gap { json!(why) } else { Value::Null }, "{name}");
        let document = stockade.json(["image", "sbom", name, "--format", "cyclonedx"]);
        let properties = json!([{"name": "stockade:incomplete", "value": why}]);
        assert_eq!(document["metadata"]["properties"], if gap { properties } else { Value::Null }, "{name}");
        let aggregate = if gap { json!("incomplete") } else { Value::Null };
        assert_eq!(document["compositions"][0]["aggregate"], aggregate, "{name}");
    }
}
