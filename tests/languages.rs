//! Real programs of each language behave in the box as they do bare, and what
//! the box refuses is refused in each language.
//!
//! The programs are in `tests/languages/LANGUAGE/`. Lines like `// @ box: OPTIONS`
//! at their top say what differs from the usual: `box` has options of the run,
//! `stdin: megabytes` gives it lines to read, `verdict` is that of a program that
//! only a box ends, and that is therefore not run bare.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Caller, leaves_of, megabytes, run, sample, skip, work};

/// One language.
struct Language {
    name: &'static str,
    extension: &'static str,
    policy: &'static str,
    /// What must be there to try it.
    needs: &'static [&'static str],
    /// Makes what is run of a source, if that is not the source itself.
    build: Option<fn(&Path, &Path) -> Command>,
    /// What reads it, bare.
    interpreter: &'static [&'static str],
    /// At least so many programs.
    programs: usize,
}

const LANGUAGES: &[Language] = &[
    Language {
        name: "c",
        extension: "c",
        policy: "native",
        needs: &["/usr/bin/gcc"],
        build: Some(|source, out| {
            command("/usr/bin/gcc", &["-O1", "-w", "-pthread", "-o"], &[out, source], &["-lm"])
        }),
        interpreter: &[],
        programs: 12,
    },
    Language {
        name: "cpp",
        extension: "cpp",
        policy: "native",
        needs: &["/usr/bin/g++"],
        build: Some(|source, out| {
            command("/usr/bin/g++", &["-std=gnu++20", "-w", "-pthread", "-o"], &[out, source], &[])
        }),
        interpreter: &[],
        programs: 12,
    },
    Language {
        name: "rust",
        extension: "rs",
        policy: "native",
        needs: &[],
        build: Some(|source, out| {
            command("rustc", &["-O", "-Awarnings", "--edition", "2021", "-o"], &[out, source], &[])
        }),
        interpreter: &[],
        programs: 12,
    },
    Language {
        name: "go",
        extension: "go",
        policy: "go",
        needs: &["/usr/bin/go"],
        build: Some(|source, out| {
            let mut go = command("/usr/bin/go", &["build", "-o"], &[out, source], &[]);
            go.env("GOCACHE", work().join("go-cache")).env("GO111MODULE", "off").env("HOME", work());
            go
        }),
        interpreter: &[],
        programs: 12,
    },
    Language {
        name: "python",
        extension: "py",
        policy: "python",
        needs: &["/usr/bin/python3"],
        build: None,
        interpreter: &["/usr/bin/python3", "-I", "-B"],
        programs: 12,
    },
    Language {
        name: "node",
        extension: "js",
        policy: "node",
        needs: &["/usr/bin/node"],
        build: None,
        interpreter: &["/usr/bin/node"],
        programs: 12,
    },
    Language {
        name: "perl",
        extension: "pl",
        policy: "perl",
        needs: &["/usr/bin/perl"],
        build: None,
        interpreter: &["/usr/bin/perl"],
        programs: 5,
    },
    Language {
        name: "ruby",
        extension: "rb",
        policy: "ruby",
        needs: &["/usr/bin/ruby"],
        build: None,
        interpreter: &["/usr/bin/ruby"],
        programs: 5,
    },
    Language {
        name: "lua",
        extension: "lua",
        policy: "lua",
        needs: &["/usr/bin/lua5.4"],
        build: None,
        interpreter: &["/usr/bin/lua5.4"],
        programs: 4,
    },
];

fn command(program: &str, before: &[&str], paths: &[&Path], after: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(before).args(paths).args(after);
    command
}

/// One program, ready to run.
struct Program {
    name: String,
    /// The file that the box is given.
    file: PathBuf,
    /// Arguments before its own.
    args: Vec<String>,
    directives: Vec<(String, String)>,
}

impl Program {
    fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|d| d.0 == name).map(|d| d.1.as_str())
    }

    fn stdin(&self) -> Vec<u8> {
        if self.directive("stdin") == Some("megabytes") { megabytes() } else { b"a line\n".to_vec() }
    }
}

fn directives(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().take(10).filter_map(|line| line.split_once("@ ")?.1.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

fn sources(language: &str, extension: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages").join(language);
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

impl Language {
    fn missing(&self) -> Option<String> {
        let absent = self.needs.iter().find(|path| !Path::new(path).exists());
        absent.map(|path| format!("{path} is not there: {} was not tried", self.name))
    }

    /// Built or copied to a place that everybody can read.
    fn program(&self, source: &Path) -> Program {
        let text = fs::read_to_string(source).unwrap();
        let dir = work().join("languages").join(self.name);
        fs::create_dir_all(&dir).unwrap();
        let name = source.file_stem().unwrap().to_str().unwrap().to_owned();
        let file = match self.build {
            Some(build) => {
                let file = dir.join(&name);
                let made = build(source, &file).output().unwrap();
                assert!(made.status.success(), "{name}: {}", String::from_utf8_lossy(&made.stderr));
                file
            }
            None => {
                let file = dir.join(source.file_name().unwrap());
                fs::copy(source, &file).unwrap();
                file
            }
        };
        Program { name, file, args: Vec::new(), directives: directives(&text) }
    }

    fn bare(&self, program: &Program, args: &[&str]) -> (i32, bool, String) {
        let mut words = self.interpreter.iter().map(PathBuf::from).chain([program.file.clone()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(&program.args).args(args);
        finish(command, program)
    }
}

/// Runs it bare: status, whether that is a signal, and standard output.
fn finish(mut command: Command, program: &Program) -> (i32, bool, String) {
    command.env_clear().env("LANG", "C.UTF-8").current_dir(program.file.parent().unwrap());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = program.stdin();
    let feeder = std::thread::spawn(move || drop(std::io::Write::write_all(&mut pipe, &bytes)));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let status = out.status.code().unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0));
    (status, out.status.signal().is_some(), String::from_utf8_lossy(&out.stdout).into_owned())
}

/// In the box: the same output and status as bare, or the verdict that the program says.
fn compare(caller: Caller, policy: &str, program: &Program, bare: impl Fn(&Program) -> (i32, bool, String)) {
    let options = ["--policy", policy].into_iter();
    let own = program.directive("box").unwrap_or_default().split_whitespace();
    let ran = run(caller, &program.file)
        .options(options.chain(own))
        .args(program.args.iter().map(String::as_str))
        .stdin(program.stdin())
        .go();
    let what = format!("{caller:?} {policy} {}", program.name);
    if let Some(verdict) = program.directive("verdict") {
        assert_eq!(ran.verdict(), verdict, "{what}: {}", ran.all());
        if let Some(limit) = verdict.strip_suffix("_limit") {
            assert_eq!(ran.status, 124, "{what}: {}", ran.all());
            let name = match limit {
                "cpu" => "cpu_time",
                "wall" => "wall_time",
                other => other,
            };
            assert!(
                ran.report["limits_hit"].as_array().unwrap().iter().any(|l| l == name),
                "{what}: {}",
                ran.all()
            );
        }
        assert_eq!(ran.report["cleanup"]["ok"], true, "{what}: {}", ran.all());
        assert_eq!(leaves_of(ran.pid), [""; 0], "{what}");
        return;
    }
    let (status, signaled, stdout) = bare(program);
    assert_eq!(ran.status, status, "{what}: bare\n{stdout}\nbox {}", ran.all());
    let verdict = match status {
        _ if signaled => "signaled",
        0 => "ok",
        _ => "nonzero_exit",
    };
    assert_eq!(ran.verdict(), verdict, "{what}: {}", ran.all());
    // Where the runtime names its file, the box has another name for it.
    let own = program.file.to_str().unwrap();
    assert_eq!(ran.text(), stdout.replace(own, "/box/main"), "{what}: {}", ran.all());
    assert_eq!(ran.report["violations"].as_array().map(Vec::len), Some(0), "{what}: {}", ran.all());
}

fn each_program(language: &Language, callers: &[Caller]) {
    if let Some(missing) = language.missing() {
        return skip(&missing);
    }
    let all = sources(language.name, language.extension);
    let ordinary: Vec<PathBuf> = all.into_iter().filter(|p| p.file_stem().unwrap() != "refused").collect();
    assert!(ordinary.len() >= language.programs, "{} has {}", language.name, ordinary.len());
    for (number, source) in sample(ordinary).into_iter().enumerate() {
        let program = language.program(&source);
        let caller = callers[number % callers.len()];
        compare(caller, language.policy, &program, |program| language.bare(program, &[]));
    }
}

/// What must be refused: everything that the program tries. Bare, it can do what it tries there.
fn refusals(caller: Caller, policy: &str, program: &Program, bare: impl Fn(&Program) -> (i32, bool, String)) {
    let (status, _, control) = bare(program);
    assert_eq!(status, 0, "{}: {control}", program.name);
    assert!(control.lines().count() >= 3, "{control}");
    assert!(control.lines().all(|line| line.ends_with(" allowed")), "bare: {control}");
    let made = program.file.with_file_name("made");
    assert!(made.exists(), "bare it can write");
    fs::remove_file(&made).unwrap();
    let ran = run(caller, &program.file)
        .options(["--policy", policy, "--wall-time", "20s"])
        .args(program.args.iter().map(String::as_str))
        .go();
    assert_eq!(ran.status, 0, "{policy}: {}", ran.all());
    assert!(ran.text().lines().count() > control.lines().count(), "{policy}: {}", ran.all());
    assert!(ran.text().lines().all(|line| line.ends_with(" refused")), "{policy}: {}", ran.all());
    assert!(!made.exists());
    assert_eq!(ran.report["cleanup"]["ok"], true, "{policy}: {}", ran.all());
}

macro_rules! languages {
    ($($name:ident $same:ident $refused:ident),+ $(,)?) => {$(
        #[test]
        fn $same() {
            each_program(language(stringify!($name)), &Caller::all());
        }

        #[test]
        fn $refused() {
            let language = language(stringify!($name));
            if let Some(missing) = language.missing() {
                return skip(&missing);
            }
            let all = sources(language.name, language.extension);
            let source = all.iter().find(|p| p.file_stem().unwrap() == "refused").unwrap();
            let program = language.program(source);
            for caller in Caller::all() {
                refusals(caller, language.policy, &program, |program| language.bare(program, &["bare"]));
            }
        }
    )+};
}

fn language(name: &str) -> &'static Language {
    LANGUAGES.iter().find(|language| language.name == name).unwrap()
}

languages! {
    c c_programs_run_as_bare c_program_is_refused_what_it_tries,
    cpp cpp_programs_run_as_bare cpp_program_is_refused_what_it_tries,
    rust rust_programs_run_as_bare rust_program_is_refused_what_it_tries,
    go go_programs_run_as_bare go_program_is_refused_what_it_tries,
    python python_programs_run_as_bare python_program_is_refused_what_it_tries,
    node node_programs_run_as_bare node_program_is_refused_what_it_tries,
    perl perl_programs_run_as_bare perl_program_is_refused_what_it_tries,
    ruby ruby_programs_run_as_bare ruby_program_is_refused_what_it_tries,
    lua lua_programs_run_as_bare lua_program_is_refused_what_it_tries,
}

/// All classes in one jar: `Dispatch` runs the one that it is told.
fn java_jar() -> Option<PathBuf> {
    if !Path::new("/usr/bin/javac").exists() || !Path::new("/usr/bin/jar").exists() {
        skip("/usr/bin/javac is not there: java was not tried");
        return None;
    }
    let dir = work().join("languages/java");
    let jar = dir.join("all.jar");
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        fs::create_dir_all(dir.join("classes")).unwrap();
        let classes = dir.join("classes");
        let mut javac = command("/usr/bin/javac", &["-nowarn", "-encoding", "UTF-8", "-d"], &[&classes], &[]);
        let made = javac.args(sources("java", "java")).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let made =
            command("/usr/bin/jar", &["--create", "--main-class", "Dispatch", "--file"], &[&jar], &["-C"])
                .arg(&classes)
                .arg(".")
                .status();
        assert!(made.unwrap().success());
    });
    Some(jar)
}

fn java_program(jar: &Path, source: &Path) -> Program {
    let name = source.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(source).unwrap();
    Program { args: vec![name.clone()], name, file: jar.to_owned(), directives: directives(&text) }
}

fn java_bare(program: &Program, args: &[&str]) -> (i32, bool, String) {
    let mut java = Command::new("/usr/bin/java");
    java.args(["-XX:-UsePerfData", "-jar"]).arg(&program.file).args(&program.args).args(args);
    finish(java, program)
}

#[test]
fn java_programs_run_as_bare() {
    let Some(jar) = java_jar() else { return };
    let mut all = sources("java", "java");
    all.retain(|p| !["Refused", "Dispatch"].iter().any(|name| p.file_stem().unwrap() == *name));
    assert!(all.len() >= 12, "{}", all.len());
    let callers = Caller::all();
    for (number, source) in sample(all).into_iter().enumerate() {
        let program = java_program(&jar, &source);
        compare(callers[number % callers.len()], "java", &program, |program| java_bare(program, &[]));
    }
}

#[test]
fn java_program_is_refused_what_it_tries() {
    let Some(jar) = java_jar() else { return };
    let sources = sources("java", "java");
    let source = sources.iter().find(|p| p.file_stem().unwrap() == "Refused").unwrap();
    for caller in Caller::all() {
        refusals(caller, "java", &java_program(&jar, source), |program| java_bare(program, &["bare"]));
    }
}
