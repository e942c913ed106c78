//! Python's packages: a `dist-info` directory each.

use super::{Entry, Files, fields};
use crate::image::draft::Draft;
use crate::image::store::Package;

/// Hands out every package whose `METADATA` is in the image.
pub(super) fn read(files: &dyn Files, draft: &Draft, take: &mut dyn FnMut(Entry)) {
    for (path, _) in draft.iter() {
        let Ok(text) = std::str::from_utf8(path) else { continue };
        let Some(info) = text.strip_suffix("/METADATA").filter(|dir| dir.ends_with(".dist-info")) else {
            continue;
        };
        let Some(metadata) = files.read(text) else { continue };
        let metadata = String::from_utf8_lossy(&metadata);
        // What follows the first empty line is a description, in any language.
        let head = fields(metadata.split("\n\n").next().unwrap_or_default());
        let (Some(name), Some(version)) = (head.get("Name"), head.get("Version")) else { continue };
        let package = Package {
            kind: "pypi".into(),
            name: (*name).to_owned(),
            version: (*version).to_owned(),
            arch: String::new(),
            distribution: String::new(),
            kept: 0,
            files: 0,
        };
        let above = info.rsplit_once('/').map_or("", |(above, _)| above);
        let record = files.read(&format!("{info}/RECORD")).unwrap_or_default();
        let record = String::from_utf8_lossy(&record).into_owned();
        let listed = record.lines().filter_map(|line| line.split(',').next());
        let mut paths: Vec<Vec<u8>> = listed
            .filter(|name| !name.starts_with(".."))
            .map(|name| format!("{above}/{name}").into_bytes())
            .collect();
        // Debian's have no RECORD: the directory itself is known at least.
        if paths.is_empty() {
            paths.push(text.as_bytes().to_vec());
        }
        take(Entry { package, paths });
    }
}
