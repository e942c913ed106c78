//! ELF files put together by hand: small, exact, and as wrong as wanted.
#![allow(dead_code, reason = "each test uses a part of it")]

/// What to put into a file; everything else is as a linker would do it.
#[derive(Debug, Clone, Default)]
pub struct Craft {
    pub interpreter: Option<&'static str>,
    pub needed: Vec<&'static str>,
    pub rpath: Option<&'static str>,
    pub runpath: Option<&'static str>,
    pub soname: Option<&'static str>,
    /// DF_1_PIE.
    pub pie: bool,
    /// Undefined symbols, each with a relocation.
    pub imports: Vec<&'static str>,
    /// Flags of PT_GNU_STACK.
    pub stack: Option<u32>,
    /// No dynamic section.
    pub bare: bool,
    /// No entry point.
    pub no_entry: bool,
}

pub const GLIBC: &str = "/lib64/ld-linux-x86-64.so.2";

/// Offsets within the ELF header.
pub mod at {
    pub const CLASS: usize = 4;
    pub const DATA: usize = 5;
    pub const VERSION: usize = 6;
    pub const TYPE: usize = 16;
    pub const MACHINE: usize = 18;
    pub const ENTRY: usize = 24;
    pub const PHENTSIZE: usize = 54;
    pub const PHNUM: usize = 56;
    /// The first program header, which is the loaded segment.
    pub const LOAD: usize = 64;
}

impl Craft {
    /// A program that needs these libraries.
    pub fn program(needed: &[&'static str]) -> Self {
        Self { interpreter: Some(GLIBC), needed: needed.to_vec(), pie: true, ..Self::default() }
    }

    /// A library of this SONAME that needs these.
    pub fn library(soname: &'static str, needed: &[&'static str]) -> Self {
        Self { soname: Some(soname), needed: needed.to_vec(), no_entry: true, ..Self::default() }
    }

    /// The bytes. One segment covers the whole file, at address 0.
    pub fn build(&self) -> Vec<u8> {
        let headers =
            1 + [self.interpreter.is_some(), !self.bare, self.stack.is_some()].iter().filter(|x| **x).count();
        let mut body = vec![0; 64 + 56 * headers];
        let mut place = |bytes: &[u8]| {
            body.resize(body.len().next_multiple_of(8), 0);
            body.extend_from_slice(bytes);
            ((body.len() - bytes.len()) as u64, bytes.len() as u64)
        };
        let code = place(b"\x0f\x0b");
        let interpreter = self.interpreter.map(|path| place(&[path.as_bytes(), b"\0"].concat()));

        let mut strings = vec![0];
        let mut string = |text: &str| {
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
            (strings.len() - text.len() - 1) as u64
        };
        let mut dynamic: Vec<(u64, u64)> = self.needed.iter().map(|name| (1, string(name))).collect();
        let tagged = [(14, self.soname), (15, self.rpath), (29, self.runpath)];
        dynamic.extend(tagged.iter().filter_map(|(tag, text)| text.map(|text| (*tag, string(text)))));
        let mut symbols = vec![0; 24];
        let mut relocations = Vec::new();
        for (index, import) in self.imports.iter().enumerate() {
            symbols.extend_from_slice(&(string(import) as u32).to_le_bytes());
            symbols.extend_from_slice(&[0x12, 0, 0, 0]);
            symbols.extend_from_slice(&[0; 16]);
            relocations.extend_from_slice(&code.0.to_le_bytes());
            relocations.extend_from_slice(&((index as u64 + 1) << 32 | 6).to_le_bytes());
            relocations.extend_from_slice(&[0; 8]);
        }
        let (strings, symbols, relocations) = (place(&strings), place(&symbols), place(&relocations));
        dynamic.extend([(5, strings.0), (10, strings.1), (6, symbols.0), (11, 24)]);
        dynamic.extend([(7, relocations.0), (8, relocations.1), (9, 24)]);
        dynamic.extend(self.pie.then_some((0x6fff_fffb, 0x0800_0000)));
        dynamic.push((0, 0));
        let dynamic: Vec<u8> = dynamic
            .iter()
            .flat_map(|(tag, value)| [tag.to_le_bytes(), value.to_le_bytes()].concat())
            .collect();
        let dynamic = place(&dynamic);

        let size = body.len() as u64;
        let mut table = vec![(1_u32, 5_u32, (0, size))];
        table.extend(interpreter.map(|place| (3, 4, place)));
        table.extend((!self.bare).then_some((2, 6, dynamic)));
        table.extend(self.stack.map(|flags| (0x6474_e551, flags, (0, 0))));
        let entry = if self.no_entry { 0 } else { code.0 };
        body[..64].copy_from_slice(&header(entry, headers as u16));
        for (index, (kind, flags, (offset, size))) in table.into_iter().enumerate() {
            body[64 + 56 * index..][..56].copy_from_slice(&program_header(kind, flags, offset, size));
        }
        body
    }
}

fn header(entry: u64, headers: u16) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.extend_from_slice(&3_u16.to_le_bytes());
    bytes.extend_from_slice(&62_u16.to_le_bytes());
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&entry.to_le_bytes());
    bytes.extend_from_slice(&64_u64.to_le_bytes());
    bytes.extend_from_slice(&[0; 12]);
    for short in [64, 56, headers, 0, 0, 0] {
        bytes.extend_from_slice(&short.to_le_bytes());
    }
    bytes
}

fn program_header(kind: u32, flags: u32, offset: u64, size: u64) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), flags.to_le_bytes()].concat();
    for long in [offset, offset, offset, size, size, 8] {
        bytes.extend_from_slice(&long.to_le_bytes());
    }
    bytes
}

/// Overwrites bytes.
pub fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}
