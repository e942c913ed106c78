//! What an ELF file needs in order to run, read without running it.
//!
//! Guarantees: any bytes give an answer or an [`ElfProblem`]; nothing is
//! executed or mapped; time and memory are bounded whatever the tables claim.
//! Only what the kernel and the loader read counts (program headers, dynamic
//! section); section headers are for debuggers and may say anything.
//!
//! Relies on nothing: the file may be hostile and may change while it is read.
//! A file that lies about its needs only fails in its own box.
//!
//! See elf(5), ld.so(8), and `load_elf_binary` in the kernel's fs/binfmt_elf.c.

mod dynamic;
mod ident;
mod problem;
mod reader;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::File;

use object::LittleEndian as LE;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::pod;

pub use problem::ElfProblem;
use reader::Reader;

/// The kernel refuses a program header table of more bytes than this.
const MAX_HEADERS: u64 = 65536;

/// The end of user space with four-level page tables; nothing is mapped above it.
const USER_END: u64 = 1 << 47;

/// A loader of the system, by the path that programs name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Interpreter {
    /// The GNU C library's.
    Glibc,
    /// musl's.
    Musl,
}

impl Interpreter {
    /// Every loader that a program may name.
    pub const ALL: [Self; 2] = [Self::Glibc, Self::Musl];

    /// The path in PT_INTERP, on every distribution.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Glibc => "/lib64/ld-linux-x86-64.so.2",
            Self::Musl => "/lib/ld-musl-x86_64.so.1",
        }
    }
}

/// Which of the symbols that matter here a file imports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Imports {
    /// These, out of [`WATCHED`] and [`UNWIND_PREFIX`].
    Known(BTreeSet<&'static str>),
    /// It could not be told within the limits: assume all of them.
    Unknown,
}

/// Imported symbols that make the C library open other files at run time.
pub const WATCHED: &[&str] = &[
    "backtrace",
    "dlmopen",
    "dlopen",
    "pthread_cancel",
    "pthread_create",
    "pthread_exit",
    "thrd_create",
    "thrd_exit",
];

/// Symbols of the stack unwinder, wherever they come from.
pub const UNWIND_PREFIX: &str = "_Unwind_";

impl Imports {
    /// Whether glibc may open `libgcc_s.so.1` on its own: cancelling or ending
    /// a thread and taking a backtrace unwind the stack with it, and abort the
    /// program when it is not there.
    #[must_use]
    pub fn unwinds(&self) -> bool {
        match self {
            Self::Known(names) => names.iter().any(|name| !name.starts_with("dl")),
            Self::Unknown => true,
        }
    }

    /// Whether the file itself can load libraries while it runs.
    #[must_use]
    pub fn loads_libraries(&self) -> bool {
        matches!(self, Self::Known(names) if names.contains("dlopen") || names.contains("dlmopen"))
    }
}

/// A program or library, as far as its start is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Who loads it; `None`: it is static, or a library.
    pub interpreter: Option<Interpreter>,
    /// DT_NEEDED, in order, each name once.
    pub needed: Vec<OsString>,
    /// DT_RPATH, as written.
    pub rpath: Option<OsString>,
    /// DT_RUNPATH, as written.
    pub runpath: Option<OsString>,
    /// DT_SONAME.
    pub soname: Option<OsString>,
    /// DF_1_PIE: a program although it looks like a library.
    pub pie: bool,
    /// Imported symbols that matter.
    pub imports: Imports,
    /// PT_GNU_STACK asks for an executable stack.
    pub executable_stack: bool,
    /// Size of the file.
    pub size: u64,
}

impl Elf {
    /// Whether it starts without a loader.
    #[must_use]
    pub const fn is_static(&self) -> bool {
        self.interpreter.is_none()
    }
}

/// Looks at a program that is to be run.
///
/// # Errors
/// Whatever makes it impossible to run, see [`ElfProblem`]. That a loader
/// exists on this host is not checked here.
pub fn inspect(file: &File) -> Result<Elf, ElfProblem> {
    let mut reader = open(file)?;
    let headers = Headers::read(&mut reader)?;
    let interpreter = match headers.interpreter(&mut reader)? {
        None => None,
        Some(path) => match Interpreter::ALL.into_iter().find(|known| known.path().as_bytes() == path) {
            None => return Err(ElfProblem::UnknownInterpreter(path.escape_ascii().to_string())),
            known => known,
        },
    };
    let elf = headers.describe(&mut reader, interpreter)?;
    if interpreter.is_none() {
        headers.check_static(&elf)?;
    }
    headers.check_entry()?;
    Ok(elf)
}

/// Looks at a shared library.
///
/// # Errors
/// Whatever makes it impossible to load as one.
pub fn inspect_library(file: &File) -> Result<Elf, ElfProblem> {
    let mut reader = open(file)?;
    let headers = Headers::read(&mut reader)?;
    let elf = headers.describe(&mut reader, None)?;
    if headers.kind != elf::ET_DYN || headers.dynamic.is_none() || elf.pie {
        return Err(ElfProblem::Malformed("it is a program, not a shared library".into()));
    }
    Ok(elf)
}

fn open(file: &File) -> Result<Reader<'_>, ElfProblem> {
    use std::os::unix::fs::FileTypeExt;
    let meta = file.metadata().map_err(|error| ElfProblem::Unreadable(error.to_string()))?;
    let kind = meta.file_type();
    let what = match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some("a directory"),
        () if kind.is_fifo() => Some("a pipe"),
        () if kind.is_socket() => Some("a socket"),
        () => Some("a device"),
    };
    match what {
        Some(what) => Err(ElfProblem::NotRegular(what)),
        None if meta.len() == 0 => Err(ElfProblem::Empty),
        None => Reader::new(file, meta.len()),
    }
}

/// A part of the file that is mapped at the start.
#[derive(Debug, Clone, Copy)]
struct Load {
    address: u64,
    offset: u64,
    in_file: u64,
    in_memory: u64,
    executable: bool,
}

struct Headers {
    kind: elf::FileType,
    entry: u64,
    loads: Vec<Load>,
    /// Offset and length of the loader's name.
    interpreter: Option<(u64, u64)>,
    /// Address and length of the dynamic section.
    dynamic: Option<(u64, u64)>,
    executable_stack: bool,
}

fn malformed<T>(what: impl Into<String>) -> Result<T, ElfProblem> {
    Err(ElfProblem::Malformed(what.into()))
}

impl Headers {
    fn read(reader: &mut Reader<'_>) -> Result<Self, ElfProblem> {
        ident::check(reader.head())?;
        let head = reader.bytes(0, size_of::<FileHeader64<LE>>() as u64, "the ELF header")?;
        let Ok((header, _)) = pod::from_bytes::<FileHeader64<LE>>(&head) else {
            return malformed("no ELF header");
        };
        let machine = header.e_machine.get(LE);
        if machine != elf::EM_X86_64 {
            return Err(ElfProblem::Foreign(problem::machine_name(machine.0)));
        }
        let kind = header.e_type.get(LE);
        match kind {
            elf::ET_EXEC | elf::ET_DYN => {}
            elf::ET_REL => return Err(ElfProblem::Object),
            elf::ET_CORE => return Err(ElfProblem::Core),
            other => return malformed(format!("unknown type of file {}", other.0)),
        }
        let count = u64::from(header.e_phnum.get(LE));
        let entry_size = size_of::<ProgramHeader64<LE>>() as u64;
        if count == 0 {
            return malformed("it has no program headers, so there is nothing to load");
        }
        if u64::from(header.e_phentsize.get(LE)) != entry_size {
            return malformed("program headers of an unknown size");
        }
        if count * entry_size > MAX_HEADERS {
            return malformed(format!("{count} program headers, more than the kernel accepts"));
        }
        let table = reader.table(header.e_phoff.get(LE), count, "the table of program headers")?;
        Self::sort(kind, header.e_entry.get(LE), &table, reader.size())
    }

    /// Takes from the program headers what the kernel and the loader use.
    fn sort(
        kind: elf::FileType,
        entry: u64,
        table: &[ProgramHeader64<LE>],
        size: u64,
    ) -> Result<Self, ElfProblem> {
        let mut headers = Self {
            kind,
            entry,
            loads: Vec::new(),
            interpreter: None,
            dynamic: None,
            executable_stack: false,
        };
        for header in table {
            let (offset, in_file) = (header.p_offset.get(LE), header.p_filesz.get(LE));
            let (address, in_memory) = (header.p_vaddr.get(LE), header.p_memsz.get(LE));
            let executable = header.p_flags.get(LE).contains(elf::PF_X);
            let what = match header.p_type.get(LE) {
                elf::PT_LOAD => "a loaded segment",
                elf::PT_DYNAMIC => "the dynamic section",
                elf::PT_INTERP => "the loader's name",
                elf::PT_GNU_STACK => {
                    headers.executable_stack = executable;
                    continue;
                }
                _ => continue,
            };
            let end = offset.saturating_add(in_file);
            if end > size {
                return Err(ElfProblem::Truncated { what, end, size });
            }
            match header.p_type.get(LE) {
                elf::PT_LOAD => {
                    if in_file > in_memory || address.saturating_add(in_memory) > USER_END {
                        return malformed(format!("a segment at {address:#x} that cannot be mapped"));
                    }
                    headers.loads.push(Load { address, offset, in_file, in_memory, executable });
                }
                // The kernel takes the first loader's name, the loader the last dynamic section.
                elf::PT_INTERP if headers.interpreter.is_none() => {
                    headers.interpreter = Some((offset, in_file))
                }
                elf::PT_DYNAMIC => headers.dynamic = Some((address, in_file)),
                _ => {}
            }
        }
        if headers.loads.is_empty() {
            return malformed("no segment to load");
        }
        Ok(headers)
    }

    /// PT_INTERP, as strictly as the kernel reads it.
    fn interpreter(&self, reader: &mut Reader<'_>) -> Result<Option<Vec<u8>>, ElfProblem> {
        /// The kernel's PATH_MAX, with the NUL.
        const MAX: u64 = 4096;
        let Some((offset, len)) = self.interpreter else { return Ok(None) };
        if !(2..=MAX).contains(&len) {
            return malformed(format!("a loader's name of {len} bytes"));
        }
        let mut path = reader.bytes(offset, len, "the loader's name")?;
        if path.pop() != Some(0) {
            return malformed("the loader's name does not end");
        }
        path.truncate(path.iter().position(|byte| *byte == 0).unwrap_or(path.len()));
        Ok(Some(path))
    }

    fn describe(&self, reader: &mut Reader<'_>, interpreter: Option<Interpreter>) -> Result<Elf, ElfProblem> {
        let size = reader.size();
        let dynamic = match self.dynamic {
            Some(place) => dynamic::read(reader, self, place)?,
            None => dynamic::Dynamic::default(),
        };
        Ok(Elf {
            interpreter,
            needed: dynamic.needed,
            rpath: dynamic.rpath,
            runpath: dynamic.runpath,
            soname: dynamic.soname,
            pie: dynamic.pie,
            imports: dynamic.imports,
            executable_stack: self.executable_stack,
            size,
        })
    }

    /// Where in the file lies what is mapped at this address?
    fn offset(&self, address: u64, len: u64) -> Option<u64> {
        let load = self.loads.iter().find(|load| {
            address >= load.address
                && address.saturating_add(len) <= load.address.saturating_add(load.in_file)
        })?;
        load.offset.checked_add(address - load.address)
    }

    /// Without a loader nobody finds libraries; only a program may have none.
    fn check_static(&self, elf: &Elf) -> Result<(), ElfProblem> {
        if self.kind == elf::ET_DYN
            && !elf.pie
            && (self.entry == 0 || elf.soname.is_some() || !elf.needed.is_empty())
        {
            return Err(ElfProblem::SharedLibrary);
        }
        match elf.needed.first() {
            Some(name) => Err(ElfProblem::NoInterpreter(name.as_encoded_bytes().escape_ascii().to_string())),
            None => Ok(()),
        }
    }

    fn check_entry(&self) -> Result<(), ElfProblem> {
        let inside = |load: &Load| {
            load.executable && (load.address..load.address + load.in_memory).contains(&self.entry)
        };
        // Address 0 is where a file says that it has none, even where code is mapped there.
        if self.entry != 0 && self.loads.iter().any(inside) {
            Ok(())
        } else {
            Err(ElfProblem::NoEntry(self.entry))
        }
    }
}
