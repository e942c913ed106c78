//! The fuzz targets on their seeds, with the compiler that builds everything else.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than any seed takes without optimisation on a busy machine; a target
/// that runs away takes minutes.
const SOON: Duration = Duration::from_secs(20);

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap_or_else(|e| panic!("{}: {e}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

fn replay(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (_, check) = targets::TARGETS.iter().find(|(target, _)| *target == name).unwrap();
    let mut seeds = files(&root.join("fuzz/seeds").join(name));
    if name == "policy" || name == "json" {
        for dir in ["policies", "tests/policies/good", "tests/policies/broken"] {
            seeds.extend(
                files(&root.join(dir)).into_iter().filter(|f| f.extension().is_some_and(|e| e == "json")),
            );
        }
    }
    assert!(seeds.len() >= 3, "{name} has {} seeds", seeds.len());
    for seed in seeds {
        let bytes = fs::read(&seed).unwrap();
        let begin = Instant::now();
        eprintln!("{}", seed.display());
        check(&bytes);
        assert!(begin.elapsed() < SOON, "{} took {:?}", seed.display(), begin.elapsed());
    }
}

macro_rules! replayed {
    ($($test:ident $target:literal)+) => {
        $(#[test] fn $test() { replay($target); })+

        #[test]
        fn targets_all_have_a_replay_a_program_and_seeds() {
            let mut replayed = vec![$($target),+];
            replayed.sort_unstable();
            let known: Vec<&str> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(replayed, known);
            let root = Path::new(env!("CARGO_MANIFEST_DIR"));
            let names = |dir: &str| -> Vec<String> {
                let mut names: Vec<String> = fs::read_dir(root.join(dir)).unwrap()
                    .map(|e| e.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned()).collect();
                names.sort();
                names
            };
            assert_eq!(names("fuzz/fuzz_targets"), known);
            assert_eq!(names("fuzz/seeds"), known);
        }
    };
}

replayed! {
    calls_seeds_change_nothing_on_the_host "calls"
    elf_seeds_end_in_an_answer "elf"
    frame_seeds_are_refused_or_exact "frame"
    json_seeds_are_judged_like_serde_json "json"
    manifest_seeds_print_back "manifest"
    oci_seeds_are_made_or_refused_with_words "oci"
    policy_seeds_read_back_and_compile "policy"
    proc_seeds_cannot_make_up_a_field "proc"
    pump_seeds_keep_exactly_their_limit "pump"
    report_seeds_are_json_that_says_the_same "report"
    seccomp_seeds_do_what_their_policy_says "seccomp"
    spec_seeds_stay_within_the_image "spec"
    tar_seeds_stay_within_the_image_and_come_back "tar"
    terminal_seeds_come_out_harmless "terminal"
    verdict_seeds_have_the_verdict_of_the_documented_order "verdict"
}
