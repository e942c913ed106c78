//! Ruby: its library and compiled modules, and what it loads at every start
//! (RubyGems, did_you_mean, error_highlight), but no gem that was
//! added on this host.

use std::path::Path;

use super::missing;
use crate::error::Result;
use crate::image::build::Builder;
use crate::image::build::capture::Taken;

const RECIPE: &str = "ruby";

const WITHOUT: &[&str] = &[
    "bundler",
    "bundler.rb",
    "rdoc",
    "rdoc.rb",
    "irb",
    "irb.rb",
    "debug",
    "racc",
    "rbs",
    "typeprof",
    "mkmf.rb",
    "reline",
    "reline.rb",
    "drb",
    "drb.rb",
];

/// Gems that come with Ruby itself and that programs `require` like the library.
/// The others make, test and debug programs, or need a network.
const GEMS: &[&str] = &["matrix", "prime", "rexml"];

pub(super) fn follow(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    super::data::plain_locale(builder, RECIPE)?;
    let name = program.real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.strip_prefix("ruby").filter(|version| !version.is_empty()).unwrap_or("3.1");
    let library = format!("/usr/lib/ruby/{version}.0");
    if !builder.exists(Path::new(&library)) {
        return Err(missing(RECIPE, &library, &format!("libruby{version}")));
    }
    let wants = |names: &[&str], dir: bool| {
        let last = names.last().copied().unwrap_or_default();
        !WITHOUT.contains(&names.first().copied().unwrap_or_default())
            && (dir || [".rb", ".so"].iter().any(|end| last.ends_with(end)))
    };
    builder.part(RECIPE, &library, "library", &wants)?;
    builder.part_if_there(
        RECIPE,
        &format!("/usr/lib/x86_64-linux-gnu/ruby/{version}.0"),
        "compiled modules",
        &wants,
    )?;
    let gems = |names: &[&str], dir: bool| {
        matches!(names.first(), Some(&"rubygems" | &"rubygems.rb")) && wants(names, dir)
    };
    builder.part_if_there(RECIPE, "/usr/lib/ruby/vendor_ruby", "RubyGems itself", &gems)?;
    // `matrix-0.4.2` is `matrix`.
    let known = |name: &str| name.rsplit_once('-').is_some_and(|(gem, _)| GEMS.contains(&gem));
    let bundled = |names: &[&str], dir: bool| match names {
        ["gems" | "specifications"] => dir,
        ["gems", gem] => known(gem),
        ["gems", gem, "lib", rest @ ..] => {
            known(gem) && (dir || rest.last().is_some_and(|f| f.ends_with(".rb")))
        }
        ["specifications", "default", ..] => true,
        ["specifications", spec] => spec.strip_suffix(".gemspec").is_some_and(known),
        _ => false,
    };
    let gems = format!("/usr/lib/ruby/gems/{version}.0");
    builder.part_if_there(RECIPE, &gems, "gems of Ruby itself", &bundled)?;
    builder.prune_below(Path::new("/usr/lib/ruby"));
    Ok(())
}
