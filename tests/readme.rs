//! The commands of the README work as it says.
//!
//! Each ```` ```sh ```` block runs in a directory of its own, with `stockade`
//! on the PATH. `cargo run --release --` stands there for the program under
//! test, which cargo has built already. A block is left out only when a comment
//! above it says why; a block of output above which `<!-- output -->` stands
//! must be what the commands before it print.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Caller, is_root, skip, stockade};

/// A block of commands.
#[derive(Debug)]
struct Block {
    line: usize,
    commands: String,
    /// The comment above it, without its marks.
    said: String,
    output: Option<String>,
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut said = String::new();
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!--").and_then(|l| l.strip_suffix("-->")) {
            said = comment.trim().to_owned();
            continue;
        }
        let Some(kind) = line.strip_prefix("```") else {
            said.clear();
            continue;
        };
        let body: Vec<&str> = lines.by_ref().map(|(_, l)| l).take_while(|l| *l != "```").collect();
        let body = body.join("\n") + "\n";
        match (kind, said.as_str()) {
            ("sh", _) => {
                blocks.push(Block { line: number + 1, commands: body, said: said.clone(), output: None })
            }
            ("text", "output") => blocks.last_mut().expect("commands before output").output = Some(body),
            ("rust", "") => {}
            other => panic!("line {}: what is a block of {other:?}?", number + 1),
        }
        said.clear();
    }
    blocks
}

/// Runs a block; answers what it printed.
fn execute(block: &Block, caller: Caller) {
    let dir = caller.home().join(format!("readme-{}", block.line));
    let bin = dir.join("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"), dir.join("README.md")).unwrap();
    std::os::unix::fs::symlink(stockade(), bin.join("stockade")).unwrap();
    let cargo =
        "#!/bin/sh\n[ \"$1 $2 $3\" = 'run --release --' ] || exit 99\nshift 3\nexec stockade \"$@\"\n";
    fs::write(bin.join("cargo"), cargo).unwrap();
    Command::new("chmod").arg("755").arg(bin.join("cargo")).status().unwrap();
    if caller == Caller::User && is_root() {
        std::os::unix::fs::chown(&dir, Some(common::SOMEBODY), Some(common::SOMEBODY)).unwrap();
    }
    let mut bash = caller.command(Path::new("/bin/bash"));
    bash.args(["-euo", "pipefail", "-c", &block.commands]).current_dir(&dir);
    bash.env("PATH", format!("{}:/usr/bin:/bin", bin.display())).stdin(std::process::Stdio::null());
    let out = bash.output().unwrap();
    let (stdout, stderr) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    let all = format!("line {}:\n{}\n{stdout}\n{stderr}", block.line, block.commands);
    assert!(out.status.success(), "{all}");
    assert_eq!(stderr, "", "{all}");
    if let Some(expected) = &block.output {
        assert_eq!(stdout, expected.as_str(), "{all}");
    }
}

#[test]
fn readme_commands_work_as_it_says() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let blocks = blocks(&text);
    let (mut done, mut left_out) = (0, 0);
    for block in &blocks {
        match block.said.as_str() {
            said if said.starts_with("not run: ") => {
                eprintln!("line {} is {said}", block.line);
                left_out += 1;
            }
            "as an ordinary user" => {
                execute(block, Caller::User);
                done += 1;
            }
            "" if is_root() => {
                execute(block, Caller::Root);
                done += 1;
            }
            "" => {}
            other => panic!("line {}: what does '{other}' mean?", block.line),
        }
    }
    // Blocks with a promise about what they print are most of them.
    assert!(left_out <= 2 && blocks.len() >= 10, "{left_out} of {} are not run", blocks.len());
    assert!(blocks.iter().filter(|b| b.output.is_some()).count() >= 6);
    if !is_root() {
        return skip("all blocks but those for ordinary users need cgroups, which root has");
    }
    assert_eq!(done + left_out, blocks.len());
}

#[test]
fn readme_names_every_limit_that_help_lists() {
    let help = Command::new(stockade()).args(["run", "--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, limits) = help.split_once("Limits (").unwrap();
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let options: Vec<&str> = limits.split_whitespace().filter(|w| w.starts_with("--")).collect();
    // Nothing but limits stands under their heading, which ends the help.
    let limits =
        ["cpu-time", "wall-time", "memory", "processes", "open-files", "file-size", "output", "stack", "tmp"];
    assert_eq!(options, limits.map(|name| format!("--{name}")));
    for option in options {
        assert!(text.contains(&format!("`{option}`")), "{option} is not in the README");
    }
}

#[test]
fn readme_names_every_layer() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for layer in stockade::Layer::ALL {
        assert!(text.contains(&format!("`{layer}`")), "{layer} is not in the README");
    }
}

#[test]
fn readme_tells_how_exact_limits_are_for_every_case_and_keeps_the_promise() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let (_, rest) = text.split_once("<!-- overshoot -->\n").unwrap();
    let (table, _) = rest.split_once("<!-- end of overshoot -->").unwrap();
    let rows: Vec<Vec<&str>> = table
        .lines()
        .filter_map(|line| Some(line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect()))
        .collect();
    assert_eq!(rows[0], ["caller", "machine", "case", "median", "p95"]);
    // `cargo bench --bench limits -- --readme` writes a row for each caller, machine and case.
    let machines = [
        ("root", "as it is"),
        ("root", "every CPU busy"),
        ("user", "as it is"),
        ("user", "every CPU busy"),
        ("user", "… by other sessions"),
    ];
    let cases = [
        "cpu time, one thread",
        "cpu time, four threads",
        "wall time, asleep",
        "wall time, busy",
        "cpu time, batch of two slots",
        "wall time, batch of two slots",
    ];
    let expected: Vec<[&str; 3]> = machines
        .iter()
        .flat_map(|(caller, machine)| cases.iter().map(move |case| [*caller, *machine, *case]))
        .collect();
    let found: Vec<&[&str]> = rows[1..].iter().map(|row| &row[..3]).collect();
    assert_eq!(found, expected);
    for row in &rows[1..] {
        let ms = |cell: &str| cell.strip_suffix(" ms").unwrap().parse::<f64>().unwrap();
        let (median, p95) = (ms(row[3]), ms(row[4]));
        assert!(0.0 < median && median <= p95, "{row:?}");
        assert!(row[0] != "root" || (median <= 2.0 && p95 <= 6.0), "{row:?}");
    }
}
