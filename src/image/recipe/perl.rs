//! Perl: the modules of the distribution itself, without documentation, tests,
//! and what installs others.

use std::path::{Path, PathBuf};

use super::missing;
use crate::error::Result;
use crate::image::build::Builder;
use crate::image::build::capture::Taken;

const RECIPE: &str = "perl";

/// Parts that only developers of modules use, by name at the top of a directory.
const WITHOUT: &[&str] = &[
    "CORE",
    "CPAN",
    "CPAN.pm",
    "ExtUtils",
    "TAP",
    "Test",
    "Test2",
    "Test.pm",
    "Test2.pm",
    "Module",
    "Pod",
    "pod",
    "perl5db.pl",
    "DB.pm",
    "Devel",
    "App",
];

pub(super) fn follow(builder: &mut Builder<'_, '_>, _: &Taken) -> Result<()> {
    super::data::plain_locale(builder, RECIPE)?;
    let base = "/usr/lib/x86_64-linux-gnu/perl-base";
    if !builder.exists(Path::new(base)) {
        return Err(missing(RECIPE, base, "perl-base"));
    }
    let wants = |names: &[&str], dir: bool| {
        let last = names.last().copied().unwrap_or_default();
        let top = names.first().copied().unwrap_or_default();
        let data = [".pod", ".h", ".a", ".t", ".e2x", ".eg", ".bs"].iter().any(|end| last.ends_with(end));
        // Pod::Usage prints a program's own help, and is asked for by many.
        let usage = matches!(names, ["Pod"] | ["Pod", "Usage.pm" | "Text.pm" | "Simple.pm" | "Man.pm"]);
        (usage || !WITHOUT.contains(&top)) && (dir || !data)
    };
    builder.part(RECIPE, base, "base modules", &wants)?;
    for above in ["/usr/lib/x86_64-linux-gnu/perl", "/usr/share/perl"] {
        for dir in versions(builder, above) {
            builder.part(RECIPE, &dir.to_string_lossy(), "modules", &wants)?;
        }
    }
    builder.prune_below(Path::new("/usr/lib/x86_64-linux-gnu/perl"));
    builder.prune_below(Path::new("/usr/share/perl"));
    Ok(())
}

/// `5.36`, the link that the program looks behind, and not `5.36.0` alone.
fn versions(builder: &Builder<'_, '_>, above: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(builder.host.place(Path::new(above))).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.chars().all(|c| c.is_ascii_digit() || c == '.'))
        .map(|name| Path::new(above).join(name))
        .collect();
    found.sort();
    found
}
