//! What is said about files that are to be run, good, wrong and hostile.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test stops at the first surprise, and says why it was skipped"
)]

#[path = "elf/craft.rs"]
mod craft;
mod image_support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use craft::{Craft, GLIBC, at, put};
use image_support::{compile, directory, has, skip};
use stockade::error::{Error, Kind};
use stockade::image::elf::{Elf, ElfProblem, Imports, Interpreter, inspect, inspect_library};

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn look(bytes: &[u8]) -> Result<Elf, ElfProblem> {
    inspect(&file(bytes))
}

fn names(names: &[&str]) -> Vec<OsString> {
    names.iter().map(OsString::from).collect()
}

fn imports(names: &[&'static str]) -> Imports {
    Imports::Known(names.iter().copied().collect::<BTreeSet<_>>())
}

fn malformed(what: &str) -> Result<Elf, ElfProblem> {
    Err(ElfProblem::Malformed(what.into()))
}

#[test]
fn crafted_program_with_everything_is_described() {
    let mut wanted = Craft::program(&["libc.so.6", "libm.so.6", "libc.so.6"]);
    wanted.rpath = Some("/opt/a");
    wanted.runpath = Some("$ORIGIN/../lib");
    wanted.imports = vec!["pthread_create", "puts", "_Unwind_Resume", "backtrace_symbols", "dlopen"];
    wanted.stack = Some(7);
    let bytes = wanted.build();
    let elf = look(&bytes).unwrap();
    let expected = Elf {
        interpreter: Some(Interpreter::Glibc),
        needed: names(&["libc.so.6", "libm.so.6"]),
        rpath: Some("/opt/a".into()),
        runpath: Some("$ORIGIN/../lib".into()),
        soname: None,
        pie: true,
        imports: imports(&["pthread_create", "_Unwind_", "dlopen"]),
        executable_stack: true,
        size: bytes.len() as u64,
    };
    assert_eq!(elf, expected);
    assert!(elf.imports.unwinds() && elf.imports.loads_libraries());
}

#[test]
fn symbol_names_that_only_start_alike_are_not_watched() {
    let mut wanted = Craft::program(&["libc.so.6"]);
    wanted.imports = vec!["pthread_cancel_x", "xbacktrace", "pthread_exi"];
    assert_eq!(look(&wanted.build()).unwrap().imports, imports(&[]));
    wanted.imports.push("pthread_cancel");
    assert_eq!(look(&wanted.build()).unwrap().imports, imports(&["pthread_cancel"]));
}

#[test]
fn crafted_static_program_needs_nobody() {
    let program = Craft { bare: true, ..Craft::default() };
    let elf = look(&program.build()).unwrap();
    assert!(elf.is_static());
    assert_eq!(elf.needed, names(&[]));
    let pie = Craft { pie: true, ..Craft::default() };
    assert!(look(&pie.build()).unwrap().is_static());
}

#[test]
fn musl_program_names_musls_loader() {
    let mut program = Craft::program(&["libc.so"]);
    program.interpreter = Some("/lib/ld-musl-x86_64.so.1");
    assert_eq!(look(&program.build()).unwrap().interpreter, Some(Interpreter::Musl));
}

#[test]
fn file_that_is_no_elf_file_is_named_for_what_it_is() {
    let cases: &[(&[u8], ElfProblem)] = &[
        (b"", ElfProblem::Empty),
        (b"#!/usr/bin/env -S FOO=1 python3 -u\nprint(1)\n", ElfProblem::Script("python3".into())),
        (b"#! /bin/sh -e\n", ElfProblem::Script("sh".into())),
        (b"#!perl", ElfProblem::Script("perl".into())),
        (b"#!\n", ElfProblem::Script("?".into())),
        (b"int main(void) { return 0; }\n", ElfProblem::NotElf("a text file")),
        (b"\0\x01\x02\x03", ElfProblem::NotElf("an unknown kind of file")),
        (b"MZ\x90\0\x03", ElfProblem::NotElf("a Windows or DOS program")),
        (b"\xcf\xfa\xed\xfe\x07\0\0\x01", ElfProblem::NotElf("a macOS program")),
        (b"\xca\xfe\xba\xbe\0\0\0\x41", ElfProblem::NotElf("a Java class or a macOS program")),
        (b"\0asm\x01\0\0\0", ElfProblem::NotElf("a WebAssembly module")),
        (b"!<arch>\nfoo.o/", ElfProblem::NotElf("an archive (a static library or a package)")),
        (b"\x7fEL", ElfProblem::Truncated { what: "the ELF header", end: 64, size: 3 }),
    ];
    for (bytes, problem) in cases {
        assert_eq!(look(bytes), Err(problem.clone()), "{}", bytes.escape_ascii());
    }
    assert!(look(&Craft::program(&[]).build()).is_ok());
}

#[test]
fn patched_header_is_refused_for_its_one_reason() {
    type Patches<'a> = &'a [(usize, &'a [u8])];
    let good = Craft::program(&["libc.so.6"]).build();
    assert!(look(&good).is_ok());
    let cases: &[(Patches<'_>, ElfProblem)] = &[
        (&[(at::CLASS, &[1]), (at::MACHINE, &[3, 0])], ElfProblem::Bits32("Intel 80386".into())),
        (&[(at::CLASS, &[1]), (at::MACHINE, &[40, 0])], ElfProblem::Bits32("ARM (32-bit)".into())),
        (&[(at::CLASS, &[1])], ElfProblem::X32),
        (&[(at::CLASS, &[9])], ElfProblem::Malformed("unknown ELF class 9".into())),
        (&[(at::DATA, &[2]), (at::MACHINE, &[0, 22])], ElfProblem::BigEndian("IBM S/390".into())),
        (&[(at::DATA, &[2]), (at::MACHINE, &[0, 62])], ElfProblem::BigEndian("x86-64".into())),
        (&[(at::DATA, &[0])], ElfProblem::Malformed("unknown byte order 0".into())),
        (&[(at::VERSION, &[7])], ElfProblem::Malformed("unknown ELF version 7".into())),
        (&[(at::MACHINE, &[183, 0])], ElfProblem::Foreign("ARM (aarch64)".into())),
        (&[(at::MACHINE, &[243, 0])], ElfProblem::Foreign("RISC-V".into())),
        (&[(at::MACHINE, &[0x34, 0x12])], ElfProblem::Foreign("machine number 4660".into())),
        (&[(at::TYPE, &[1])], ElfProblem::Object),
        (&[(at::TYPE, &[4])], ElfProblem::Core),
        (&[(at::TYPE, &[0])], ElfProblem::Malformed("unknown type of file 0".into())),
        (&[(at::ENTRY, &[0; 8])], ElfProblem::NoEntry(0)),
        (&[(at::ENTRY, &[0, 0, 0, 0, 1])], ElfProblem::NoEntry(1 << 32)),
        (&[(at::LOAD + 4, &[4])], ElfProblem::NoEntry(u64::from_le_bytes(good[24..32].try_into().unwrap()))),
        (&[(at::PHENTSIZE, &[32])], ElfProblem::Malformed("program headers of an unknown size".into())),
        (
            &[(at::PHNUM, &[0, 0])],
            ElfProblem::Malformed("it has no program headers, so there is nothing to load".into()),
        ),
        (
            &[(at::PHNUM, &[0xff, 0xff])],
            ElfProblem::Malformed("65535 program headers, more than the kernel accepts".into()),
        ),
        (&[(at::LOAD, &[0])], ElfProblem::Malformed("no segment to load".into())),
        (
            &[(at::LOAD + 23, &[0xff])],
            ElfProblem::Malformed("a segment at 0xff00000000000000 that cannot be mapped".into()),
        ),
        (&[(at::LOAD + 40, &[0; 8])], ElfProblem::Malformed("a segment at 0x0 that cannot be mapped".into())),
    ];
    for (patches, problem) in cases {
        let mut bytes = good.clone();
        patches.iter().for_each(|(at, value)| put(&mut bytes, *at, value));
        assert_eq!(look(&bytes), Err(problem.clone()), "{patches:?}");
    }
}

#[test]
fn library_is_no_program_and_program_is_no_library() {
    let library = Craft::library("libx.so.1", &["libc.so.6"]).build();
    assert_eq!(look(&library), Err(ElfProblem::SharedLibrary));
    assert_eq!(inspect_library(&file(&library)).unwrap().soname, Some("libx.so.1".into()));
    // Old linkers give libraries an entry point: the SONAME tells.
    let with_entry = Craft { no_entry: false, ..Craft::library("libx.so.1", &[]) };
    assert_eq!(look(&with_entry.build()), Err(ElfProblem::SharedLibrary));
    let program = Craft::program(&["libc.so.6"]).build();
    let problem = ElfProblem::Malformed("it is a program, not a shared library".into());
    assert_eq!(inspect_library(&file(&program)), Err(problem));
    assert!(look(&program).is_ok());
}

#[test]
fn program_that_needs_libraries_without_a_loader_is_refused() {
    let program = Craft { pie: true, needed: vec!["libc.so.6"], ..Craft::default() };
    assert_eq!(look(&program.build()), Err(ElfProblem::NoInterpreter("libc.so.6".into())));
}

#[test]
fn loader_that_is_not_the_systems_is_refused_by_name() {
    for path in
        ["/tmp/ld.so", "/lib/ld-linux.so.2", "/nix/store/x/ld-linux-x86-64.so.2", "lib/ld.so", "/a\nb"]
    {
        let program = Craft { interpreter: Some(path), pie: true, ..Craft::default() };
        let shown = path.escape_debug().to_string();
        assert_eq!(look(&program.build()), Err(ElfProblem::UnknownInterpreter(shown)));
    }
    let trusted = Craft { interpreter: Some(GLIBC), pie: true, ..Craft::default() };
    assert!(look(&trusted.build()).is_ok());
}

#[test]
fn loader_name_that_the_kernel_refuses_is_refused() {
    let good = Craft::program(&[]).build();
    // The second program header: PT_INTERP; its size is at 32.
    let size = at::LOAD + 56 + 32;
    let mut unended = good.clone();
    put(&mut unended, size, &(GLIBC.len() as u64).to_le_bytes());
    assert_eq!(look(&unended), malformed("the loader's name does not end"));
    let mut empty = good.clone();
    put(&mut empty, size, &1_u64.to_le_bytes());
    assert_eq!(look(&empty), malformed("a loader's name of 1 bytes"));
    let mut long = good.clone();
    put(&mut long, size, &5000_u64.to_le_bytes());
    let truncated = matches!(look(&long), Err(ElfProblem::Truncated { what: "the loader's name", .. }));
    assert!(truncated, "{:?}", look(&long));
    long.resize(good.len() + 8000, 0);
    assert_eq!(look(&long), malformed("a loader's name of 5000 bytes"));
    assert!(look(&good).is_ok());
}

/// Where an entry of this tag lies in a crafted file.
fn dynamic_entry(bytes: &[u8], tag: u64) -> usize {
    let header = (0..8).map(|i| at::LOAD + 56 * i).find(|at| bytes[*at] == 2).unwrap();
    let start = u64::from_le_bytes(bytes[header + 8..header + 16].try_into().unwrap()) as usize;
    (start..bytes.len()).step_by(16).find(|at| bytes[*at..at + 8] == tag.to_le_bytes()).unwrap()
}

#[test]
fn hostile_dynamic_section_is_refused_for_its_one_reason() {
    let mut craft = Craft::program(&["libc.so.6"]);
    craft.imports = vec!["pthread_cancel"];
    let good = craft.build();
    assert!(look(&good).is_ok());
    let (needed, strings, size, symbols, relocations, relocations_size) = (1, 5, 10, 6, 7, 8);
    let far = 0x7000_0000_u64;
    let cases = [
        (needed, far, malformed("a needed library's name lies outside the string table")),
        (strings, far, malformed("its string table is not loaded")),
        (strings, u64::MAX, malformed("its string table is not loaded")),
        (strings, 0, malformed("its string table is not loaded")),
        (size, 3, malformed("a needed library's name does not end")),
        (size, u64::MAX, malformed("its string table is not loaded")),
        (symbols, far, malformed("its symbol table is not loaded")),
        (symbols, 0, malformed("its symbol table is not loaded")),
        (relocations, far, malformed("its relocations are not loaded")),
        (relocations_size, 24 * 100_000, malformed("its relocations are not loaded")),
    ];
    for (tag, value, problem) in cases {
        let mut bytes = good.clone();
        let entry = dynamic_entry(&bytes, tag);
        put(&mut bytes, entry + 8, &value.to_le_bytes());
        assert_eq!(look(&bytes), problem, "tag {tag} = {value:#x}");
    }
    let mut unended = good.clone();
    let end = dynamic_entry(&unended, 0);
    put(&mut unended, end, &0x6fff_fef5_u64.to_le_bytes());
    assert_eq!(look(&unended), malformed("its dynamic section does not end"));
}

#[test]
fn symbols_beyond_every_limit_count_as_imported() {
    let mut craft = Craft::program(&["libc.so.6"]);
    craft.imports = vec!["puts"];
    let good = craft.build();
    assert!(!look(&good).unwrap().imports.unwinds());
    for (tag, value) in [(8, u64::MAX), (11, 25)] {
        let mut bytes = good.clone();
        let entry = dynamic_entry(&bytes, tag);
        put(&mut bytes, entry + 8, &u64::to_le_bytes(value));
        let elf = look(&bytes).unwrap();
        assert_eq!((elf.imports.clone(), elf.imports.unwinds()), (Imports::Unknown, true), "tag {tag}");
    }
}

#[test]
fn huge_sparse_file_with_huge_tables_costs_little() {
    let mut craft = Craft::program(&["libc.so.6"]);
    craft.imports = vec!["puts"];
    let mut bytes = craft.build();
    let huge = 1_u64 << 40;
    // The segment claims the whole file, the tables claim gigabytes of it.
    put(&mut bytes, at::LOAD + 32, &huge.to_le_bytes());
    put(&mut bytes, at::LOAD + 40, &huge.to_le_bytes());
    for (tag, value) in [(10, 15 << 20), (8, 24 << 18)] {
        let entry = dynamic_entry(&bytes, tag);
        put(&mut bytes, entry + 8, &u64::to_le_bytes(value));
    }
    let file = file(&bytes);
    if file.set_len(huge).is_err() {
        return skip("huge_sparse_file", "this file system has no files of 1 TiB");
    }
    let start = Instant::now();
    assert_eq!(inspect(&file).unwrap().needed, names(&["libc.so.6"]));
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[test]
fn program_cut_anywhere_is_truncated() {
    let mut craft = Craft::program(&["libc.so.6", "libm.so.6"]);
    craft.imports = vec!["pthread_cancel"];
    let bytes = craft.build();
    assert!(look(&bytes).is_ok());
    assert_eq!(look(&[]), Err(ElfProblem::Empty));
    for len in 1..bytes.len() {
        let found = look(&bytes[..len]);
        assert!(
            matches!(found, Err(ElfProblem::Truncated { size, .. }) if size == len as u64),
            "{len}: {found:?}"
        );
    }
}

#[test]
fn thing_that_is_no_regular_file_is_named() {
    let dir = directory();
    assert_eq!(inspect(&File::open(dir.path()).unwrap()), Err(ElfProblem::NotRegular("a directory")));
    assert_eq!(inspect(&File::open("/dev/null").unwrap()), Err(ElfProblem::NotRegular("a device")));
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let open = std::fs::OpenOptions::new().read(true).custom_flags(nix::libc::O_NONBLOCK).open(pipe).unwrap();
    assert_eq!(inspect(&open), Err(ElfProblem::NotRegular("a pipe")));
}

#[test]
fn every_problem_is_one_line_and_says_what_to_do() {
    let problems = [
        ElfProblem::NotRegular("a pipe"),
        ElfProblem::Unreadable("permission denied".into()),
        ElfProblem::Empty,
        ElfProblem::Script("python3".into()),
        ElfProblem::NotElf("a text file"),
        ElfProblem::Bits32("Intel 80386".into()),
        ElfProblem::X32,
        ElfProblem::BigEndian("IBM S/390".into()),
        ElfProblem::Foreign("ARM (aarch64)".into()),
        ElfProblem::Object,
        ElfProblem::Core,
        ElfProblem::SharedLibrary,
        ElfProblem::NoEntry(0),
        ElfProblem::NoInterpreter("libc.so.6".into()),
        ElfProblem::Truncated { what: "a loaded segment", end: 9, size: 5 },
        ElfProblem::Malformed("x".into()),
        ElfProblem::UnknownInterpreter("/x".into()),
        ElfProblem::MissingInterpreter("/lib/ld-musl-x86_64.so.1"),
    ];
    let mut seen = BTreeSet::new();
    for problem in problems {
        let error = Error::from(problem);
        let help = error.help_text().unwrap();
        assert_eq!(error.kind(), Kind::NotRunnable);
        for text in [error.message(), help] {
            assert!(
                !text.contains('\n') && !text.ends_with('.') && text.starts_with(char::is_lowercase),
                "{text}"
            );
        }
        assert!(seen.insert(error.message().to_owned()), "{error}");
    }
    let script = Error::from(ElfProblem::Script("python3".into()));
    assert!(
        script.message().contains("python3") && script.help_text().unwrap().contains("policy"),
        "{script}"
    );
}

#[test]
fn compiled_programs_are_described_as_they_were_linked() {
    if !has("gcc") {
        return skip("compiled_programs", "no gcc");
    }
    let dir = directory();
    let look = |source, options: &[&str]| inspect(&File::open(compile(dir.path(), source, options)).unwrap());
    let hello = look("hello.c", &[]).unwrap();
    assert_eq!((hello.interpreter, hello.needed), (Some(Interpreter::Glibc), names(&["libc.so.6"])));
    assert_eq!((hello.imports, hello.executable_stack), (imports(&[]), false));
    assert!(look("hello.c", &["-static"]).unwrap().is_static());
    assert!(look("hello.c", &["-static-pie"]).unwrap().is_static());
    let fixed = look("hello.c", &["-no-pie", "-Wl,-z,execstack"]).unwrap();
    assert_eq!((fixed.pie, fixed.executable_stack), (false, true));
    let rpath = look("hello.c", &["-Wl,--disable-new-dtags,-rpath,/opt/x"]).unwrap();
    assert_eq!((rpath.rpath, rpath.runpath), (Some("/opt/x".into()), None));
    let runpath = look("hello.c", &["-Wl,--enable-new-dtags,-rpath,$ORIGIN/x"]).unwrap();
    assert_eq!((runpath.rpath, runpath.runpath), (None, Some("$ORIGIN/x".into())));
    // Each way of writing the symbol tables.
    for style in ["gnu", "sysv", "both"] {
        for pie in ["-pie", "-no-pie"] {
            let cancel = look("cancel.c", &["-pthread", &format!("-Wl,--hash-style={style}"), pie]).unwrap();
            assert_eq!(cancel.imports, imports(&["pthread_cancel", "pthread_create"]), "{style} {pie}");
        }
    }
    assert_eq!(look("hello.c", &["-c"]), Err(ElfProblem::Object));
    assert_eq!(look("private.c", &["-shared"]), Err(ElfProblem::SharedLibrary));
}

#[test]
fn real_program_is_truncated_where_it_loses_what_is_loaded() {
    let bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    assert!(look(&bytes).is_ok());
    let found = look(&bytes[..100_000]);
    assert!(matches!(found, Err(ElfProblem::Truncated { what: "a loaded segment", .. })), "{found:?}");
    // Section headers and debug information are nobody's need: the kernel runs it without them.
    assert!(look(&bytes[..bytes.len() - 100]).is_ok());
}
