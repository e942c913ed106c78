//! The caller's terminal.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, refuse};
use crate::escape::outcome::{Saw, name};
use crate::sys::probe::{Arg, Room};
use crate::sys::{fd, probe};

const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;
const TCSETS: u64 = 0x5402;
const TCSETSF: u64 = 0x5404;
const TIOCSCTTY: u64 = 0x540e;

/// The streams, whatever else is open, and the terminal by its names.
fn terminals(saw: &mut Saw, target: &Target) -> Vec<i32> {
    let mut numbers: Vec<i32> = (0..3).collect();
    let room = Room::default();
    numbers
        .extend((3..1024).filter(|n| probe::call(libc::SYS_fstat, &[(*n).into(), (&room).into()]).is_ok()));
    for path in ["/dev/tty", target.terminal.as_str()] {
        let opened =
            fd::openat(libc::AT_FDCWD, &c(path), libc::O_RDWR | libc::O_NOCTTY | libc::O_NONBLOCK, 0);
        if let Some(file) = saw.step(path, opened) {
            numbers.push(file.as_raw_fd());
            // Stays open for the calls to come.
            std::mem::forget(file);
        }
    }
    numbers
}

/// TT-01: keystrokes into the caller's shell.
pub fn type_into_terminal(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for number in terminals(&mut saw, target) {
        refuse!(saw, format!("TIOCSTI on {number}"), SYS_ioctl, number, TIOCSTI, b"p".as_slice());
    }
    saw
}

/// TT-02: paste by the console's selection.
pub fn paste(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for number in terminals(&mut saw, target) {
        for code in [2u8, 3, 4] {
            let argument = [code, 0, 0, 0, 0, 0, 0, 0];
            refuse!(
                saw,
                format!("TIOCLINUX {code} on {number}"),
                SYS_ioctl,
                number,
                TIOCLINUX,
                argument.as_slice()
            );
        }
    }
    saw
}

/// TT-03: the same with bits set that the kernel does not look at.
pub fn type_with_high_bits(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let numbers = terminals(&mut saw, target);
    for high in [1u64 << 32, 1 << 63, 0xffff_ffff_0000_0000, 1 << 40] {
        for number in &numbers {
            let request = Arg::Num(TIOCSTI | high);
            let answer = probe::call(libc::SYS_ioctl, &[(*number).into(), request, b"p".as_slice().into()]);
            saw.must_refuse(format!("TIOCSTI|{high:#x} on {number}"), libc::SYS_ioctl, answer);
        }
    }
    saw
}

/// TT-05: a terminal that is left raw, or taken over.
pub fn make_raw(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let raw = [0u8; 64];
    for number in terminals(&mut saw, target) {
        for (what, request) in [("TCSETS", TCSETS), ("TCSETSF", TCSETSF), ("TIOCSCTTY", TIOCSCTTY)] {
            let answer =
                probe::call(libc::SYS_ioctl, &[number.into(), request.into(), raw.as_slice().into()]);
            if request == TIOCSCTTY && !target.inside() {
                saw.note(what, answer.err().map_or("ok".to_owned(), name));
            } else {
                saw.must_refuse(format!("{what} on {number}"), libc::SYS_ioctl, answer);
            }
        }
    }
    saw
}

/// TT-04: sequences that a terminal would act on.
pub const HOSTILE_OUTPUT: &[u8] =
    b"\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[2J\x1b[1;1Hverdict: ok\r\n\x9b31m\x00PASS\n";
