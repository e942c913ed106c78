//! The files that the payload's streams are.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};

use stockade::error::{Error, Kind, Result, io_text};
use stockade::sandbox::Output;

/// How long the reader of a fifo may take to open it, where the two are started together.
const READER_COMES: Duration = Duration::from_secs(2);

/// How often it is looked for.
const READER_LOOK: Duration = Duration::from_millis(5);

fn open_failed(option: &str, path: &Path, e: &std::io::Error) -> Error {
    let error = Error::new(Kind::Usage, format!("{option} {}: {}", path.display(), io_text(e)));
    if e.raw_os_error() == Some(libc::ELOOP) {
        return error.help("it is a symbolic link: name the file itself");
    }
    error
}

/// A file for standard input.
pub fn input(path: &Path, option: &str) -> Result<OwnedFd> {
    let open = |path| {
        // A fifo without a writer is waited for while the box runs, under its limits.
        let flags = libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK;
        let file = File::options().read(true).custom_flags(flags).open(path)?;
        fcntl(&file, FcntlArg::F_SETFL(OFlag::empty()))?;
        if file.metadata()?.is_dir() {
            return Err(std::io::Error::from_raw_os_error(libc::EISDIR));
        }
        Ok(OwnedFd::from(file))
    };
    open(path).map_err(|e| open_failed(option, path, &e))
}

/// A file for an output stream, or the caller's own.
pub fn output(path: Option<&Path>, option: &str) -> Result<Output> {
    path.map_or(Ok(Output::Inherit), |path| written(path, option))
}

/// A file for an output stream, truncated.
pub fn written(path: &Path, option: &str) -> Result<Output> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NOCTTY | libc::O_NONBLOCK);
    let until = Instant::now() + READER_COMES;
    let unread = |e: &std::io::Error| {
        e.raw_os_error() == Some(libc::ENXIO)
            && path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_fifo())
    };
    let file = loop {
        match options.open(path) {
            Err(e) if unread(&e) && Instant::now() < until => std::thread::sleep(READER_LOOK),
            Err(e) if unread(&e) => {
                let message = format!("{option} {}: nobody reads this fifo", path.display());
                return Err(Error::new(Kind::Usage, message).help("start what reads it first"));
            }
            other => break other,
        }
    };
    let waiting = |file: File| Ok(fcntl(&file, FcntlArg::F_SETFL(OFlag::empty())).map(|_| file)?);
    let file = file.and_then(waiting).map_err(|e| open_failed(option, path, &e))?;
    Ok(Output::File(file.into()))
}
