//! Data that programs of every kind look for: locales, time zones, certificates.

use std::path::Path;
use std::process::{Command, Stdio};

use super::missing;
use crate::error::{Error, Kind, Result};
use crate::image::build::Builder;
use crate::image::store::Why;

const LOCALES: &str = "/usr/lib/locale";
/// The locale that knows no language, and UTF-8; of the package `libc-bin`.
pub(super) const C_UTF_8: &str = "/usr/lib/locale/C.utf8";

const ZONES: &str = "/usr/share/zoneinfo";
/// Other counts of seconds, the host's own zone, and what programs that make
/// zones read, like every file with a dot in its name.
const SAME_ZONES: &[&str] =
    &["posix", "right", "localtime", "posixrules", "leapseconds", "leap-seconds.list"];

const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Where OpenSSL looks by itself on Debian.
const OPENSSL_FILE: &str = "/usr/lib/ssl/cert.pem";

/// Locales by name: their directory where there is one, else made by localedef
/// from the sources of the package `locales`.
pub(super) fn locales(builder: &mut Builder<'_, '_>, names: &[String]) -> Result<()> {
    if names.is_empty() {
        return Err(Error::new(Kind::Usage, "the recipe locale needs the names of locales")
            .help("for example C.UTF-8"));
    }
    for name in names {
        let (language, charset) = name.split_once('.').unwrap_or((name, "UTF-8"));
        let plain = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'@'))
        };
        if !plain(language) || !plain(charset) {
            return Err(Error::new(
                Kind::Usage,
                format!("'{}' is not the name of a locale", name.escape_default()),
            )
            .help("for example de_DE.UTF-8"));
        }
        // glibc looks for the charset in lower case and without marks.
        let folded: String =
            charset.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_lowercase();
        let dir = format!("{LOCALES}/{language}.{folded}");
        if builder.exists(Path::new(&dir)) {
            builder.part("locale", &dir, name, &|_, _| true)?;
        } else {
            make_locale(builder, name, language, charset, &dir)?;
        }
    }
    Ok(())
}

/// The locale that the policies that ship set. A runtime that asks the C library
/// for its character set answers in question marks where there is none.
pub(super) fn plain_locale(builder: &mut Builder<'_, '_>, recipe: &'static str) -> Result<()> {
    builder.part_if_there(recipe, &format!("{LOCALES}/C.utf8"), "locale C.UTF-8", &|_, _| true)
}

fn make_locale(
    builder: &mut Builder<'_, '_>,
    name: &str,
    language: &str,
    charset: &str,
    dir: &str,
) -> Result<()> {
    let tool = Path::new("/usr/bin/localedef");
    let source = format!("/usr/share/i18n/locales/{language}");
    if !builder.host.is_system() || !builder.exists(tool) || !builder.exists(Path::new(&source)) {
        return Err(missing("locale", &format!("{dir} or {source}"), "locales"));
    }
    builder.progress.now(&format!("making the locale {name}"));
    let out = builder.workshop()?.join("locale");
    let made = Command::new(tool)
        .args(["--no-archive", "-i", language, "-f", charset])
        .arg(&out)
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .map_err(|error| crate::image::build::unread(tool, &error))?;
    // A status of 1 means warnings, which are about the sources' own comments.
    if !out.join("LC_CTYPE").exists() {
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let line = said.lines().next().unwrap_or("it said nothing").to_owned();
        return Err(Error::new(Kind::Host, format!("localedef cannot make {name}: {line}"))
            .help("'localedef --help' tells where the sources are"));
    }
    builder.fresh_tree(
        &out,
        Path::new(dir),
        &|_| true,
        &Why::Recipe { recipe: "locale".into(), part: name.into() },
    )
}

/// Time zones by name; `all` for every one.
pub(super) fn time_zones(builder: &mut Builder<'_, '_>, names: &[String]) -> Result<()> {
    if names.is_empty() || names.iter().any(|name| name == "all") {
        return all_time_zones(builder, "time-zones");
    }
    for name in names {
        let plain = name.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
        let path = format!("{ZONES}/{name}");
        if !plain || !builder.exists(Path::new(&path)) {
            return Err(Error::new(
                Kind::Usage,
                format!("there is no time zone '{}' here", name.escape_default()),
            )
            .help(format!("'ls {ZONES}' shows them; the package is tzdata")));
        }
        builder.part("time-zones", &path, name, &|_, _| true)?;
    }
    Ok(())
}

/// Every time zone once: without the two other counts of seconds, and without
/// the host's own, which is nobody's business.
pub(super) fn all_time_zones(builder: &mut Builder<'_, '_>, recipe: &'static str) -> Result<()> {
    if !builder.exists(Path::new(ZONES)) {
        builder.note("this host has no time zones: install the package tzdata");
        return Ok(());
    }
    let wants =
        |names: &[&str], dir: bool| !SAME_ZONES.contains(&names[0]) && (dir || !names[0].contains('.'));
    builder.part(recipe, ZONES, "time zones", &wants)
}

/// The certificates of the package, as the one file of all.
pub(super) fn certificates(builder: &mut Builder<'_, '_>, _: &[String]) -> Result<()> {
    if !builder.exists(Path::new(CERTIFICATES)) {
        return Err(missing("ca-certificates", CERTIFICATES, "ca-certificates"));
    }
    builder.part("ca-certificates", CERTIFICATES, "certificates", &|_, _| true)?;
    let why = Why::Recipe { recipe: "ca-certificates".into(), part: "where OpenSSL looks".into() };
    let put = builder.draft.symlink(OPENSSL_FILE.as_bytes(), CERTIFICATES.as_bytes(), why);
    put.map_err(|problem| crate::image::build::misplaced(Path::new(OPENSSL_FILE), &problem))
}
