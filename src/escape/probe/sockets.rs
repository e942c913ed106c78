//! Networks: that of the host, those of the kernel, and sockets that are files.

use super::{Steps, Target, in_child, refuse, step};
use crate::escape::outcome::{Saw, name};
use crate::sys::probe;
use crate::sys::probe::{Arg, Room};

const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;
/// `IPPROTO_MPTCP`.
const MPTCP: i32 = 262;
/// `AF_VSOCK`.
const VSOCK: i32 = 40;

/// `struct sockaddr_in`.
fn in4(address: [u8; 4], port: u16) -> Vec<u8> {
    let mut bytes = 2u16.to_le_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend(address);
    bytes.extend([0; 8]);
    bytes
}

/// `struct sockaddr_in6`.
fn in6(address: [u8; 16], port: u16) -> Vec<u8> {
    let mut bytes = 10u16.to_le_bytes().to_vec();
    bytes.extend(port.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(address);
    bytes.extend([0; 4]);
    bytes
}

const LOOPBACK6: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// A socket, for further steps.
fn socket(saw: &mut Saw, what: &str, family: i32, kind: i32, protocol: i32) -> Option<u64> {
    step!(saw, format!("socket({what})"), SYS_socket, family, kind, protocol)
}

fn close(socket: u64) {
    crate::error::no_matter(probe::call(libc::SYS_close, &[socket.into()]), "closed when the probe ends");
}

/// SK-01: the hypervisor's channel, which no network namespace covers before 7.0.
pub fn vsock(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (what, kind) in
        [("VSOCK, STREAM", STREAM), ("VSOCK, DGRAM", DGRAM), ("VSOCK, SEQPACKET", libc::SOCK_SEQPACKET)]
    {
        let Some(made) =
            refuse!(saw, format!("socket({what})"), SYS_socket, VSOCK, kind | libc::SOCK_NONBLOCK, 0)
        else {
            continue;
        };
        for cid in [0u32, 1, 2, u32::MAX] {
            // struct sockaddr_vm: family, reserved, port, cid. Port 1: nobody listens.
            let mut address = 40u16.to_le_bytes().to_vec();
            address.extend([0, 0]);
            address.extend(1u32.to_le_bytes());
            address.extend(cid.to_le_bytes());
            address.extend([0; 4]);
            step!(saw, format!("connect CID {cid}"), SYS_connect, made, address.as_slice(), address.len());
        }
        close(made);
    }
    saw
}

/// SK-02: netlink, every protocol.
pub fn netlink(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for protocol in 0..23 {
        let made = refuse!(
            saw,
            format!("socket(NETLINK, {protocol})"),
            SYS_socket,
            libc::AF_NETLINK,
            libc::SOCK_RAW,
            protocol
        );
        made.into_iter().for_each(close);
    }
    saw
}

/// SK-03: the kernel's cryptography as sockets.
pub fn algorithms(_: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for high in [0u64, 1 << 32, 1 << 63] {
        let family = Arg::Num(38 | high);
        let made = probe::call(libc::SYS_socket, &[family, libc::SOCK_SEQPACKET.into(), 0.into()]);
        saw.must_refuse(format!("socket(ALG | {high:#x})"), libc::SYS_socket, made);
    }
    if steps.next("socketcall(ALG) by int 0x80") {
        saw.join(in_child("socketcall(ALG) by int 0x80", || {
            let mut saw = Saw::new();
            // socketcall is 102 there, SYS_SOCKET 1; its arguments lie below the first mapping.
            let made = probe::call_32bit(102, [1, 0, 0]);
            saw.note("socketcall by int 0x80", made.map_or_else(name, |_| "ok".to_owned()));
            saw
        }));
    }
    saw
}

/// SK-04: packets as they are.
pub fn raw_packets(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for (what, family, kind, protocol) in [
        ("PACKET, RAW", 17, libc::SOCK_RAW, 0x0300),
        ("PACKET, DGRAM", 17, DGRAM, 0x0008),
        ("INET, RAW, 255", 2, libc::SOCK_RAW, 255),
        ("INET, RAW, ICMP", 2, libc::SOCK_RAW, 1),
        ("INET6, RAW, ICMP", 10, libc::SOCK_RAW, 58),
        ("XDP", 44, libc::SOCK_RAW, 0),
        ("KEY", 15, libc::SOCK_RAW, 2),
    ] {
        let made = refuse!(saw, format!("socket({what})"), SYS_socket, family, kind, protocol);
        made.into_iter().for_each(close);
    }
    saw
}

/// SK-05: families whose modules load when they are asked for.
pub fn rare_families(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    // UNIX, INET and INET6 are what a policy with a network has.
    let common = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    for family in (3..64).filter(|f| !common.contains(f)) {
        for high in [0u64, 1 << 32] {
            for kind in [STREAM, DGRAM, libc::SOCK_SEQPACKET] {
                let number = u64::from(family.unsigned_abs()) | high;
                let made = probe::call(libc::SYS_socket, &[number.into(), kind.into(), 0.into()]);
                let what = format!("socket({family}{}, {kind})", if high == 0 { "" } else { " | 1<<32" });
                saw.must_refuse(what, libc::SYS_socket, made).into_iter().for_each(close);
            }
        }
    }
    saw
}

/// SK-07, SK-12: the host's loopback over TCP, in every way there is.
pub fn connect_tcp(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (four, six) = (in4([127, 0, 0, 1], target.tcp), in6(LOOPBACK6, target.tcp));
    for (what, family, protocol, address) in [
        ("TCP", libc::AF_INET, 0, &four),
        ("TCP6", libc::AF_INET6, 0, &six),
        ("MPTCP", libc::AF_INET, MPTCP, &four),
    ] {
        if let Some(made) = socket(&mut saw, what, family, STREAM, protocol) {
            refuse!(saw, format!("connect {what}"), SYS_connect, made, address.as_slice(), address.len());
            close(made);
        }
    }
    if let Some(made) = socket(&mut saw, "TCP fast open", libc::AF_INET, STREAM, 0) {
        refuse!(
            saw,
            "sendto(FASTOPEN)",
            SYS_sendto,
            made,
            b"x".as_slice(),
            1,
            libc::MSG_FASTOPEN,
            four.as_slice(),
            four.len()
        );
        close(made);
    }
    for host in [[127, 0, 0, 2], [0, 0, 0, 0]] {
        if let Some(made) = socket(&mut saw, "TCP", libc::AF_INET, STREAM, 0) {
            let address = in4(host, target.tcp);
            refuse!(saw, format!("connect {host:?}"), SYS_connect, made, address.as_slice(), address.len());
            close(made);
        }
    }
    saw
}

/// SK-10, SK-11: the host's loopback over UDP, a name's query among it.
pub fn send_udp(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    // A query for the text record of leak.escape.invalid.
    let query =
        b"\x13\x37\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x04leak\x06escape\x07invalid\x00\x00\x10\x00\x01"
            .as_slice();
    let address = in4([127, 0, 0, 1], target.udp);
    if let Some(made) = socket(&mut saw, "UDP", libc::AF_INET, DGRAM, 0) {
        refuse!(saw, "sendto", SYS_sendto, made, query, query.len(), 0, address.as_slice(), address.len());
        step!(saw, "connect", SYS_connect, made, address.as_slice(), address.len());
        step!(saw, "write", SYS_write, made, query, query.len());
        close(made);
    }
    let address = in6(LOOPBACK6, target.udp);
    if let Some(made) = socket(&mut saw, "UDP6", libc::AF_INET6, DGRAM, 0) {
        step!(saw, "sendto ::1", SYS_sendto, made, query, query.len(), 0, address.as_slice(), address.len());
        close(made);
    }
    saw
}

/// SK-13: addresses that only mean something in a data centre. Asks for a
/// route, sends nothing.
pub fn route_out(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for host in [
        [169, 254, 169, 254],
        [169, 254, 170, 2],
        [10, 0, 0, 1],
        [172, 16, 0, 1],
        [192, 168, 0, 1],
        [100, 100, 100, 200],
        [1, 1, 1, 1],
    ] {
        if let Some(made) = socket(&mut saw, "UDP", libc::AF_INET, DGRAM, 0) {
            let address = in4(host, 53);
            refuse!(
                saw,
                format!("a route to {host:?}"),
                SYS_connect,
                made,
                address.as_slice(),
                address.len()
            );
            close(made);
        }
    }
    saw
}

/// `struct sockaddr_un`: an abstract name starts with a NUL.
fn unix(path: &str) -> Vec<u8> {
    let mut bytes = 1u16.to_le_bytes().to_vec();
    bytes.extend(path.bytes());
    bytes
}

const KINDS: [(&str, i32); 3] = [("stream", STREAM), ("dgram", DGRAM), ("seqpacket", libc::SOCK_SEQPACKET)];

fn connect_unix(saw: &mut Saw, what: &str, path: &dyn Fn(&str) -> String) {
    for (suffix, kind) in KINDS {
        let Some(made) = socket(saw, &format!("UNIX, {suffix}"), libc::AF_UNIX, kind, 0) else { continue };
        let address = unix(&path(suffix));
        refuse!(
            saw,
            format!("connect {what} {suffix}"),
            SYS_connect,
            made,
            address.as_slice(),
            address.len()
        );
        refuse!(
            saw,
            format!("sendto {what} {suffix}"),
            SYS_sendto,
            made,
            b"x".as_slice(),
            1,
            libc::MSG_NOSIGNAL,
            address.as_slice(),
            address.len()
        );
        close(made);
    }
}

/// SK-08: sockets with names but no files.
pub fn abstract_sockets(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    connect_unix(&mut saw, "abstract", &|suffix| format!("\0{}-{suffix}", target.abstract_name));
    saw
}

/// SK-09: sockets that are files in a directory that the host has bound.
pub fn path_sockets(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let dir = if target.inside() { "/data".to_owned() } else { target.dir.clone() };
    connect_unix(&mut saw, "path", &|suffix| format!("{dir}/{suffix}"));
    let pair = Room::default();
    let made =
        probe::call(libc::SYS_socketpair, &[libc::AF_UNIX.into(), DGRAM.into(), 0.into(), (&pair).into()]);
    if saw.step("socketpair(DGRAM)", made).is_some() {
        let number = i32::from_le_bytes(pair.bytes()[..4].try_into().unwrap_or_default());
        let address = unix(&format!("{dir}/dgram"));
        refuse!(
            saw,
            "sendto by a pair",
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

/// SK-16: out-of-band bytes, whose handling in UNIX sockets had a hole.
pub fn out_of_band(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let pair = Room::default();
    let made =
        probe::call(libc::SYS_socketpair, &[libc::AF_UNIX.into(), STREAM.into(), 0.into(), (&pair).into()]);
    let number = match saw.step("socketpair(STREAM)", made) {
        Some(_) => i32::from_le_bytes(pair.bytes()[..4].try_into().unwrap_or_default()),
        None => 1,
    };
    refuse!(saw, "sendto(OOB)", SYS_sendto, number, b"x".as_slice(), 1, libc::MSG_OOB, 0, 0);
    saw
}

/// SA-10: options of sockets, through which much was broken into.
pub fn socket_options(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let value = [0u8; 128];
    for level in [0, 1, 6, 17, 41, 255, 263, 270, 279, 281, 282, 284] {
        for option in [0, 1, 12, 26, 31, 48, 49, 50, 64, 65] {
            refuse!(
                saw,
                format!("setsockopt({level}, {option})"),
                SYS_setsockopt,
                0,
                level,
                option,
                value.as_slice(),
                128
            );
        }
    }
    saw
}

/// SK-40: messages in batches, and what only receives.
pub fn other_ways_to_send(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let room = Room::default();
    refuse!(saw, "sendmsg", SYS_sendmsg, 1, &room, 0);
    refuse!(saw, "sendmmsg", SYS_sendmmsg, 1, &room, 1, 0);
    refuse!(saw, "recvmsg", SYS_recvmsg, 0, &room, 0x40);
    refuse!(saw, "recvmmsg", SYS_recvmmsg, 0, &room, 1, 0x40, 0);
    refuse!(saw, "bind", SYS_bind, 1, &room, 16);
    refuse!(saw, "listen", SYS_listen, 1, 1);
    refuse!(saw, "accept", SYS_accept, 0, 0, 0);
    refuse!(saw, "getsockopt", SYS_getsockopt, 0, 1, 17, &room, &room);
    refuse!(saw, "shutdown", SYS_shutdown, 2, 2);
    saw
}
