//! Files that must not be written, executed, made or seen.

use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};

use super::{Steps, Target, c, in_child, look_for_secret, read_some, refuse, say, step};
use crate::error::no_matter;
use crate::escape::outcome::{Saw, name};
use crate::sys::probe::{self, Room};
use crate::sys::{self, Errno, fd};

/// A static program of 132 bytes that exits with 42.
pub const EXITS_WITH_42: [u8; 132] = {
    let mut elf = [0u8; 132];
    let head: [u8; 20] = [0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 62, 0];
    let mut i = 0;
    while i < head.len() {
        elf[i] = head[i];
        i += 1;
    }
    elf[20] = 1;
    // Entry 0x400078, program header at 64, its size 56, one of them.
    elf[24] = 0x78;
    elf[26] = 0x40;
    elf[32] = 64;
    elf[52] = 64;
    elf[54] = 56;
    elf[56] = 1;
    // PT_LOAD, read and execute, all of the file at 0x400000.
    elf[64] = 1;
    elf[68] = 5;
    elf[82] = 0x40;
    elf[90] = 0x40;
    elf[96] = 132;
    elf[104] = 132;
    elf[113] = 0x10;
    // mov edi, 42; mov eax, 60; syscall
    let code: [u8; 12] = [0xbf, 42, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
    i = 0;
    while i < code.len() {
        elf[120 + i] = code[i];
        i += 1;
    }
    elf
};

/// Directories below `root`, at most this many, without those of processes.
pub fn directories(root: &str, most: usize) -> Vec<String> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while next < found.len() && found.len() < most {
        let dir = found[next].clone();
        next += 1;
        if dir.starts_with("/proc/") && !dir.starts_with("/proc/self") {
            continue;
        }
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|t| t.is_dir()) {
                found.push(format!("{}/{}", dir.trim_end_matches('/'), entry.file_name().to_string_lossy()));
            }
        }
    }
    for known in ["/", "/dev", "/etc", "/lib", "/lib64", "/proc", "/tmp", "/usr", "/box"] {
        if root == "/" && !found.iter().any(|f| f == known) {
            found.push(known.to_owned());
        }
    }
    found
}

/// A new file in a directory; removed at once.
fn create_in(dir: &str) -> sys::Result<()> {
    let nameless = fd::openat(libc::AT_FDCWD, &c(dir), libc::O_TMPFILE | libc::O_RDWR, 0o600);
    if nameless.is_ok() {
        return Ok(());
    }
    let path = c(&format!("{}/escape-probe", dir.trim_end_matches('/')));
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY;
    fd::openat(libc::AT_FDCWD, &path, flags, 0o600)?;
    no_matter(probe::call(libc::SYS_unlink, &[path.as_c_str().into()]), "a file too many in a box");
    Ok(())
}

/// FS-01: a file can be made only where the policy says so.
pub fn write_everywhere(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for dir in directories(&target.root, 4000) {
        let by_policy = target.writable.iter().any(|w| dir == *w || dir.starts_with(&format!("{w}/")));
        if !by_policy {
            saw.must_fail(format!("create in {dir}"), create_in(&dir));
        }
    }
    for file in [target.program.as_str(), "/etc/passwd", "/etc/group"] {
        if target.inside() {
            let opened = fd::openat(libc::AT_FDCWD, &c(file), libc::O_WRONLY | libc::O_TRUNC, 0);
            saw.must_fail(format!("truncate {file}"), opened);
        }
    }
    saw
}

/// FS-13: a file with a set-id bit is left where the host finds it.
pub fn leave_set_id(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    let path = c(&format!("{dir}/set-id"));
    let create = libc::O_CREAT | libc::O_WRONLY;
    refuse!(saw, "openat(04755)", SYS_openat, libc::AT_FDCWD, path.as_c_str(), create, 0o4755);
    refuse!(saw, "creat(02755)", SYS_creat, path.as_c_str(), 0o2755);
    let made = fd::openat(libc::AT_FDCWD, &path, create, 0o755);
    if let Some(file) = saw.step("openat(0755)", made) {
        refuse!(saw, "fchmod(04755)", SYS_fchmod, file.as_raw_fd(), 0o4755);
    }
    refuse!(saw, "chmod(06755)", SYS_chmod, path.as_c_str(), 0o6755);
    refuse!(saw, "fchmodat(04755)", SYS_fchmodat, libc::AT_FDCWD, path.as_c_str(), 0o4755);
    refuse!(saw, "fchmodat2(04755)", SYS_fchmodat2, libc::AT_FDCWD, path.as_c_str(), 0o4755, 0);
    let how = [u64::from(create.unsigned_abs()), 0o4755, 0].map(u64::to_le_bytes).concat();
    refuse!(saw, "openat2(04755)", SYS_openat2, libc::AT_FDCWD, path.as_c_str(), how.as_slice(), 24);
    saw
}

/// FS-14: a node for a device of the host.
pub fn make_device(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let dirs = [target.scratch.as_deref().unwrap_or("/"), "/", "/dev"];
    for (dir, mode, rdev, what) in [
        (dirs[0], libc::S_IFCHR, libc::makedev(1, 3), "null"),
        (dirs[0], libc::S_IFBLK, libc::makedev(8, 0), "sda"),
        (dirs[1], libc::S_IFBLK, libc::makedev(8, 0), "sda"),
        (dirs[2], libc::S_IFCHR, libc::makedev(1, 1), "mem"),
    ] {
        let path = c(&format!("{dir}/escape-{what}"));
        refuse!(saw, format!("mknod {what} in {dir}"), SYS_mknod, path.as_c_str(), mode | 0o666, rdev);
        refuse!(
            saw,
            format!("mknodat {what} in {dir}"),
            SYS_mknodat,
            libc::AT_FDCWD,
            path.as_c_str(),
            mode | 0o666,
            rdev
        );
    }
    saw
}

/// FS-18: the host's file system by file handles, whatever is mounted.
pub fn open_by_handle(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for start in ["/", "/usr", target.dir.as_str()] {
        // struct file_handle: bytes, type, data; then the mount's id.
        let handle = Room::of(&128u32.to_le_bytes());
        let mount = Room::default();
        let path = c(start);
        let named = probe::call(
            libc::SYS_name_to_handle_at,
            &[libc::AT_FDCWD.into(), path.as_c_str().into(), (&handle).into(), (&mount).into(), 0.into()],
        );
        saw.step(format!("name_to_handle_at {start}"), named);
        if named.is_err() {
            // A handle of the common form, for the root directory's inode.
            let guess = [8u32, 1, 2, 0].map(u32::to_le_bytes).concat();
            let guess = Room::of(&guess);
            refuse!(saw, "open_by_handle_at a guess", SYS_open_by_handle_at, libc::AT_FDCWD, &guess, 0);
            continue;
        }
        refuse!(saw, format!("open_by_handle_at {start}"), SYS_open_by_handle_at, libc::AT_FDCWD, &handle, 0);
    }
    saw
}

/// FS-23: other spellings of a path that must not be reached.
pub fn spell_differently(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let secret = target.secret();
    let doubled = secret.replace('/', "//");
    let dotted = secret.replace('/', "/./");
    for spelling in [
        secret.clone(),
        doubled,
        dotted,
        format!("/..{secret}"),
        format!("/../../../..{secret}"),
        format!("/proc/self/root{secret}"),
        format!("/proc/self/cwd/../../../../..{secret}"),
        format!("/proc/thread-self/root{secret}"),
        format!("/proc/1/root{secret}"),
        format!("/proc/1/cwd{secret}"),
        format!("/dev/fd/0/..{secret}"),
        format!("/proc/self/fd/0/..{secret}"),
        format!("/tmp/../..{secret}"),
        format!("../../../../../..{secret}"),
        format!("/proc/self/task/../../..{secret}"),
    ] {
        look_for_secret(&mut saw, target, &spelling);
    }
    saw
}

/// FS-25: a descriptor for a place outside, without any right on it, used later.
pub fn keep_a_place(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let relative = target.secret().trim_start_matches('/').to_owned();
    for place in ["/..", "/proc/1/root", "/proc/self/root/..", "/proc/self/cwd/../.."] {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let opened = fd::openat(libc::AT_FDCWD, &c(place), flags, 0);
        let Some(dir) = saw.step(format!("O_PATH {place}"), opened) else { continue };
        for below in [relative.clone(), format!("../../..{}", target.secret())] {
            let file = fd::openat(dir.as_raw_fd(), &c(&below), libc::O_RDONLY, 0);
            let read = file.and_then(|f| read_all(&f));
            match read {
                Ok(bytes) if target.finds(&bytes) => {
                    saw.leak(format!("{place} leads to a secret of the host"))
                }
                Ok(_) => saw.note(format!("read below {place}"), "nothing secret"),
                Err(errno) => saw.note(format!("read below {place}"), name(errno)),
            }
        }
    }
    saw
}

fn read_all(file: &OwnedFd) -> sys::Result<Vec<u8>> {
    let mut bytes = vec![0u8; 4096];
    let n = fd::read(file.as_raw_fd(), &mut bytes)?;
    bytes.truncate(n);
    Ok(bytes)
}

/// Writes the little program to a file; answers its path.
fn plant(saw: &mut Saw, path: &str) -> Option<String> {
    let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    let file = saw.step(format!("create {path}"), fd::openat(libc::AT_FDCWD, &c(path), flags, 0o755))?;
    saw.step(format!("write {path}"), fd::write(file.as_raw_fd(), &EXITS_WITH_42))?;
    Some(path.to_owned())
}

/// Executes in a copy of this process; the effect is that the program ran.
fn execute(what: &str, attempt: impl FnOnce() -> Errno) -> Saw {
    let mut saw = in_child(what, || {
        let mut saw = Saw::new();
        saw.note(what, name(attempt()));
        saw
    });
    if saw.answers.iter().any(|seen| seen.answer == "exit 42") {
        saw.leak(format!("{what}: a program of the payload's own ran"));
    }
    saw
}

fn exec(path: &str, argv: &[&str]) -> Errno {
    let strings = |words: &[&str]| process_array(words);
    crate::sys::process::execve(&c(path), &strings(argv), &strings(&[]), [0; 3])
}

fn process_array(words: &[&str]) -> crate::sys::process::StringArray {
    crate::sys::process::StringArray::new(words.iter().map(|w| c(w)).collect())
}

/// FS-27: a program written by the payload, started directly, by the loader, or mapped.
pub fn execute_own_file(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    let Some(path) = plant(&mut saw, &format!("{dir}/planted")) else { return saw };
    saw.join(execute("execve", || exec(&path, &[&path])));
    saw.join(by_the_loader(dir, &path));
    match fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0) {
        Ok(file) => {
            saw.must_fail("mmap(PROT_EXEC) of a file of its own", probe::map_executable(file.as_fd()));
        }
        Err(errno) => saw.note("open", name(errno)),
    }
    no_matter(fs::remove_file(&path), "a file too many in a box");
    saw
}

/// The loader as a program, which is given the one to be executed. Policies that start other programs start
/// it, too: then only its own words tell a file that it could not map from one that it did not get to.
fn by_the_loader(dir: &str, path: &str) -> Saw {
    const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";
    const GIVES_UP: &str = "exit 127";
    const WORDS: &str = "failed to map segment from shared object";
    let what = "execve by the loader";
    let said = format!("{dir}/said");
    let mut saw = execute(what, || {
        let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
        let words = fd::openat(libc::AT_FDCWD, &c(&said), flags, 0o600).and_then(fd::above_stdio);
        no_matter(words.and_then(|to| fd::dup_onto(to.as_raw_fd(), 2)), "without words it is not known");
        exec(LOADER, &[LOADER, path])
    });
    if let Some(seen) = saw.answers.iter_mut().find(|seen| seen.answer == GIVES_UP) {
        let words = read_some(&said, 4096).unwrap_or_default();
        let words = String::from_utf8_lossy(&words).trim().to_owned();
        seen.answer = if words.contains(WORDS) {
            LOADER_MAPS_NOTHING.to_owned()
        } else {
            format!("{GIVES_UP}: {words}")
        };
    }
    no_matter(fs::remove_file(&said), "a file too many in a box");
    saw
}

/// What the loader comes to where it runs, but may not map the program as one.
pub const LOADER_MAPS_NOTHING: &str = "the loader cannot map it";

/// FS-28: a program that has no name in any file system.
pub fn execute_nameless(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let memory = probe::call(libc::SYS_memfd_create, &[c"x".into(), 0.into()]);
    if let Some(number) = saw.step("memfd_create", memory) {
        saw.join(run_descriptor("a file in memory", sys::int(usize::try_from(number).unwrap_or(0))));
    }
    if let Some(dir) = &target.scratch {
        let made = fd::openat(libc::AT_FDCWD, &c(dir), libc::O_TMPFILE | libc::O_RDWR, 0o755);
        if let Some(file) = saw.step("O_TMPFILE", made) {
            saw.join(run_descriptor("a nameless file", file.as_raw_fd()));
        }
    }
    saw
}

fn run_descriptor(what: &str, number: i32) -> Saw {
    let mut saw = Saw::new();
    saw.step(format!("write {what}"), fd::write(number, &EXITS_WITH_42));
    // Written descriptors cannot be executed (ETXTBSY): by another one.
    let path = format!("/proc/self/fd/{number}");
    let reopened = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_RDONLY, 0);
    let reader = saw.step("reopen", reopened);
    let reader = reader.as_ref().map_or(number, |r| r.as_raw_fd());
    saw.join(execute(&format!("execveat {what}"), || {
        no_matter(fd::close(number), "the copy's own");
        let answer = probe::call(
            libc::SYS_execveat,
            &[reader.into(), c"".into(), 0.into(), 0.into(), libc::AT_EMPTY_PATH.into()],
        );
        answer.err().unwrap_or(Errno::UnknownErrno)
    }));
    saw.join(execute(&format!("execve {what}"), || exec(&format!("/proc/self/fd/{reader}"), &["x"])));
    saw
}

/// FS-34: more files than the policy gives, none of which has a byte.
pub fn exhaust_inodes(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (Some(dir), Some((_, inodes))) = (&target.scratch, target.facts.scratch) else { return saw };
    let mut made = 0u64;
    let mut end = None;
    while made <= inodes && end.is_none() {
        let path = c(&format!("{dir}/inode-{made}"));
        let result = if made.is_multiple_of(2) {
            fd::openat(libc::AT_FDCWD, &path, libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o600).map(drop)
        } else {
            fd::mkdirat(libc::AT_FDCWD, &path, 0o700)
        };
        match result {
            Ok(()) => made += 1,
            Err(errno) => end = Some(errno),
        }
    }
    saw.note("one file more", end.map_or("ok".to_owned(), name));
    if made > inodes {
        saw.leak(format!("{made} files and directories where {inodes} are allowed"));
    }
    let path = c(&format!("{dir}/inode-0"));
    refuse!(saw, "setxattr", SYS_setxattr, path.as_c_str(), c"user.x", b"y".as_slice(), 1, 0);
    for n in 0..made {
        let path = format!("{dir}/inode-{n}");
        no_matter(if n % 2 == 0 { fs::remove_file(path) } else { fs::remove_dir(path) }, "it is a box");
    }
    saw
}

/// FS-35: a security label for the next program.
pub fn write_labels(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for file in ["attr/exec", "attr/current", "attr/fscreate", "attr/keycreate", "attr/sockcreate"] {
        let path = format!("/proc/self/{file}");
        let opened = fd::openat(libc::AT_FDCWD, &c(&path), libc::O_WRONLY, 0);
        saw.must_fail(path, opened);
    }
    saw
}

/// FS-40: the page cache of a file that can only be read, through a pipe.
pub fn splice_into_cache(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let file = fd::openat(libc::AT_FDCWD, &c(&target.program), libc::O_RDONLY, 0);
    let (Some(file), Ok((read, write))) = (saw.step("open", file), fd::pipe()) else { return saw };
    let (file, read, write) = (file.as_raw_fd(), read.as_raw_fd(), write.as_raw_fd());
    refuse!(saw, "splice", SYS_splice, file, 0, write, 0, 1, 0);
    let bytes = Room::default();
    let iov = [bytes.address(), 16].map(u64::to_le_bytes).concat();
    refuse!(saw, "vmsplice", SYS_vmsplice, write, iov.as_slice(), 1, 0);
    refuse!(saw, "tee", SYS_tee, read, write, 1, libc::SPLICE_F_NONBLOCK);
    saw
}

/// FS-41: a second name, or a link, for something that belongs to others.
pub fn make_links(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    let program = c(&target.program);
    let new = c(&format!("{dir}/second-name"));
    let own = format!("{dir}/first-name");
    let at = libc::AT_FDCWD;
    saw.io_step("create", fs::write(&own, b""));
    let own = c(&own);
    for (what, old) in [("the program", &program), ("a file of its own", &own)] {
        refuse!(saw, format!("link {what}"), SYS_link, old.as_c_str(), new.as_c_str());
        refuse!(saw, format!("linkat {what}"), SYS_linkat, at, old.as_c_str(), at, new.as_c_str(), 0);
    }
    let link = c(&format!("{dir}/link"));
    refuse!(saw, "symlink", SYS_symlink, c"/etc/passwd", link.as_c_str());
    refuse!(saw, "symlinkat", SYS_symlinkat, c"/etc/passwd", at, link.as_c_str());
    for path in [&new, &link, &own] {
        no_matter(probe::call(libc::SYS_unlink, &[path.as_c_str().into()]), "it is a box");
    }
    saw
}

/// FS-42: who owns a file, and what is written beside its content.
pub fn change_owner_and_attributes(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let path = match &target.scratch {
        Some(dir) => format!("{dir}/owned"),
        None => target.program.clone(),
    };
    saw.io_step("create", fs::write(&path, b""));
    let file = c(&path);
    let at = libc::AT_FDCWD;
    refuse!(saw, "chown to root", SYS_chown, file.as_c_str(), 0, 0);
    refuse!(saw, "lchown to root", SYS_lchown, file.as_c_str(), 0, 0);
    refuse!(saw, "fchownat to root", SYS_fchownat, at, file.as_c_str(), 0, 0, 0);
    let capability = [0x0200_0001u32, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat();
    let names = [c"security.capability", c"trusted.x", c"system.posix_acl_access"];
    for attribute in names {
        let what = format!("setxattr {}", attribute.to_string_lossy());
        refuse!(
            saw,
            what,
            SYS_setxattr,
            file.as_c_str(),
            attribute,
            capability.as_slice(),
            capability.len(),
            0
        );
    }
    no_matter(fs::remove_file(&path), "it is a box");
    saw
}

/// DS-03: more bytes than the scratch space has.
pub fn exhaust_bytes(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (Some(dir), Some((size, _))) = (&target.scratch, target.facts.scratch) else { return saw };
    let block = vec![7u8; 1 << 16];
    let mut written = 0u64;
    let mut end = None;
    let mut files = 0;
    no_matter(
        sys::signal::set_disposition(libc::SIGXFSZ, sys::signal::Disposition::Ignore),
        "the end is another one then",
    );
    'files: while files < 64 && written <= size {
        let path = c(&format!("{dir}/bytes-{files}"));
        files += 1;
        let flags = libc::O_CREAT | libc::O_WRONLY;
        let Some(file) = saw.step("create", fd::openat(libc::AT_FDCWD, &path, flags, 0o600)) else { break };
        while written <= size {
            match fd::write(file.as_raw_fd(), &block) {
                Ok(n) => written += n as u64,
                Err(Errno::EFBIG) => continue 'files,
                Err(errno) => {
                    end = Some(errno);
                    break 'files;
                }
            }
        }
    }
    saw.note("one byte more", end.map_or("ok".to_owned(), name));
    if written > size {
        saw.leak(format!("{written} bytes where {size} are allowed"));
    }
    for n in 0..files {
        no_matter(fs::remove_file(format!("{dir}/bytes-{n}")), "it is a box");
    }
    saw
}

/// DS-16: a file that claims to be enormous.
pub fn claim_size(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let Some(dir) = &target.scratch else { return saw };
    no_matter(
        sys::signal::set_disposition(libc::SIGXFSZ, sys::signal::Disposition::Ignore),
        "the end is another one then",
    );
    let path = c(&format!("{dir}/sparse"));
    let flags = libc::O_CREAT | libc::O_WRONLY;
    if let Some(file) = saw.step("create", fd::openat(libc::AT_FDCWD, &path, flags, 0o600)) {
        let number = file.as_raw_fd();
        let tera = 1i64 << 40;
        refuse!(saw, "ftruncate(1 TiB)", SYS_ftruncate, number, tera);
        refuse!(saw, "fallocate(1 TiB)", SYS_fallocate, number, 0, 0, tera);
        let block = [0u8; 8];
        refuse!(saw, "pwrite64(at 1 TiB)", SYS_pwrite64, number, block.as_slice(), 8, tera);
    }
    no_matter(probe::call(libc::SYS_unlink, &[path.as_c_str().into()]), "it is a box");
    saw
}

/// OU-01, OU-02, SK-17, FS-13: things that the host must not find in a directory
/// that the box may write.
pub fn plant_in_shared(target: &Target, steps: &mut Steps<'_>) -> Saw {
    let mut saw = leave_set_id(target, steps);
    saw.join(make_links(target, steps));
    let Some(dir) = &target.scratch else { return saw };
    for (what, kind) in [("fifo", libc::S_IFIFO), ("socket", libc::S_IFSOCK)] {
        let path = c(&format!("{dir}/{what}"));
        refuse!(saw, format!("mknod {what}"), SYS_mknod, path.as_c_str(), kind | 0o666, 0);
        refuse!(
            saw,
            format!("mknodat {what}"),
            SYS_mknodat,
            libc::AT_FDCWD,
            path.as_c_str(),
            kind | 0o666,
            0
        );
    }
    let made = probe::call(libc::SYS_socket, &[libc::AF_UNIX.into(), libc::SOCK_STREAM.into(), 0.into()]);
    if let Some(socket) = saw.step("socket", made) {
        let path = format!("{dir}/bound");
        let mut address = 1u16.to_le_bytes().to_vec();
        address.extend(path.bytes());
        address.push(0);
        refuse!(saw, "bind", SYS_bind, socket, address.as_slice(), address.len());
    }
    leave_whiteout(&mut saw, dir);
    saw
}

/// A device that nobody needs a right for: what a file that is renamed may leave in its place.
fn leave_whiteout(saw: &mut Saw, dir: &str) {
    let [old, new] = ["whiteout", "whiteout-moved"].map(|name| c(&format!("{dir}/{name}")));
    let made = fd::openat(libc::AT_FDCWD, &old, libc::O_CREAT | libc::O_WRONLY, 0o644);
    if saw.step("create", made).is_some() {
        refuse!(
            saw,
            "renameat2(WHITEOUT)",
            SYS_renameat2,
            libc::AT_FDCWD,
            old.as_c_str(),
            libc::AT_FDCWD,
            new.as_c_str(),
            libc::RENAME_WHITEOUT
        );
    }
}

/// Writes a count to a file again and again: what still runs is seen by it.
pub fn heart(path: &str) -> ! {
    for beat in 0u64.. {
        if let Ok(file) = fd::openat(libc::AT_FDCWD, &c(path), libc::O_CREAT | libc::O_WRONLY, 0o666) {
            no_matter(fd::write(file.as_raw_fd(), format!("{beat:020}").as_bytes()), "the next beat");
        }
        super::rest(std::time::Duration::from_millis(10));
        if beat > 3000 {
            break;
        }
    }
    crate::sys::process::exit_now(0)
}

/// FS-06, FS-07, FS-09, FS-10: shows what is at a place that the host has bound.
pub fn show_bound(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    look_for_secret(&mut saw, target, "/data/secret");
    look_for_secret(&mut saw, target, "/data/sub/secret");
    for place in ["/data", "/data/sub"] {
        let made = create_in(place);
        saw.step(format!("create in {place}"), made);
    }
    saw
}

/// FS-07: what the host mounts meanwhile.
pub fn wait_and_look(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    say("W ready");
    let mut byte = [0u8];
    no_matter(fd::read(0, &mut byte), "then the look is early");
    look_for_secret(&mut saw, target, "/data/sub/secret");
    saw
}

/// FS-12, FS-31: facts that the host compares.
pub fn show_file(_: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for path in ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"] {
        match read_some(path, 1 << 16) {
            Ok(bytes) => saw.note(path, String::from_utf8_lossy(&bytes)),
            Err(errno) => saw.note(path, name(errno)),
        }
    }
    saw
}

/// FS-21's neighbour: `truncate` by path of what is not the payload's.
pub fn truncate_by_path(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    for path in [target.program.clone(), target.precious(), "/etc/passwd".to_owned()] {
        let file = c(&path);
        let outside_own = target.inside() || path == target.precious();
        if outside_own {
            step!(saw, format!("access {path}"), SYS_access, file.as_c_str(), libc::F_OK);
            refuse!(saw, format!("truncate {path}"), SYS_truncate, file.as_c_str(), 0);
        }
    }
    saw
}
