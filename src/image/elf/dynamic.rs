//! The dynamic section: what the loader reads, through the loader's eyes.
//!
//! Addresses are translated by the loaded segments, because that is where the
//! loader looks; an offset that says something else is never believed.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use object::LittleEndian as LE;
use object::elf::{self, Dyn64, Rela64, Sym64};

use super::reader::Reader;
use super::{ElfProblem, Headers, Imports, UNWIND_PREFIX, WATCHED, malformed};

/// The most entries: real ones have 20 to 200, the largest a few hundred DT_NEEDED.
const MAX_ENTRIES: u64 = 4096;

/// The longest string: a whole path, with its NUL.
const MAX_STRING: u64 = 4096;

/// The most symbols and relocations looked at; LLVM's library has 60,000.
const MAX_SYMBOLS: u64 = 1 << 18;

/// Names are read in one piece up to this size (and not at all beyond it).
const MAX_STRINGS: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct Dynamic {
    pub(super) needed: Vec<OsString>,
    pub(super) rpath: Option<OsString>,
    pub(super) runpath: Option<OsString>,
    pub(super) soname: Option<OsString>,
    pub(super) pie: bool,
    pub(super) imports: Imports,
}

impl Default for Dynamic {
    fn default() -> Self {
        Self {
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            soname: None,
            pie: false,
            imports: Imports::Known(BTreeSet::new()),
        }
    }
}

/// Addresses of the tables; 0: absent.
#[derive(Debug, Default)]
struct Tables {
    strings: u64,
    strings_size: u64,
    symbols: u64,
    symbol_size: u64,
    relocations: u64,
    relocations_size: u64,
    /// How many of them, the first ones, name no symbol.
    relative: u64,
    /// The relocations of function calls.
    calls: u64,
    calls_size: u64,
}

pub(super) fn read(
    reader: &mut Reader<'_>,
    headers: &Headers,
    (address, len): (u64, u64),
) -> Result<Dynamic, ElfProblem> {
    let count = len / size_of::<Dyn64<LE>>() as u64;
    if count > MAX_ENTRIES {
        return malformed(format!("a dynamic section of {count} entries"));
    }
    let Some(offset) = headers.offset(address, len) else {
        return malformed("its dynamic section is not loaded");
    };
    let entries: Vec<Dyn64<LE>> = reader.table(offset, count, "the dynamic section")?;
    let mut tables = Tables::default();
    let mut dynamic = Dynamic::default();
    let (mut needed, mut rpath, mut runpath, mut soname) = (Vec::new(), None, None, None);
    let mut ended = false;
    for entry in &entries {
        let value = entry.d_val.get(LE);
        match entry.d_tag.get(LE) {
            elf::DT_NULL => {
                ended = true;
                break;
            }
            elf::DT_NEEDED => needed.push(value),
            elf::DT_RPATH => rpath = Some(value),
            elf::DT_RUNPATH => runpath = Some(value),
            elf::DT_SONAME => soname = Some(value),
            elf::DT_STRTAB => tables.strings = value,
            elf::DT_STRSZ => tables.strings_size = value,
            elf::DT_SYMTAB => tables.symbols = value,
            elf::DT_SYMENT => tables.symbol_size = value,
            elf::DT_RELA => tables.relocations = value,
            elf::DT_RELASZ => tables.relocations_size = value,
            elf::DT_RELACOUNT => tables.relative = value,
            elf::DT_JMPREL => tables.calls = value,
            elf::DT_PLTRELSZ => tables.calls_size = value,
            elf::DT_FLAGS_1 => dynamic.pie = value & elf::DF_1_PIE.0 != 0,
            _ => {}
        }
    }
    if !ended {
        return malformed("its dynamic section does not end");
    }
    let mut strings = Strings { reader, headers, tables: &tables };
    for at in needed {
        let name = strings.get(at, "a needed library's name")?;
        if !dynamic.needed.contains(&name) {
            dynamic.needed.push(name);
        }
    }
    dynamic.rpath = rpath.map(|at| strings.get(at, "its RPATH")).transpose()?;
    dynamic.runpath = runpath.map(|at| strings.get(at, "its RUNPATH")).transpose()?;
    dynamic.soname = soname.map(|at| strings.get(at, "its SONAME")).transpose()?;
    dynamic.imports = imports(reader, headers, &tables)?;
    Ok(dynamic)
}

struct Strings<'a, 'f> {
    reader: &'a mut Reader<'f>,
    headers: &'a Headers,
    tables: &'a Tables,
}

impl Strings<'_, '_> {
    fn get(&mut self, at: u64, what: &'static str) -> Result<OsString, ElfProblem> {
        let Tables { strings, strings_size: size, .. } = *self.tables;
        let Some(table) = self.headers.offset(strings, size).filter(|_| strings != 0) else {
            return malformed("its string table is not loaded");
        };
        if at >= size {
            return malformed(format!("{what} lies outside the string table"));
        }
        // Most names are short: read little, and more only where that has no end.
        for len in [128, MAX_STRING] {
            let len = len.min(size - at);
            let mut bytes = self.reader.bytes(table + at, len, what)?;
            if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
                bytes.truncate(end);
                return Ok(OsString::from_vec(bytes));
            }
        }
        malformed(format!("{what} does not end"))
    }
}

/// Which of the watched symbols are imported.
///
/// Relocations are what counts: a symbol that none refers to is never bound.
/// (The hash tables do not know: GNU ld writes an empty one, with a symbol
/// count of one, for a program that exports nothing.) What cannot be told
/// within the limits is [`Imports::Unknown`], never an error.
fn imports(reader: &mut Reader<'_>, headers: &Headers, tables: &Tables) -> Result<Imports, ElfProblem> {
    let record = size_of::<Sym64<LE>>() as u64;
    let Some(used) = relocated(reader, headers, tables)? else { return Ok(Imports::Unknown) };
    let Some(last) = used.last().copied() else { return Ok(Imports::Known(BTreeSet::new())) };
    let count = u64::from(last) + 1;
    if tables.symbol_size != record || count > MAX_SYMBOLS || tables.strings_size > MAX_STRINGS {
        return Ok(Imports::Unknown);
    }
    let (Some(symbols), Some(strings)) = (
        headers.offset(tables.symbols, count * record).filter(|_| tables.symbols != 0),
        headers.offset(tables.strings, tables.strings_size).filter(|_| tables.strings != 0),
    ) else {
        return malformed("its symbol table is not loaded");
    };
    let symbols: Vec<Sym64<LE>> = reader.table(symbols, count, "the symbol table")?;
    let strings = reader.bytes(strings, tables.strings_size, "the string table")?;
    let used = used.into_iter().filter_map(|index| symbols.get(usize::try_from(index).ok()?));
    let mut found = BTreeSet::new();
    for symbol in used.filter(|symbol| symbol.st_shndx.get(LE) == elf::SHN_UNDEF) {
        let at = usize::try_from(symbol.st_name.get(LE)).ok();
        let name = at.and_then(|at| strings.get(at..)).unwrap_or_default();
        if name.starts_with(UNWIND_PREFIX.as_bytes()) {
            found.insert(UNWIND_PREFIX);
        }
        let is = |watched: &str| {
            name.strip_prefix(watched.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
        };
        found.extend(WATCHED.iter().find(|watched| is(watched)));
    }
    Ok(Imports::Known(found))
}

/// The indexes of the symbols that relocations refer to; `None`: too many to look at.
fn relocated(
    reader: &mut Reader<'_>,
    headers: &Headers,
    tables: &Tables,
) -> Result<Option<BTreeSet<u32>>, ElfProblem> {
    let record = size_of::<Rela64<LE>>() as u64;
    let mut used = BTreeSet::new();
    let all = (tables.relocations, tables.relocations_size / record, tables.relative);
    let calls = (tables.calls, tables.calls_size / record, 0);
    for (address, count, relative) in [all, calls] {
        // Relative relocations come first and name no symbol.
        let skip = relative.min(count);
        if address == 0 || skip == count {
            continue;
        }
        if count - skip > MAX_SYMBOLS {
            return Ok(None);
        }
        let Some(at) = headers.offset(address, count.saturating_mul(record)) else {
            return malformed("its relocations are not loaded");
        };
        let table: Vec<Rela64<LE>> = reader.table(at + skip * record, count - skip, "the relocations")?;
        used.extend(table.iter().map(|entry| entry.r_sym(LE, false)));
    }
    used.remove(&0);
    Ok(Some(used))
}
