//! Ctrl-C while an image is built or imported, at several moments: the status
//! says so, and nothing half-made is left in the store.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod image_archives;
mod image_cli;

use std::fs;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Caller, patience};
use image_archives::{dir, file, program, tar};
use image_cli::Stockade;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Files of what is made, enough for a signal to come between them.
const FILES: usize = 1200;

/// How many files are on their way into the store.
fn staged(store: &Path) -> usize {
    let writers = fs::read_dir(store.join("tmp")).into_iter().flatten().flatten();
    writers.map(|writer| fs::read_dir(writer.path().join("stage")).map_or(0, Iterator::count)).sum()
}

/// Whether what was read is being given its place.
fn placing(store: &Path) -> bool {
    let mut shelves = fs::read_dir(store.join("objects/sha256")).into_iter().flatten().flatten();
    shelves.any(|shelf| fs::read_dir(shelf.path()).is_ok_and(|mut objects| objects.next().is_some()))
}

/// Waits for a moment of a command's work; whether it came before the command was done.
fn came(child: &mut Child, moment: impl Fn() -> bool) -> bool {
    let begin = Instant::now();
    while !moment() {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(begin.elapsed() < patience(Duration::from_secs(60)), "it neither ends nor gets on");
        std::thread::sleep(Duration::from_micros(200));
    }
    true
}

fn spawn(stockade: &Stockade, args: &[&str], stdin: Stdio) -> Child {
    let mut command = stockade.command(args);
    // A group of its own, as a shell gives one to what it starts.
    command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.spawn().unwrap()
}

fn interrupt(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Interrupts a command at this moment. A short one can be missed: then it is tried again.
fn interrupted(stockade: &Stockade, args: &[&str], signal: Signal, moment: impl Fn() -> bool) -> Output {
    for _ in 0..20 {
        let mut child = spawn(stockade, args, Stdio::null());
        if came(&mut child, &moment) {
            interrupt(&child, signal);
            let out = child.wait_with_output().unwrap();
            if out.status.code() != Some(0) {
                return out;
            }
        }
        remove_all(stockade);
    }
    panic!("{args:?} was always done before the signal");
}

fn remove_all(stockade: &Stockade) {
    stockade.text(["image", "remove", "made"]);
    stockade.text(["image", "gc", "--max", "0B"]);
    is_clean(stockade, "after the removal");
}

/// Nothing half-made: no writer's directory, no content without an image, no name; and what the
/// next one makes is whole.
fn is_clean(stockade: &Stockade, what: &str) {
    let store = stockade.store();
    let in_place = |place: &str| fs::read_dir(store.join(place)).map_or(0, Iterator::count);
    let places = ["tmp", "trees", "manifests", "images", "about", "refs", "attic"];
    assert_eq!(places.map(|p| (p, in_place(p))), places.map(|p| (p, 0)), "{what}");
    let shelves = fs::read_dir(store.join("objects/sha256")).into_iter().flatten().flatten();
    let objects: usize = shelves.map(|shelf| fs::read_dir(shelf.path()).unwrap().count()).sum();
    assert_eq!(objects, 0, "{what}");
}

fn was_interrupted(out: &Output, signal: Signal, what: &str) {
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(128 + signal as i32), "{what}: {:?} {said}", out.status);
    assert_eq!(said, format!("stockade: stopped by signal {}\n", signal as i32), "{what}");
    assert_eq!(out.stdout, b"", "{what}");
}

fn many_files(stockade: &Stockade) -> (String, String) {
    let at = stockade.dir.join("source");
    let mut pieces = vec![dir("data"), program("app", b"\x7fELF not really\n")];
    for number in 0..FILES {
        let text = format!("{number}\n").repeat(200);
        fs::create_dir_all(at.join((number % 20).to_string())).unwrap();
        fs::write(at.join(format!("{}/{number}", number % 20)), &text).unwrap();
        pieces.push(file(format!("data/{number}"), &text));
    }
    let archive = at.with_extension("tar");
    fs::write(&archive, tar(&pieces)).unwrap();
    (at.display().to_string(), archive.display().to_string())
}

#[test]
fn image_interrupted_while_it_is_made_leaves_nothing_half_made() {
    for caller in Caller::all() {
        let stockade = Stockade::of(caller);
        let (source, archive) = many_files(&stockade);
        let include = format!("{source}:/data");
        let build: &[&str] =
            &["image", "build", "--program", "/usr/bin/true", "--include", &include, "--name", "made"];
        let import: &[&str] = &["image", "import", &archive, "--name", "made"];
        for args in [build, import] {
            for (count, signal) in
                [(1, Signal::SIGINT), (40, Signal::SIGTERM), (FILES / 2, Signal::SIGINT), (0, Signal::SIGINT)]
            {
                let what = format!("{caller:?} {} at {count}", args[1]);
                let store = stockade.store();
                let out = interrupted(&stockade, args, signal, || match count {
                    0 => placing(store),
                    _ => staged(store) >= count,
                });
                was_interrupted(&out, signal, &what);
                assert_eq!(fs::read_dir(store.join("tmp")).unwrap().count(), 0, "{what}");
                // Late, the image may be there: then as a whole, and without a name.
                if count == 0 {
                    let images = stockade.json(["image", "list", "--json"]);
                    for image in images.as_array().unwrap() {
                        assert_eq!(image["name"], serde_json::Value::Null, "{what}");
                        stockade.text(["image", "verify", image["id"].as_str().unwrap(), "--full"]);
                    }
                    stockade.text(["image", "gc", "--max", "0B"]);
                }
                is_clean(&stockade, &what);
            }
            // The control: left alone, it makes the image, and all of it.
            let made = spawn(&stockade, args, Stdio::null()).wait_with_output().unwrap();
            assert_eq!(made.status.code(), Some(0), "{}", String::from_utf8_lossy(&made.stderr));
            stockade.text(["image", "verify", "made", "--full"]);
            remove_all(&stockade);
        }
    }
}

#[test]
fn import_interrupted_while_it_waits_for_its_input_ends_at_once() {
    for caller in Caller::all() {
        let stockade = Stockade::of(caller);
        let text = "line\n".repeat(20_000);
        let pieces: Vec<_> =
            (0..40).map(|number| file(format!("{number}"), format!("{number}{text}"))).collect();
        let archive = tar(&pieces);
        let mut child = spawn(&stockade, &["image", "import", "-", "--name", "made"], Stdio::piped());
        let mut pipe = child.stdin.take().unwrap();
        pipe.write_all(&archive[..archive.len() / 2]).unwrap();
        let begun = || fs::read_dir(stockade.store().join("tmp")).is_ok_and(|mut tmp| tmp.next().is_some());
        assert!(came(&mut child, begun), "it ended without its input");
        let begin = Instant::now();
        interrupt(&child, Signal::SIGINT);
        let out = child.wait_with_output().unwrap();
        was_interrupted(&out, Signal::SIGINT, "waiting");
        assert!(begin.elapsed() < patience(Duration::from_secs(5)), "{:?}", begin.elapsed());
        drop(pipe);
        is_clean(&stockade, "waiting");
    }
}

#[test]
fn signal_that_the_caller_ignores_interrupts_nothing() {
    let stockade = Stockade::of(Caller::all()[0]);
    let (source, _) = many_files(&stockade);
    let include = format!("{source}:/data");
    let words = ["image", "build", "--program", "/usr/bin/true", "--include", &include, "--name", "made"];
    let mut command = common::by_shell("trap '' INT; exec \"$@\"", &stockade.command(words));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0).spawn().unwrap();
    assert!(came(&mut child, || staged(stockade.store()) >= 1), "it was too fast for the signal");
    interrupt(&child, Signal::SIGINT);
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    stockade.text(["image", "verify", "made", "--full"]);
}
