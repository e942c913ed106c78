//! The first bytes of a file: is it a program for this machine at all?

use object::elf;

use super::problem::{looks_like, machine_name};
use super::{ElfProblem, malformed};

/// The first 20 bytes, which mean the same in every kind of ELF file.
pub(super) fn check(head: &[u8]) -> Result<(), ElfProblem> {
    if head.starts_with(b"#!") {
        return Err(ElfProblem::Script(script_language(head)));
    }
    if !head.starts_with(&elf::ELFMAG) {
        return match head {
            // Cut within the magic number.
            [0x7f] | [0x7f, b'E'] | [0x7f, b'E', b'L'] => {
                Err(ElfProblem::Truncated { what: "the ELF header", end: 64, size: head.len() as u64 })
            }
            _ => Err(ElfProblem::NotElf(looks_like(head))),
        };
    }
    let Some(&[_, _, _, _, class, data, version, ..]) = head.get(..20) else {
        return Err(ElfProblem::Truncated { what: "the ELF header", end: 64, size: head.len() as u64 });
    };
    let number = [head[18], head[19]];
    let machine = match data {
        1 => u16::from_le_bytes(number),
        2 => u16::from_be_bytes(number),
        _ => return malformed(format!("unknown byte order {data}")),
    };
    let name = machine_name(machine);
    match (class, data) {
        (1 | 2, 2) => Err(ElfProblem::BigEndian(name)),
        (1, _) if elf::Machine(machine) == elf::EM_X86_64 => Err(ElfProblem::X32),
        (1, _) => Err(ElfProblem::Bits32(name)),
        (2, _) if version == 1 => Ok(()),
        (2, _) => malformed(format!("unknown ELF version {version}")),
        _ => malformed(format!("unknown ELF class {class}")),
    }
}

/// The name of the interpreter in a `#!` line: `python3` for both
/// `#!/usr/bin/python3 -u` and `#!/usr/bin/env -S python3 -u`.
fn script_language(head: &[u8]) -> String {
    /// The kernel reads no further.
    const BINPRM_BUF_SIZE: usize = 256;
    let line = &head[2..head.len().min(BINPRM_BUF_SIZE)];
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut names = words.map(|word| word.rsplit(|byte| *byte == b'/').next().unwrap_or_default());
    let first = names.next().unwrap_or_default();
    let name = if first == b"env" {
        names.find(|word| !word.starts_with(b"-") && !word.contains(&b'=')).unwrap_or(first)
    } else {
        first
    };
    if name.is_empty() { "?".into() } else { name.escape_ascii().to_string() }
}
