//! More than the policy gives: processes, memory, descriptors, output, time.

use std::os::fd::{AsRawFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::{Steps, Target, c, in_child, refuse, say, step};
use crate::error::no_matter;
use crate::escape::outcome::{Saw, name};
use crate::escape::pace;
use crate::sys::probe::Room;
use crate::sys::process::exit_now;
use crate::sys::{Errno, fd, probe};

/// Counts what can be made until the kernel refuses; more than `most` is the effect.
fn count(saw: &mut Saw, what: &str, most: u64, mut make: impl FnMut() -> crate::sys::Result<()>) {
    let mut made = 0u64;
    let end = loop {
        match make() {
            Ok(()) => made += 1,
            Err(errno) => break Some(errno),
        }
        if made > most {
            break None;
        }
    };
    saw.note(format!("one {what} more"), end.map_or("ok".to_owned(), name));
    if made > most {
        saw.leak(format!("{made} of {what}, where {most} are allowed"));
    }
}

/// DS-01: processes, or threads.
pub fn multiply(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let most = target.facts.processes;
    if steps.variant() == "threads" {
        let mut threads = Vec::new();
        count(&mut saw, "thread", most.saturating_sub(1), || {
            let made = std::thread::Builder::new()
                .stack_size(16 * 1024)
                .spawn(|| super::rest(Duration::from_secs(60)));
            made.map(|t| threads.push(t)).map_err(|e| e.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
        });
        say(&format!("R {} {}", "DS-01=threads", serde_json::to_string(&saw).unwrap_or_default()));
        exit_now(0);
    }
    let mut made = Vec::new();
    count(&mut saw, "process", most.saturating_sub(1), || match probe::fork() {
        Ok(0) => {
            super::rest(Duration::from_secs(60));
            exit_now(0)
        }
        Ok(pid) => {
            made.push(pid);
            Ok(())
        }
        Err(errno) => Err(errno),
    });
    made.into_iter().for_each(super::kill);
    saw
}

/// DS-20: processes that have ended and that nobody waits for.
pub fn leave_zombies(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    count(&mut saw, "zombie", target.facts.processes.saturating_sub(1), || match probe::fork() {
        Ok(0) => exit_now(0),
        Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    });
    saw
}

/// DS-02: memory of the kind that the order names, twice what the policy gives.
pub fn eat_memory(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let wanted = target.facts.memory * 2;
    let result = match steps.variant() {
        "private" => probe::touch(wanted, false),
        "shared" => probe::touch(wanted, true),
        "stack" => Ok(probe::use_stack(wanted)),
        "tables" => probe::map_many(wanted / 4096 * 8),
        "file" => fill_memory_file(wanted),
        "scratch" => fill_scratch(target, wanted),
        "pipes" => fill_pairs(wanted, fd::pipe),
        "sockets" => fill_pairs(wanted, fd::socket_pair),
        "children" => eat_in_children(wanted),
        _ => Err(Errno::EINVAL),
    };
    saw.must_fail(format!("{} bytes of {}", wanted, steps.variant()), result);
    saw
}

fn fill_memory_file(bytes: u64) -> crate::sys::Result<u64> {
    let number = probe::call(libc::SYS_memfd_create, &[c"x".into(), 0.into()])?;
    fill(i32::try_from(number).unwrap_or(-1), bytes)
}

fn fill(number: i32, bytes: u64) -> crate::sys::Result<u64> {
    let block = vec![1u8; 1 << 16];
    let mut written = 0;
    while written < bytes {
        written += fd::write(number, &block)? as u64;
    }
    Ok(written)
}

fn fill_scratch(target: &Target, bytes: u64) -> crate::sys::Result<u64> {
    let Some(dir) = &target.scratch else { return Err(Errno::ENOENT) };
    let file = fd::openat(libc::AT_FDCWD, &c(&format!("{dir}/fill")), libc::O_CREAT | libc::O_WRONLY, 0o600)?;
    fill(file.as_raw_fd(), bytes)
}

fn fill_pairs(bytes: u64, make: fn() -> crate::sys::Result<(OwnedFd, OwnedFd)>) -> crate::sys::Result<u64> {
    let block = [1u8; 4096];
    let mut pairs = Vec::new();
    let mut written = 0u64;
    while written < bytes {
        let (read, write) = make()?;
        probe::call(
            libc::SYS_fcntl,
            &[write.as_raw_fd().into(), libc::F_SETFL.into(), libc::O_NONBLOCK.into()],
        )?;
        while let Ok(n) = fd::write(write.as_raw_fd(), &block) {
            written += n as u64;
        }
        pairs.push((read, write));
    }
    Ok(written)
}

fn eat_in_children(bytes: u64) -> crate::sys::Result<u64> {
    const CHILDREN: u64 = 8;
    for _ in 0..CHILDREN {
        if probe::fork()? == 0 {
            no_matter(probe::touch(bytes / CHILDREN, false), "the limit has come");
            super::rest(Duration::from_secs(5));
            exit_now(0);
        }
    }
    super::rest(Duration::from_secs(2));
    Ok(bytes)
}

/// CG-06: a helper runs out of memory; the payload itself ends well.
pub fn let_a_child_burst(target: &Target, _: &mut Steps<'_>) -> Saw {
    let saw = Saw::new();
    if let Ok(pid) = probe::fork() {
        if pid == 0 {
            no_matter(probe::touch(target.facts.memory * 2, false), "the limit has come");
            exit_now(0);
        }
        no_matter(crate::sys::process::wait_pid(pid, true), "it is gone");
    }
    saw
}

/// CG-08: processor time of a process that nobody waits for.
pub fn burn_in_grandchild(_: &Target, _: &mut Steps<'_>) -> Saw {
    if probe::fork() == Ok(0) {
        if probe::fork() == Ok(0) {
            let begin = Instant::now();
            while begin.elapsed() < pace::stretched(Duration::from_secs(20)) {
                std::hint::spin_loop();
            }
        }
        exit_now(0);
    }
    super::rest(Duration::from_secs(20));
    let mut saw = Saw::new();
    saw.leak("nobody ended it");
    saw
}

/// DS-04: descriptors.
pub fn exhaust_descriptors(target: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("dup", || {
        let mut saw = Saw::new();
        count(&mut saw, "descriptor", target.facts.open_files, || {
            probe::call(libc::SYS_dup, &[1.into()]).map(drop)
        });
        saw
    })
}

/// DS-06: buffers of sockets and pipes.
pub fn fill_buffers(target: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("buffers", || {
        let mut saw = Saw::new();
        if target.facts.socket_pairs {
            // How much goes into them is DS-02's.
            saw.note("socketpair", "the policy's");
        } else {
            refuse!(saw, "socketpair", SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, &Room::default());
        }
        match fd::pipe() {
            Ok((_read, write)) => {
                refuse!(saw, "fcntl(SETPIPE_SZ)", SYS_fcntl, write.as_raw_fd(), libc::F_SETPIPE_SZ, 1 << 20);
            }
            Err(errno) => saw.note("pipe", name(errno)),
        }
        saw
    })
}

/// DS-07: output without end, on the streams that the order names.
pub fn flood(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let big = vec![b'x'; 1 << 16];
    let streams: &[i32] = match steps.variant() {
        "out" => &[1],
        "error" => &[2],
        _ => &[1, 2],
    };
    let block: &[u8] = if steps.variant() == "bytes" { b"x" } else { &big };
    let mut written = 0u64;
    while written < 10 << 30 {
        for stream in streams {
            match fd::write(*stream, block) {
                Ok(n) => written += n as u64,
                Err(_) => exit_now(3),
            }
        }
    }
    exit_now(0)
}

/// DS-08: a child that keeps the stream open.
pub fn keep_stream_open(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    match probe::fork() {
        Ok(0) => {
            super::rest(Duration::from_secs(60));
            exit_now(0)
        }
        Ok(_) => saw.note("fork", "ok"),
        Err(errno) => saw.note("fork", name(errno)),
    }
    saw
}

/// DS-11: objects of the kernel that are counted for each user.
pub fn exhaust_objects(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "inotify_init1", SYS_inotify_init1, 0);
    for (what, nr, args) in [
        ("epoll", libc::SYS_epoll_create1, [0, 0]),
        ("timerfd", libc::SYS_timerfd_create, [1, 0]),
        ("eventfd", libc::SYS_eventfd2, [0, 0]),
    ] {
        saw.join(in_child(what, || {
            let mut saw = Saw::new();
            count(&mut saw, what, target.facts.open_files, || {
                probe::call(nr, &[args[0].into(), args[1].into()]).map(drop)
            });
            saw
        }));
    }
    saw
}

/// DS-12: timers, queued signals, contexts that the whole host shares.
pub fn exhaust_timers(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "io_setup(65535)", SYS_io_setup, 65535, &Room::default());
    saw.join(in_child("timers", || {
        let mut saw = Saw::new();
        let id = Room::default();
        // What a policy without the limit would give is 127,000 and more.
        count(&mut saw, "timer", 4096, || {
            probe::call(libc::SYS_timer_create, &[1.into(), 0.into(), (&id).into()]).map(drop)
        });
        saw
    }));
    saw
}

/// DS-13: System V objects and message queues, which stay when a process ends.
pub fn leave_system_v(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let mode = libc::IPC_CREAT | 0o600;
    let segment = refuse!(saw, "shmget", SYS_shmget, libc::IPC_PRIVATE, 1 << 20, mode);
    let queue = refuse!(saw, "msgget", SYS_msgget, libc::IPC_PRIVATE, mode);
    let set = refuse!(saw, "semget", SYS_semget, libc::IPC_PRIVATE, 16, mode);
    refuse!(saw, "mq_open", SYS_mq_open, c"escape-probe", libc::O_CREAT | libc::O_RDWR, 0o600, 0);
    // The control does not leave anything.
    for (nr, object) in [(libc::SYS_shmctl, segment), (libc::SYS_msgctl, queue)] {
        if let Some(id) = object {
            saw.step("remove", probe::call(nr, &[id.into(), libc::IPC_RMID.into(), 0.into()]));
        }
    }
    if let Some(id) = set {
        step!(saw, "remove", SYS_semctl, id, 0, libc::IPC_RMID);
    }
    step!(saw, "mq_unlink", SYS_mq_unlink, c"escape-probe");
    saw.answers.retain(|seen| seen.nr.is_some());
    saw
}

/// DS-14: a directory of the host, filled, and the host's disk kept busy.
pub fn write_back(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    refuse!(saw, "sync", SYS_sync);
    let dir = if target.inside() { "/data".to_owned() } else { target.scratch.clone().unwrap_or_default() };
    let path = c(&format!("{dir}/large"));
    no_matter(
        crate::sys::signal::set_disposition(libc::SIGXFSZ, crate::sys::signal::Disposition::Ignore),
        "the end is another one then",
    );
    let file = fd::openat(libc::AT_FDCWD, &path, libc::O_CREAT | libc::O_WRONLY, 0o600);
    if let Some(file) = saw.step("create", file) {
        refuse!(saw, "syncfs", SYS_syncfs, file.as_raw_fd());
        let most = target.facts.file_size + 1;
        // Beyond its end, where no limit on the size of a file holds.
        refuse!(
            saw,
            "fallocate(KEEP_SIZE)",
            SYS_fallocate,
            file.as_raw_fd(),
            libc::FALLOC_FL_KEEP_SIZE,
            0,
            most
        );
        let end = fill(file.as_raw_fd(), most);
        saw.must_fail("a file above its limit", end);
    }
    no_matter(probe::call(libc::SYS_unlink, &[path.as_c_str().into()]), "the host removes it");
    saw
}

/// DS-17, DS-18, DS-21, DS-23: work for the kernel, without end.
pub fn keep_kernel_busy(target: &Target, steps: &mut Steps<'_>) -> Saw {
    say("W ready");
    let lock = lock_file(target);
    let stat = Room::default();
    let begin = Instant::now();
    let mut n = 0u64;
    while begin.elapsed() < pace::stretched(Duration::from_secs(20)) {
        n += 1;
        let done = match steps.variant() {
            "names" => {
                let path = c(&format!("/tmp/none-{n}"));
                probe::call(libc::SYS_stat, &[path.as_c_str().into(), (&stat).into()]).map(drop)
            }
            "mappings" => probe::map_many(1 << 22).map(drop),
            "locks" => lock_byte(lock.as_ref(), n),
            "barriers" => probe::call(libc::SYS_membarrier, &[1.into(), 0.into()]).map(drop),
            _ => probe::call(libc::SYS_sched_yield, &[]).map(drop),
        };
        if done == Err(Errno::ENOMEM) {
            let mut saw = Saw::new();
            saw.note(steps.variant(), "ENOMEM");
            return saw;
        }
    }
    let mut saw = Saw::new();
    saw.leak("nobody ended it");
    saw
}

fn lock_file(target: &Target) -> Option<std::os::fd::OwnedFd> {
    let dir = target.scratch.as_ref()?;
    fd::openat(libc::AT_FDCWD, &c(&format!("{dir}/locks")), libc::O_CREAT | libc::O_RDWR, 0o600).ok()
}

/// One byte of every second, so that no two can be merged.
fn lock_byte(file: Option<&std::os::fd::OwnedFd>, n: u64) -> crate::sys::Result<()> {
    let number = file.map_or(-1, |f| f.as_raw_fd());
    // struct flock: type, whence, start, length, pid.
    let lock = [1u64, n * 2, 1, 0].map(u64::to_le_bytes).concat();
    probe::call(libc::SYS_fcntl, &[number.into(), libc::F_SETLK.into(), lock.as_slice().into()]).map(drop)
}

/// DS-19: memory that cannot be taken back.
pub fn pin_memory(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("pin", || {
        let mut saw = Saw::new();
        let room = Room::default();
        refuse!(saw, "mlock", SYS_mlock, &room, 4096);
        refuse!(saw, "mlock2", SYS_mlock2, &room, 4096, 0);
        refuse!(saw, "mlockall", SYS_mlockall, 3);
        refuse!(saw, "memfd_create(HUGETLB)", SYS_memfd_create, c"x", 4);
        refuse!(saw, "memfd_secret", SYS_memfd_secret, 0);
        saw
    })
}

/// DS-40: memory of the host's that no limit of a box counts. Where the host has set none aside, the
/// kernel's own answer is another one.
pub fn take_huge_pages(_: &Target, _: &mut Steps<'_>) -> Saw {
    in_child("huge", || {
        let mut saw = Saw::new();
        let huge = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB;
        for (what, flags) in [
            ("mmap(HUGETLB)", huge),
            ("mmap(HUGETLB, 2 MiB)", huge | libc::MAP_HUGE_2MB),
            ("mmap(HUGETLB, 1 GiB)", huge | libc::MAP_HUGE_1GB),
            ("mmap(HUGETLB, shared)", libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB),
        ] {
            refuse!(saw, what, SYS_mmap, 0, 1 << 30, 3, flags, -1, 0);
        }
        saw
    })
}

/// DS-22: refusals that somebody might write down one by one.
pub fn provoke_log(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for _ in 0..2000 {
        let opened = fd::openat(libc::AT_FDCWD, c"/proc/1/environ", libc::O_RDONLY, 0);
        no_matter(opened.map(drop), "refused or not, it counts");
        let opened = fd::openat(libc::AT_FDCWD, c"/box", libc::O_TMPFILE | libc::O_WRONLY, 0o600);
        no_matter(opened.map(drop), "refused or not, it counts");
        no_matter(probe::call(libc::SYS_socket, &[1.into(), 1.into(), 0.into()]).map(drop), "the same");
    }
    saw.note("refusals", "6000");
    saw
}

/// DS-24: so many files that taking the box away might take long.
pub fn leave_many_files(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (Some(dir), Some((_, inodes))) = (&target.scratch, target.facts.scratch) else { return saw };
    let mut path = dir.clone();
    let mut made = 0;
    for n in 0..inodes.min(100_000) {
        let name = c(&format!("{path}/{n}"));
        let done = if n % 50 == 0 {
            path = format!("{path}/{n}");
            fd::mkdirat(libc::AT_FDCWD, &name, 0o700)
        } else {
            fd::openat(libc::AT_FDCWD, &name, libc::O_CREAT | libc::O_WRONLY, 0o600).map(drop)
        };
        if done.is_err() {
            break;
        }
        made += 1;
    }
    saw.note("files", if made > 0 { "many" } else { "none" });
    saw
}
