//! Go's tool chain, for compiling: the `go` command, the compiler, assembler
//! and linker, and the library as source and as archives.

use std::path::Path;

use super::missing;
use crate::error::Result;
use crate::image::build::Builder;
use crate::image::build::capture::Taken;

const RECIPE: &str = "go";

/// What `go build` starts.
const TOOLS: &[&str] = &["asm", "buildid", "compile", "link", "pack"];

pub(super) fn follow(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    let Some(root) = program.real.parent().and_then(Path::parent).and_then(Path::to_str).map(str::to_owned)
    else {
        return Err(missing(RECIPE, "GOROOT", "golang-go"));
    };
    let tools = format!("{root}/pkg/tool/linux_amd64");
    if !builder.exists(Path::new(&format!("{tools}/compile"))) {
        return Err(missing(RECIPE, &format!("{tools}/compile"), "golang-go"));
    }
    for tool in
        TOOLS.iter().filter(|tool| builder.exists(Path::new(&format!("{tools}/{tool}")))).collect::<Vec<_>>()
    {
        builder.helper(RECIPE, &format!("{tools}/{tool}"), "tool")?;
    }
    let everything = |_: &[&str], _: bool| true;
    for part in ["VERSION", "go.env", "pkg/include", "pkg/linux_amd64"] {
        builder.part_if_there(RECIPE, &format!("{root}/{part}"), "library, compiled", &everything)?;
    }
    let sources = |names: &[&str], dir: bool| {
        let last = names.last().copied().unwrap_or_default();
        // The command's own source is not what programs are made of.
        let own = names.first() == Some(&"cmd");
        !own && last != "testdata" && (dir || !last.ends_with("_test.go"))
    };
    builder.part(RECIPE, &format!("{root}/src"), "library, source", &sources)
}
