//! Files that are made, not copied: the host's users, names and services are
//! none of the box's business.

use super::super::layout::{Layout, LayoutProblem};

/// No lookup may load a module that is not there or ask a server: `files` is
/// part of the C library itself.
const NSSWITCH: &str = "\
passwd: files
group: files
shadow: files
hosts: files
networks: files
protocols: files
services: files
ethers: files
rpc: files
netgroup: files
";

const HOSTS: &str = "\
127.0.0.1 localhost
::1 localhost
";

/// Paths and texts of them all.
pub(crate) fn generated_files(uid: u32, gid: u32, loopback: bool) -> Vec<(&'static str, String)> {
    let mut files = vec![
        ("/etc/passwd", format!("box:x:{uid}:{gid}:box:/box:/bin/false\n{NOBODY_USER}")),
        ("/etc/group", format!("box:x:{gid}:\n{NOBODY_GROUP}")),
        ("/etc/nsswitch.conf", NSSWITCH.to_owned()),
    ];
    if loopback {
        files.push(("/etc/hosts", HOSTS.to_owned()));
    }
    files
}

/// Adds them all.
pub(super) fn add(layout: &mut Layout, uid: u32, gid: u32, loopback: bool) -> Result<(), LayoutProblem> {
    generated_files(uid, gid, loopback)
        .into_iter()
        .try_for_each(|(path, text)| layout.made(path.as_bytes(), text))
}

/// What every id from outside the box looks like: the kernel's overflow ids.
const NOBODY_USER: &str = "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n";
const NOBODY_GROUP: &str = "nogroup:x:65534:\n";
