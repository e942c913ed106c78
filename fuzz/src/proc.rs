//! Files of `/proc` that hold names which a payload or a host has chosen.

use std::fmt::Write as _;

use stockade::fuzzing::{mounts, status_field};

pub fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    assert!(mounts(&text).len() <= text.lines().count());
    let name: String = text.chars().filter(|c| *c != '\0').collect();
    let (seccomp, folded) = (status_field(&text, "Seccomp"), text.replace('\t', " "));
    let line = folded.split('\n').find_map(|line| line.strip_prefix("Seccomp:"));
    assert_eq!(seccomp, line.unwrap_or_default().trim());

    // A mount point of any name, written as the kernel does it, comes back as it is.
    let mut line = String::from("36 35 98:0 / /");
    for c in name.chars() {
        match c {
            ' ' | '\t' | '\n' | '\\' => write!(line, "\\{:03o}", c as u32).unwrap(),
            // The kernel escapes no other byte; a line ends at a line feed only.
            c => line.push(c),
        }
    }
    line.push_str(" ro,nosuid shared:7 - tmpfs none ro\n");
    let wanted = vec![(format!("/{name}"), "tmpfs".to_owned(), true)];
    assert_eq!(mounts(&line), wanted, "{line:?}");

    // A process's name cannot make up another field.
    let folded = name.replace('\\', "\\\\").replace('\n', "\\n");
    let status = format!("Name:\t{folded}\nSeccomp:\t2\n");
    assert_eq!(status_field(&status, "Seccomp"), "2", "{status:?}");
}
