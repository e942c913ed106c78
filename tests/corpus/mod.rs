//! Programs of each language, built and ready to be run, bare or in a box.
//!
//! They are in `tests/languages/LANGUAGE/`. Lines like `// @ box: OPTIONS` at
//! their top say what differs from the usual: `box` has options of the run,
//! `stdin: megabytes` gives it lines to read, `verdict` is that of a program that
//! only a box ends, and that is therefore not run bare.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::common::{megabytes, skip, work};

/// One language.
pub struct Language {
    pub name: &'static str,
    pub extension: &'static str,
    pub policy: &'static str,
    /// What must be there to try it.
    pub needs: &'static [&'static str],
    /// Makes what is run of a source, if that is not the source itself.
    pub build: Option<fn(&Path, &Path) -> Command>,
    /// What reads it, bare.
    pub interpreter: &'static [&'static str],
    /// At least so many programs.
    pub programs: usize,
}

pub const LANGUAGES: &[Language] = &[
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

pub fn command(program: &str, before: &[&str], paths: &[&Path], after: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(before).args(paths).args(after);
    command
}

/// One program, ready to run.
#[derive(Debug, Clone)]
pub struct Program {
    pub name: String,
    /// The file that the box is given.
    pub file: PathBuf,
    /// Arguments before its own.
    pub args: Vec<String>,
    pub directives: Vec<(String, String)>,
}

impl Program {
    pub fn directive(&self, name: &str) -> Option<&str> {
        self.directives.iter().find(|d| d.0 == name).map(|d| d.1.as_str())
    }

    pub fn stdin(&self) -> Vec<u8> {
        if self.directive("stdin") == Some("megabytes") { megabytes() } else { b"a line\n".to_vec() }
    }
}

pub fn directives(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().take(10).filter_map(|line| line.split_once("@ ")?.1.split_once(": "));
    lines.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

pub fn sources(language: &str, extension: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/languages").join(language);
    let all = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == extension)).collect();
    found.sort();
    found
}

impl Language {
    pub fn missing(&self) -> Option<String> {
        let absent = self.needs.iter().find(|path| !Path::new(path).exists());
        absent.map(|path| format!("{path} is not there: {} was not tried", self.name))
    }

    /// Built or copied to a place that everybody can read.
    pub fn program(&self, source: &Path) -> Program {
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

    pub fn bare(&self, program: &Program, args: &[&str]) -> (i32, bool, String) {
        let mut words = self.interpreter.iter().map(PathBuf::from).chain([program.file.clone()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(&program.args).args(args);
        finish(command, program)
    }
}

/// Runs it bare: status, whether that is a signal, and standard output.
pub fn finish(mut command: Command, program: &Program) -> (i32, bool, String) {
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

pub fn language(name: &str) -> &'static Language {
    LANGUAGES.iter().find(|language| language.name == name).unwrap()
}

/// All classes in one jar: `Dispatch` runs the one that it is told.
pub fn java_jar() -> Option<PathBuf> {
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

pub fn java_program(jar: &Path, source: &Path) -> Program {
    let name = source.file_stem().unwrap().to_str().unwrap().to_owned();
    let text = fs::read_to_string(source).unwrap();
    Program { args: vec![name.clone()], name, file: jar.to_owned(), directives: directives(&text) }
}

pub fn java_bare(program: &Program, args: &[&str]) -> (i32, bool, String) {
    let mut java = Command::new("/usr/bin/java");
    java.args(["-XX:-UsePerfData", "-jar"]).arg(&program.file).args(&program.args).args(args);
    finish(java, program)
}
