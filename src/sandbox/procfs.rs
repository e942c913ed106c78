//! Files that the kernel writes as they are read.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// Large enough for nearly any of them in one read. They tell no size, and a
/// reader that starts small has the kernel format them again and again.
const ENOUGH: usize = 16 * 1024;

/// The whole text of a file.
///
/// # Errors
/// It cannot be opened or read, or is no text.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    let mut text = String::with_capacity(ENOUGH);
    File::open(path)?.read_to_string(&mut text)?;
    Ok(text)
}
