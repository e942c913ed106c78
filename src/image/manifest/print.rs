//! The one spelling of a manifest.

use super::{Manifest, VERSION_LINE, What};

pub(super) fn print(manifest: &Manifest) -> Vec<u8> {
    let mut out = Vec::with_capacity(128 * (manifest.entries.len() + 2));
    let record = |out: &mut Vec<u8>, head: &str, tail: &[&[u8]]| {
        out.extend_from_slice(head.as_bytes());
        for word in tail {
            out.push(b' ');
            escape(out, word);
        }
        out.push(b'\n');
    };
    let header = &manifest.header;
    record(&mut out, VERSION_LINE, &[]);
    if let Some(entry) = &header.entry {
        record(&mut out, "entry", &[entry]);
    }
    for arg in &header.args {
        record(&mut out, "arg", &[arg]);
    }
    for (name, value) in &header.env {
        let both = [name.as_slice(), b"=", value].concat();
        record(&mut out, "env", &[&both]);
    }
    if let Some(policy) = &header.policy {
        record(&mut out, &format!("policy sha256:{policy}"), &[]);
    }
    for entry in &manifest.entries {
        let (mtime, path) = (entry.mtime, entry.path.as_slice());
        match &entry.what {
            What::Dir { mode } => record(&mut out, &format!("d {mode:04o} {mtime}"), &[path]),
            What::File { mode, size, digest } => {
                record(&mut out, &format!("f {mode:04o} {mtime} {size} {digest}"), &[path]);
            }
            What::Symlink { target } => record(&mut out, &format!("l {mtime}"), &[target, path]),
        }
    }
    out
}

/// Bytes that stand for themselves: printable, not the separator, not the escape.
pub(super) const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'\\'
}

fn escape(out: &mut Vec<u8>, word: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for &byte in word {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.extend([b'\\', b'x', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        }
    }
}
