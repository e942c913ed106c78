//! A strict interpreter for filters.
//!
//! Guarantees: gives the value the kernel would, or says why it refuses to.
//! It knows only the instructions that are both accepted by the kernel's
//! `seccomp_check_filter` and understood by its `seccomp_is_const_allow`
//! (kernel/seccomp.c), so that a call allowed without a look at its arguments
//! gets its bit in the kernel's allow bitmap. Relies on nothing.
//!
//! There is one interpreter, for known calls and for the proof's symbolic
//! ones: a program can look at its input only through [`Input`].

use std::fmt;

use seccompiler::sock_filter;

use super::question::{Input, Known, Question, Relation, WORDS, Word};

/// `BPF_LD | BPF_W | BPF_ABS`: load a 32-bit half word of the call.
pub(super) const LOAD: u16 = 0x20;
/// `BPF_ALU | BPF_AND | BPF_K`.
pub(super) const AND: u16 = 0x54;
/// `BPF_JMP | BPF_JA`.
pub(super) const JUMP: u16 = 0x05;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub(super) const JUMP_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JGT | BPF_K`.
pub(super) const JUMP_ABOVE: u16 = 0x25;
/// `BPF_JMP | BPF_JGE | BPF_K`.
pub(super) const JUMP_AT_LEAST: u16 = 0x35;
/// `BPF_JMP | BPF_JSET | BPF_K`.
pub(super) const JUMP_ANY_BIT: u16 = 0x45;
/// `BPF_RET | BPF_K`.
pub(super) const RETURN: u16 = 0x06;

/// The most instructions the kernel takes (`BPF_MAXINSNS`).
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// Offset of the number in `struct seccomp_data`.
pub(super) const OFFSET_NUMBER: u32 = 0;
/// Offset of the architecture.
pub(super) const OFFSET_ARCH: u32 = 4;
/// Offset of the low half of argument 0; each argument has 8 bytes.
const OFFSET_ARGUMENTS: u32 = 16;
/// The end of `struct seccomp_data`.
const OFFSET_END: u32 = 64;

/// One system call as the kernel shows it to a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Call {
    /// Calling convention, [`super::ARCH_X86_64`] for 64-bit entry.
    pub arch: u32,
    /// The number of the call.
    pub nr: u32,
    /// All six arguments, as they stand in the registers.
    pub args: [u64; 6],
}

impl Call {
    pub(super) fn words(&self) -> [u64; WORDS] {
        let [a, b, c, d, e, f] = self.args;
        [u64::from(self.arch), u64::from(self.nr), a, b, c, d, e, f]
    }
}

/// Why a program is not run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// No instruction, or more than the kernel takes.
    Length(usize),
    /// An instruction outside the set this interpreter knows.
    Unknown {
        /// Where.
        at: usize,
        /// Its code.
        code: u16,
    },
    /// A load of something no filter of ours may look at.
    Load {
        /// Where.
        at: usize,
        /// What it loads.
        offset: u32,
    },
    /// A test before anything was loaded.
    NothingLoaded {
        /// Where.
        at: usize,
    },
    /// The program leaves its own end without a return.
    FallsOff {
        /// Where.
        at: usize,
    },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Fault::Length(length) => {
                write!(f, "a filter has 1 to {MAX_INSTRUCTIONS} instructions, not {length}")
            }
            Fault::Unknown { at, code } => write!(f, "instruction {at} has the unknown code {code:#06x}"),
            Fault::Load { at, offset } => write!(f, "instruction {at} loads offset {offset}"),
            Fault::NothingLoaded { at } => write!(f, "instruction {at} tests before anything is loaded"),
            Fault::FallsOff { at } => write!(f, "instruction {at} leads past the end of the filter"),
        }
    }
}

impl std::error::Error for Fault {}

/// What the accumulator holds: `(word >> shift) & mask`.
#[derive(Clone, Copy)]
struct Seen {
    word: Word,
    shift: u32,
    mask: u32,
}

impl Seen {
    fn load(offset: u32) -> Option<Self> {
        let whole = |word, shift| Some(Self { word, shift, mask: u32::MAX });
        match offset {
            OFFSET_NUMBER => whole(Word::Number, 0),
            OFFSET_ARCH => whole(Word::Arch, 0),
            // x86 is little-endian: the low half of an argument comes first.
            OFFSET_ARGUMENTS..OFFSET_END if offset.is_multiple_of(4) => {
                let index = u8::try_from((offset - OFFSET_ARGUMENTS) / 8).ok()?;
                whole(Word::Argument(index), offset % 8 * 8)
            }
            _ => None,
        }
    }

    fn question(self, code: u16, k: u32, nonce: Option<u8>) -> Option<Question> {
        // Shifting both sides keeps equality and order, so that a half can be
        // asked about as bits of the whole word.
        let up = |half: u32| u64::from(half) << self.shift;
        let mut mask = up(self.mask);
        let relation = match (code, nonce) {
            (JUMP_EQUAL, Some(word)) if self.shift == 0 => Relation::Nonce(word),
            (_, Some(_)) => return None,
            (JUMP_EQUAL, None) => Relation::Equal(up(k)),
            (JUMP_AT_LEAST, None) => Relation::AtLeast(up(k)),
            (JUMP_ABOVE, None) => Relation::Above(up(k)),
            (JUMP_ANY_BIT, None) => {
                mask &= up(k);
                Relation::AnyBit
            }
            _ => return None,
        };
        Some(Question { word: self.word, mask, relation })
    }
}

/// Runs a program on anything that answers questions. `nonce` says which
/// instructions compare with which word of the nonce; `visit` sees each
/// instruction that is executed.
pub(super) fn run_on(
    code: &[sock_filter],
    nonce: &[(usize, u8)],
    input: &mut dyn Input,
    visit: &mut dyn FnMut(usize),
) -> Result<u32, Fault> {
    let mut seen: Option<Seen> = None;
    let mut at = 0_usize;
    let mut from = 0_usize;
    loop {
        let Some(instruction) = code.get(at) else { return Err(Fault::FallsOff { at: from }) };
        visit(at);
        let (op, k) = (instruction.code, instruction.k);
        let skip = match op {
            RETURN => return Ok(k),
            LOAD => {
                seen = Some(Seen::load(k).ok_or(Fault::Load { at, offset: k })?);
                0
            }
            AND => {
                seen.as_mut().ok_or(Fault::NothingLoaded { at })?.mask &= k;
                0
            }
            JUMP => usize::try_from(k).map_err(|_| Fault::FallsOff { at })?,
            JUMP_EQUAL | JUMP_ABOVE | JUMP_AT_LEAST | JUMP_ANY_BIT => {
                let marked = nonce.iter().find(|(position, _)| *position == at).map(|(_, word)| *word);
                let seen = seen.ok_or(Fault::NothingLoaded { at })?;
                let question = seen.question(op, k, marked).ok_or(Fault::Unknown { at, code: op })?;
                usize::from(if input.holds(question) { instruction.jt } else { instruction.jf })
            }
            code => return Err(Fault::Unknown { at, code }),
        };
        from = at;
        at = at.saturating_add(1).saturating_add(skip);
    }
}

/// What one program returns for one call.
///
/// # Errors
///
/// When the program does something the interpreter does not know, or leaves
/// its own end.
pub fn run(code: &[sock_filter], call: &Call) -> Result<u32, Fault> {
    run_on(code, &[], &mut Known { words: call.words(), nonce: &[] }, &mut |_| ())
}

/// The more severe of two return values, as `seccomp_run_filters` finds it:
/// actions are compared as signed numbers, and of equals the one found first
/// stays. `newer` is the value of the filter installed later.
pub(super) fn more_severe(newer: u32, older: u32) -> u32 {
    let rank = |value: u32| (value & libc::SECCOMP_RET_ACTION_FULL).cast_signed();
    if rank(older) < rank(newer) { older } else { newer }
}

/// What the kernel does with one call when several programs are installed,
/// given in the order in which they were loaded.
///
/// # Errors
///
/// When one of them is refused by [`run`].
pub fn stack(programs: &[&[sock_filter]], call: &Call) -> Result<u32, Fault> {
    let mut answer = libc::SECCOMP_RET_ALLOW;
    for code in programs.iter().rev() {
        answer = more_severe(answer, run(code, call)?);
    }
    Ok(answer)
}

/// Whether the kernel would take a program, and this interpreter any path of
/// it, whatever the call.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn check(code: &[sock_filter]) -> Result<(), Fault> {
    if code.is_empty() || code.len() > MAX_INSTRUCTIONS {
        return Err(Fault::Length(code.len()));
    }
    for (at, instruction) in code.iter().enumerate() {
        let reach = match instruction.code {
            RETURN => continue,
            LOAD if Seen::load(instruction.k).is_none() => {
                return Err(Fault::Load { at, offset: instruction.k });
            }
            LOAD | AND => 0,
            JUMP => usize::try_from(instruction.k).unwrap_or(usize::MAX),
            JUMP_EQUAL | JUMP_ABOVE | JUMP_AT_LEAST | JUMP_ANY_BIT => {
                usize::from(instruction.jt.max(instruction.jf))
            }
            code => return Err(Fault::Unknown { at, code }),
        };
        if at.saturating_add(1).saturating_add(reach) >= code.len() {
            return Err(Fault::FallsOff { at });
        }
    }
    Ok(())
}

/// What a program returns for a call number whatever the arguments are, as
/// far as the kernel can see that when it fills its allow bitmap: `None` when
/// the program looks at an argument on the way.
///
/// # Errors
///
/// When the program is refused by [`run`] before that.
pub fn constant(code: &[sock_filter], arch: u32, nr: u32) -> Result<Option<u32>, Fault> {
    struct Numbers {
        arch: u32,
        nr: u32,
    }
    impl Input for Numbers {
        fn holds(&mut self, question: Question) -> bool {
            match question.word {
                Word::Arch => question.answer(u64::from(self.arch), &[]),
                Word::Number => question.answer(u64::from(self.nr), &[]),
                Word::Argument(_) => false,
            }
        }
    }
    let mut numbers = Numbers { arch, nr };
    let mut loaded = false;
    let value = run_on(code, &[], &mut numbers, &mut |at| {
        // The kernel's emulator gives up at the load already, not at the test;
        // no test of an argument comes before one.
        loaded |= code.get(at).is_some_and(|i| i.code == LOAD && i.k >= OFFSET_ARGUMENTS);
    })?;
    Ok((!loaded).then_some(value))
}

#[cfg(test)]
mod tests;
