//! Compilers in a box: what they make runs, what would hurt does not.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Caller, Ran, leaves_of, run, skip};

/// A policy, the compiler it needs, and the file name of a source.
const COMPILERS: &[(&str, &str, &str)] = &[
    ("compile-c", "/usr/bin/gcc", "main.c"),
    ("compile-cpp", "/usr/bin/g++", "main.cpp"),
    ("compile-rust", "/usr/bin/rustc", "main.rs"),
    ("compile-go", "/usr/bin/go", "main.go"),
    ("compile-java", "/usr/bin/javac", "Main.java"),
];

/// A program for each that counts the words of its stdin and ends with status 1.
const WORDS: &[(&str, &str)] = &[
    (
        "compile-c",
        r#"#include <stdio.h>
int main(void) { char w[99]; int n = 0; while (scanf("%98s", w) == 1) n++; printf("%d\n", n); return 1; }"#,
    ),
    (
        "compile-cpp",
        r#"#include <bits/stdc++.h>
int main() { std::vector<std::string> v{std::istream_iterator<std::string>(std::cin), {}}; std::cout << v.size() << '\n'; return 1; }"#,
    ),
    (
        "compile-rust",
        r#"use std::io::Read;
fn main() { let mut s = String::new(); std::io::stdin().read_to_string(&mut s).unwrap(); println!("{}", s.split_whitespace().count()); std::process::exit(1); }"#,
    ),
    (
        "compile-go",
        "package main\nimport (\"bufio\"; \"fmt\"; \"os\")\nfunc main() { s := bufio.NewScanner(os.Stdin); s.Split(bufio.ScanWords); n := 0; for s.Scan() { n++ }; fmt.Println(n); os.Exit(1) }\n",
    ),
    (
        "compile-java",
        "public class Main { public static void main(String[] a) { var s = new java.util.Scanner(System.in); int n = 0; while (s.hasNext()) { s.next(); n++; } System.out.println(n); System.exit(1); } }\n",
    ),
];

fn source(caller: Caller, name: &str, text: &str) -> PathBuf {
    // Tests run at the same time.
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let dir = caller.home().join(format!("sources-{number}"));
    fs::create_dir_all(&dir).unwrap();
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn compile(caller: Caller, policy: &str, name: &str, text: &str, out: &Path, options: &[&str]) -> Ran {
    let out = format!("{}:/out", out.display());
    let all = ["--policy", policy, "--out", &out].into_iter().chain(options.iter().copied());
    run(caller, source(caller, name, text)).options(all).go()
}

fn fresh(caller: Caller, name: &str) -> PathBuf {
    let dir = caller.home().join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    dir
}

/// The class files of a directory as a jar with `Main` in it.
fn jar(out: &Path) -> PathBuf {
    let jar = out.join("main.jar");
    let made = std::process::Command::new("/usr/bin/jar")
        .args(["--create", "--main-class", "Main", "--file"])
        .arg(&jar)
        .arg("-C")
        .arg(out)
        .arg("Main.class")
        .status()
        .unwrap();
    assert!(made.success());
    jar
}

#[test]
fn compiled_program_of_the_box_runs_in_the_next_box() {
    for (policy, compiler, name) in COMPILERS {
        if !Path::new(compiler).exists() {
            skip(&format!("{compiler} is not there"));
            continue;
        }
        let text = WORDS.iter().find(|w| w.0 == *policy).unwrap().1;
        for caller in Caller::all() {
            let out = fresh(caller, policy);
            let made = compile(caller, policy, name, text, &out, &[]);
            assert_eq!((made.status, made.stderr.as_str()), (0, ""), "{}", made.all());
            assert_eq!(made.report["outputs"][0]["files"], 1, "{}", made.all());
            let ran = if *policy == "compile-java" {
                run(caller, jar(&out)).options(["--policy", "java"])
            } else {
                run(caller, out.join("main"))
            };
            let ran = ran.stdin("4 9 4").go();
            assert_eq!((ran.status, ran.text().as_str()), (1, "3\n"), "{}", ran.all());
        }
    }
}

#[test]
fn compiler_that_finds_an_error_says_so_and_leaves_nothing() {
    for (policy, compiler, name) in COMPILERS {
        if !Path::new(compiler).exists() {
            skip(&format!("{compiler} is not there"));
            continue;
        }
        let caller = Caller::all()[0];
        let out = fresh(caller, "wrong");
        let made = compile(caller, policy, name, "this is no program\n", &out, &[]);
        assert_eq!((made.status, made.verdict()), (1, "nonzero_exit"), "{}", made.all());
        let own = made.stderr.to_lowercase();
        assert!(own.contains("main."), "{}", made.stderr);
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0);
        assert_eq!(made.report["outputs"][0]["files"], 0);
    }
}

/// What the host has, and no box may show.
fn secret(caller: Caller) -> (PathBuf, &'static str) {
    let path = caller.home().join("secret.h");
    fs::write(&path, "TheSecretOfTheHost x;\n").unwrap();
    (path, "TheSecretOfTheHost")
}

#[test]
fn compile_includes_reach_nothing_of_the_host() {
    if !Path::new("/usr/bin/gcc").exists() {
        return skip("/usr/bin/gcc is not there");
    }
    for caller in Caller::all() {
        let (path, secret) = secret(caller);
        let shadow = format!("#include \"{}\"\n", path.display());
        // The control: bare, the compiler shows the line.
        let main = source(caller, "control.c", &shadow);
        let bare =
            std::process::Command::new("/usr/bin/gcc").arg("-fsyntax-only").arg(&main).output().unwrap();
        let said = String::from_utf8_lossy(&bare.stderr);
        assert!(said.contains(secret), "{said}");
        for text in [shadow.as_str(), "#include \"/etc/shadow\"\n", "#include \"/etc/hostname\"\n"] {
            let out = fresh(caller, "include");
            let made = compile(caller, "compile-c", "main.c", text, &out, &[]);
            assert_eq!(made.verdict(), "nonzero_exit", "{}", made.all());
            assert!(made.stderr.contains("No such file or directory"), "{}", made.stderr);
            assert!(!made.stderr.contains(secret), "{}", made.stderr);
        }
        // The box's own accounts, and not the host's.
        let out = fresh(caller, "include");
        let made = compile(caller, "compile-c", "main.c", "#include \"/etc/passwd\"\n", &out, &[]);
        assert_eq!(made.verdict(), "nonzero_exit", "{}", made.all());
        assert!(!made.stderr.contains("root:x:0:0:root:/root"), "{}", made.stderr);
    }
}

/// A source that hurts its compiler, the options of the box, and how that ends.
type Bomb<'a> = (&'static str, &'static str, &'a str, &'a [&'a str], &'static str);

const TEMPLATES: &str =
    "template<int N, long M> struct F { static const long v = F<N - 1, 2 * M>::v + F<N - 1, 2 * M + 1>::v; };
template<long M> struct F<0, M> { static const long v = M; };
long v = F<28, 1>::v; int main() {}
";
const CONSTANT: &str =
    "constexpr long f(long n) { long s = 0; for (long i = 0; i < n; i++) s += i % 7; return s; }
constexpr long a = f(2000000000); int main() {}
";
const MACRO: &str = "macro_rules! m { ($($t:tt)*) => { m!($($t)* $($t)* x) } }\nfn main() { m!(x); }\n";
const CONST_FN: &str = "const fn f() -> u64 { let mut i = 0u64; while i < 1 << 40 { i += 1; } i }
static A: u64 = f();
fn main() { println!(\"{A}\"); }
";
const EMBED: &str =
    "package main\nimport _ \"embed\"\n//go:embed /etc/passwd\nvar s string\nfunc main() { println(s) }\n";

/// So many types inside each other, two of each in the next.
fn generics() -> String {
    let types = (1..26).map(|i| format!("type A{i}[T any] struct{{ a A{0}[[2]T]; b A{0}[[3]T] }}\n", i - 1));
    let types: String = types.collect();
    format!(
        "package main\ntype A0[T any] struct{{ a, b T }}\n{types}var x A25[int]\nfunc main() {{ println(&x) }}\n"
    )
}

/// An expression so deep that the compiler has no stack left for it.
fn expression() -> String {
    let (open, close) = ("-(".repeat(20_000), ")".repeat(20_000));
    format!("public class Main {{ static int f() {{ return {open}1{close}; }} }}\n")
}

#[test]
fn compile_bombs_end_with_one_verdict_each_and_leave_nothing() {
    let (generics, expression) = (generics(), expression());
    let zero = "#include \"/dev/zero\"\n";
    let bytes =
        "static Z: &[u8] = include_bytes!(\"/dev/zero\");\nfn main() { println!(\"{}\", Z.len()); }\n";
    let big = "int a[1L << 34] = {1};\nint main() { return a[5]; }\n";
    let memory: &[&str] = &["--memory", "512MiB", "--cpu-time", "60s", "--wall-time", "120s"];
    let time: &[&str] = &["--memory", "2GiB", "--cpu-time", "1s", "--wall-time", "120s"];
    let cases: [Bomb<'_>; 11] = [
        ("compile-c", "device", zero, memory, "memory_limit"),
        ("compile-cpp", "device", zero, memory, "memory_limit"),
        ("compile-cpp", "templates", TEMPLATES, time, "cpu_limit"),
        ("compile-cpp", "constant", CONSTANT, &[], "nonzero_exit"),
        ("compile-cpp", "large", big, &[], "nonzero_exit"),
        ("compile-rust", "device", bytes, memory, "memory_limit"),
        ("compile-rust", "macro", MACRO, memory, "memory_limit"),
        ("compile-rust", "constant", CONST_FN, &[], "nonzero_exit"),
        ("compile-go", "embedded", EMBED, &[], "nonzero_exit"),
        ("compile-go", "generics", &generics, time, "cpu_limit"),
        ("compile-java", "expression", &expression, &[], "nonzero_exit"),
    ];
    // A user's boxes have no exact limits on hosts where no cgroup is theirs.
    let caller = Caller::all()[0];
    for (policy, what, text, options, verdict) in cases {
        let (_, compiler, name) = COMPILERS.iter().find(|c| c.0 == policy).unwrap();
        if !Path::new(compiler).exists() {
            skip(&format!("{compiler} is not there"));
            continue;
        }
        let out = fresh(caller, "bomb");
        let made = compile(caller, policy, name, text, &out, options);
        assert_eq!(made.verdict(), verdict, "{policy} {what}: {}", made.all());
        assert_eq!(made.status == 124, verdict != "nonzero_exit", "{policy} {what}: {}", made.all());
        assert_eq!(fs::read_dir(&out).unwrap().count(), 0, "{policy} {what}");
        assert_eq!(made.report["cleanup"]["ok"], true, "{policy} {what}: {}", made.all());
        assert_eq!(leaves_of(made.pid), [""; 0], "{policy} {what}");
    }
}

/// More code than fits into one unit: the compiler has a thread for each that it makes at a time.
fn units() -> String {
    let modules: String = (0..16)
        .map(|n| format!("mod m{n} {{ #[inline(never)] pub fn f(x: u64) -> u64 {{ let mut v: Vec<u64> = (0..x).map(|y| y * {n}).collect(); v.sort(); println!(\"{{v:?}}\"); v.len() as u64 }} }}\n"))
        .collect();
    let calls: String = (0..16).map(|n| format!(" + m{n}::f(2)")).collect();
    format!("{modules}fn main() {{ std::process::exit((0{calls}) as i32); }}\n")
}

#[test]
fn source_of_many_units_is_compiled_within_the_processes_of_the_policy() {
    if !Path::new("/usr/bin/rustc").exists() {
        return skip("no /usr/bin/rustc here");
    }
    let caller = Caller::all()[0];
    let out = fresh(caller, "units");
    let few = compile(caller, "compile-rust", "main.rs", &units(), &out, &["--processes", "8"]);
    assert_ne!(few.verdict(), "ok", "{}", few.all());
    if caller.has_cgroup() {
        assert_eq!(few.report["limits_hit"][0], "processes", "{}", few.all());
    }
    let built = compile(caller, "compile-rust", "main.rs", &units(), &out, &[]);
    assert_eq!(built.verdict(), "ok", "{}", built.all());
    assert_eq!(run(caller, out.join("main")).go().status, 32);
}

#[test]
fn compiler_starts_its_own_programs_and_has_no_other() {
    if !Path::new("/usr/bin/gcc").exists() {
        return skip("/usr/bin/gcc is not there");
    }
    let caller = Caller::all()[0];
    let out = fresh(caller, "programs");
    let made = compile(caller, "compile-c", "main.c", "int main(void) { return 0; }\n", &out, &[]);
    assert_eq!(made.status, 0, "{}", made.all());
    // gcc, cc1, collect2, as and ld.
    assert_eq!(made.report["image"]["programs"], 5, "{}", made.all());
    // What was made there cannot be started there: the place is mounted noexec.
    let plugin = "-fplugin=/out/x.so";
    let ran = run(caller, source(caller, "main.c", "int main(void) { return 0; }\n"))
        .options(["--policy", "compile-c"])
        .args(["-wrapper", "/bin/sh,-c,id", plugin])
        .go();
    assert_ne!(ran.status, 0, "{}", ran.all());
    assert!(!ran.text().contains("uid="), "{}", ran.all());
}
