//! The digest of the payload's copy, read while the payload runs.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use crate::image::digest::Hasher;

/// Bytes read at a time.
const CHUNK: usize = 128 * 1024;

/// A digest on its way.
#[derive(Debug)]
pub struct Digesting {
    file: Arc<File>,
    thread: Option<JoinHandle<io::Result<String>>>,
}

impl Digesting {
    /// Beside the caller. Where no thread is to be had, it is for the end: the box runs already, and
    /// must not go without its supervisor.
    pub fn begin(file: File) -> Self {
        let file = Arc::new(file);
        let shared = Arc::clone(&file);
        let thread = Builder::new().name("stockade-digest".to_owned()).spawn(move || sha256(&shared));
        Self { file, thread: thread.ok() }
    }

    /// In hexadecimal.
    ///
    /// # Errors
    /// The copy cannot be read.
    pub fn finish(self) -> io::Result<String> {
        match self.thread.map(JoinHandle::join) {
            None => sha256(&self.file),
            Some(Ok(answer)) => answer,
            Some(Err(_)) => Err(io::Error::other("the thread that read it panicked")),
        }
    }
}

fn sha256(mut file: &File) -> io::Result<String> {
    let mut hasher = Hasher::new();
    let mut buf = vec![0u8; CHUNK];
    loop {
        match file.read(&mut buf)? {
            0 => return Ok(hasher.finish().to_string()),
            n => hasher.update(&buf[..n]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the three bytes `abc`, FIPS 180-2.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    fn abc() -> File {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("abc");
        std::fs::write(&path, "abc").unwrap();
        File::open(path).unwrap()
    }

    #[test]
    fn digest_is_the_same_with_a_thread_and_without() {
        let with = Digesting::begin(abc());
        assert!(with.thread.is_some());
        assert_eq!(with.finish().unwrap().trim_start_matches("sha256:"), ABC);
        let without = Digesting { file: Arc::new(abc()), thread: None };
        assert_eq!(without.finish().unwrap().trim_start_matches("sha256:"), ABC);
    }
}
