//! What a template makes, and when it makes nothing.

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
    let has =
        |text: &str| ranges(text).iter().any(|(from, to)| (*from..*to).contains(&(secret.as_ptr() as usize)));
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
        let right = many
            .strings
            .iter()
            .enumerate()
            .all(|(i, bytes)| bytes.len() == i * 97 && bytes.iter().all(|byte| usize::from(*byte) == i));
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
