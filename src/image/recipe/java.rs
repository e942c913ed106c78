//! Java: an image made by `jlink` where there is a JDK, the runtime's own files
//! where there is none.
//!
//! `jlink` is a program of the same JDK that was named, belongs to root, and is
//! the only thing that is executed for it; what it makes is the same each time.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::missing;
use crate::error::{Error, Kind, Result};
use crate::image::build::Builder;
use crate::image::build::capture::{Filter, Role, Taken};
use crate::image::store::Why;

const RECIPE: &str = "java";

/// What programs of one file use: 49.4 MB with the machine; all of `java.se`
/// would be twice that.
const MODULES: &[&str] =
    &["java.base", "java.logging", "java.management", "java.xml", "jdk.localedata", "jdk.unsupported"];

/// What of `jdk.localedata` is left out: how languages, countries and time zones
/// are called, in all languages but these, 5 MB of 14. How numbers, dates and
/// money are written and words are sorted stays, for every language.
const NAMES: &str = concat!(
    "regex:/jdk\\.localedata/sun/util/resources/(ext/(LocaleNames|TimeZoneNames)_.*",
    "|cldr/ext/(LocaleNames|TimeZoneNames)_",
    "(?!(ar|cs|de|el|en|es|fr|hi|id|it|ja|ko|nl|pl|pt|ru|sv|th|tr|uk|vi|zh)[_.]).*)",
);

/// What the compiler is.
const COMPILER: &[&str] = &["java.base", "java.compiler", "jdk.compiler", "jdk.zipfs"];

/// Files that jlink makes and nobody needs: other programs, a helper that starts
/// processes, tools' data, licences (the packages' own are on the host).
const WITHOUT: &[&str] = &[
    "bin",
    "legal",
    "lib/jexec",
    "lib/jspawnhelper",
    "lib/classlist",
    "lib/src.zip",
    "lib/jrt-fs.jar",
    "man",
    "include",
];

pub(super) fn java(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    follow(builder, program, MODULES, "java")
}

pub(super) fn javac(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    follow(builder, program, COMPILER, "javac")
}

fn follow(builder: &mut Builder<'_, '_>, program: &Taken, modules: &[&str], command: &str) -> Result<()> {
    super::data::plain_locale(builder, RECIPE)?;
    let home = program.real.parent().and_then(Path::parent).map(Path::to_path_buf);
    let home = home.ok_or_else(|| missing(RECIPE, "the JDK's directory", "openjdk-17-jdk-headless"))?;
    let linker = home.join("bin/jlink");
    let can_link = builder.host.is_system() && builder.exists(&linker) && builder.exists(&home.join("jmods"));
    if !can_link {
        if command == "javac" {
            return Err(missing("javac", &linker.to_string_lossy(), "openjdk-17-jdk-headless"));
        }
        builder.note("there is no jlink here: the whole runtime was taken");
        return runtime(builder, &home);
    }
    // A second program of the same JDK wants one image for both.
    let both = builder.followed.iter().any(|(name, real)| {
        matches!(*name, "java" | "javac") && real != &program.real && real.starts_with(&home)
    });
    let (modules, commands): (BTreeSet<&str>, Vec<&str>) = if both {
        (MODULES.iter().chain(COMPILER).copied().collect(), vec!["java", "javac"])
    } else {
        (modules.iter().copied().collect(), vec![command])
    };
    link(builder, &home, &linker, &modules, &commands)
}

/// Has jlink make an image, which takes the place of the JDK.
fn link(
    builder: &mut Builder<'_, '_>,
    home: &Path,
    linker: &Path,
    modules: &BTreeSet<&str>,
    commands: &[&str],
) -> Result<()> {
    // What is executed must be root's alone, like what is copied.
    if let Err(why) = builder.host.open(linker) {
        return Err(crate::image::build::distrusted(linker, &why));
    }
    builder.progress.now("jlink is at work");
    let out = builder.workshop()?.join("jlinked");
    let modules: Vec<&str> = modules.iter().copied().collect();
    let output = Command::new(linker)
        .arg("--add-modules")
        .arg(modules.join(","))
        .args(["--strip-debug", "--no-header-files", "--no-man-pages", "--compress", "2"])
        .args(["--exclude-resources", NAMES, "--output"])
        .arg(&out)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| crate::image::build::unread(linker, &error))?;
    if !output.status.success() {
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let line = said.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing").to_owned();
        let message = format!("{} failed: {line}", linker.display());
        return Err(Error::new(Kind::Host, message).help("install the package openjdk-17-jdk-headless whole"));
    }
    let home_bytes = home.as_os_str().as_encoded_bytes();
    builder.draft.remove(home_bytes);
    builder.reopen(home);
    let wanted: Vec<PathBuf> = commands.iter().map(|command| Path::new("bin").join(command)).collect();
    let wants = |path: &Path| {
        path == Path::new("bin")
            || wanted.iter().any(|command| command == path)
            || !WITHOUT.iter().any(|without| path.starts_with(without))
    };
    let part = format!("jlink of {}", modules.join(","));
    builder.fresh_tree(&out, home, &wants, &Why::Recipe { recipe: RECIPE.into(), part })
}

/// The files of a runtime, without what draws, plays and debugs.
fn runtime(builder: &mut Builder<'_, '_>, home: &Path) -> Result<()> {
    let skip = [
        "src.zip",
        "ct.sym",
        "jexec",
        "jspawnhelper",
        "classlist",
        "jrt-fs.jar",
        "libawt_xawt.so",
        "libsplashscreen.so",
        "libjsound.so",
        "libjawt.so",
        "libatk-wrapper.so",
    ];
    let wants = |names: &[&str], _: bool| match names {
        ["conf" | "lib" | "release", ..] => !names.iter().any(|name| skip.contains(name)),
        _ => false,
    };
    let why = Why::Recipe { recipe: RECIPE.into(), part: "runtime".into() };
    builder.tree(home, None, &Filter { wants: &wants, role: Role::Data, close: true }, &why)
}
