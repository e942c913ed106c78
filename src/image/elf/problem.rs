//! Why a file cannot be run, told so that its author can mend it.

use std::fmt;

use object::elf;

use crate::error::{Error, Kind};

/// What is wrong with a file that was to be run (or with a library).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ElfProblem {
    /// A directory, a device, a pipe: it has no bytes of its own.
    NotRegular(&'static str),
    /// The file could not be read; the system's words.
    Unreadable(String),
    /// It has no bytes.
    Empty,
    /// It starts with `#!`; the interpreter's name.
    Script(String),
    /// Something else altogether; what it looks like.
    NotElf(&'static str),
    /// 32-bit code of this machine.
    Bits32(String),
    /// 64-bit instructions with 32-bit pointers: another system call table.
    X32,
    /// Numbers stored the other way round, of this machine.
    BigEndian(String),
    /// Code for this machine.
    Foreign(String),
    /// The output of a compiler, not of a linker.
    Object,
    /// A memory dump.
    Core,
    /// A library: nothing to start.
    SharedLibrary,
    /// The entry point does not lie in executable code.
    NoEntry(u64),
    /// Needs libraries and names nobody to load them.
    NoInterpreter(String),
    /// Something that must be in the file lies beyond its end.
    Truncated {
        /// What it is.
        what: &'static str,
        /// Where it would end.
        end: u64,
        /// Where the file ends.
        size: u64,
    },
    /// A table contradicts itself or exceeds what any real program has.
    Malformed(String),
    /// The program wants a loader that is not one of the system's.
    UnknownInterpreter(String),
    /// The program wants a system loader that this host lacks.
    MissingInterpreter(&'static str),
}

impl ElfProblem {
    /// What to do about it.
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::NotRegular(_) => "give the path of a compiled program".into(),
            Self::Unreadable(_) => "check its permissions: the caller must be able to read it".into(),
            Self::Empty => "check that the compiler and the upload finished".into(),
            Self::Script(name) => {
                format!(
                    "use a policy for that language: the program to start is then '{name}', not the script"
                )
            }
            Self::NotElf(_) => "compile it for 64-bit Linux on x86, or use a policy for its language".into(),
            Self::Bits32(_) | Self::X32 => "compile it for 64-bit x86 (gcc -m64)".into(),
            Self::BigEndian(_) | Self::Foreign(_) => "compile it for 64-bit Linux on x86 (x86_64)".into(),
            Self::Object => "link it: gcc file.o -o program".into(),
            Self::Core => "give the program, not its dump".into(),
            Self::SharedLibrary => "link a program with a main function (without -shared)".into(),
            Self::NoEntry(_) => "link it with an entry point (_start, which calls main)".into(),
            Self::NoInterpreter(_) => "link it as a normal dynamic program, or with -static".into(),
            Self::Truncated { .. } => "copy or upload it again: part of it is missing".into(),
            Self::Malformed(_) => "link it again with an ordinary linker".into(),
            Self::UnknownInterpreter(_) => format!(
                "link it on an ordinary distribution, statically, or with the loader {} or {}",
                super::Interpreter::Glibc.path(),
                super::Interpreter::Musl.path()
            ),
            Self::MissingInterpreter(_) => {
                "install that C library on this host, or link the program statically".into()
            }
        }
    }
}

impl fmt::Display for ElfProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotRegular(what) => write!(f, "the program is {what}, not a regular file"),
            Self::Unreadable(why) => write!(f, "the program cannot be read: {why}"),
            Self::Empty => f.write_str("the program is an empty file"),
            Self::Script(name) => write!(f, "the program is a script for '{name}', not a compiled program"),
            Self::NotElf(what) => write!(f, "the program is {what}, not an ELF file"),
            Self::Bits32(machine) => write!(f, "the program is 32-bit code for {machine}"),
            Self::X32 => f.write_str("the program uses the x32 ABI (32-bit pointers on x86-64)"),
            Self::BigEndian(machine) => write!(f, "the program is big-endian code for {machine}"),
            Self::Foreign(machine) => write!(f, "the program is code for {machine}, not for x86-64"),
            Self::Object => f.write_str("the program is an object file that was never linked"),
            Self::Core => f.write_str("the program is a core dump"),
            Self::SharedLibrary => f.write_str("the program is a shared library without an entry point"),
            Self::NoEntry(at) => write!(f, "the program's entry point {at:#x} is not in executable code"),
            Self::NoInterpreter(needed) => {
                write!(f, "the program needs '{needed}' and names no loader (no PT_INTERP)")
            }
            Self::Truncated { what, end, size } => {
                write!(f, "the program is truncated: {what} ends at byte {end}, the file at byte {size}")
            }
            Self::Malformed(what) => write!(f, "the program is malformed: {what}"),
            Self::UnknownInterpreter(path) => {
                write!(f, "the program wants the loader '{path}', which is not a system loader")
            }
            Self::MissingInterpreter(path) => {
                write!(f, "the program wants the loader '{path}', which this host does not have")
            }
        }
    }
}

impl std::error::Error for ElfProblem {}

impl From<ElfProblem> for Error {
    fn from(problem: ElfProblem) -> Self {
        Error::new(Kind::NotRunnable, problem.to_string()).help(problem.help())
    }
}

/// The name of a machine, for people.
pub(super) fn machine_name(number: u16) -> String {
    let name = match elf::Machine(number) {
        elf::EM_386 => "Intel 80386",
        elf::EM_X86_64 => "x86-64",
        elf::EM_ARM => "ARM (32-bit)",
        elf::EM_AARCH64 => "ARM (aarch64)",
        elf::EM_RISCV => "RISC-V",
        elf::EM_PPC => "PowerPC",
        elf::EM_PPC64 => "PowerPC (64-bit)",
        elf::EM_S390 => "IBM S/390",
        elf::EM_MIPS => "MIPS",
        elf::EM_LOONGARCH => "LoongArch",
        elf::EM_SPARC | elf::EM_SPARC32PLUS => "SPARC",
        elf::EM_SPARCV9 => "SPARC (64-bit)",
        elf::EM_IA_64 => "Intel Itanium",
        elf::EM_ALPHA => "Alpha",
        elf::EM_68K => "Motorola 68000",
        elf::EM_PARISC => "HP PA-RISC",
        elf::EM_SH => "SuperH",
        elf::EM_XTENSA => "Xtensa",
        elf::EM_AVR => "AVR",
        elf::EM_MSP430 => "MSP430",
        elf::EM_BPF => "Linux BPF",
        elf::EM_AMDGPU => "AMD GPU",
        elf::EM_CUDA => "NVIDIA CUDA",
        _ => return format!("machine number {number}"),
    };
    name.to_owned()
}

/// What a file that is no ELF file looks like, from its first bytes (not empty, no `#!`).
pub(super) fn looks_like(head: &[u8]) -> &'static str {
    const MAGICS: &[(&[u8], &str)] = &[
        (b"MZ", "a Windows or DOS program"),
        (b"\xfe\xed\xfa\xce", "a macOS program"),
        (b"\xfe\xed\xfa\xcf", "a macOS program"),
        (b"\xce\xfa\xed\xfe", "a macOS program"),
        (b"\xcf\xfa\xed\xfe", "a macOS program"),
        (b"\xca\xfe\xba\xbe", "a Java class or a macOS program"),
        (b"\0asm", "a WebAssembly module"),
        (b"BC\xc0\xde", "LLVM bitcode"),
        (b"!<arch>\n", "an archive (a static library or a package)"),
        (b"PK\x03\x04", "a zip or jar archive"),
        (b"\x1f\x8b", "a gzip file"),
        (b"\xfd7zXZ\0", "an xz file"),
        (b"\x28\xb5\x2f\xfd", "a zstd file"),
        (b"BZh", "a bzip2 file"),
        (b"%PDF-", "a PDF document"),
    ];
    if let Some((_, what)) = MAGICS.iter().find(|(magic, _)| head.starts_with(magic)) {
        return what;
    }
    let text = |b: &u8| matches!(b, b'\t' | b'\n' | b'\r' | 0x0c | 0x20..=0x7e | 0x80..=0xff);
    if head.iter().all(text) { "a text file" } else { "an unknown kind of file" }
}
