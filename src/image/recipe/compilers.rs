//! Compilers of languages that end in an object file: the stages that the
//! driver starts, start-up files, libraries to link with, headers.

use std::path::{Path, PathBuf};

use super::missing;
use crate::error::Result;
use crate::image::build::Builder;
use crate::image::build::capture::{Role, Taken};
use crate::image::store::Why;

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// Start-up files and libraries of the C library. Since glibc 2.34 the archives
/// of its former parts are empty, and still named by build scripts.
const C_LIBRARY: &[&str] = &[
    "crt1.o",
    "Scrt1.o",
    "crti.o",
    "crtn.o",
    "libc.so",
    "libc_nonshared.a",
    "libm.so",
    "libpthread.a",
    "libdl.a",
    "librt.a",
    "libutil.a",
];

/// Parts of gcc's own directory that every link needs.
const GCC_PARTS: &[&str] = &[
    "crtbegin.o",
    "crtbeginS.o",
    "crtend.o",
    "crtendS.o",
    "crtfastmath.o",
    "libgcc.a",
    "libgcc_eh.a",
    "libgcc_s.so",
];

/// Whether a file name is that of a driver: `gcc`, `gcc-12`, `x86_64-linux-gnu-gcc-12`.
pub(super) fn is(name: &str, drivers: &[&str]) -> bool {
    let name = name.strip_prefix("x86_64-linux-gnu-").unwrap_or(name);
    drivers.iter().any(|driver| {
        name.strip_prefix(driver).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('-').is_some_and(|version| version.bytes().all(|b| b.is_ascii_digit()))
        })
    })
}

pub(super) fn gcc(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    compiler(builder, program, "gcc", "cc1", "gcc-12")?;
    headers(builder, "gcc", &["libc6-dev", "linux-libc-dev", "libcrypt-dev"])
}

pub(super) fn gxx(builder: &mut Builder<'_, '_>, program: &Taken) -> Result<()> {
    let version = compiler(builder, program, "g++", "cc1plus", "g++-12")?;
    let dir = format!("/usr/lib/gcc/x86_64-linux-gnu/{version}");
    builder.part("g++", &format!("{dir}/libstdc++.so"), "library to link with", &|_, _| true)?;
    headers(builder, "g++", &["libc6-dev", "linux-libc-dev", "libcrypt-dev"])?;
    let standard = format!("/usr/include/c++/{version}");
    if !builder.exists(Path::new(&standard)) {
        return Err(missing("g++", &standard, &format!("libstdc++-{version}-dev")));
    }
    builder.part("g++", &standard, "headers", &|_, _| true)?;
    builder.part_if_there(
        "g++",
        &format!("/usr/include/x86_64-linux-gnu/c++/{version}"),
        "headers",
        &|_, _| true,
    )
}

/// What both have in common; answers the version.
fn compiler(
    builder: &mut Builder<'_, '_>,
    program: &Taken,
    recipe: &'static str,
    stage: &str,
    package: &str,
) -> Result<String> {
    let name = program.real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version =
        name.rsplit_once('-').map(|(_, version)| version).filter(|v| v.bytes().all(|b| b.is_ascii_digit()));
    let Some(version) = version.map(str::to_owned) else {
        return Err(missing(recipe, &format!("{name}-N, with its version in its name"), package));
    };
    let dir = format!("/usr/lib/gcc/x86_64-linux-gnu/{version}");
    if !builder.exists(Path::new(&format!("{dir}/{stage}"))) {
        return Err(missing(recipe, &format!("{dir}/{stage}"), package));
    }
    for program in
        [format!("{dir}/{stage}"), format!("{dir}/collect2"), "/usr/bin/as".into(), "/usr/bin/ld".into()]
    {
        builder.helper(recipe, &program, "stage of the compiler")?;
    }
    let why = || Why::Recipe { recipe: recipe.into(), part: "plug-in of the linker".into() };
    // The driver names both to the linker, whether link-time optimisation is on or not.
    builder.take_and_close(&format!("{dir}/liblto_plugin.so"), Role::Data, why())?;
    linking(builder, recipe, &dir)?;
    builder.part(recipe, &format!("{dir}/include"), "headers of the compiler", &|_, _| true)?;
    Ok(version)
}

/// What a linker puts together with every program.
fn linking(builder: &mut Builder<'_, '_>, recipe: &'static str, dir: &str) -> Result<()> {
    if !builder.exists(Path::new(&format!("{LIBRARIES}/Scrt1.o"))) {
        return Err(missing(recipe, &format!("{LIBRARIES}/Scrt1.o"), "libc6-dev"));
    }
    let there = |builder: &Builder<'_, '_>, path: &String| builder.exists(Path::new(path));
    let parts = C_LIBRARY.iter().map(|name| format!("{LIBRARIES}/{name}"));
    for path in parts.chain(GCC_PARTS.iter().map(|name| format!("{dir}/{name}"))) {
        if there(builder, &path) {
            builder.part(recipe, &path, "library to link with", &|_, _| true)?;
        }
    }
    // What the linker scripts name.
    for name in ["libc.so.6", "libm.so.6", "libmvec.so.1", "libgcc_s.so.1"] {
        builder
            .part_if_there(recipe, &format!("{LIBRARIES}/{name}"), "library to link with", &|_, _| true)?;
    }
    Ok(())
}

/// Headers, as the packages list them: other packages' lie in the same directories.
fn headers(builder: &mut Builder<'_, '_>, recipe: &'static str, packages: &[&str]) -> Result<()> {
    for package in packages {
        let lists = [
            format!("/var/lib/dpkg/info/{package}:amd64.list"),
            format!("/var/lib/dpkg/info/{package}.list"),
        ];
        let Some(list) =
            lists.iter().find_map(|list| std::fs::read_to_string(builder.host.place(Path::new(list))).ok())
        else {
            if !builder.host.is_system() {
                return all_headers(builder, recipe);
            }
            return Err(missing(recipe, &format!("the list of files of {package}"), package));
        };
        let why = Why::Recipe { recipe: recipe.into(), part: format!("headers of {package}") };
        for path in list.lines().filter(|path| path.starts_with("/usr/include/")).map(PathBuf::from) {
            if builder.host.stat(&path).is_ok_and(|meta| meta.is_some_and(|meta| !meta.is_dir())) {
                builder.take_quietly(&path, Role::Data, why.clone())?;
            }
        }
        builder.watch(Path::new(&format!("/var/lib/dpkg/info/{package}:amd64.list")));
    }
    Ok(())
}

/// Those of an image that is to be made smaller, and has no lists of packages.
fn all_headers(builder: &mut Builder<'_, '_>, recipe: &'static str) -> Result<()> {
    let wants = |names: &[&str], _: bool| recipe == "g++" || !names.contains(&"c++");
    builder.part_if_there(recipe, "/usr/include", "headers", &wants)
}

/// rustc links with the C compiler's driver.
pub(super) fn rustc(builder: &mut Builder<'_, '_>, _: &Taken) -> Result<()> {
    const RECIPE: &str = "rustc";
    let library = "/usr/lib/rustlib/x86_64-unknown-linux-gnu/lib";
    if !builder.exists(Path::new(library)) {
        return Err(missing(RECIPE, library, "libstd-rust-dev"));
    }
    builder.part(RECIPE, library, "library", &|_, _| true)?;
    let cc = Path::new("/usr/bin/cc");
    if !builder.exists(cc) {
        return Err(missing(RECIPE, "/usr/bin/cc", "gcc"));
    }
    let why = Why::Recipe { recipe: RECIPE.into(), part: "linker".into() };
    let taken = builder.program(cc, None, why, crate::image::build::closure::Follow::Nothing)?;
    let name = taken.real.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.rsplit_once('-').map_or("12", |(_, version)| version);
    let dir = format!("/usr/lib/gcc/x86_64-linux-gnu/{version}");
    for program in [format!("{dir}/collect2"), "/usr/bin/ld".into()] {
        builder.helper(RECIPE, &program, "stage of the linker")?;
    }
    let why = Why::Recipe { recipe: RECIPE.into(), part: "plug-in of the linker".into() };
    builder.take_and_close(&format!("{dir}/liblto_plugin.so"), Role::Data, why)?;
    linking(builder, RECIPE, &dir)
}
