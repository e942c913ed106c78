//! What static analysis cannot see: the files that interpreters and compilers
//! open while they run.
//!
//! A recipe knows one program as Debian 12 packages it, starts from the file in
//! `/usr/bin` that was named (never from PATH, where a shim may stand), and takes
//! what that program needs and nothing that was added to it on this host. What
//! it does not find, it says.

mod compilers;
mod data;
mod golang;
mod java;
mod node;
mod perl;
mod python;
mod remember;
mod ruby;

use std::path::Path;

use super::build::Builder;
use super::build::capture::{Filter, Role, Taken};
use super::store::Why;
use crate::error::{Error, Kind, Result};
use crate::policy::suggest;

pub(crate) use remember::image_of_record;
pub use remember::{Wanted, image};

/// A recipe without a program: its parameters.
type Alone = fn(&mut Builder<'_, '_>, &[String]) -> Result<()>;

/// Something that can be followed.
struct Recipe {
    name: &'static str,
    /// Whether it is for the program of this file name.
    knows: fn(&str) -> bool,
    /// For a program; `None`: it stands alone.
    program: Option<fn(&mut Builder<'_, '_>, &Taken) -> Result<()>>,
    /// On its own, with parameters.
    alone: Option<Alone>,
    /// The policy that ships for it.
    policy: Option<&'static str>,
}

const NOBODY: fn(&str) -> bool = |_| false;

const RECIPES: &[Recipe] = &[
    for_programs("python3", |name| versioned(name, "python3"), python::follow, Some("python")),
    for_programs("node", |name| matches!(name, "node" | "nodejs"), node::follow, Some("node")),
    for_programs("java", |name| name == "java", java::java, Some("java")),
    for_programs("javac", |name| name == "javac", java::javac, None),
    for_programs("perl", |name| versioned(name, "perl"), perl::follow, None),
    for_programs("ruby", |name| versioned(name, "ruby"), ruby::follow, None),
    for_programs("lua", |name| versioned(name, "lua"), |_, _| Ok(()), None),
    for_programs("gcc", |name| compilers::is(name, &["gcc", "cc", "cpp"]), compilers::gcc, None),
    for_programs("g++", |name| compilers::is(name, &["g++", "c++"]), compilers::gxx, None),
    for_programs("rustc", |name| name == "rustc", compilers::rustc, None),
    for_programs("go", |name| name == "go", golang::follow, None),
    standing_alone("locale", data::locales),
    standing_alone("time-zones", data::time_zones),
    standing_alone("ca-certificates", data::certificates),
];

const fn for_programs(
    name: &'static str,
    knows: fn(&str) -> bool,
    follow: fn(&mut Builder<'_, '_>, &Taken) -> Result<()>,
    policy: Option<&'static str>,
) -> Recipe {
    Recipe { name, knows, program: Some(follow), alone: None, policy }
}

const fn standing_alone(name: &'static str, follow: Alone) -> Recipe {
    Recipe { name, knows: NOBODY, program: None, alone: Some(follow), policy: None }
}

/// Recipes for programs, by name.
pub const NAMES: &[&str] =
    &["python3", "node", "java", "javac", "perl", "ruby", "lua", "gcc", "g++", "rustc", "go"];

/// Recipes without a program, by name.
pub const ALONE: &[&str] = &["locale", "time-zones", "ca-certificates"];

/// Recipes of programs that ask the C library for the charset: without the locale
/// of their policies they would fall back to ASCII, or complain.
const SETS_LOCALE: &[&str] = &["java", "javac", "perl", "ruby", "lua"];

/// `python3.11` is a `python3`, `python3-config` is not.
fn versioned(name: &str, plain: &str) -> bool {
    name.strip_prefix(plain).is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

/// The recipe that knows a program, by its path without links.
pub(crate) fn for_program(real: &Path) -> Option<&'static str> {
    if !real.starts_with("/usr") {
        return None;
    }
    let name = real.file_name()?.to_str()?;
    RECIPES.iter().find(|recipe| (recipe.knows)(name)).map(|recipe| recipe.name)
}

/// The policy that ships for a program of this host, if a recipe knows it.
#[must_use]
pub fn policy_of(program: &Path) -> Option<&'static str> {
    let real = std::fs::canonicalize(program).ok()?;
    let name = for_program(&real)?;
    let policy = RECIPES.iter().find(|recipe| recipe.name == name)?.policy?;
    crate::policy::builtin_text(policy).map(|_| policy)
}

/// Follows a recipe for a program that has been taken.
pub(crate) fn follow(builder: &mut Builder<'_, '_>, name: &str, program: &Taken) -> Result<()> {
    let Some(recipe) = RECIPES.iter().find(|recipe| recipe.name == name && recipe.program.is_some()) else {
        return Err(unknown(name, NAMES));
    };
    if !builder.followed.insert((recipe.name, program.real.clone())) {
        return Ok(());
    }
    builder.progress.now(&format!("following the recipe {name}"));
    if SETS_LOCALE.contains(&recipe.name) {
        builder.part_if_there(recipe.name, data::C_UTF_8, "locale C.UTF-8", &|_, _| true)?;
    }
    recipe.program.map_or(Ok(()), |follow| follow(builder, program))
}

/// Follows a recipe that is for no program.
pub(crate) fn follow_alone(builder: &mut Builder<'_, '_>, name: &str, parameters: &[String]) -> Result<()> {
    match RECIPES.iter().find(|recipe| recipe.name == name).and_then(|recipe| recipe.alone) {
        Some(follow) => follow(builder, parameters),
        None => Err(unknown(name, ALONE)),
    }
}

fn unknown(name: &str, known: &[&str]) -> Error {
    Error::new(Kind::Usage, format!("there is no recipe '{name}'")).help(suggest::help(name, known))
}

/// Something that a recipe relies on is not there.
fn missing(recipe: &str, path: &str, package: &str) -> Error {
    Error::new(Kind::Host, format!("the recipe {recipe} needs {path}, which is not there"))
        .help(format!("install the package {package}; recipes know programs as Debian 12 packages them"))
}

impl Builder<'_, '_> {
    /// A directory or file that a recipe knows of.
    fn part(
        &mut self,
        recipe: &'static str,
        path: &str,
        part: &str,
        wants: &dyn Fn(&[&str], bool) -> bool,
    ) -> Result<()> {
        let why = Why::Recipe { recipe: recipe.to_owned(), part: part.to_owned() };
        self.tree(Path::new(path), None, &Filter { wants, role: Role::Data, close: true }, &why)
    }

    /// The same, where it is there.
    fn part_if_there(
        &mut self,
        recipe: &'static str,
        path: &str,
        part: &str,
        wants: &dyn Fn(&[&str], bool) -> bool,
    ) -> Result<()> {
        if self.exists(Path::new(path)) { self.part(recipe, path, part, wants) } else { Ok(()) }
    }

    /// A program that another one starts.
    fn helper(&mut self, recipe: &'static str, path: &str, part: &str) -> Result<()> {
        let why = Why::Recipe { recipe: recipe.to_owned(), part: part.to_owned() };
        self.program(Path::new(path), None, why, super::build::closure::Follow::Nothing).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipe_lists_are_those_of_the_recipes() {
        let names = |alone: bool| -> Vec<&str> {
            RECIPES
                .iter()
                .filter(|recipe| recipe.alone.is_some() == alone)
                .map(|recipe| recipe.name)
                .collect()
        };
        assert_eq!(names(false), NAMES);
        assert_eq!(names(true), ALONE);
    }

    #[test]
    fn program_is_known_by_its_real_name_only_where_the_system_keeps_it() {
        let known = |path: &str| for_program(Path::new(path));
        assert_eq!(known("/usr/bin/python3.11"), Some("python3"));
        assert_eq!(known("/usr/bin/x86_64-linux-gnu-g++-12"), Some("g++"));
        assert_eq!(known("/usr/bin/x86_64-linux-gnu-gcc-12"), Some("gcc"));
        assert_eq!(known("/usr/lib/jvm/java-17-openjdk-amd64/bin/java"), Some("java"));
        assert_eq!(known("/usr/bin/perl"), Some("perl"));
        assert_eq!(known("/usr/bin/python3-config"), None);
        assert_eq!(known("/home/x/python3"), None);
        assert_eq!(known("/usr/bin/gcc-ar"), None);
    }
}
