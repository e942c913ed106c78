//! A small copy of this process, from which others are made.
//!
//! A copy of a process that has touched much memory is slow: some 40 µs for each
//! MiB, half of it while the copy is made, half when it ends. A [`Template`]
//! is a copy that has thrown away all memory but programs, libraries and one
//! stack. It shares the table of descriptors with its maker. What
//! [`Template::copy`] makes is what [`clone::copy`](super::clone::copy) makes, a
//! child of the calling process with a copy of its descriptors; but of its memory
//! it has only the pieces that are named, at the same addresses.
//!
//! A template ends with the thread that has made it, and some time after the two no
//! longer share their descriptors.
//!
//! # References
//! `clone3(2)`, `mmap(2)`, `kcmp(2)`

#[cfg(test)]
mod tests;

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use nix::poll::{PollFd, PollFlags};
use nix::sys::signal::SigSet;
use nix::sys::time::TimeSpec;

use super::clone::{self, Cgroup, Child};
use super::{Errno, Result, fd, int, process, raw};
use crate::error::no_matter;

/// Bytes of the stack that a template, and whatever is made from it, begins on.
const STACK: usize = 256 * 1024;

/// Bytes of what stands in for a thread's own memory: below and above where its register points. Zero, but for
/// its own address: the C library, which closes descriptors, finds a thread that is alone, and room for `errno`.
const THREAD: [usize; 2] = [64 * 1024, PAGE];

/// Where a thread's memory has its own address.
const SELF: [usize; 2] = [0, 16];

/// Bytes of the memory that the maker, the template and a new process share until the latter has taken what
/// is its own. What is not touched costs nothing.
const SHARED: usize = 4 << 20;

/// Most ranges of memory that a template throws away.
const MOST_RANGES: usize = 512;

/// After so long without a request a template looks whether its maker is still who it was.
const IDLE_S: i64 = 10;

/// `KCMP_FILES` of `kcmp(2)`.
const KCMP_FILES: usize = 2;

/// How long an answer may take.
const PATIENCE: TimeSpec = TimeSpec::new(10, 0);

const PAGE: usize = 4096;

const ARCH_SET_FS: usize = 0x1002;

/// One past the last address.
const END: usize = 0x7fff_ffff_f000;

/// Part of the memory of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(C)]
struct Piece {
    at: usize,
    bytes: usize,
    /// Whether what it holds matters, or only that it is there.
    content: usize,
}

/// The memory that something consists of.
#[derive(Debug, Default)]
pub struct Pieces(Vec<Piece>);

impl Pieces {
    /// These, as they are.
    pub fn content<T>(&mut self, of: &[T]) {
        self.add(of.as_ptr().cast(), size_of_val(of), true);
    }

    /// This one, as it is.
    pub fn value<T>(&mut self, of: &T) {
        self.content(std::slice::from_ref(of));
    }

    /// Room for so many, which hold nothing yet.
    pub fn room<T>(&mut self, at: *const T, count: usize) {
        self.add(at.cast(), count * size_of::<T>(), false);
    }

    fn add(&mut self, at: *const u8, bytes: usize, content: bool) {
        if bytes > 0 {
            self.0.push(Piece { at: at as usize, bytes, content: usize::from(content) });
        }
    }

    fn content_bytes(&self) -> usize {
        self.0.iter().filter(|piece| piece.content != 0).map(|piece| piece.bytes).sum()
    }
}

/// What the maker asks for.
#[derive(Clone, Copy)]
#[repr(C)]
struct Request {
    namespaces: usize,
    pieces: usize,
    data: usize,
    entry: usize,
}

const REQUEST: usize = size_of::<Request>();

/// The beginning of the shared memory.
#[repr(C)]
struct Head {
    /// The process that was made, as soon as there is one.
    made: AtomicI32,
    /// Whether it has not taken yet what is its own.
    is_busy: AtomicU32,
}

/// Where the pieces' list begins in the shared memory. Behind it what they hold.
const LIST: usize = 64;

/// Memory of this process that is no Rust object's.
#[derive(Debug)]
struct Mapping {
    at: usize,
    bytes: usize,
}

// Only numbers: who uses them says why that is sound.
impl Mapping {
    fn new(bytes: usize, flags: i32) -> Result<Self> {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = flags | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping, where the kernel has room for it.
        let at = unsafe { raw!(mmap, 0, bytes, access, flags, usize::MAX, 0) }?;
        Ok(Self { at, bytes })
    }

    fn range(&self) -> (usize, usize) {
        (self.at, self.at + self.bytes)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this object's own, and nobody refers to it any more.
        let gone = unsafe { raw!(munmap, self.at, self.bytes) };
        no_matter(gone, "it goes with the process");
    }
}

/// The process and the thread whose descriptors it shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Maker {
    pid: u32,
    tid: usize,
}

impl Maker {
    fn now() -> Self {
        Self { pid: std::process::id(), tid: tid() }
    }

    /// Whether it and that process have one table of descriptors: not after an exec of its process, for one.
    fn shares_with(self, tid: usize) -> bool {
        // SAFETY: compares, changes nothing.
        let compared = unsafe { raw!(kcmp, self.tid, tid, KCMP_FILES, 0, 0) };
        compared == Ok(0)
    }
}

fn name() -> Result<[u8; NAME]> {
    let mut name = [0u8; NAME];
    // SAFETY: the kernel writes a name of at most so many bytes, the zero included.
    unsafe { raw!(prctl, libc::PR_GET_NAME, name.as_mut_ptr()) }?;
    Ok(name)
}

fn tid() -> usize {
    // SAFETY: nothing but a number comes back.
    unsafe { raw!(gettid) }.unwrap_or(0)
}

/// What the template itself has, at the start of the mapping that it begins on.
#[repr(C)]
struct Brief {
    maker: Maker,
    /// The name of the maker's thread, which is that of what is made.
    name: [u8; NAME],
    socket: RawFd,
    shared: usize,
    ranges: usize,
    gone: [(usize, usize); MOST_RANGES],
}

/// Bytes of a thread's name, with the zero behind it.
const NAME: usize = 16;

const BRIEF: usize = size_of::<Brief>().next_multiple_of(PAGE);

/// Behind it the thread's memory, then the stack.
const BEFORE_STACK: usize = BRIEF + THREAD[0] + THREAD[1];

/// Memory for a template, before there is one.
#[derive(Debug)]
pub struct Room {
    own: Mapping,
    shared: Mapping,
}

impl Room {
    /// In this process, so that nothing else can be where the template has it.
    ///
    /// # Errors
    /// There is none.
    pub fn new() -> Result<Self> {
        Ok(Self {
            own: Mapping::new(BEFORE_STACK + STACK, libc::MAP_PRIVATE)?,
            shared: Mapping::new(SHARED, libc::MAP_SHARED)?,
        })
    }

    /// What stays beside `kept`, the ranges of programs and libraries: everything else goes.
    fn gone(&self, kept: &[(usize, usize)]) -> Vec<(usize, usize)> {
        let mut kept: Vec<_> = kept.iter().copied().chain([self.own.range(), self.shared.range()]).collect();
        kept.sort_unstable();
        let ends = kept.iter().map(|(from, _)| *from).chain([END]);
        let begins = std::iter::once(0).chain(kept.iter().map(|(_, to)| *to));
        begins.zip(ends).filter(|(from, to)| from < to).collect()
    }
}

/// A small copy of this process.
#[derive(Debug)]
pub struct Template {
    room: Room,
    pid: i32,
    pidfd: OwnedFd,
    maker: Maker,
    socket: OwnedFd,
    /// The template's end, which it has as long as this process has it.
    _theirs: OwnedFd,
}

impl Template {
    /// Makes one that keeps these ranges of memory, which must hold all code that it and what is made from it
    /// run, and what that code refers to beside its data.
    ///
    /// # Errors
    /// `E2BIG`: too many ranges, or a thread has too much memory of its own; `EPERM`: it cannot be seen whether
    /// the two share their descriptors; `ECHILD`: it has been killed; or what the kernel refused.
    pub fn new(room: Room, kept: &[(usize, usize)]) -> Result<Self> {
        let gone = room.gone(kept);
        if gone.len() > MOST_RANGES || errno_below() > THREAD[0] {
            return Err(Errno::E2BIG);
        }
        let (socket, theirs) = fd::socket_pair()?;
        let idle = nix::sys::time::TimeVal::new(IDLE_S, 0);
        nix::sys::socket::setsockopt(&theirs, nix::sys::socket::sockopt::ReceiveTimeout, &idle)?;
        let maker = Maker::now();
        let mut brief = Brief {
            maker,
            name: name()?,
            socket: theirs.as_raw_fd(),
            shared: room.shared.at,
            ranges: gone.len(),
            gone: [(0, 0); MOST_RANGES],
        };
        brief.gone[..gone.len()].copy_from_slice(&gone);
        let at = room.own.at as *mut Brief;
        // SAFETY: the mapping is page-aligned, writable, large enough, and nobody else's yet.
        unsafe { at.write(brief) };
        // SAFETY: it has just been written, and nobody changes it.
        let brief = unsafe { &*at };
        let first = clone::copy(libc::CLONE_FILES, brief, begin)?;
        // It has ended as soon as it has made the second one, whose memory is no thread's.
        let (ended, _) = process::wait(first.pidfd.as_fd(), true)?;
        let pid = head(&room).made.load(Ordering::Acquire);
        if pid <= 0 {
            return Err(Errno::ECHILD);
        }
        // From here on it is killed and reaped, whatever comes.
        let pidfd = process::pidfd_open(pid)?;
        let template = Self { room, pid, pidfd, maker, socket, _theirs: theirs };
        if ended != process::Ended::Exited(0) {
            return Err(Errno::ECHILD);
        }
        if !template.is_there() {
            let has_ended = process::has_ended(template.pidfd.as_fd()) == Ok(true);
            return Err(if has_ended { Errno::ECHILD } else { Errno::EPERM });
        }
        // It has its memory for itself now, and may throw it away.
        fd::write(template.socket.as_raw_fd(), &[1])?;
        Ok(template)
    }

    /// Whether it lives, has been made by this very thread, and shares its descriptors.
    #[must_use]
    pub fn is_there(&self) -> bool {
        let pid = usize::try_from(self.pid).unwrap_or(0);
        self.maker == Maker::now()
            && process::has_ended(self.pidfd.as_fd()) == Ok(false)
            && self.maker.shares_with(pid)
    }

    /// A child of this process in new namespaces, which runs `entry` with memory of its own that has only
    /// `pieces`. All that `entry` reaches from `data` must be among them, and it may use nothing else that is
    /// not a constant: no thread-local storage, no heap. As with [`clone::copy`], it must not unwind, and no
    /// signal tells of its end. All signals are blocked in it.
    ///
    /// `None`: it cannot be made this way, or not by this template.
    pub fn copy<T: Sync>(
        &self,
        namespaces: i32,
        data: &T,
        pieces: Pieces,
        entry: fn(&'static T) -> !,
    ) -> Option<Result<Child>> {
        let list = size_of_val(&pieces.0[..]);
        if !self.is_there() || LIST + list + pieces.content_bytes() > SHARED {
            return None;
        }
        let head = head(&self.room);
        if head.is_busy.swap(1, Ordering::Acquire) != 0 {
            // Whom it was made for has never taken it: that one is dead, or something is wrong.
            return None;
        }
        head.made.store(0, Ordering::Release);
        let count = pieces.0.len();
        self.lay_out(pieces);
        #[allow(clippy::cast_sign_loss)] // flag bits
        let request = Request {
            namespaces: namespaces as u32 as usize,
            pieces: count,
            data: ptr::from_ref(data) as usize,
            entry: entry as usize,
        };
        // SAFETY: a structure of numbers without padding is bytes.
        let bytes: [u8; REQUEST] = unsafe { std::mem::transmute(request) };
        if fd::write(self.socket.as_raw_fd(), &bytes).is_err() {
            return None;
        }
        let errno = self.answer();
        if errno.is_none() {
            // It is dead already, or must not make anything later.
            self.end();
        }
        match (head.made.load(Ordering::Acquire), errno) {
            (pid, _) if pid > 0 => Some(process::pidfd_open(pid).map(|pidfd| Child { pid, pidfd })),
            (_, Some(errno)) => {
                head.is_busy.store(0, Ordering::Release);
                Some(Err(errno))
            }
            (_, None) => None,
        }
    }

    /// The list and what the pieces hold, into the shared memory. The caller has it, and has seen that there is
    /// room.
    fn lay_out(&self, mut pieces: Pieces) {
        pieces.0.sort_unstable();
        let list = Piece { at: pieces.0.as_ptr() as usize, bytes: size_of_val(&pieces.0[..]), content: 1 };
        let mut to = self.room.shared.at + LIST;
        for piece in std::iter::once(&list).chain(&pieces.0).filter(|piece| piece.content != 0) {
            // SAFETY: the pieces are live objects of this process, read as bytes; there is room for them in
            // the shared memory, and nobody else uses it while `is_busy` is the caller's.
            unsafe { ptr::copy_nonoverlapping(piece.at as *const u8, to as *mut u8, piece.bytes) };
            to += piece.bytes;
        }
    }

    fn end(&self) {
        let gone = "it has ended already";
        no_matter(process::signal(self.pidfd.as_fd(), libc::SIGKILL), gone);
        no_matter(process::wait(self.pidfd.as_fd(), true), "somebody has reaped it already");
    }

    /// What the kernel refused, if the template says so; it may have been killed instead.
    fn answer(&self) -> Option<Errno> {
        let read = PollFlags::POLLIN;
        loop {
            let mut fds = [PollFd::new(self.socket.as_fd(), read), PollFd::new(self.pidfd.as_fd(), read)];
            // Signals wait meanwhile: one that comes again and again must not begin the patience anew.
            match nix::poll::ppoll(&mut fds, Some(PATIENCE), Some(SigSet::all())) {
                Err(Errno::EINTR) => {}
                Ok(n) if n > 0 && fds[0].any() == Some(true) => break,
                _ => return None,
            }
        }
        let mut errno = [0u8; 4];
        let n = fd::read(self.socket.as_raw_fd(), &mut errno).ok()?;
        (n == errno.len()).then(|| Errno::from_raw(i32::from_le_bytes(errno)))
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        if self.maker.pid == std::process::id() {
            self.end();
        }
    }
}

fn head(room: &Room) -> &Head {
    shared_head(room.shared.at)
}

/// The beginning of memory that was mapped as shared, for as long as it is.
fn shared_head<'a>(at: usize) -> &'a Head {
    // SAFETY: every caller passes the address of such a mapping, which is page-aligned, large enough, and there
    // for longer than the answer is used; zero bytes are a `Head`, all of which is atomic.
    unsafe { &*(at as *const Head) }
}

/// How far below where a thread's register points its `errno` is.
fn errno_below() -> usize {
    let own: usize;
    // SAFETY: the first word there is its own address.
    unsafe { core::arch::asm!("mov {}, fs:0", out(reg) own, options(nostack, readonly, preserves_flags)) };
    // SAFETY: only the address is taken.
    own.wrapping_sub(unsafe { libc::__errno_location() } as usize)
}

/// Child only: the first copy makes the template, which shares its memory, and ends. What the kernel keeps of
/// the thread that was copied (its place for restartable sequences above all) does not go to who shares.
fn begin(brief: &'static Brief) -> ! {
    let base = ptr::from_ref(brief) as usize + BEFORE_STACK;
    let told = Some(&shared_head(brief.shared).made);
    // SAFETY: the memory behind the brief is the template's stack, in its mapping, and nobody else's.
    let made = unsafe { clone::on_stack(told, (base, STACK), Cgroup::Inherit, brief, serve) };
    process::exit_now(i32::from(made.is_err()))
}

/// Child only: the template.
fn serve(brief: &'static Brief) -> ! {
    let same = process::die_with_parent().is_ok() && process::parent() == brief.maker.pid;
    let thread = ptr::from_ref(brief) as usize + BRIEF + THREAD[0];
    for at in SELF {
        // SAFETY: it lies in the template's mapping, where nobody else writes.
        unsafe { ((thread + at) as *mut usize).write(thread) };
    }
    // SAFETY: all that is below and above it is memory of this process for good.
    let set = unsafe { raw!(arch_prctl, ARCH_SET_FS, thread) };
    if !same
        || set.is_err()
        || process::set_name(c"template").is_err()
        || fd::read(brief.socket, &mut [0]) != Ok(1)
    {
        process::exit_now(1);
    }
    for (from, to) in brief.gone.iter().take(brief.ranges) {
        // SAFETY: nothing that this process uses from now on lies there, and the first copy has ended.
        if unsafe { raw!(munmap, *from, to - from) }.is_err() {
            process::exit_now(1);
        }
    }
    loop {
        let mut request = [0u8; REQUEST];
        match fd::read(brief.socket, &mut request) {
            Ok(REQUEST) => {}
            Err(Errno::EAGAIN) if brief.maker.shares_with(tid()) => continue,
            // The maker has closed it, or has another table now, in which this is no more.
            _ => process::exit_now(0),
        }
        // SAFETY: any bytes are a structure of numbers.
        let request: Request = unsafe { std::mem::transmute(request) };
        let told = &shared_head(brief.shared).made;
        let made = clone::copy_beside(int(request.namespaces), told, &Arrival { brief, request }, arrive);
        let answer = made.err().map_or(0, |errno| errno as i32);
        if fd::write(brief.socket, &answer.to_le_bytes()).is_err() {
            process::exit_now(0);
        }
    }
}

/// What a process that is made begins with.
struct Arrival {
    brief: &'static Brief,
    request: Request,
}

/// Child only: takes what is its own, and runs.
fn arrive(Arrival { brief, request }: &'static Arrival) -> ! {
    let list = (brief.shared + LIST) as *const Piece;
    // SAFETY: the maker has put so many there.
    let pieces = unsafe { std::slice::from_raw_parts(list, request.pieces) };
    let mut rest = pieces;
    while let Some((first, others)) = rest.split_first() {
        let from = first.at & !(PAGE - 1);
        let mut to = first.at + first.bytes;
        rest = others;
        // As many of the next as touch the same pages.
        while let Some((next, others)) = rest.split_first() {
            if next.at > to.next_multiple_of(PAGE) {
                break;
            }
            to = to.max(next.at + next.bytes);
            rest = others;
        }
        let access = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
        let bytes = to.next_multiple_of(PAGE) - from;
        // SAFETY: these are addresses of live objects of the maker's, so nothing that is kept of it lies there.
        if unsafe { raw!(mmap, from, bytes, access, flags, usize::MAX, 0) }.is_err() {
            process::exit_now(1);
        }
    }
    let mut from = brief.shared + LIST + size_of_val(pieces);
    for piece in pieces.iter().filter(|piece| piece.content != 0) {
        // SAFETY: the first range is within the shared memory, the second in what was mapped above.
        unsafe { ptr::copy_nonoverlapping(from as *const u8, piece.at as *mut u8, piece.bytes) };
        from += piece.bytes;
    }
    shared_head(brief.shared).is_busy.store(0, Ordering::Release);
    // SAFETY: nobody in this process refers to it any more.
    let unmapped = unsafe { raw!(munmap, brief.shared, SHARED) };
    let name = CStr::from_bytes_until_nul(&brief.name).unwrap_or_default();
    if unmapped.is_err() || process::set_name(name).is_err() {
        process::exit_now(1);
    }
    // SAFETY: `Template::copy` has made the number of a function of this type, but for what the reference is
    // to; it is at the same address here.
    let entry = unsafe { std::mem::transmute::<usize, fn(&'static ()) -> !>(request.entry) };
    // SAFETY: likewise of a reference, to what the pieces have brought here; nobody ever drops it, as `entry`
    // does not return.
    entry(unsafe { &*(request.data as *const ()) })
}
