//! Files that the kernel writes as they are read.

use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

/// Large enough for nearly any of them in one read: a reader that starts small has the kernel format them
/// again and again.
const ENOUGH: usize = 8 * 1024;

/// The whole text of a file.
///
/// They tell no size, so nobody asks for it, and many are read for one launch: what holds the text takes
/// no more memory than the text does.
///
/// # Errors
/// It cannot be opened or read, or is no text.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut piece = [0u8; ENOUGH];
    let mut text = Vec::new();
    loop {
        match file.read(&mut piece) {
            Ok(0) => return String::from_utf8(text).map_err(io::Error::other),
            Ok(n) => text.extend_from_slice(&piece[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
}

/// The pids in a file that has nothing else.
///
/// # Errors
/// As [`read`].
pub fn pids(path: impl AsRef<Path>) -> io::Result<Vec<i32>> {
    Ok(read(path)?.split_whitespace().filter_map(|pid| pid.parse().ok()).collect())
}

/// Children of any thread of a process, by its pid or `self`; `None`: it is not there, or does not show.
pub fn children(process: impl Display) -> Option<Vec<i32>> {
    let threads = fs::read_dir(format!("/proc/{process}/task")).ok()?;
    Some(threads.flatten().filter_map(|thread| pids(thread.path().join("children")).ok()).flatten().collect())
}
