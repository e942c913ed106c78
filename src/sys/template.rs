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

use std::ffi::CStr;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use nix::poll::{PollFd, PollFlags, PollTimeout};

use super::clone::{self, CLONE_CLEAR_SIGHAND, Cgroup, Child, CloneArgs};
use super::{Errno, Result, fd, process, raw, signal};
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
const PATIENCE_MS: u16 = 10_000;

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
    namespaces: u64,
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
        // All signals are blocked in it, and in what it makes: a handler of the caller's must not run there.
        let before = signal::set_mask(u64::MAX)?;
        let first = clone::copy(libc::CLONE_FILES, brief, begin);
        signal::set_mask(before)?;
        let first = first?;
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
            namespaces: namespaces as u32 as u64,
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
            match nix::poll::poll(&mut fds, PollTimeout::from(PATIENCE_MS)) {
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
        let answer = make(brief, request).err().map_or(0, |errno| errno as i32);
        if fd::write(brief.socket, &answer.to_le_bytes()).is_err() {
            process::exit_now(0);
        }
    }
}

/// Child only: the template makes what was asked for.
fn make(brief: &'static Brief, request: Request) -> Result<()> {
    #[allow(clippy::cast_sign_loss)] // flag bits
    let shared = (libc::CLONE_PARENT | libc::CLONE_PARENT_SETTID) as u64;
    let args = CloneArgs {
        flags: request.namespaces | CLONE_CLEAR_SIGHAND | shared,
        parent_tid: brief.shared as u64,
        ..CloneArgs::default()
    };
    // SAFETY: args is live and of the size passed. No memory is shared but that which is meant to be, so the
    // child continues here on its own copy of this stack.
    match unsafe { raw!(clone3, &raw const args, size_of::<CloneArgs>()) }? {
        0 => arrive(brief, request),
        _ => Ok(()),
    }
}

/// Child only: takes what is its own, and runs.
fn arrive(brief: &'static Brief, request: Request) -> ! {
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

#[cfg(test)]
mod tests {
    use std::io::{PipeReader, PipeWriter, Read as _};

    use super::*;

    /// What a child of these tests has.
    struct Data {
        out: RawFd,
        bytes: Vec<u8>,
        room: Vec<u8>,
    }

    impl Data {
        fn new() -> (Self, PipeReader, PipeWriter) {
            let (from, to) = std::io::pipe().unwrap();
            (
                Self { out: to.as_raw_fd(), bytes: b"as it is".to_vec(), room: Vec::with_capacity(70_000) },
                from,
                to,
            )
        }

        fn pieces(&self) -> Pieces {
            let mut pieces = Pieces::default();
            pieces.value(self);
            pieces.content(&self.bytes);
            pieces.room(self.room.as_ptr(), self.room.capacity());
            pieces
        }
    }

    /// Where code, constants and what belongs to them are.
    fn kept() -> Vec<(usize, usize)> {
        crate::sandbox::kept_by_a_template().unwrap()
    }

    fn template() -> Template {
        Template::new(Room::new().unwrap(), &kept()).unwrap()
    }

    fn ended(child: &Child) -> process::Ended {
        process::wait(child.pidfd.as_fd(), true).unwrap().0
    }

    fn says(data: &'static Data) -> ! {
        let wrote = fd::write(data.out, &data.bytes).is_ok();
        process::exit_now(i32::from(!wrote))
    }

    #[test]
    fn child_has_what_it_is_given() {
        let template = template();
        for _ in 0..3 {
            let (data, mut from, to) = Data::new();
            let child = template.copy(0, &data, data.pieces(), says).unwrap().unwrap();
            drop(to);
            let mut said = String::new();
            from.read_to_string(&mut said).unwrap();
            assert_eq!((said.as_str(), ended(&child)), ("as it is", process::Ended::Exited(0)));
        }
    }

    /// Sends what is left of its memory's map.
    fn shows_its_memory(data: &'static Data) -> ! {
        let told = (|| {
            let maps = fd::openat(libc::AT_FDCWD, c"/proc/self/maps", libc::O_RDONLY, 0)?;
            let mut piece = [0u8; 4096];
            loop {
                match fd::read(maps.as_raw_fd(), &mut piece)? {
                    0 => return Ok(()),
                    n => fd::write(data.out, &piece[..n])?,
                };
            }
        })();
        process::exit_now(i32::from(Result::is_err(&told)))
    }

    #[test]
    fn child_has_nothing_else() {
        // Not of the heap's size, so that it lies elsewhere.
        let secret = vec![7u8; 3 << 20];
        let own = std::fs::read_to_string("/proc/self/maps").unwrap();
        let ranges = |text: &str| {
            let range = |line: &str| {
                let (from, to) = line.split_once(' ')?.0.split_once('-')?;
                Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
            };
            text.lines().filter_map(range).collect::<Vec<_>>()
        };
        let has = |text: &str| {
            ranges(text).iter().any(|(from, to)| (*from..*to).contains(&(secret.as_ptr() as usize)))
        };
        assert!(has(&own) && own.contains("[stack]"), "{own}");
        let (data, mut from, to) = Data::new();
        let child = template().copy(0, &data, data.pieces(), shows_its_memory).unwrap().unwrap();
        drop(to);
        let mut maps = String::new();
        from.read_to_string(&mut maps).unwrap();
        assert_eq!(ended(&child), process::Ended::Exited(0), "{maps}");
        assert!(!has(&maps) && !maps.contains("[stack]"), "{maps}");
        let nameless = |line: &&str| line.split_whitespace().count() == 5;
        let bytes: usize = maps.lines().filter(nameless).flat_map(ranges).map(|(from, to)| to - from).sum();
        assert!(bytes < BEFORE_STACK + STACK + (1 << 20), "{bytes} {maps}");
        drop(secret);
    }

    #[test]
    fn template_that_was_killed_is_told_and_makes_nothing() {
        let template = template();
        let (data, ..) = Data::new();
        assert!(template.is_there());
        process::signal(template.pidfd.as_fd(), libc::SIGKILL).unwrap();
        while process::has_ended(template.pidfd.as_fd()) == Ok(false) {
            std::thread::yield_now();
        }
        assert!(!template.is_there());
        assert!(template.copy(0, &data, data.pieces(), says).is_none());
    }

    #[test]
    fn template_is_of_no_use_to_another_thread_or_with_other_descriptors() {
        std::thread::spawn(|| {
            let template = template();
            std::thread::scope(|scope| {
                assert!(!scope.spawn(|| template.is_there()).join().unwrap());
            });
            assert!(template.is_there());
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FILES).unwrap();
            assert!(!template.is_there());
        })
        .join()
        .unwrap();
    }

    #[test]
    fn template_goes_when_it_is_dropped() {
        let template = template();
        let directory = std::path::PathBuf::from(format!("/proc/{}", template.pid));
        assert!(directory.exists());
        drop(template);
        assert!(!directory.exists());
    }

    #[test]
    fn what_the_kernel_refuses_is_told_and_what_follows_works() {
        let template = template();
        let (data, _from, _to) = Data::new();
        // Threads share signal handlers, which is not asked for.
        let refused = template.copy(libc::CLONE_THREAD, &data, data.pieces(), says).unwrap();
        assert_eq!(refused.err(), Some(Errno::EINVAL));
        let child = template.copy(0, &data, data.pieces(), says).unwrap().unwrap();
        assert_eq!(ended(&child), process::Ended::Exited(0));
    }

    #[test]
    fn more_than_there_is_room_for_is_refused() {
        let (mut data, ..) = Data::new();
        data.bytes = vec![1; SHARED];
        assert!(template().copy(0, &data, data.pieces(), says).is_none());
    }

    #[test]
    fn pieces_on_one_page_and_across_pages_arrive() {
        let template = template();
        let strings: Vec<Box<[u8]>> = (0..200u8).map(|i| vec![i; usize::from(i) * 97].into()).collect();
        struct Many {
            strings: Vec<Box<[u8]>>,
        }
        fn whole(many: &'static Many) -> ! {
            let right =
                many.strings.iter().enumerate().all(|(i, bytes)| {
                    bytes.len() == i * 97 && bytes.iter().all(|byte| usize::from(*byte) == i)
                });
            process::exit_now(i32::from(!right))
        }
        let many = Many { strings };
        let mut pieces = Pieces::default();
        pieces.value(&many);
        pieces.content(&many.strings);
        many.strings.iter().for_each(|bytes| pieces.content(bytes));
        let child = template.copy(0, &many, pieces, whole).unwrap().unwrap();
        assert_eq!(ended(&child), process::Ended::Exited(0));
    }

    #[test]
    fn template_is_refused_where_it_cannot_be_compared() {
        let instruction = |code, jt, jf, k| seccompiler::sock_filter { code, jt, jf, k };
        // The call's number; `kcmp` is answered EPERM, everything else is allowed.
        let filter = [
            instruction(0x20, 0, 0, 0),
            instruction(0x15, 0, 1, 312),
            instruction(0x06, 0, 0, 0x0005_0001),
            instruction(0x06, 0, 0, 0x7fff_0000),
        ];
        std::thread::spawn(move || {
            drop(template());
            process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).unwrap();
            super::super::seccomp::install(&filter, [0; 3]).unwrap();
            assert_eq!(Template::new(Room::new().unwrap(), &kept()).err(), Some(Errno::EPERM));
        })
        .join()
        .unwrap();
    }
}
