//! What tests of the escape check share: whole batteries, and the line of numbers that documents quote.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::process::Stdio;

use serde_json::Value;
use stockade::escape::all;

use super::common::{Caller, by_shell, stockade, stretched};

/// What a battery came to.
pub struct Battery {
    /// Exit status.
    pub status: Option<i32>,
    /// The JSON; nothing where the check refused.
    pub value: Value,
    /// Standard error.
    pub stderr: String,
}

/// The time that one attack may take where nothing is slow, stretched: the attacks' own waits follow it.
pub fn attack_time() -> String {
    stretched("120s")
}

/// `stockade escape-check --format json` by a caller, started through a shell script: `"$@"` is the command.
pub fn battery(caller: Caller, options: &[&str], script: &str) -> Battery {
    let mut command = caller.command(stockade());
    command.args(["escape-check", "--format", "json", "--attack-time", &attack_time()]).args(options);
    let out = by_shell(script, &command).stdin(Stdio::null()).output().unwrap();
    Battery {
        status: out.status.code(),
        value: serde_json::from_slice(&out.stdout).unwrap_or(Value::Null),
        stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
    }
}

/// The most important attacks, those that look at every rule of the policy's own filter, and those on what
/// some policies give in part: programs to be started, and calls that take ids.
pub fn most_important() -> String {
    let stars = all().into_iter().filter(|a| a.star && a.not_applicable().is_none()).map(|a| a.id);
    let stars: Vec<&str> = stars.collect();
    format!("{},FS-21,FS-27,KX-43,SC,SA", stars.join(","))
}

/// Ids of the attacks that came to this.
pub fn ids(value: &Value, outcome: &str) -> Vec<String> {
    let attacks = value["attacks"].as_array().unwrap().iter();
    attacks.filter(|a| a["outcome"] == outcome).map(|a| a["id"].as_str().unwrap().to_owned()).collect()
}

const fn name(caller: Caller) -> &'static str {
    match caller {
        Caller::Root => "root",
        Caller::User => "user",
    }
}

/// The row of `tests/golden/kernels.txt` but for the kernel, which `.ci/kernels/run` knows; then what was not
/// held, and what took long.
pub fn tell(caller: Caller, host: &str, value: &Value) {
    let count = |outcome| ids(value, outcome).len();
    let unknown = ids(value, "inconclusive").join(" ");
    eprintln!(
        "battery: {} | {host} | {} | {} | {} | {unknown} |",
        name(caller),
        count("held"),
        count("leaked"),
        count("inconclusive")
    );
    let mut attacks: Vec<_> = value["attacks"].as_array().unwrap().iter().collect();
    for attack in attacks.iter().filter(|a| a["outcome"] != "held") {
        eprintln!("not held by {}, {host}: {attack}", name(caller));
    }
    attacks.sort_by_key(|a| std::cmp::Reverse(a["elapsed_ms"].as_u64()));
    let slowest = attacks.iter().take(8).map(|a| format!("{} {} ms", a["id"], a["elapsed_ms"]));
    let (all, slowest) = (&value["summary"]["elapsed_ms"], slowest.collect::<Vec<_>>().join(", "));
    eprintln!("time of {}, {host}: {all} ms; {slowest}", name(caller));
}

/// The same of a host on which the check is refused.
pub fn tell_refused(caller: Caller, host: &str) {
    eprintln!("battery: {} | {host} | refused | | | |", name(caller));
}
