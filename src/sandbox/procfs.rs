//! Files that the kernel writes as they are read.

use std::fs::File;
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
