//! What the probes of the escape check need: any call with any arguments, other
//! ways into the kernel, and memory that is written and then executed.
//!
//! None of this is used to run a box. A probe is a process of its own, made to
//! attack; what it cannot do with these is corrupt the memory of the code that
//! made the call: memory is handed over as [`Room`] or as borrowed bytes, and a
//! plain number that could be an address of this process is not passed on.
//!
//! # References
//! `syscall(2)`, the kernel's `entry_64_compat.S`, `mprotect(2)`

use std::ffi::CStr;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{Errno, Result, raw};

/// Bytes of a [`Room`]: more than any structure that a call here fills in.
pub const ROOM: usize = 64 * 1024;

/// Where position-independent programs, their heap, stack and libraries lie.
const ADDRESSES: Range<u64> = 0x5000_0000_0000..0x8000_0000_0000;

/// Memory that the kernel may read and write, whatever it makes of it.
pub struct Room(Box<[AtomicU8]>);

impl Default for Room {
    fn default() -> Self {
        Self((0..ROOM).map(|_| AtomicU8::new(0)).collect())
    }
}

impl Room {
    /// Filled with these bytes, as far as they fit, and zeros.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let rest = std::iter::repeat_n(&0, ROOM.saturating_sub(bytes.len()));
        Self(bytes.iter().take(ROOM).chain(rest).map(|b| AtomicU8::new(*b)).collect())
    }

    /// What is in it now.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|b| b.load(Ordering::Relaxed)).collect()
    }

    /// Where it is, for structures that point at it.
    #[must_use]
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }
}

/// One argument of a [`call`].
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// A number. One that could be an address of this process is not passed on.
    Num(u64),
    /// A C string, which the kernel only reads.
    Text(&'a CStr),
    /// Bytes, which the kernel only reads.
    Bytes(&'a [u8]),
    /// Memory that the kernel may read and write.
    Room(&'a Room),
    /// Bytes that another thread may change meanwhile, and that the kernel only reads.
    Shifting(&'a [AtomicU8]),
}

impl From<i32> for Arg<'_> {
    fn from(value: i32) -> Self {
        Arg::Num(i64::from(value).cast_unsigned())
    }
}
impl From<u32> for Arg<'_> {
    fn from(value: u32) -> Self {
        Arg::Num(u64::from(value))
    }
}
impl From<i64> for Arg<'_> {
    fn from(value: i64) -> Self {
        Arg::Num(value.cast_unsigned())
    }
}
impl From<u64> for Arg<'_> {
    fn from(value: u64) -> Self {
        Arg::Num(value)
    }
}
impl From<usize> for Arg<'_> {
    fn from(value: usize) -> Self {
        Arg::Num(value as u64)
    }
}
impl<'a> From<&'a CStr> for Arg<'a> {
    fn from(value: &'a CStr) -> Self {
        Arg::Text(value)
    }
}
impl<'a> From<&'a std::ffi::CString> for Arg<'a> {
    fn from(value: &'a std::ffi::CString) -> Self {
        Arg::Text(value)
    }
}
impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(value: &'a [u8]) -> Self {
        Arg::Bytes(value)
    }
}
impl<'a> From<&'a Room> for Arg<'a> {
    fn from(value: &'a Room) -> Self {
        Arg::Room(value)
    }
}

impl Arg<'_> {
    fn word(self) -> Option<u64> {
        match self {
            Arg::Num(n) if ADDRESSES.contains(&n) => None,
            Arg::Num(n) => Some(n),
            Arg::Text(text) => Some(text.as_ptr() as u64),
            Arg::Bytes(bytes) => Some(bytes.as_ptr() as u64),
            Arg::Room(room) => Some(room.address()),
            Arg::Shifting(bytes) => Some(bytes.as_ptr() as u64),
        }
    }
}

/// At most six arguments, the rest zero; `None` when one must not be passed on.
fn words(args: &[Arg<'_>]) -> Option<[u64; 6]> {
    let mut words = [0; 6];
    for (word, arg) in words.iter_mut().zip(args) {
        *word = arg.word()?;
    }
    Some(words)
}

fn answer(value: i64) -> Result<u64> {
    match i32::try_from(value) {
        Ok(errno @ -4095..0) => Err(Errno::from_raw(-errno)),
        _ => Ok(value.cast_unsigned()),
    }
}

/// Any call of the 64-bit entry, with any number, its upper half included.
///
/// `EFAULT` without a call when a plain number could be an address of this process.
pub fn call(nr: i64, args: &[Arg<'_>]) -> Result<u64> {
    let Some([a, b, c, d, e, f]) = words(args) else { return Err(Errno::EFAULT) };
    let value: i64;
    // SAFETY: whatever the call is, it can only write where an argument points: rooms, which are made
    // for it, or read from borrowed bytes that outlive the call. The clobbers are the instruction's.
    unsafe {
        core::arch::asm!(
            "syscall",
            inlateout("rax") nr => value,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
        );
    }
    answer(value)
}

/// Any call of the 32-bit entry (`int 0x80`), whose numbers and structures are
/// those of 32-bit x86. Only numbers below 2^32 can be passed.
pub fn call_32bit(nr: u32, args: [u32; 3]) -> Result<u64> {
    let [a, b, c] = args.map(u64::from);
    let value: i64;
    // SAFETY: the arguments are below 2^32, where nothing of a position-independent program lies: a
    // pointer among them leads nowhere. rbx is given back as it was; the entry clears r8 to r11.
    unsafe {
        core::arch::asm!(
            "xchg rbx, {a}",
            "int 0x80",
            "xchg rbx, {a}",
            a = inout(reg) a => _,
            inlateout("rax") u64::from(nr) => value,
            in("rcx") b, in("rdx") c,
            lateout("r8") _, lateout("r9") _, lateout("r10") _, lateout("r11") _,
        );
    }
    answer(value)
}

/// A copy of this process, which must have one thread. 0 in the copy.
///
/// # References
/// `fork(2)`, `clone(2)`
pub fn fork() -> Result<i32> {
    #[allow(clippy::cast_sign_loss)] // a signal number
    let flags = libc::SIGCHLD as u64;
    // SAFETY: no stack, no memory shared: the copy continues here on its own memory.
    let made = unsafe { raw!(clone, flags, 0, 0, 0, 0) };
    // SAFETY: takes no argument; as above.
    let made = made.or_else(|_| unsafe { raw!(fork) });
    Ok(super::int(made?))
}

/// Machine code that answers this.
const CODE_ANSWER: u32 = 0x57ac_de01;

/// `mov eax, CODE_ANSWER; ret`
const CODE: [u8; 6] = [0xb8, 0x01, 0xde, 0xac, 0x57, 0xc3];

const PAGE: usize = 4096;

/// Ways to have memory that was written executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writable {
    /// One mapping, writable and executable.
    AtOnce,
    /// Written first; then `mprotect` with all three rights.
    Protect,
    /// The same with `pkey_mprotect` without a key.
    ProtectKey,
    /// Written first, then `mprotect` with read and execute only.
    WriteThenExecute,
    /// Readable and writable under a personality that makes readable executable.
    Personality,
    /// A System V segment attached executable.
    Segment,
    /// A mapping that must not be written, through `/proc/self/mem`.
    ProcMem,
}

fn map(prot: i32) -> Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    unsafe { raw!(mmap, 0, PAGE, prot, flags, -1i64, 0) }
}

fn put_code(at: usize) {
    let to = std::ptr::with_exposed_provenance_mut::<u8>(at);
    // SAFETY: `at` is a page mapped writable by the caller, used by nobody else, and longer than the code.
    unsafe { std::ptr::copy_nonoverlapping(CODE.as_ptr(), to, CODE.len()) };
}

/// Whether code that was just written runs.
///
/// Where it does not, a call has said so, or the jump kills this process:
/// callers make the attempt in a copy of themselves.
pub fn run_written(way: Writable) -> Result<bool> {
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    let rwx = rw | libc::PROT_EXEC;
    let at = match way {
        Writable::AtOnce => map(rwx)?,
        Writable::Personality => {
            const READ_IMPLIES_EXEC: u32 = 0x0040_0000;
            call(libc::SYS_personality, &[READ_IMPLIES_EXEC.into()])?;
            map(rw)?
        }
        Writable::Segment => {
            let mode = libc::IPC_CREAT | 0o700;
            let id = call(libc::SYS_shmget, &[libc::IPC_PRIVATE.into(), PAGE.into(), mode.into()])?;
            let at = call(libc::SYS_shmat, &[id.into(), 0.into(), libc::SHM_EXEC.into()]);
            call(libc::SYS_shmctl, &[id.into(), libc::IPC_RMID.into(), 0.into()])?;
            usize::try_from(at?).unwrap_or(0)
        }
        Writable::ProcMem => map(libc::PROT_READ | libc::PROT_EXEC)?,
        _ => map(rw)?,
    };
    if way == Writable::ProcMem {
        let mem = super::fd::openat(libc::AT_FDCWD, c"/proc/self/mem", libc::O_RDWR, 0)?;
        let mem = std::os::fd::AsRawFd::as_raw_fd(&mem);
        // SAFETY: the buffer is live; the offset is the page mapped above, which nothing else uses.
        let written = unsafe { raw!(pwrite64, mem, CODE.as_ptr(), CODE.len(), at) }?;
        if written != CODE.len() {
            return Err(Errno::EIO);
        }
    } else {
        put_code(at);
    }
    match way {
        // SAFETY: changes the rights of the page mapped above, which nothing else uses.
        Writable::Protect => unsafe { raw!(mprotect, at, PAGE, rwx) }.map(drop)?,
        // SAFETY: as above; key -1 stands for none.
        Writable::ProtectKey => unsafe { raw!(pkey_mprotect, at, PAGE, rwx, -1i64) }.map(drop)?,
        Writable::WriteThenExecute => {
            let rx = libc::PROT_READ | libc::PROT_EXEC;
            // SAFETY: changes the rights of the page mapped above, which nothing else uses.
            unsafe { raw!(mprotect, at, PAGE, rx) }.map(drop)?;
        }
        _ => {}
    }
    let code = std::ptr::with_exposed_provenance::<()>(at);
    // SAFETY: a pointer to code of the C calling convention that takes nothing and returns a u32.
    let code: extern "C" fn() -> u32 = unsafe { std::mem::transmute(code) };
    Ok(code() == CODE_ANSWER)
}

/// Memory mapped from a file as executable: what a loader does with a program.
pub fn map_executable(file: std::os::fd::BorrowedFd<'_>) -> Result<()> {
    use std::os::fd::AsRawFd as _;
    let rx = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: a new mapping at an address of the kernel's choice; it is never used.
    unsafe { raw!(mmap, 0, PAGE, rx, libc::MAP_PRIVATE, file.as_raw_fd(), 0) }.map(drop)
}

/// Writes to `bytes` pages of new memory, one by one; answers how many it got.
/// Memory stays mapped.
pub fn touch(bytes: u64, shared: bool) -> Result<u64> {
    let kind = if shared { libc::MAP_SHARED } else { libc::MAP_PRIVATE };
    let size = usize::try_from(bytes).unwrap_or(usize::MAX);
    let rw = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice.
    let at = unsafe { raw!(mmap, 0, size, rw, kind | libc::MAP_ANONYMOUS, -1i64, 0) }?;
    for page in (0..size).step_by(PAGE) {
        let to = std::ptr::with_exposed_provenance_mut::<u8>(at + page);
        // SAFETY: within the mapping just made, which nothing else uses.
        unsafe { to.write_volatile(1) };
    }
    Ok(bytes)
}

/// Maps single pages of alternating rights, which cannot be merged, until the
/// kernel refuses or `most` are there. Answers how many.
pub fn map_many(most: u64) -> Result<u64> {
    for n in 0..most {
        let at = map(if n % 2 == 0 { libc::PROT_READ | libc::PROT_WRITE } else { libc::PROT_READ })?;
        let page = std::ptr::with_exposed_provenance_mut::<u8>(at);
        if n % 2 == 0 {
            // SAFETY: the page just mapped, writable, used by nobody else.
            unsafe { page.write_volatile(1) };
        } else {
            // SAFETY: the page just mapped, readable; anonymous memory is all zero.
            unsafe { page.read_volatile() };
        }
    }
    Ok(most)
}

/// Uses up stack, frame by frame, until `bytes` are used.
#[must_use]
pub fn use_stack(bytes: u64) -> u64 {
    fn deeper(left: u64) -> u64 {
        let frame = [1u8; 16 * 1024];
        let frame = std::hint::black_box(&frame);
        if left <= frame.len() as u64 { u64::from(frame[0]) } else { deeper(left - 16 * 1024) + 1 }
    }
    std::hint::black_box(deeper(bytes))
}
