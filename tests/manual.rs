//! The manual pages and the completions of shells are those of the command line.
//!
//! `STOCKADE_WRITE_DOCS=1 cargo test --test manual` writes them. They ship in the tree, so that neither
//! the program nor a packager needs what makes them.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

#[path = "../src/cli/mod.rs"]
#[allow(dead_code)]
mod cli;

use clap_complete::Shell;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page, by its file name: one for each command and its commands.
fn pages() -> BTreeMap<String, Vec<u8>> {
    let mut pages = BTreeMap::new();
    let mut command = cli::command();
    command.build();
    add_page(&command, "stockade", &mut pages);
    pages
}

fn add_page(command: &clap::Command, name: &str, pages: &mut BTreeMap<String, Vec<u8>>) {
    let mut text = Vec::new();
    let shown: &'static str = String::leak(name.to_owned());
    // The day of the build would make every build differ.
    let page = command.clone().name(shown).display_name(shown);
    clap_mangen::Man::new(page).date("").manual("stockade").render(&mut text).unwrap();
    pages.insert(format!("{name}.1"), text);
    for sub in command.get_subcommands().filter(|s| s.get_name() != "help") {
        add_page(sub, &format!("{name}-{}", sub.get_name()), pages);
    }
}

/// Every completion, by its file name.
fn completions() -> BTreeMap<String, Vec<u8>> {
    let shells = [(Shell::Bash, "stockade.bash"), (Shell::Zsh, "_stockade"), (Shell::Fish, "stockade.fish")];
    let one = |(shell, name): (Shell, &str)| {
        let mut text = Vec::new();
        clap_complete::generate(shell, &mut cli::command(), "stockade", &mut text);
        (name.to_owned(), text)
    };
    shells.into_iter().map(one).collect()
}

/// A directory of the tree holds exactly these files.
fn holds(dir: &str, expected: &BTreeMap<String, Vec<u8>>) {
    let dir: PathBuf = root().join(dir);
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        fs::create_dir_all(&dir).unwrap();
        for entry in fs::read_dir(&dir).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        for (name, text) in expected {
            fs::write(dir.join(name), text).unwrap();
        }
        return;
    }
    let entries = fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let there: BTreeMap<String, Vec<u8>> = entries
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), fs::read(e.path()).unwrap()))
        .collect();
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let how = "STOCKADE_WRITE_DOCS=1 cargo test --test manual writes it";
    assert_eq!(names(&there), names(expected), "{how}");
    for (name, text) in expected {
        assert!(there[name] == *text, "{} is out of date: {how}", dir.join(name).display());
    }
}

#[test]
fn manual_pages_are_those_of_the_command_line() {
    let pages = pages();
    let expected =
        ["stockade.1", "stockade-run.1", "stockade-doctor.1", "stockade-policy.1", "stockade-policy-lint.1"];
    for name in expected {
        assert!(pages.contains_key(name), "{name}");
    }
    let run = String::from_utf8(pages["stockade-run.1"].clone()).unwrap();
    // In a manual page a hyphen that is typed is escaped.
    for option in ["explain", "ceiling", "cpu\\-time", "degrade"] {
        assert!(run.contains(&format!("\\-\\-{option}")), "{option}");
    }
    holds("man", &pages);
}

#[test]
fn completions_are_those_of_the_command_line() {
    let completions = completions();
    for (name, text) in &completions {
        let text = String::from_utf8_lossy(text);
        assert!(text.contains("ceiling") && text.contains("doctor"), "{name}");
    }
    holds("completions", &completions);
}

#[test]
fn completion_for_bash_completes() {
    let script = root().join("completions/stockade.bash");
    let ask = format!(
        "source {}; COMP_WORDS=(stockade run --cei); COMP_CWORD=2; _stockade stockade --cei run; echo \"${{COMPREPLY[@]}}\"",
        script.display()
    );
    let out = std::process::Command::new("bash").args(["-c", &ask]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&out.stdout).trim(),
        "--ceiling",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
