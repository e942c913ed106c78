//! Alpine's database: one file, one paragraph a package, its files in it.

use super::{Entry, Files};
use crate::image::store::Package;

const INSTALLED: [&str; 2] = ["/lib/apk/db/installed", "/usr/lib/apk/db/installed"];

/// Hands out every installed package.
pub(super) fn read(files: &dyn Files, distribution: &str, take: &mut dyn FnMut(Entry)) {
    let Some(text) = INSTALLED.iter().find_map(|path| files.read(path)) else { return };
    for paragraph in String::from_utf8_lossy(&text).split("\n\n") {
        let mut package = Package {
            kind: "apk".into(),
            name: String::new(),
            version: String::new(),
            arch: String::new(),
            distribution: if distribution.is_empty() { "alpine".into() } else { distribution.to_owned() },
            kept: 0,
            files: 0,
        };
        let (mut dir, mut paths) = (String::new(), Vec::new());
        for line in paragraph.lines() {
            let Some((letter, value)) = line.split_once(':') else { continue };
            match letter {
                "P" => package.name = value.to_owned(),
                "V" => package.version = value.to_owned(),
                "A" => package.arch = value.to_owned(),
                "F" => dir = value.to_owned(),
                "R" if dir.is_empty() => paths.push(format!("/{value}").into_bytes()),
                "R" => paths.push(format!("/{dir}/{value}").into_bytes()),
                _ => {}
            }
        }
        if !package.name.is_empty() {
            take(Entry { package, paths });
        }
    }
}
