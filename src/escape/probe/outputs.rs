//! What a payload leaves in its output directory for whoever collects it.

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::{Steps, Target, c, step};
use crate::error::no_matter;
use crate::escape::outcome::{Saw, name};
use crate::sys::{fd, probe};

/// A name that is always left there: it shows that anything is collected at all.
pub const MADE: &str = "made";

/// Directories inside each other, more than anybody wants.
const DEEP: usize = 100;

/// Files of a sparse kind.
const SPARSE: usize = 8;

/// Names for terminals, shells, options and other systems.
pub const NAMES: [&[u8]; 7] =
    [b"a\nverdict: ok", b"\x1b]0;owned\x07", b"-rf", b"..\\up", b"\xff\xfe", b"\xe2\x80\xae", b"$(id)"];

fn create(saw: &mut Saw, path: &str, mode: u32) -> Option<OwnedFd> {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    let file = saw.step(format!("create {path}"), fd::openat(libc::AT_FDCWD, &c(path), flags, mode))?;
    saw.step(format!("write {path}"), fd::write(file.as_raw_fd(), b"by the box\n"))?;
    Some(file)
}

/// A file and a directory with one, of the names that the host's side has prepared.
fn leave_plain(saw: &mut Saw, dir: &str) {
    create(saw, &format!("{dir}/plain"), 0o644);
    create(saw, &format!("{dir}/{MADE}"), 0o644);
    saw.step("mkdir", fd::mkdirat(libc::AT_FDCWD, &c(&format!("{dir}/sub")), 0o755));
    create(saw, &format!("{dir}/sub/{MADE}"), 0o644);
}

/// OU-01: links to the host's files, and files whose names are links there.
pub fn links(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    let at = libc::AT_FDCWD;
    for (n, to) in [target.secret(), "/".to_owned(), "../..".to_owned()].iter().enumerate() {
        let (to, path) = (c(to), c(&format!("{dir}/link-{n}")));
        step!(saw, "symlink", SYS_symlink, to.as_c_str(), path.as_c_str());
        step!(saw, "symlinkat", SYS_symlinkat, to.as_c_str(), at, path.as_c_str());
    }
    saw
}

/// OU-02: what a reader waits for, or gets no end of.
pub fn special(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    for (what, kind) in [("fifo", libc::S_IFIFO), ("socket", libc::S_IFSOCK), ("device", libc::S_IFCHR)] {
        let (path, device) = (c(&format!("{dir}/{what}")), libc::makedev(1, 5));
        step!(saw, format!("mknod {what}"), SYS_mknod, path.as_c_str(), kind | 0o666, device);
    }
    saw
}

/// OU-04: second names.
pub fn second_names(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    let (own, program) = (c(&format!("{dir}/{MADE}")), c(&target.program));
    for (what, old) in [("a file of its own", &own), ("the program", &program)] {
        let new = c(&format!("{dir}/second name of {what}"));
        step!(saw, format!("link {what}"), SYS_link, old.as_c_str(), new.as_c_str());
    }
    saw
}

/// OU-06: too deep and too many.
pub fn too_many(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    let mut path = dir.clone();
    for _ in 0..DEEP {
        path.push_str("/d");
        if fd::mkdirat(libc::AT_FDCWD, &c(&path), 0o755).is_err() {
            break;
        }
    }
    create(&mut saw, &format!("{path}/bottom"), 0o644);
    let long = "l".repeat(255);
    create(&mut saw, &format!("{dir}/{long}"), 0o644);
    let flags = libc::O_CREAT | libc::O_WRONLY;
    let mut end = None;
    for n in 0.. {
        let file = fd::openat(libc::AT_FDCWD, &c(&format!("{dir}/n{n}")), flags, 0o644);
        if let Err(errno) = file {
            end = Some(errno);
            break;
        }
    }
    saw.note("files until the end", end.map_or("ok".to_owned(), name));
    saw
}

/// OU-07: hostile names.
pub fn names(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    for (n, hostile) in NAMES.into_iter().enumerate() {
        let path = std::ffi::CString::new([dir.as_bytes(), b"/", hostile].concat()).unwrap_or_default();
        let made = fd::openat(libc::AT_FDCWD, &path, libc::O_CREAT | libc::O_WRONLY, 0o644);
        saw.step(format!("name {n}"), made);
    }
    saw
}

/// OU-08: modes and attributes that should stay in the box.
pub fn modes(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    create(&mut saw, &format!("{dir}/set-id"), 0o6777);
    let own = c(&format!("{dir}/{MADE}"));
    step!(saw, "chmod(06777)", SYS_chmod, own.as_c_str(), 0o6777);
    step!(saw, "chown", SYS_chown, own.as_c_str(), 0, 0);
    let value = [0x0200_0001u32, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat();
    for attribute in [c"security.capability", c"user.escape"] {
        let what = format!("setxattr {}", attribute.to_string_lossy());
        step!(saw, what, SYS_setxattr, own.as_c_str(), attribute, value.as_slice(), value.len(), 0);
    }
    saw
}

/// OU-12: files that are longer than what they take.
pub fn sparse(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    leave_plain(&mut saw, dir);
    let most = target.facts.file_size;
    for n in 0..SPARSE {
        let Some(file) = create(&mut saw, &format!("{dir}/sparse-{n}"), 0o644) else { continue };
        for (what, length) in [("1 TiB", 1 << 40), ("all that a file may have", most)] {
            // What is too long for a file may come as a signal.
            no_matter(
                crate::sys::signal::set_disposition(libc::SIGXFSZ, crate::sys::signal::Disposition::Ignore),
                "the end is another one then",
            );
            let cut = probe::call(libc::SYS_ftruncate, &[file.as_raw_fd().into(), length.into()]);
            saw.step(format!("ftruncate to {what}"), cut);
        }
    }
    saw
}
