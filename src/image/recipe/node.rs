//! Node.js: the program itself holds everything; Debian's own package keeps a
//! few of its modules beside it.

use crate::error::Result;
use crate::image::build::Builder;
use crate::image::build::capture::Taken;

const RECIPE: &str = "node";

/// Modules that Debian has taken out of the program, and that it loads at start.
const OUTSIDE: &[&str] =
    &["acorn", "acorn-walk", "cjs-module-lexer", "undici", "busboy", "streamsearch", "corepack"];

pub(super) fn follow(builder: &mut Builder<'_, '_>, _: &Taken) -> Result<()> {
    for name in OUTSIDE.iter().filter(|name| **name != "corepack") {
        let wants = |names: &[&str], dir: bool| {
            dir || names.last().is_some_and(|name| {
                [".js", ".mjs", ".cjs", ".json", ".wasm"].iter().any(|end| name.ends_with(end))
            })
        };
        builder.part_if_there(
            RECIPE,
            &format!("/usr/share/nodejs/{name}"),
            "module of the program",
            &wants,
        )?;
    }
    Ok(())
}
