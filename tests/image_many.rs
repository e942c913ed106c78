//! A store under many operations by several processes, some of them killed:
//! whatever happened, everything in it is whole, and nothing half-made is left.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_archives;
mod image_cli;

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::payload_of;
use image_archives::{dir, file, program, sha256, tar};
use image_cli::Stockade;

/// Operations in all; `STOCKADE_STORE_OPERATIONS` says otherwise.
const OPERATIONS: usize = 240;

/// Callers at one time.
const CALLERS: usize = 4;

/// Different contents that are built and imported.
const CONTENTS: u64 = 12;

/// Numbers that are the same in each run with the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}

/// How an operation may end, other than well: it comes upon what another one does.
fn may_end_so(operation: &str, status: Option<i32>, said: &str) -> bool {
    let gone = ["there is no image", "is not here", "is missing", "has gone", "nothing is known of"]
        .iter()
        .any(|why| said.contains(why));
    match (operation, status) {
        (_, Some(0)) => true,
        // 1 would be a difference between image and manifest.
        ("verify" | "run" | "remove" | "export" | "inspect", Some(125)) => gone,
        _ => false,
    }
}

fn arguments(random: &mut Random, sources: &Path, payload: &str) -> (&'static str, Vec<String>) {
    let content = random.below(CONTENTS);
    let (name, source) = (format!("n{}", random.below(6)), sources.join(content.to_string()));
    let source = source.display().to_string();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    match random.below(20) {
        0..4 => (
            "build",
            words(&[
                "image",
                "build",
                "--include",
                &format!("{source}:/data"),
                "--program",
                "/usr/bin/true",
                "--name",
                &name,
            ]),
        ),
        4 => (
            "build",
            words(&["image", "build", "--include", &format!("{source}:/data"), "--program", "/usr/bin/true"]),
        ),
        5..8 => ("import", words(&["image", "import", &format!("{source}.tar"), "--name", &name])),
        8..12 => ("run", words(&["run", "--degrade", "cgroup", "-i", &name, "-p", "native", "--", payload])),
        12 => ("run", words(&["run", "--degrade", "cgroup", "--", "/usr/bin/true"])),
        13 | 14 => ("remove", words(&["image", "remove", &name])),
        15 => ("gc", words(&["image", "gc", "--max", "0B"])),
        16 => ("gc", words(&["image", "gc", "--max", "4MiB"])),
        17 => ("verify", words(&["image", "verify", &name, "--full"])),
        18 => ("inspect", words(&["image", "inspect", &name])),
        _ => (
            "export",
            words(&[
                "image",
                "export",
                &name,
                &format!("{source}-{}.out", random.below(1 << 30)),
                "--format",
                "tar",
            ]),
        ),
    }
}

/// What can be built and imported: directories, and archives that share files with them.
fn sources(stockade: &Stockade) {
    for content in 0..CONTENTS {
        let at = stockade.dir.join("sources").join(content.to_string());
        fs::create_dir_all(&at).unwrap();
        let mut pieces = vec![dir("data"), program("app", b"\x7fELF not really\n")];
        for number in 0..20_u64 {
            // Most files are in several of them.
            let text = format!("{}\n", number * (1 + content % 3))
                .repeat(usize::try_from(1 + number * 100).unwrap());
            fs::write(at.join(number.to_string()), &text).unwrap();
            pieces.push(file(format!("data/{number}"), &text));
        }
        fs::write(at.with_extension("tar"), tar(&pieces)).unwrap();
    }
}

fn one_after_the_other(stockade: &Stockade, seed: u64, left: &AtomicUsize, killed: &AtomicUsize) {
    let mut random = Random(seed);
    let sources = stockade.dir.join("sources");
    let payload = payload_of("nothing", "int main(void) { return 0; }", &["-static"]).display().to_string();
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
        let (operation, args) = arguments(&mut random, &sources, &payload);
        let mut command = stockade.command(&args);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child: Child = command.spawn().unwrap();
        if random.below(6) == 0 {
            std::thread::sleep(std::time::Duration::from_micros(random.below(60_000)));
            child.kill().unwrap();
            if child.wait().unwrap().code().is_none() {
                killed.fetch_add(1, Ordering::Relaxed);
            }
            continue;
        }
        let out = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(may_end_so(operation, out.status.code(), &said), "{args:?}: {} {said}", out.status);
        if operation == "export" {
            fs::remove_file(&args[3])
                .or_else(|e| if out.status.success() { Err(e) } else { Ok(()) })
                .unwrap();
        }
    }
}

/// Every object has the content that it is named for; how many there are.
fn objects_are_whole(store: &Path) -> usize {
    let dirs = fs::read_dir(store.join("objects/sha256")).unwrap().map(|dir| dir.unwrap().path());
    let objects: Vec<_> =
        dirs.flat_map(|dir| fs::read_dir(dir).unwrap()).map(|o| o.unwrap().path()).collect();
    for path in &objects {
        let name = path.file_name().unwrap().to_str().unwrap();
        assert_eq!(name.trim_end_matches(".x"), sha256(&fs::read(path).unwrap()), "{}", path.display());
    }
    objects.len()
}

/// How many things are in a directory of the store.
fn there(stockade: &Stockade, place: &str) -> usize {
    fs::read_dir(stockade.store().join(place)).map_or(0, Iterator::count)
}

#[test]
fn store_after_many_operations_at_once_is_whole() {
    let stockade = Stockade::in_memory();
    sources(&stockade);
    let wanted = std::env::var("STOCKADE_STORE_OPERATIONS").map_or(OPERATIONS, |n| n.parse().unwrap());
    let (left, killed) = (AtomicUsize::new(wanted), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (stockade, left, killed) = (&stockade, &left, &killed);
            scope.spawn(move || one_after_the_other(stockade, 0x9e37_79b9 + caller as u64, left, killed));
        }
    });
    assert!(killed.load(Ordering::Relaxed) > wanted / 20, "only {killed:?} were killed");
    // Whatever is there is whole: names lead to images, images to their objects and trees.
    let list = stockade.json(["image", "list", "--json"]);
    for image in list.as_array().unwrap() {
        stockade.text(["image", "verify", image["id"].as_str().unwrap(), "--full"]);
    }
    // Whoever takes a name away takes nothing from who gives the same image another at that moment.
    for name in fs::read_dir(stockade.store().join("refs")).unwrap() {
        stockade.text(["image", "inspect", name.unwrap().file_name().to_str().unwrap()]);
    }
    let objects = objects_are_whole(stockade.store());
    eprintln!(
        "{wanted} operations, {killed:?} killed, {} images, {objects} objects",
        list.as_array().unwrap().len()
    );
    // What the killed ones left goes with the next collection, and all without a name.
    stockade.text(["image", "gc", "--max", "0B"]);
    assert_eq!(there(&stockade, "tmp"), 0);
    let names: Vec<String> =
        list.as_array().unwrap().iter().filter_map(|i| i["name"].as_str()).map(str::to_owned).collect();
    for name in &names {
        stockade.text(["image", "verify", name, "--full"]);
        stockade.text(["image", "remove", name]);
    }
    stockade.text(["image", "gc", "--max", "0B"]);
    let places = ["tmp", "trees", "manifests", "images", "about", "refs", "attic", "views"];
    // A box whose supervisor was killed holds its tree until the kernel has ended it.
    for _ in 0..50 {
        if places.iter().all(|place| there(&stockade, place) == 0) {
            break;
        }
        common::pause(100);
        stockade.text(["image", "gc", "--max", "0B"]);
    }
    assert_eq!(places.map(|place| (place, there(&stockade, place))), places.map(|place| (place, 0)));
    assert_eq!(objects_are_whole(stockade.store()), 0, "nothing needs them");
}
