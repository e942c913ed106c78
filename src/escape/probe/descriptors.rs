//! Descriptors that were not meant to be inherited, and where they lead.

use std::os::fd::AsRawFd as _;

use super::{Steps, Target, c, look_for_secret, refuse, step};
use crate::escape::outcome::{Saw, name};
use crate::sys::probe::Room;
use crate::sys::{fd, probe};

/// Highest number looked at: above any limit that a policy gives.
const HIGHEST: i32 = 4096;

/// FD-01: whatever is open besides the three streams.
pub fn find_inherited(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let room = Room::default();
    let mut open = 0;
    for number in 3..HIGHEST {
        let there = probe::call(libc::SYS_fstat, &[number.into(), (&room).into()]);
        if there.is_err() {
            continue;
        }
        open += 1;
        saw.leak(format!("descriptor {number} is open"));
        let relative = target.secret().trim_start_matches('/').to_owned();
        for path in [relative, "secret".to_owned(), format!("../../../../..{}", target.secret())] {
            let file = fd::openat(number, &c(&path), libc::O_RDONLY, 0);
            if let Ok(file) = file {
                let mut bytes = [0u8; 4096];
                let n = fd::read(file.as_raw_fd(), &mut bytes).unwrap_or(0);
                if target.finds(&bytes[..n]) {
                    saw.note(format!("read by descriptor {number}"), "a secret");
                }
            }
        }
    }
    saw.note("descriptors above 2", if open == 0 { "none".to_owned() } else { open.to_string() });
    saw
}

/// SK-15: a socket of the caller.
pub fn use_inherited_sockets(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let mut answers = std::collections::BTreeSet::new();
    for number in 3..HIGHEST {
        let taken =
            probe::call(libc::SYS_accept4, &[number.into(), 0.into(), 0.into(), libc::SOCK_NONBLOCK.into()]);
        match taken {
            Ok(_) => saw.leak(format!("accept on descriptor {number}")),
            // A listener without a caller, or a socket that is none.
            Err(
                e @ (crate::sys::Errno::EAGAIN | crate::sys::Errno::EINVAL | crate::sys::Errno::EOPNOTSUPP),
            ) => {
                saw.leak(format!("descriptor {number} is a socket ({})", name(e)));
            }
            Err(errno) => {
                answers.insert(name(errno));
            }
        }
    }
    for answer in answers {
        saw.note("accept4", answer);
    }
    saw
}

/// FD-02: where it is, and what lies above.
pub fn look_above(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let room = Room::default();
    if let Some(length) = step!(saw, "getcwd", SYS_getcwd, &room, 4096) {
        let length = usize::try_from(length).unwrap_or(0).saturating_sub(1);
        let cwd = String::from_utf8_lossy(room.bytes().get(..length).unwrap_or_default()).into_owned();
        let as_planned = cwd == target.facts.cwd;
        saw.note("working directory", if as_planned { "as planned" } else { "another one" });
        if cwd.starts_with("(unreachable)") || !as_planned {
            saw.leak(format!("the working directory is {cwd}"));
        }
    }
    let secret = target.secret();
    for up in ["..", "../..", "../../../../../../.."] {
        look_for_secret(&mut saw, target, &format!("{up}{secret}"));
    }
    saw
}

/// FD-08: a channel for descriptors to somebody outside.
pub fn trade_descriptors(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (kind, suffix) in [(libc::SOCK_STREAM, "stream"), (libc::SOCK_DGRAM, "dgram")] {
        let made = probe::call(libc::SYS_socket, &[libc::AF_UNIX.into(), kind.into(), 0.into()]);
        let Some(socket) = saw.step(format!("socket({suffix})"), made) else { continue };
        for path in [format!("\0{}-{suffix}", target.abstract_name), format!("{}/{suffix}", target.dir)] {
            let mut address = 1u16.to_le_bytes().to_vec();
            address.extend(path.bytes());
            let shown = if path.starts_with('\0') { "abstract" } else { "path" };
            let connected = step!(
                saw,
                format!("connect {shown} {suffix}"),
                SYS_connect,
                socket,
                address.as_slice(),
                address.len()
            );
            if connected.is_some() {
                send_root(&mut saw, socket);
            }
        }
    }
    let pair = Room::default();
    let made = probe::call(
        libc::SYS_socketpair,
        &[libc::AF_UNIX.into(), libc::SOCK_DGRAM.into(), 0.into(), (&pair).into()],
    );
    if saw.step("socketpair(DGRAM)", made).is_some() {
        let number = i32::from_le_bytes(pair.bytes()[..4].try_into().unwrap_or_default());
        let mut address = 1u16.to_le_bytes().to_vec();
        address.extend(format!("{}/dgram", target.dir).bytes());
        refuse!(
            saw,
            "sendto a socket file by a pair",
            SYS_sendto,
            number,
            b"x".as_slice(),
            1,
            0,
            address.as_slice(),
            address.len()
        );
    }
    saw
}

fn send_root(saw: &mut Saw, socket: u64) {
    let Ok(root) = fd::openat(libc::AT_FDCWD, c"/", libc::O_PATH, 0) else { return };
    let number = i32::try_from(socket).unwrap_or(-1);
    saw.must_fail(
        "send a descriptor to the host",
        fd::send_with_fds(number, b"x", [root.as_raw_fd()], [0; 3]),
    );
}
