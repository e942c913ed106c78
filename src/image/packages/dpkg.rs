//! Debian's database: one paragraph a package, one list of files each.

use super::{Entry, Files, fields};
use crate::image::store::Package;

/// Hands out every installed package.
pub(super) fn read(files: &dyn Files, dir: &str, distribution: &str, take: &mut dyn FnMut(Entry)) {
    if let Some(status) = files.read(&format!("{dir}/status")) {
        let text = String::from_utf8_lossy(&status);
        for paragraph in text.split("\n\n") {
            let fields = fields(paragraph);
            // A removed package leaves its configuration, and its paragraph.
            if fields.get("Status").is_some_and(|status| !status.ends_with(" installed")) {
                continue;
            }
            let Some(package) = package(&fields, distribution) else { continue };
            let (name, arch) = (&package.name, &package.arch);
            let lists = [format!("{dir}/info/{name}.list"), format!("{dir}/info/{name}:{arch}.list")];
            let Some(list) = lists.iter().find_map(|list| files.read(list)) else { continue };
            take(Entry { package, paths: lines(&list) });
        }
    }
    // Images without dpkg itself keep one file a package, and sums beside it.
    let single = format!("{dir}/status.d");
    for name in files.list(&single).iter().filter(|name| !name.ends_with(".md5sums")) {
        let Some(text) = files.read(&format!("{single}/{name}")) else { continue };
        let text = String::from_utf8_lossy(&text);
        let Some(package) = package(&fields(&text), distribution) else { continue };
        let sums = files.read(&format!("{single}/{name}.md5sums")).unwrap_or_default();
        let paths = sums.split(|byte| *byte == b'\n').filter_map(|line| {
            let at = line.windows(2).position(|pair| pair == b"  ")?;
            Some([b"/", &line[at + 2..]].concat())
        });
        take(Entry { package, paths: paths.collect() });
    }
}

fn package(fields: &std::collections::HashMap<&str, &str>, distribution: &str) -> Option<Package> {
    Some(Package {
        kind: "deb".into(),
        name: (*fields.get("Package")?).to_owned(),
        version: (*fields.get("Version")?).to_owned(),
        arch: fields.get("Architecture").copied().unwrap_or_default().to_owned(),
        distribution: if distribution.is_empty() { "debian".into() } else { distribution.to_owned() },
        kept: 0,
        files: 0,
    })
}

fn lines(list: &[u8]) -> Vec<Vec<u8>> {
    list.split(|byte| *byte == b'\n').filter(|line| line.len() > 2).map(<[u8]>::to_vec).collect()
}
