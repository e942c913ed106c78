//! Archives that no honest tool makes: each is refused with the entry and the
//! reason, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_archives;
mod image_cli;

use std::fs;
use std::path::Path;

use image_archives::*;
use image_cli::Stockade;
use serde_json::json;

/// Names in the store that stand for an image.
fn kept(store: &Path) -> usize {
    ["refs", "manifests", "images", "about", "trees", "views"]
        .iter()
        .map(|name| fs::read_dir(store.join(name)).map_or(0, Iterator::count))
        .sum()
}

/// Imports every archive, which must be refused with exactly these words.
fn refused(cases: &[(&str, Vec<u8>, &str)]) {
    let stockade = Stockade::new();
    // The control: what they are variations of is taken.
    let good = stockade.write("good.tar", tar(&[dir("d/"), file("d/f", "x")]));
    assert_eq!(stockade.go(["image", "import", &good]).status, 0);
    let before = kept(stockade.store());
    for (name, bytes, said) in cases {
        let path = stockade.write("case.tar", bytes);
        let ran = stockade.go(["image", "import", &path, "--name", "bad"]);
        let first = ran.stderr.lines().next().unwrap_or_default();
        let expected = format!("stockade: error: {path} cannot be imported: {said}");
        assert_eq!((first, ran.status), (expected.as_str(), 125), "{name}");
        assert_eq!(kept(stockade.store()), before, "{name} left something");
        assert_eq!(fs::read_dir(stockade.store().join("tmp")).unwrap().count(), 0, "{name}");
    }
    // Nothing outside the store: the directory holds what was put there.
    let mut left: Vec<_> = fs::read_dir(&stockade.dir).unwrap().map(|e| e.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["case.tar", "good.tar", "store"]);
}

#[test]
fn archive_with_names_that_lead_elsewhere_is_refused() {
    let long = "x".repeat(256);
    let deep = "d/".repeat(129) + "f";
    let endless = format!("{}f", "a234567890/".repeat(400));
    refused(&[
        ("absolute", tar(&[file("/etc/x", "")]), "/etc/x: an absolute path"),
        ("absolute by slashes", tar(&[file("//x", "")]), "//x: an absolute path"),
        ("dots", tar(&[file("../x", "")]), "../x: '..' in its path"),
        ("dots inside", tar(&[file("a/../../x", "")]), "a/../../x: '..' in its path"),
        ("dots at the end", tar(&[dir("a/..")]), "a/..: '..' in its path"),
        ("absolute by PAX", tar(&[pax(&[("path", b"/x")]), file("x", "")]), "/x: an absolute path"),
        ("dots by PAX", tar(&[pax(&[("path", b"a/../b")]), file("x", "")]), "a/../b: '..' in its path"),
        ("absolute by GNU", tar(&[gnu_long(b'L', b"/x\0"), file("x", "")]), "/x: an absolute path"),
        ("dots by prefix", tar(&[Block::new("x", b'0').with(345, b"..").sealed()]), "../x: '..' in its path"),
        ("no name", tar(&[file("", "")]), ": it has no name"),
        (
            "long name",
            tar(&[pax(&[("path", long.as_bytes())]), file("x", "")]),
            &format!("{long}: a name longer than 255 bytes"),
        ),
        (
            "deep",
            tar(&[gnu_long(b'L', deep.as_bytes()), file("x", "")]),
            &format!("{deep}: more than 128 directories deep"),
        ),
        (
            "long path",
            tar(&[gnu_long(b'L', endless.as_bytes()), file("x", "")]),
            &format!("{endless}: more than 128 directories deep"),
        ),
        (
            "NUL by PAX",
            tar(&[pax(&[("path", b"a\0b")]), file("x", "")]),
            "the header at byte 0: a NUL in a name of its PAX header",
        ),
        (
            "NUL by GNU",
            tar(&[gnu_long(b'L', b"a\0b\0"), file("x", "")]),
            "the header at byte 0: a NUL in a long name",
        ),
        (
            "NUL in the header",
            tar(&[Block::new(b"a\0b", b'0').sealed()]),
            "the header at byte 0: there is something behind the NUL of a name in its header",
        ),
        (
            "removal outside a layer",
            tar(&[file(".wh.x", "")]),
            ".wh.x: a name that means a removal in a layer",
        ),
        (
            "through a removal",
            tar(&[file(".wh.d/x", "")]),
            ".wh.d/x: a path through a name that means a removal",
        ),
        (
            "the root is a file",
            tar(&[file("./", "x")]),
            "./: a directory by its name, and a file by its type",
        ),
        ("the root is a link", tar(&[symlink(".", "/etc")]), ".: the root is a directory"),
    ]);
}

#[test]
fn archive_that_plays_tricks_with_links_is_refused() {
    let long = "y".repeat(5000);
    refused(&[
        (
            "file through a link",
            tar(&[symlink("l", "/etc"), file("l/passwd", "x")]),
            "l/passwd: '/l' above it is a symbolic link",
        ),
        (
            "link through a link",
            tar(&[symlink("l", ".."), symlink("l/m", "x")]),
            "l/m: '/l' above it is a symbolic link",
        ),
        (
            "deep through a link",
            tar(&[dir("a/"), symlink("a/l", "../.."), file("a/l/b/c", "x")]),
            "a/l/b/c: '/a/l' above it is a symbolic link",
        ),
        (
            "directory over a link",
            tar(&[symlink("l", "/tmp"), dir("l/")]),
            "l/: the archive has a symbolic link there already",
        ),
        (
            "link over a directory",
            tar(&[dir("l/"), symlink("l", "/tmp")]),
            "l: the archive has a directory there already",
        ),
        (
            "link over a full directory",
            tar(&[file("l/x", "x"), symlink("l", "/tmp")]),
            "l: the archive has a directory there already",
        ),
        (
            "file over a link",
            tar(&[symlink("l", "/etc/passwd"), file("l", "x")]),
            "l: the archive has a symbolic link there already",
        ),
        ("file through a file", tar(&[file("f", "x"), file("f/g", "x")]), "f/g: '/f' above it is a file"),
        ("twice", tar(&[file("f", "x"), file("f", "y")]), "f: the archive has a file there already"),
        (
            "twice by another spelling",
            tar(&[file("f", "x"), file("./f", "y")]),
            "./f: the archive has a file there already",
        ),
        ("hard link to nothing", tar(&[hardlink("h", "no")]), "h: a hard link to 'no', which is not there"),
        ("hard link to itself", tar(&[hardlink("h", "h")]), "h: a hard link to 'h', which is not there"),
        (
            "hard link to a later file",
            tar(&[hardlink("h", "f"), file("f", "x")]),
            "h: a hard link to 'f', which is not there",
        ),
        (
            "hard link out",
            tar(&[hardlink("h", "../../etc/shadow")]),
            "h: a hard link with a bad target: '..' in its path",
        ),
        (
            "absolute hard link",
            tar(&[hardlink("h", "/etc/shadow")]),
            "h: a hard link with a bad target: an absolute path",
        ),
        (
            "hard link through a link",
            tar(&[symlink("l", "/etc"), hardlink("h", "l/shadow")]),
            "h: a hard link to 'l/shadow', which is not there",
        ),
        (
            "hard link to a directory",
            tar(&[dir("d/"), hardlink("h", "d")]),
            "h: a hard link to 'd', which is a directory",
        ),
        (
            "hard link over a file",
            tar(&[file("f", "x"), file("g", "y"), hardlink("g", "f")]),
            "g: the archive has a file there already",
        ),
        (
            "device over a file",
            tar(&[file("f", "x"), Block::new("f", b'3').sealed()]),
            "f: the archive has a file there already",
        ),
        (
            "file over a device",
            tar(&[Block::new("f", b'3').sealed(), file("f", "x")]),
            "f: the archive has something there already that was left out",
        ),
        (
            "secret twice",
            tar(&[file("shadow", "x"), file("shadow", "y")]),
            "shadow: the archive has something there already that was left out",
        ),
        (
            "file through a device",
            tar(&[Block::new("d", b'4').sealed(), file("d/f", "x")]),
            "d/f: '/d' above it was left out",
        ),
        (
            "hard link with content",
            tar(&[file("f", "x"), Block::new("h", b'1').link("f").holding(b"evil")]),
            "h: it has a size, and is no file",
        ),
        (
            "link with content",
            tar(&[Block::new("l", b'2').link("f").holding(b"evil")]),
            "l: it has a size, and is no file",
        ),
        (
            "directory with content",
            tar(&[Block::new("d/", b'5').holding(b"evil")]),
            "d/: it has a size, and is no file",
        ),
        ("link to nothing", tar(&[symlink("l", "")]), "l: a symbolic link to nothing"),
        (
            "endless target",
            tar(&[gnu_long(b'K', long.as_bytes()), symlink("l", "x")]),
            "l: a symbolic link whose target is no path",
        ),
        (
            "target of a file",
            tar(&[pax(&[("linkpath", b"/etc/shadow")]), file("f", "x")]),
            "f: it has a target, and is no link",
        ),
    ]);
}

#[test]
fn archive_that_readers_understand_differently_is_refused() {
    let inner = tar(&[file("hidden", "x")]);
    let file_with = |pax: Vec<u8>| tar(&[pax, file("f", "x")]);
    let at = |at: u64, what: &str| format!("the header at byte {at}: {what}");
    let broken = "a record of its PAX header is broken";
    let length = "the length of a record of its PAX header is wrong";
    refused(&[
        (
            "sizes",
            tar(&[pax(&[("size", b"0")]), Block::new("f", b'0').holding(&inner)]),
            "f: its PAX header and its header give different sizes",
        ),
        (
            "size twice",
            file_with(pax(&[("size", b"1"), ("size", b"0")])),
            &at(0, "its PAX header says something twice"),
        ),
        (
            "path twice",
            file_with(pax(&[("path", b"a"), ("path", b"b")])),
            &at(0, "its PAX header says something twice"),
        ),
        (
            "size with a sign",
            file_with(pax(&[("size", b"+1")])),
            &at(0, "the size in its PAX header is no number"),
        ),
        (
            "size in hex",
            file_with(pax(&[("size", b"0x1")])),
            &at(0, "the size in its PAX header is no number"),
        ),
        (
            "huge size",
            file_with(pax(&[("size", b"99999999999999999999")])),
            &at(0, "the size in its PAX header is no number"),
        ),
        ("empty path", file_with(pax(&[("path", b"")])), &at(0, "an empty name in its PAX header")),
        ("record too long", file_with(pax_raw(b"99 path=a\n")), &at(0, length)),
        ("record of nothing", file_with(pax_raw(b"2 \n")), &at(0, length)),
        ("record without a length", file_with(pax_raw(b"path=a\n")), &at(0, broken)),
        ("record without an end", file_with(pax_raw(b"9 path=a!")), &at(0, broken)),
        ("record without a sign", file_with(pax_raw(b"7 path\n")), &at(0, broken)),
        (
            "two PAX headers",
            tar(&[pax(&[("path", b"a")]), pax(&[("path", b"b")]), file("f", "x")]),
            "the header at byte 1024: two PAX headers for one entry",
        ),
        (
            "PAX and GNU names",
            tar(&[pax(&[("path", b"a")]), gnu_long(b'L', b"b\0"), file("f", "x")]),
            "f: a PAX header and a long name contradict each other",
        ),
        (
            "two long names",
            tar(&[gnu_long(b'L', b"a\0"), gnu_long(b'L', b"b\0"), file("f", "x")]),
            "the header at byte 1024: two long names for one entry",
        ),
        (
            "long name of nothing",
            tar(&[gnu_long(b'L', b"\0"), file("f", "x")]),
            "the header at byte 0: an empty long name",
        ),
        (
            "PAX for nothing",
            tar(&[pax(&[("path", b"a")])]),
            "the header at byte 0: an extended header is followed by no entry",
        ),
        (
            "global path",
            tar(&[global(&[("path", b"a")]), file("f", "x")]),
            "the header at byte 0: a global PAX header changes every entry",
        ),
        (
            "global size",
            tar(&[global(&[("size", b"0")]), file("f", "x")]),
            "the header at byte 0: a global PAX header changes every entry",
        ),
        (
            "negative size",
            tar(&[Block::new("f", b'0').with(124, &[0xff; 12]).sealed()]),
            &at(0, "its size is negative"),
        ),
        (
            "size in letters",
            tar(&[Block::new("f", b'0').with(124, b"0000000000x\0").sealed()]),
            &at(0, "its size is no number"),
        ),
        (
            "size beyond files",
            tar(&[Block::new("f", b'0').with(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff").sealed()]),
            "f: its size is larger than any file",
        ),
        (
            "checksum",
            tar(&[{
                let mut b = file("f", "x");
                b[0] = b'g';
                b
            }]),
            &at(0, "the checksum of its header is wrong"),
        ),
        (
            "foreign form",
            tar(&[Block::new("f", b'0').with(257, b"ustarXYZ").sealed()]),
            &at(0, "its header is of no form that is known"),
        ),
        ("sparse", tar(&[Block::new("f", b'S').with(257, b"ustar  \0").sealed()]), "f: a sparse file"),
        ("sparse by PAX", file_with(pax(&[("GNU.sparse.major", b"1")])), &at(0, "a sparse file")),
        (
            "multi-volume",
            tar(&[Block::new("f", b'M').with(257, b"ustar  \0").sealed()]),
            "f: its type is unknown",
        ),
        ("unknown type", tar(&[Block::new("f", b'Z').sealed()]), "f: its type is unknown"),
        (
            "something behind the end",
            [tar(&[file("f", "x")]), inner.clone()].concat(),
            "f: there is something behind the archive's end mark",
        ),
        ("no end", file("f", "x"), "f: the archive ends behind it without an end mark"),
        ("cut in a header", file("f", "x")[..300].to_vec(), "the archive ends in the middle of a header"),
        (
            "cut in a content",
            file("f", vec![7; 2000])[..1500].to_vec(),
            "f: the archive ends in the middle of it",
        ),
        ("nothing", Vec::new(), "the archive is empty"),
        ("no archive", b"hello, world".repeat(99), "the header at byte 0: its header has no checksum"),
        (
            "extended header without end",
            Block::new("x", b'x').size(2 << 20).sealed(),
            "the header at byte 0: its extended header has more than 1 MiB",
        ),
    ]);
}

#[test]
fn compressed_archive_that_is_damaged_or_a_bomb_is_refused() {
    let good = tar(&[file("f", "hello")]);
    let gzip = packed("gzip", &good);
    let mut damaged = gzip.clone();
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    let zeros = tar(&[Block::new("z", b'0').holding(&vec![0; 80 << 20])]);
    refused(&[
        ("cut gzip", gzip[..gzip.len() - 9].to_vec(), "the archive is cut short"),
        ("checksum of gzip", damaged, "corrupt gzip stream does not have a matching checksum"),
        ("something behind gzip", [gzip.as_slice(), b"evil"].concat(), "the archive is cut short"),
        ("ratio", packed("gzip", &zeros), "it unpacks to more than 200 times its size"),
        ("xz", b"\xfd7zXZ\0\0\0".to_vec(), "it is compressed with xz, which is not read"),
        ("bzip2", b"BZh91AY&SY".to_vec(), "it is compressed with bzip2, which is not read"),
        ("zip", b"PK\x03\x04\x14\0".to_vec(), "it is compressed with zip, which is not read"),
    ]);
}

#[test]
fn layout_whose_parts_lie_about_themselves_is_refused() {
    let layer = tar(&[dir("etc/"), file("etc/motd", "x")]);
    let good = Layout::of(std::slice::from_ref(&layer));
    let stockade = Stockade::new();
    let path = stockade.write("good.tar", good.archive());
    assert_eq!(stockade.go(["image", "import", &path]).status, 0);
    let blob =
        |value: &serde_json::Value| format!("blobs/sha256/{}", sha256(&serde_json::to_vec(value).unwrap()));
    let layer_blob = format!("blobs/sha256/{}", sha256(&layer));

    let with_manifest = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut layout = good.clone();
        let mut manifest = layout.manifest();
        change(&mut manifest);
        layout.manifest = Some(manifest);
        layout
    };
    let with_config = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut layout = good.clone();
        change(&mut layout.config);
        layout
    };
    let with_index = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut layout = good.clone();
        let mut index = layout.index();
        change(&mut index);
        layout.index = Some(index);
        layout
    };
    let short = with_manifest(&|m| m["layers"][0]["size"] = json!(1));
    let foreign = with_manifest(&|m| m["layers"][0]["digest"] = json!(format!("sha256:{}", "0".repeat(64))));
    let other = tar(&[file("other", "y")]);
    let swapped = with_config(&|c| c["rootfs"]["diff_ids"] = json!([format!("sha256:{}", sha256(&other))]));
    let arm = with_config(&|c| c["architecture"] = json!("arm64"));
    let more = with_config(&|c| c["rootfs"]["diff_ids"] = json!([]));
    let odd_layer = with_manifest(&|m| {
        m["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip+encrypted")
    });
    let chart =
        with_manifest(&|m| m["config"]["mediaType"] = json!("application/vnd.cncf.helm.config.v1+json"));
    let sha512 = with_manifest(&|m| m["layers"][0]["digest"] = json!(format!("sha512:{}", "0".repeat(128))));
    let path_digest = with_manifest(&|m| m["layers"][0]["digest"] = json!("sha256:../../../../etc/shadow"));
    let two = with_index(&|i| {
        let mut second = i["manifests"][0].clone();
        second["digest"] = json!(format!("sha256:{}", "1".repeat(64)));
        i["manifests"].as_array_mut().unwrap().push(second);
    });
    let none = with_index(&|i| i["manifests"] = json!([]));
    let negative = with_index(&|i| i["manifests"][0]["size"] = json!(-1));
    let version = with_index(&|i| i["schemaVersion"] = json!(1));
    let kind = |name: &str| format!("application/vnd.oci.image.{name}.v1+json");
    let says_index = with_manifest(&|m| m["mediaType"] = json!(kind("index")));
    let both = with_manifest(&|m| m["manifests"] = json!([]));
    let both_index = with_index(&|i| i["layers"] = json!([]));
    let says_manifest = with_index(&|i| i["mediaType"] = json!(kind("manifest")));
    // The part is there, and called differently.
    let half = |name: &str| {
        let mut bytes = good.archive();
        let part = bytes.chunks(512).position(|block| block.starts_with(name.as_bytes())).unwrap() * 512;
        let renamed = Block(bytes[part..part + 512].try_into().unwrap()).with(0, b"0").sealed();
        bytes[part..part + 512].copy_from_slice(&renamed);
        bytes
    };
    let own = with_config(&|c| c["config"]["Labels"] = json!({"org.stockade.header": "stockade-image/2\n"}));
    let mut lying = good.archive();
    // A byte of the layer itself, in the archive's first part.
    lying[512 + 1024 + 2] ^= 1;
    let found = {
        let mut bytes = layer.clone();
        bytes[1026] ^= 1;
        sha256(&bytes)
    };
    refused(&[
        (
            "size",
            short.archive(),
            &format!("{layer_blob}: it has {} bytes, and its descriptor says 1", layer.len()),
        ),
        ("missing", foreign.archive(), &format!("blobs/sha256/{}: it is not there", "0".repeat(64))),
        ("digest", lying, &format!("{layer_blob}: its bytes have the digest sha256:{found}")),
        (
            "diff id",
            swapped.archive(),
            &format!(
                "layer 1: its plain bytes have the digest sha256:{}, and the configuration says sha256:{}",
                sha256(&layer),
                sha256(&other)
            ),
        ),
        (
            "architecture",
            arm.archive(),
            &format!("{}: it is for linux/arm64, and not for linux/amd64", blob(&arm.config)),
        ),
        ("count", more.archive(), &format!("{}: it lists 0 layers, and the image has 1", blob(&more.config))),
        (
            "layer type",
            odd_layer.archive(),
            &format!(
                "sha256:{}: a layer of the type 'application/vnd.oci.image.layer.v1.tar+gzip+encrypted', which is not read",
                sha256(&layer)
            ),
        ),
        (
            "no image",
            chart.archive(),
            &format!(
                "{}: it is not an image: its configuration is 'application/vnd.cncf.helm.config.v1+json'",
                blob(&chart.manifest())
            ),
        ),
        (
            "algorithm",
            sha512.archive(),
            &format!("sha512:{}: it is not a SHA-256 digest, and others are not read", "0".repeat(128)),
        ),
        (
            "path",
            path_digest.archive(),
            "sha256:../../../../etc/shadow: it is not a SHA-256 digest, and others are not read",
        ),
        (
            "two images",
            two.archive(),
            &format!(
                "index.json: there are several images in it ({}, sha256:{}): say which, as SOURCE:NAME",
                good.index()["manifests"][0]["digest"].as_str().unwrap(),
                "1".repeat(64)
            ),
        ),
        ("none", none.archive(), "index.json: there is no image in it"),
        (
            "negative",
            negative.archive(),
            "index.json: it is not what it should be: invalid value: integer `-1`, expected u64 at line 1 column 164",
        ),
        ("version", version.archive(), "index.json: its version is 1, and 2 is known"),
        (
            "manifest that says it is an index",
            says_index.archive(),
            &format!(
                "{}: it says of itself that it is '{}', and not '{}'",
                blob(&says_index.manifest()),
                kind("index"),
                kind("manifest")
            ),
        ),
        (
            "manifest that is an index, too",
            both.archive(),
            &format!("{}: it is an index and the manifest of an image at once", blob(&both.manifest())),
        ),
        (
            "index that says it is a manifest",
            says_manifest.archive(),
            &format!(
                "index.json: it says of itself that it is '{}', and not '{}'",
                kind("manifest"),
                kind("index")
            ),
        ),
        (
            "index that is a manifest, too",
            both_index.archive(),
            "index.json: it is an index and the manifest of an image at once",
        ),
        ("layout without its version", half("oci-layout"), "oci-layout: it is not there"),
        ("layout without its index", half("index.json"), "index.json: it is not there"),
        (
            "own header",
            own.archive(),
            "the header that stockade wrote: line 1 of the manifest: not 'stockade-image/1'",
        ),
    ]);
}

#[test]
fn layer_with_removals_that_no_tool_makes_is_refused() {
    let base = tar(&[dir("etc/"), file("etc/motd", "x")]);
    let on_top = |pieces: &[Vec<u8>]| Layout::of(&[base.clone(), tar(pieces)]).archive();
    refused(&[
        (
            "everything",
            on_top(&[file(".wh..wh..opq", "")]),
            "layer 2: .wh..wh..opq: a removal of everything, at the root",
        ),
        (
            "nothing",
            on_top(&[file("etc/.wh.", "")]),
            "layer 2: etc/.wh.: a removal of nothing that has a name",
        ),
        (
            "itself",
            on_top(&[file("etc/.wh..", "")]),
            "layer 2: etc/.wh..: a removal of nothing that has a name",
        ),
        (
            "above",
            on_top(&[file("etc/.wh...", "")]),
            "layer 2: etc/.wh...: a removal of nothing that has a name",
        ),
        (
            "with content",
            on_top(&[file("etc/.wh.motd", "x")]),
            "layer 2: etc/.wh.motd: a removal that is no empty file",
        ),
        (
            "as a link",
            on_top(&[symlink("etc/.wh.motd", "x")]),
            "layer 2: etc/.wh.motd: a removal that is no empty file",
        ),
        (
            "as a directory",
            on_top(&[dir("etc/.wh.motd/")]),
            "layer 2: etc/.wh.motd/: a removal that is no empty file",
        ),
        ("dots", on_top(&[file("../.wh.etc", "")]), "layer 2: ../.wh.etc: '..' in its path"),
        (
            "own link",
            on_top(&[symlink("new", "etc"), file("new/x", "x")]),
            "layer 2: new/x: '/new' above it is a symbolic link",
        ),
        (
            "file and directory",
            on_top(&[file("etc/a", "x"), file("etc", "x")]),
            "layer 2: etc: the archive has a directory there already",
        ),
        (
            "damaged layer",
            Layout::of(&[base.clone(), base[..600].to_vec()]).archive(),
            "layer 2: etc/: the archive ends in the middle of a header",
        ),
    ]);
}

#[test]
fn docker_archive_that_contradicts_itself_is_refused() {
    let layer = tar(&[file("f", "x")]);
    let config = serde_json::to_vec(&json!({"architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sha256(&layer))]}}))
    .unwrap();
    let archive = |config_name: &str, list: serde_json::Value| {
        tar(&[
            file(config_name, &config),
            file("l/layer.tar", &layer),
            file("manifest.json", serde_json::to_vec(&list).unwrap()),
        ])
    };
    let name = format!("{}.json", sha256(&config));
    let image = json!({"Config": name, "RepoTags": ["a:1"], "Layers": ["l/layer.tar"]});
    let stockade = Stockade::new();
    let good = stockade.write("good.tar", archive(&name, json!([image])));
    assert_eq!(stockade.go(["image", "import", &good]).status, 0);
    let wrong = format!("{}.json", "0".repeat(64));
    let mut renamed = image.clone();
    renamed["Config"] = json!(wrong);
    let mut missing = image.clone();
    missing["Layers"] = json!(["../../etc/shadow"]);
    let mut second = image.clone();
    second["RepoTags"] = json!(["b:1"]);
    refused(&[
        (
            "digest",
            archive(&wrong, json!([renamed])),
            &format!("{wrong}: its bytes have the digest sha256:{}", sha256(&config)),
        ),
        ("layer", archive(&name, json!([missing])), "layer 1: ../../etc/shadow: it is not there"),
        (
            "several",
            archive(&name, json!([image, second])),
            "manifest.json: there are several images in it (a:1, b:1): say which, as SOURCE:NAME",
        ),
        ("none", archive(&name, json!([])), "manifest.json: there is no image in it"),
        (
            "shape",
            archive(&name, json!([{"Config": 1}])),
            "manifest.json: it is not what it should be: invalid type: integer `1`, expected a string at line 1 column 12",
        ),
    ]);
}

#[test]
fn special_things_are_left_out_and_listed() {
    let key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n";
    let archive = tar(&[
        Block::new("dev/null", b'3').sealed(),
        Block::new("dev/sda", b'4').sealed(),
        Block::new("pipe", b'6').sealed(),
        Block::new("su", b'0').mode(0o4755).holding(b"x"),
        pax(&[("SCHILY.xattr.security.capability", b"\x01\0\0\x02")]),
        program("ping", b"x"),
        file("shadow", "root:x"),
        file("key.pem", key),
        Block::new("private", b'0').mode(0o600).holding(b"x"),
        Block::new("mine", b'0').mode(0o600).owner(1000).holding(b"x"),
        hardlink("again", "shadow"),
        hardlink("id_rsa", "su"),
        pax(&[("mtime", b"-5.5"), ("comment", b"x")]),
        file("old", "x"),
    ]);
    let stockade = Stockade::new();
    let path = stockade.write("special.tar", archive);
    let built = stockade.json(["image", "import", &path, "--name", "s", "--json"]);
    let left: Vec<(&str, &str)> = built["left_out"]
        .as_array()
        .unwrap()
        .iter()
        .map(|left| (left["path"].as_str().unwrap(), left["why"].as_str().unwrap()))
        .collect();
    assert_eq!(
        left,
        [
            ("/again", "a hard link to something that was left out"),
            ("/dev/null", "a device"),
            ("/dev/sda", "a device"),
            ("/id_rsa", "a file that holds secrets"),
            ("/key.pem", "a private key"),
            ("/ping", "its extended attributes (it is there without them)"),
            ("/pipe", "a fifo"),
            ("/private", "not everybody may read it"),
            ("/shadow", "a file that holds secrets"),
            ("/su", "its set-id bits (the file itself is there)"),
        ]
    );
    assert_eq!(stockade.files("s"), ["/", "/dev", "/mine", "/old", "/ping", "/su"]);
}
