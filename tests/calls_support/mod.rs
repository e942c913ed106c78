//! The programs that say which calls a policy must allow, and what they come
//! to when one call is taken out of it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod golden;
pub mod record;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use serde_json::Value;
use stockade::policy::{Policy, builtin_names, load_builtin};

use crate::common::{Caller, megabytes, run, stockade, work};
use crate::corpus::{self, LANGUAGES, Program, java_jar, java_program, sources};

/// Programs of the host that everybody has, and that read and write in many ways.
const HOST: &[&[&str]] = &[
    &["sort", "-n", "-k3"],
    &["sha256sum"],
    &["awk", "{ s += $1 } END { print s, NR }"],
    &["od", "-x"],
    &["tail", "-n", "7"],
    &["grep", "-c", "line 1"],
    &["sed", "-n", "s/line/LINE/p"],
    &["tac"],
    &["gzip", "-c"],
    &["factor", "600851475143"],
];

/// A build like those that the policy `ci` is for.
const JOB: &str = "set -e\ncp -r /src/. .\nmake\ncp -p main /out\nls\n";
/// What its image has.
const JOB_TOOLS: [&str; 5] = ["/bin/sh", "/usr/bin/make", "/usr/bin/gcc", "/usr/bin/cp", "/usr/bin/ls"];

/// Policies that can be run, by name.
pub fn policies() -> Vec<(&'static str, Policy)> {
    builtin_names().filter_map(|name| Some((name, load_builtin(name).ok()?))).collect()
}

/// Names of the programs under a policy; none where one needs what is not here.
pub fn programs(policy: &str) -> Vec<String> {
    let ends = |path: &Path| {
        let text = fs::read_to_string(path).unwrap();
        !corpus::directives(&text).iter().any(|d| d.0 == "verdict")
    };
    let of_language = |language: &corpus::Language, prefix: &str| -> Vec<String> {
        let all = sources(language.name, language.extension).into_iter();
        let named = all.map(|p| (p.file_stem().unwrap().to_str().unwrap().to_owned(), p));
        // What is refused, and what only a limit ends, says nothing about what is needed.
        let kept = named.filter(|(name, path)| name != "refused" && ends(path));
        kept.map(|(name, _)| format!("{prefix}{}/{name}", language.name)).collect()
    };
    match policy {
        // Those of `native` that it lets alone.
        "strict" => programs("native"),
        "java" => {
            let all = sources("java", "java").into_iter().filter(|path| ends(path));
            let names = all.map(|p| p.file_stem().unwrap().to_str().unwrap().to_owned());
            let kept = names.filter(|n| !["Refused", "Dispatch", "Memory"].contains(&n.as_str()));
            kept.map(|name| format!("java/{name}")).collect()
        }
        "ci" => vec!["ci/job".to_owned()],
        "compile-java" => vec!["compile/java/Main".to_owned()],
        _ => {
            let compiler = policy.strip_prefix("compile-");
            let fits = |l: &&corpus::Language| compiler.map_or(l.policy == policy, |c| l.name == c);
            let prefix = if compiler.is_some() { "compile/" } else { "" };
            let mut all: Vec<String> =
                LANGUAGES.iter().filter(fits).flat_map(|l| of_language(l, prefix)).collect();
            if policy == "native" {
                all.extend(HOST.iter().map(|words| format!("host/{}", words[0])));
            }
            assert!(!all.is_empty(), "no program for {policy}");
            // Compilers take seconds, and do much the same for all of them.
            let most = if policy == "compile-go" { 1 } else { 3 };
            let step = if compiler.is_some() { all.len().div_ceil(most) } else { 1 };
            all.into_iter().step_by(step).collect()
        }
    }
}

/// Builds what must be built, once.
fn ready(name: &str) -> Program {
    static DONE: OnceLock<Mutex<HashMap<String, Program>>> = OnceLock::new();
    let mut done = DONE.get_or_init(Mutex::default).lock().unwrap();
    done.entry(name.to_owned()).or_insert_with(|| make(name)).clone()
}

fn make(name: &str) -> Program {
    let plain = |file: PathBuf, args: &[&str], directives: &[(&str, &str)]| Program {
        name: name.to_owned(),
        file,
        args: args.iter().map(|a| (*a).to_owned()).collect(),
        directives: directives.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
    };
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    match name.split('/').collect::<Vec<_>>()[..] {
        ["host", tool] => {
            let words = HOST.iter().find(|words| words[0] == tool).unwrap();
            plain(Path::new("/usr/bin").join(tool), &words[1..], &[("stdin", "megabytes")])
        }
        ["java", class] => {
            let jar = java_jar().expect("a compiler of Java");
            java_program(&jar, &tests.join(format!("languages/java/{class}.java")))
        }
        ["ci", "job"] => {
            let dir = work().join("ci-sources");
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("main.c"), "int main(void) { return 7; }\n").unwrap();
            fs::write(dir.join("Makefile"), "main: main.c\n\tgcc -o main main.c\n").unwrap();
            let job = work().join("job.sh");
            fs::write(&job, JOB).unwrap();
            plain(job, &[], &[("box", &format!("--ro {}:/src", dir.display()))])
        }
        ["compile", "java", "Main"] => plain(tests.join("recipes/Main.java"), &[], &[]),
        ["compile", language, source] => {
            let extension = corpus::language(language).extension;
            plain(tests.join(format!("languages/{language}/{source}.{extension}")), &[], &[])
        }
        [language, source] => {
            let language = corpus::language(language);
            let path = tests.join(format!("languages/{}/{source}.{}", language.name, language.extension));
            language.program(&path)
        }
        _ => panic!("no program is called {name}"),
    }
}

/// What must be there for a program.
pub fn missing(name: &str) -> Option<String> {
    let needs: Vec<&str> = match name.split('/').collect::<Vec<_>>()[..] {
        ["ci", _] => JOB_TOOLS.to_vec(),
        ["java", _] | ["compile", "java", _] => vec!["/usr/bin/javac", "/usr/bin/jar"],
        ["compile", "rust", _] => vec!["/usr/bin/rustc"],
        ["compile", language, _] | [language, _] if language != "host" => {
            corpus::language(language).needs.to_vec()
        }
        _ => Vec::new(),
    };
    let absent = needs.iter().find(|path| !Path::new(path).exists());
    absent.map(|path| format!("{path} is not there: {name} was not tried"))
}

/// What a run came to, as far as the program decides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    status: i32,
    verdict: String,
    stdout: Vec<u8>,
    /// Files in `/out`, with their modes.
    made: BTreeMap<String, u32>,
    /// Why there was no run.
    refused: String,
}

impl Outcome {
    /// Whether the program came to an end of its own.
    pub fn is_own(&self) -> bool {
        ["ok", "nonzero_exit", "signaled"].contains(&self.verdict.as_str())
    }

    /// In a few words.
    pub fn words(&self) -> String {
        format!(
            "{} {} {} bytes {:?} {}",
            self.status,
            self.verdict,
            self.stdout.len(),
            self.made,
            self.refused
        )
    }
}

/// Runs a program under a policy, by name or in a file; says how long it took.
pub fn outcome(caller: Caller, policy: &str, program: &str, wall: &str) -> (Outcome, Duration) {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let ready = ready(program);
    if program == "ci/job" {
        job_image(caller);
    }
    let mut options =
        vec!["--policy".to_owned(), policy.to_owned(), "--wall-time".to_owned(), wall.to_owned()];
    let out = caller.home().join(format!("made-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
    if program.starts_with("compile/") || program.starts_with("ci/") {
        options.extend(["--out".to_owned(), format!("{}:/out", out.display())]);
    }
    options.extend(ready.directive("box").unwrap_or_default().split_whitespace().map(str::to_owned));
    let begin = Instant::now();
    let stdin = if ready.directive("stdin").is_some() { megabytes() } else { b"a line\n".to_vec() };
    let run = run(caller, &ready.file).options(options.iter().map(String::as_str));
    let ran = record::around(run.args(ready.args.iter().map(String::as_str)).stdin(stdin)).go();
    let took = begin.elapsed();
    let mut made = BTreeMap::new();
    for entry in fs::read_dir(&out).into_iter().flatten().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
        made.insert(entry.file_name().into_string().unwrap(), mode);
    }
    drop(fs::remove_dir_all(&out));
    let refused = if ran.report.is_null() { ran.stderr.clone() } else { String::new() };
    (
        Outcome { status: ran.status, verdict: ran.verdict().to_owned(), stdout: ran.stdout, made, refused },
        took,
    )
}

/// The image that the policy `ci` names.
fn job_image(caller: Caller) {
    static DONE: Mutex<Vec<Caller>> = Mutex::new(Vec::new());
    let mut done = DONE.lock().unwrap();
    if done.contains(&caller) {
        return;
    }
    let mut build = caller.command(stockade());
    build.args(["image", "build", "--name", "ci"]);
    for tool in JOB_TOOLS {
        build.args(["--program", tool]);
    }
    let built = build.output().unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    done.push(caller);
}

/// Names of the calls that a policy allows, whatever the conditions.
pub fn allowed(policy: &Policy) -> Vec<String> {
    let value: Value = serde_json::from_str(&policy.to_json()).unwrap();
    let rules = value["syscalls"]["allow"].as_array().unwrap();
    let calls = rules.iter().flat_map(|rule| rule["calls"].as_array().unwrap());
    let mut names: Vec<String> = calls.map(|call| call.as_str().unwrap().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

/// The same policy in a file, without one call.
pub fn without(name: &str, policy: &Policy, call: &str) -> PathBuf {
    let mut value: Value = serde_json::from_str(&policy.to_json()).unwrap();
    let rules = value["syscalls"]["allow"].as_array_mut().unwrap();
    let mut found = 0;
    for rule in rules.iter_mut() {
        let calls = rule["calls"].as_array_mut().unwrap();
        found += calls.len();
        calls.retain(|c| c != call);
        found -= calls.len();
    }
    assert!(found > 0, "{name} does not allow {call}");
    rules.retain(|rule| !rule["calls"].as_array().unwrap().is_empty());
    let path = work().join(format!("{name}-without-{call}.json"));
    fs::write(&path, serde_json::to_vec(&value).unwrap()).unwrap();
    path
}

/// Whether a program without the call comes to something else, and what.
pub fn difference(
    caller: Caller,
    (name, policy): (&str, &Policy),
    call: &str,
    program: &str,
) -> Option<Outcome> {
    let (good, took) = control(caller, name, program);
    let file = without(name, policy, call);
    let wall = format!("{}ms", (took.as_millis() * 4).max(6000));
    let (bad, _) = outcome(caller, file.to_str().unwrap(), program, &wall);
    (good != bad).then_some(bad)
}

/// The same, with more time, twice, and again as good as before with the call.
pub fn differs_again(caller: Caller, (name, policy): (&str, &Policy), call: &str, program: &str) -> bool {
    let good = control(caller, name, program).0;
    let file = without(name, policy, call);
    let again = outcome(caller, file.to_str().unwrap(), program, "30s").0;
    again != good && outcome(caller, name, program, "30s").0 == good
}

/// What a program comes to under the whole policy.
pub fn control(caller: Caller, policy: &str, program: &str) -> (Outcome, Duration) {
    type Known = HashMap<(bool, String, String), (Outcome, Duration)>;
    static DONE: OnceLock<Mutex<Known>> = OnceLock::new();
    let done = DONE.get_or_init(Mutex::default);
    let key = (caller == Caller::Root, policy.to_owned(), program.to_owned());
    if let Some(known) = done.lock().unwrap().get(&key) {
        return known.clone();
    }
    let made = outcome(caller, policy, program, "30s");
    done.lock().unwrap().insert(key, made.clone());
    made
}
