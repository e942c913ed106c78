//! Where a report goes: a file that appears whole or not at all, or a descriptor
//! that the caller has opened.
//!
//! The payload can reach neither: a file must not lie below anything it may
//! write, and the descriptor is close-on-exec from the start.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::model::Report;
use crate::error::{Error, Kind, Result, io_text, no_matter};
use crate::sys;

/// Where a report goes.
#[derive(Debug)]
pub enum Sink {
    /// To this path, by way of a temporary beside it.
    File(PathBuf),
    /// To this descriptor.
    Fd(File),
}

impl Sink {
    /// Parses `FILE` or `fd:N` and checks that it can be written, before anything runs.
    ///
    /// # Errors
    /// It cannot be written, or must not be.
    pub fn open(spec: &str) -> Result<Self> {
        match spec.strip_prefix("fd:") {
            Some(number) => Self::open_fd(number),
            None => Self::open_file(Path::new(spec)),
        }
    }

    fn open_fd(number: &str) -> Result<Self> {
        let usage = |message: String| Error::new(Kind::Usage, message);
        let fd: RawFd = number
            .parse()
            .ok()
            .filter(|fd| *fd >= 0)
            .ok_or_else(|| usage(format!("--report fd:{number}: not a descriptor's number")))?;
        if fd <= 2 {
            return Err(usage(format!("--report fd:{fd}: descriptors 0 to 2 are the payload's streams"))
                .help("open another one, for example: stockade run --report fd:3 … 3>report.json"));
        }
        // A copy with close-on-exec; the caller's own one is closed so that it cannot be inherited.
        let copied = sys::fd::adopt(fd).map_err(|e| {
            let text = crate::error::errno_text(e as i32);
            usage(format!("--report fd:{fd}: {text}"))
                .help("the shell opens it: stockade run --report fd:3 … 3>report.json")
        })?;
        if !writable(copied.as_fd()) {
            return Err(usage(format!("--report fd:{fd}: not open for writing")));
        }
        Ok(Self::Fd(File::from(copied)))
    }

    fn open_file(path: &Path) -> Result<Self> {
        let usage = |text: String| Error::new(Kind::Usage, format!("--report {}: {text}", path.display()));
        if path.file_name().is_none() {
            return Err(usage("not a file's name".to_owned()));
        }
        match fs::symlink_metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(usage("is a directory".to_owned())),
            Ok(meta) if !meta.is_file() => {
                return Err(usage("exists and is not a regular file".to_owned())
                    .help("a report replaces its file; to write to a pipe or device use fd:N"));
            }
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(usage(io_text(&e))),
            _ => {}
        }
        let dir = parent(path);
        nix::unistd::access(dir, nix::unistd::AccessFlags::W_OK).map_err(|e| {
            usage(format!(
                "cannot write to the directory {}: {}",
                dir.display(),
                crate::error::errno_text(e as i32)
            ))
        })?;
        Ok(Self::File(path.to_owned()))
    }

    /// The file's path, to check that nothing inside can reach it.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Sink::File(path) => Some(path),
            Sink::Fd(_) => None,
        }
    }

    /// Writes the report, whole.
    ///
    /// # Errors
    /// It could not be written; no half of it is left.
    pub fn write(self, report: &Report) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(report).map_err(io::Error::other)?;
        text.push(b'\n');
        match self {
            Sink::Fd(mut file) => file.write_all(&text),
            Sink::File(path) => write_file(&path, &text),
        }
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    }
}

fn writable(fd: BorrowedFd<'_>) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFL).unwrap_or(0);
    flags & libc::O_ACCMODE != libc::O_RDONLY && flags & libc::O_PATH == 0
}

/// Other writers of the same report that may live at the same time.
const MOST_WRITERS: u32 = 100;

fn write_file(path: &Path, text: &[u8]) -> io::Result<()> {
    let (temporary, mut file) = temporary_beside(path)?;
    let written = file.write_all(text).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        no_matter(fs::remove_file(&temporary), "the first failure is the one to tell");
    }
    written
}

/// A temporary that is locked as long as its writer lives: what a dead one has left is removed by the
/// next.
fn temporary_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let mut number = 0;
    loop {
        let temporary = parent(path).join(format!(".{name}.{number}.stockade-tmp"));
        match OpenOptions::new().write(true).create_new(true).mode(0o644).open(&temporary) {
            Ok(file) if is_ours(&file, &temporary) => return Ok((temporary, file)),
            // Somebody took it for a leftover before it was locked.
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if !remove_leftover(&temporary) {
                    number += 1;
                }
                if number == MOST_WRITERS {
                    return Err(e);
                }
            }
            Err(e) => return Err(e),
        }
    }
}

/// Whether its lock could be had, and it is still what bears this name: it may have been removed, or
/// have become the report.
fn is_ours(file: &File, name: &Path) -> bool {
    let same = || {
        let (own, there) = (file.metadata()?, fs::symlink_metadata(name)?);
        io::Result::Ok((own.dev(), own.ino()) == (there.dev(), there.ino()))
    };
    file.try_lock().is_ok() && same().unwrap_or(false)
}

/// Whether a temporary is there no more: its writer is dead, or has just removed it.
fn remove_leftover(temporary: &Path) -> bool {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;
    match OpenOptions::new().write(true).custom_flags(flags).open(temporary) {
        Ok(file) => {
            let own =
                file.metadata().is_ok_and(|m| m.is_file() && m.uid() == nix::unistd::geteuid().as_raw());
            own && is_ours(&file, temporary) && fs::remove_file(temporary).is_ok()
        }
        Err(e) => e.kind() == io::ErrorKind::NotFound,
    }
}

/// A descriptor that is not inherited by anything.
#[must_use]
pub fn is_close_on_exec(fd: &OwnedFd) -> bool {
    let flags = nix::fcntl::fcntl(fd, nix::fcntl::FcntlArg::F_GETFD).unwrap_or(0);
    flags & libc::FD_CLOEXEC != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sink_refuses_streams_and_what_is_not_a_file() {
        let refused = |spec: &str| Sink::open(spec).unwrap_err().to_string();
        assert!(refused("fd:1").contains("0 to 2"));
        assert!(refused("fd:x").contains("not a descriptor's number"));
        assert!(refused("fd:-3").contains("not a descriptor's number"));
        assert!(refused("fd:987654").contains("EBADF"));
        assert!(refused("/dev/null").contains("not a regular file"));
        assert!(refused("/").contains("not a file's name"));
        assert!(refused("/tmp").contains("is a directory"));
        assert!(refused("/nowhere/at/all").contains("cannot write to the directory"));
    }

    #[test]
    fn sink_takes_a_writable_descriptor_and_makes_it_close_on_exec() {
        let dir = tempfile::tempdir().unwrap();
        let file = File::create(dir.path().join("r")).unwrap();
        let raw = std::os::fd::IntoRawFd::into_raw_fd(file);
        let Sink::Fd(taken) = Sink::open(&format!("fd:{raw}")).unwrap() else { panic!("not a descriptor") };
        assert!(is_close_on_exec(&OwnedFd::from(taken)));
        let read_only = File::open("/dev/null").unwrap();
        let raw = std::os::fd::IntoRawFd::into_raw_fd(read_only);
        assert!(Sink::open(&format!("fd:{raw}")).unwrap_err().to_string().contains("not open for writing"));
    }

    #[test]
    fn file_is_replaced_whole_and_no_temporary_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        fs::write(&path, "old").unwrap();
        write_file(&path, b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn temporary_of_a_dead_writer_is_swept_and_that_of_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        let names = || {
            let entries = fs::read_dir(dir.path()).unwrap();
            let mut names: Vec<String> =
                entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        let (left, dead) = temporary_beside(&path).unwrap();
        drop(dead);
        write_file(&path, b"new").unwrap();
        assert_eq!(names(), ["report.json"]);
        let (living, lock) = temporary_beside(&path).unwrap();
        assert_eq!(living, left);
        write_file(&path, b"newer").unwrap();
        assert_eq!(names(), [".report.json.0.stockade-tmp", "report.json"]);
        drop(lock);
        write_file(&path, b"newest").unwrap();
        assert_eq!((names(), fs::read(&path).unwrap()), (vec!["report.json".to_owned()], b"newest".to_vec()));
        // What is somebody else's is left alone.
        std::os::unix::fs::symlink("nowhere", &left).unwrap();
        write_file(&path, b"last").unwrap();
        assert_eq!(names(), [".report.json.0.stockade-tmp", "report.json"]);
    }

    #[test]
    fn writers_at_the_same_time_all_succeed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        std::thread::scope(|scope| {
            for text in [b"one", b"two", b"six", b"ten"] {
                let path = &path;
                scope.spawn(move || (0..200).for_each(|_| write_file(path, text).unwrap()));
            }
        });
        assert_eq!(fs::read(&path).unwrap().len(), 3);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
