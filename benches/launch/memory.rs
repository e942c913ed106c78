//! What a box that runs takes: of its supervisor, its pid 1, its program and the kernel.

use std::fs;
use std::io::{BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::contenders::{Caller, home};
use crate::place::{Place, children, pss};

/// Boxes of one supervisor; what it has for itself is divided among them.
const BOXES: usize = 40;

/// Bytes of one box.
pub struct Memory {
    /// The supervisor of one box, and the share in one of many.
    supervisor: f64,
    share: f64,
    init: f64,
    payload: f64,
    kernel: f64,
}

impl Memory {
    pub fn json(&self) -> Value {
        json!({
            "supervisor_bytes": self.supervisor, "supervisor_share_bytes": self.share, "init_bytes": self.init,
            "payload_bytes": self.payload, "kernel_bytes": self.kernel,
        })
    }

    pub fn print(&self) {
        let kib = |bytes: f64| format!("{:.0} KiB", bytes / 1024.0);
        println!("\nmemory of a box that runs (PSS; {BOXES} of them in one batch, which sleep)");
        println!(
            "  its share of the supervisor  {:>10}   alone, as stockade run: {}",
            kib(self.share),
            kib(self.supervisor)
        );
        println!("  pid 1                        {:>10}", kib(self.init));
        println!("  the program                  {:>10}", kib(self.payload));
        println!("  the kernel's                 {:>10}", kib(self.kernel));
    }
}

/// Bytes of the kernel's own that boxes make it take.
fn kernel() -> f64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap();
    let of = |name: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap_or_default();
        line.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0
    };
    ["Slab:", "KernelStack:", "PageTables:", "Percpu:"].iter().map(|name| of(name)).sum()
}

fn is_init(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|l| l.strip_prefix("NSpid:")).unwrap_or_default();
    numbers.split_whitespace().last() == Some("1")
}

/// Supervisor, pids 1 and programs below a process, in bytes.
fn parts(pid: &str) -> (f64, Vec<f64>, Vec<f64>) {
    let (inits, programs): (Vec<String>, Vec<String>) =
        children(pid).into_iter().partition(|pid| is_init(pid));
    let all = |pids: Vec<String>| pids.iter().map(|pid| pss(pid)).collect();
    (pss(pid), all(inits), all(programs))
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

pub fn of_a_box(place: &Place, stockade: &Path) -> Memory {
    let program = place.text("sleeps", SLEEPS, &["-static"]).display().to_string();
    let root = nix::unistd::geteuid().is_root();
    let degrade: &[&str] = if root { &[] } else { &["--degrade", "cgroup"] };
    let store = home(place, if root { Caller::Root } else { Caller::User }).join("store");
    let command = |words: &[&str]| {
        let mut command = Command::new(stockade);
        command.args(words).args(degrade).env_clear().env("STOCKADE_STORE", &store).current_dir("/");
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        command
    };
    let mut one = command(&["run", "-q", "--wall-time", "60s"]).arg("--").arg(&program).spawn().unwrap();
    wait_for(&mut BufReader::new(one.stdout.take().unwrap()));
    let (supervisor, ..) = parts(&one.id().to_string());
    one.kill().unwrap();
    one.wait().unwrap();

    let before = kernel();
    let mut many = command(&["batch", "-q", "--slots", &BOXES.to_string()]).spawn().unwrap();
    let job = json!({ "program": program, "limits": { "wall_time": "60s" } });
    let mut to = many.stdin.take().unwrap();
    to.write_all(format!("{job}\n").repeat(BOXES).as_bytes()).unwrap();
    let pid = many.id().to_string();
    // Those that wait for further jobs are of the supervisor's, and so of each that runs.
    let running = || children(&pid).iter().filter(|pid| sleeps(pid)).count();
    while running() < BOXES {
        std::thread::sleep(Duration::from_millis(20));
    }
    let boxes = children(&pid).iter().filter(|pid| is_init(pid)).count();
    let kernel = (kernel() - before) / boxes as f64;
    let (of_all, inits, _) = parts(&pid);
    let programs: Vec<f64> = children(&pid).iter().filter(|pid| sleeps(pid)).map(|pid| pss(pid)).collect();
    many.kill().unwrap();
    many.wait().unwrap();
    // A pid 1 whose box has begun has next to nothing; those of boxes that wait have their maker's memory.
    let mut inits = inits;
    inits.sort_by(f64::total_cmp);
    inits.truncate(BOXES);
    Memory { supervisor, share: of_all / BOXES as f64, init: mean(&inits), payload: mean(&programs), kernel }
}

/// Whether it is the program, and not what waits to become one.
fn sleeps(pid: &str) -> bool {
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| words.starts_with(b"sleeps\0"))
}

/// Until the program says that it runs.
fn wait_for(from: &mut impl std::io::BufRead) {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    assert_eq!(line, "here\n");
}

const SLEEPS: &str = r#"
#include <stdio.h>
#include <unistd.h>
int main(void) {
    puts("here");
    fflush(stdout);
    for (;;) pause();
}
"#;
