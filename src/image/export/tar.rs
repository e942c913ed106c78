//! A root file system as a tar archive: every byte of it follows from the
//! manifest, so that the same image always makes the same archive.

use std::io::{self, Write};

use crate::image::manifest::{Entry, Manifest, What};

const BLOCK: u64 = 512;

/// The largest number that a field of twelve bytes has in octal.
const MAX_NUMBER: u64 = 0o777_7777_7777;

/// Writes everything; `copy` writes a file's content. `own` are records of this
/// program's own, which others skip.
pub(super) fn write<E: From<io::Error>>(
    to: &mut dyn Write,
    manifest: &Manifest,
    own: &[(String, String)],
    mut copy: impl FnMut(&Entry, &mut dyn Write) -> Result<(), E>,
) -> Result<(), E> {
    if !own.is_empty() {
        let records: Vec<(&str, &[u8])> =
            own.iter().map(|(key, value)| (key.as_str(), value.as_bytes())).collect();
        extended(to, b'g', b"pax_global_header", &records)?;
    }
    for entry in manifest.entries() {
        let (name, link, size, kind) = parts(entry);
        let mode = match entry.what {
            What::Dir { mode } | What::File { mode, .. } => mode,
            What::Symlink { .. } => 0o777,
        };
        let mtime = u64::try_from(entry.mtime).unwrap_or(0).min(MAX_NUMBER);
        let (time, bytes) = (entry.mtime.to_string(), size.to_string());
        let mut records: Vec<(&str, &[u8])> = Vec::new();
        if name.len() > 100 {
            records.push(("path", &name));
        }
        if link.len() > 100 {
            records.push(("linkpath", link));
        }
        if size > MAX_NUMBER {
            records.push(("size", bytes.as_bytes()));
        }
        if i64::try_from(mtime) != Ok(entry.mtime) {
            records.push(("mtime", time.as_bytes()));
        }
        if !records.is_empty() {
            extended(to, b'x', b"PaxHeaders/entry", &records)?;
        }
        let shown = if size > MAX_NUMBER { 0 } else { size };
        to.write_all(&header(&name, link, mode, shown, mtime, kind))?;
        if matches!(entry.what, What::File { .. }) {
            copy(entry, to)?;
            pad(to, size)?;
        }
    }
    to.write_all(&[0; 1024])?;
    Ok(())
}

/// Name, target, size and type of an entry.
fn parts(entry: &Entry) -> (Vec<u8>, &[u8], u64, u8) {
    let name = entry.relative().to_vec();
    match &entry.what {
        What::Dir { .. } if name.is_empty() => (b"./".to_vec(), b"", 0, b'5'),
        What::Dir { .. } => ([name.as_slice(), b"/"].concat(), b"", 0, b'5'),
        What::Symlink { target } => (name, target, 0, b'2'),
        What::File { size, .. } => (name, b"", *size, b'0'),
    }
}

/// A file of a plain archive, as the layout's archive has them.
pub(super) fn plain(to: &mut dyn Write, name: &str, mtime: u64, size: u64) -> io::Result<()> {
    to.write_all(&header(name.as_bytes(), b"", 0o444, size, mtime, b'0'))
}

/// A directory of such an archive.
pub(super) fn plain_dir(to: &mut dyn Write, name: &str, mtime: u64) -> io::Result<()> {
    to.write_all(&header(name.as_bytes(), b"", 0o755, 0, mtime, b'5'))
}

/// Fills up the last block of a content.
pub(super) fn pad(to: &mut dyn Write, size: u64) -> io::Result<()> {
    let rest = usize::try_from(size.next_multiple_of(BLOCK) - size).unwrap_or(0);
    to.write_all(&[0; 512][..rest])
}

fn extended(to: &mut dyn Write, kind: u8, name: &[u8], records: &[(&str, &[u8])]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for (key, value) in records {
        bytes.extend_from_slice(&record(key, value));
    }
    to.write_all(&header(name, b"", 0o644, bytes.len() as u64, 0, kind))?;
    to.write_all(&bytes)?;
    pad(to, bytes.len() as u64)
}

/// `LENGTH KEY=VALUE` and a newline: the length counts itself.
fn record(key: &str, value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    [length.to_string().as_bytes(), b" ", key.as_bytes(), b"=", value, b"\n"].concat()
}

fn header(name: &[u8], link: &[u8], mode: u16, size: u64, mtime: u64, kind: u8) -> [u8; 512] {
    let mut block = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &name[..name.len().min(100)]);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}").as_bytes());
    put(136, format!("{mtime:011o}").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(157, &link[..link.len().min(100)]);
    put(257, b"ustar\x0000");
    put(329, b"0000000");
    put(337, b"0000000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}
