//! What never goes into an image, whoever asks for it: secrets, and what is
//! more than bytes.
//!
//! An image is read by the payload, and handed on. So nothing goes in that not
//! everybody on this host may read anyway, and nothing that looks like a
//! secret that was left readable by mistake.

use std::os::unix::fs::FileTypeExt;

/// The most of a file that is searched for a private key.
const SEARCHED: usize = 1 << 20;

/// Files that hold secrets by their name.
const SECRET_NAMES: &[&str] = &[
    "shadow",
    "shadow-",
    "gshadow",
    "gshadow-",
    "master.passwd",
    "opasswd",
    "id_rsa",
    "id_dsa",
    "id_ecdsa",
    "id_ed25519",
    "id_ecdsa_sk",
    "id_ed25519_sk",
    "ssh_host_rsa_key",
    "ssh_host_dsa_key",
    "ssh_host_ecdsa_key",
    "ssh_host_ed25519_key",
    "krb5.keytab",
    "secring.gpg",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".my.cnf",
    ".git-credentials",
    ".htpasswd",
    ".npmrc",
    ".pypirc",
    ".dockercfg",
    ".dockerconfigjson",
    ".env",
    ".rhosts",
    ".bash_history",
    ".python_history",
    ".lesshst",
    ".viminfo",
    "credentials.json",
    "service-account.json",
];

/// Ends of names of files that hold keys.
const SECRET_ENDS: &[&str] = &[".p12", ".pfx", ".keytab", ".kdbx", ".ppk", ".asc.key", ".pkcs12"];

/// Why nothing of this name goes in; `dir`: it is a directory.
pub(crate) fn name_refused(name: &[u8], dir: bool) -> Option<&'static str> {
    let Ok(text) = std::str::from_utf8(name) else { return None };
    if dir {
        return text.starts_with('.').then_some("a hidden directory");
    }
    if text.starts_with(".wh.") {
        return Some("a name that means a removal in a layer");
    }
    let lower = text.to_ascii_lowercase();
    let secret = SECRET_NAMES.contains(&lower.as_str()) || SECRET_ENDS.iter().any(|end| lower.ends_with(end));
    secret.then_some("a file that holds secrets")
}

/// Why nothing of this type goes in.
pub(crate) fn kind_refused(kind: std::fs::FileType) -> Option<&'static str> {
    match () {
        () if kind.is_socket() => Some("a socket"),
        () if kind.is_fifo() => Some("a fifo"),
        () if kind.is_block_device() || kind.is_char_device() => Some("a device"),
        () => None,
    }
}

/// Whether these bytes, the first of a file, have a private key in them: as a
/// line of its own, followed by a line of it, not as a word in a program.
pub(crate) fn has_private_key(bytes: &[u8]) -> bool {
    let bytes = bytes.get(..SEARCHED).unwrap_or(bytes);
    if bytes.starts_with(b"\x7fELF") || bytes.contains(&0) {
        return false;
    }
    if bytes.starts_with(b"PuTTY-User-Key-File-")
        || bytes.starts_with(b"-----BEGIN PGP PRIVATE KEY BLOCK-----")
    {
        return true;
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    while let Some(line) = lines.next() {
        let Some(name) = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b" KEY-----"))
        else {
            continue;
        };
        let private = name == b"PRIVATE" || name.ends_with(b" PRIVATE");
        if private && lines.next().is_some_and(looks_like_a_key) {
            return true;
        }
    }
    false
}

/// A line of base64, or of the header that some keys have.
fn looks_like_a_key(line: &[u8]) -> bool {
    let base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    line.starts_with(b"Proc-Type:") || (line.len() >= 16 && line.iter().all(base64))
}

/// How many of a file's first bytes [`has_private_key`] wants to see; 0: none,
/// because it is too large to be a key file.
pub(crate) fn to_search(size: u64) -> usize {
    match usize::try_from(size) {
        Ok(size) if size <= SEARCHED => size,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_key_is_found_as_lines_and_not_as_a_word() {
        for key in [
            "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n",
            "x\r\n-----BEGIN OPENSSH PRIVATE KEY-----\r\nb3BlbnNzaC1rZXktdjEAAAAA\r\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n",
            "PuTTY-User-Key-File-2: ssh-rsa\n",
        ] {
            assert!(has_private_key(key.as_bytes()), "{key}");
        }
        for harmless in [
            "-----BEGIN CERTIFICATE-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n",
            "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n",
            "if line == '-----BEGIN PRIVATE KEY-----':\n    return\n",
            "-----BEGIN PRIVATE KEY-----\n...\n",
            "\x7fELF\n-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n",
        ] {
            assert!(!has_private_key(harmless.as_bytes()), "{harmless}");
        }
    }

    #[test]
    fn names_of_secrets_are_refused_and_others_are_not() {
        for name in ["shadow", "id_rsa", "ID_RSA", "x.pfx", ".netrc", ".env", ".wh.x"] {
            assert!(name_refused(name.as_bytes(), false).is_some(), "{name}");
        }
        for name in ["shadow.py", "id_rsa.pub", "x.pem", "env", ".hidden"] {
            assert_eq!(name_refused(name.as_bytes(), false), None, "{name}");
        }
        assert_eq!(name_refused(b".git", true), Some("a hidden directory"));
        assert_eq!(name_refused(b"git", true), None);
    }
}
