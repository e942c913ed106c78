//! What a box has left for its caller, and what became of it on the host.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::super::outcome::Saw;
use super::super::pace;
use super::super::probe::outputs::MADE;
use super::super::table::Attack;
use super::{Caller, Ran, Setup, digest};
use crate::error::{errno_text, io_text};
use crate::sys::probe;

type Seen = Result<Saw, String>;

/// Where it is in the box.
pub const AT: &str = "/out";

/// Directories inside each other that may arrive.
const DEEPEST: usize = 32;

/// Files that may arrive.
const MOST: usize = 10_000;

/// Long enough for collecting, where nothing waits.
const IN_TIME: Duration = Duration::from_secs(10);

fn words(e: std::io::Error) -> String {
    io_text(&e)
}

/// What came out of one box.
struct Made {
    saw: Saw,
    ran: Ran,
    dir: PathBuf,
    /// Everything below the directory, which no link leads out of.
    all: Vec<(PathBuf, fs::Metadata)>,
}

fn walk(dir: &Path, all: &mut Vec<(PathBuf, fs::Metadata)>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(meta) = path.symlink_metadata() else { continue };
        if meta.is_dir() {
            walk(&path, all);
        }
        all.push((path, meta));
    }
}

/// Runs the attack's probe with an output directory that is prepared first.
fn made(
    caller: &Caller,
    attack: &Attack,
    prepare: impl FnOnce(&Path) -> Result<(), String>,
) -> Result<Made, String> {
    let dir = caller.fresh("outputs")?;
    prepare(&dir)?;
    let setup = Setup { out: Some(dir.clone()), scratch: Some(AT.to_owned()), ..Setup::default() };
    let ran = caller.run_one(attack.id, &setup);
    let saw = ran.saw(attack.id)?;
    if fs::read(dir.join("plain")).unwrap_or_default() != b"by the box\n" {
        return Err(format!("nothing was collected at all: {}: {}", ran.verdict(), ran.reason()));
    }
    let mut all = Vec::new();
    walk(&dir, &mut all);
    Ok(Made { saw, ran, dir, all })
}

/// What of it is in the report.
fn told(ran: &Ran) -> u64 {
    let outputs = ran.report.as_ref().and_then(|r| r.outputs.as_ref());
    outputs.map_or(0, |all| all.iter().map(|one| one.skipped_count).sum())
}

/// OU-01: names in the directory that lead elsewhere on the host, and links of the payload's own.
pub fn links(caller: &Caller, attack: &Attack) -> Seen {
    let precious = caller.dir.join("open/precious");
    let before = digest(&precious);
    let elsewhere = caller.fresh("elsewhere")?;
    let Made { mut saw, dir, all, .. } = made(caller, attack, |dir| {
        symlink(&precious, dir.join(MADE)).map_err(words)?;
        symlink(&elsewhere, dir.join("sub")).map_err(words)?;
        match digest(&dir.join(MADE)) == before {
            true => Ok(()),
            false => Err("the link does not lead to the canary".to_owned()),
        }
    })?;
    if digest(&precious) != before {
        saw.leak("a file of the host was written through a link");
    }
    if elsewhere.join(MADE).exists() {
        saw.leak("a file was made where a link led");
    }
    let planted = [dir.join(MADE), dir.join("sub")];
    if let Some((link, _)) = all.iter().find(|(p, m)| m.is_symlink() && !planted.contains(p)) {
        saw.leak(format!("a link has arrived: {}", link.display()));
    }
    saw.note("what links lead to", "unchanged");
    Ok(saw)
}

/// OU-02: what is no file, on either side.
pub fn special(caller: &Caller, attack: &Attack) -> Seen {
    let begin = Instant::now();
    let Made { mut saw, dir, all, .. } = made(caller, attack, |dir| {
        let mode = nix::sys::stat::Mode::S_IRWXU;
        nix::unistd::mkfifo(&dir.join(MADE), mode).map_err(|e| errno_text(e as i32))
    })?;
    if begin.elapsed() > pace::stretched(IN_TIME) {
        saw.leak("the collector waited for a reader");
    }
    let is_odd = |m: &fs::Metadata| {
        let kind = m.file_type();
        kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device()
    };
    if let Some((path, _)) = all.iter().find(|(p, m)| is_odd(m) && *p != dir.join(MADE)) {
        saw.leak(format!("what is no file has arrived: {}", path.display()));
    }
    saw.note("the collector", "in time");
    Ok(saw)
}

/// OU-04.
pub fn second_names(caller: &Caller, attack: &Attack) -> Seen {
    let Made { mut saw, all, .. } = made(caller, attack, |_| Ok(()))?;
    if let Some((path, _)) = all.iter().find(|(_, m)| m.is_file() && m.nlink() != 1) {
        saw.leak(format!("a file with several names has arrived: {}", path.display()));
    }
    saw.note("names of what arrived", "one each");
    Ok(saw)
}

/// OU-06.
pub fn too_many(caller: &Caller, attack: &Attack) -> Seen {
    let Made { mut saw, ran, dir, all } = made(caller, attack, |_| Ok(()))?;
    let deepest = all.iter().filter_map(|(p, _)| Some(p.strip_prefix(&dir).ok()?.components().count())).max();
    if deepest.unwrap_or(0) > DEEPEST + 1 {
        saw.leak(format!("{} directories deep", deepest.unwrap_or(0)));
    }
    if all.len() > MOST + DEEPEST {
        saw.leak(format!("{} files have arrived", all.len()));
    }
    if told(&ran) == 0 {
        saw.leak("what was left out is not told");
    }
    saw.note("what arrived", "bounded");
    Ok(saw)
}

/// OU-07.
pub fn names(caller: &Caller, attack: &Attack) -> Seen {
    let Made { mut saw, ran, all, .. } = made(caller, attack, |_| Ok(()))?;
    for (path, _) in &all {
        let name = path.file_name().unwrap_or_default();
        let plain = std::str::from_utf8(name.as_bytes()).is_ok_and(|n| n.chars().all(|c| !c.is_control()));
        if !plain {
            saw.leak(format!("a name that acts on a terminal has arrived: {name:?}"));
        }
    }
    let written = saw.answers.iter().filter(|a| a.what.starts_with("name ") && a.answer == "ok").count();
    if written == 0 || told(&ran) == 0 {
        return Err("no hostile name was made".to_owned());
    }
    saw.note("names that arrived", "plain");
    Ok(saw)
}

/// OU-08.
pub fn modes(caller: &Caller, attack: &Attack) -> Seen {
    let Made { mut saw, all, .. } = made(caller, attack, |_| Ok(()))?;
    let own = nix::unistd::geteuid().as_raw();
    for (path, meta) in &all {
        if meta.mode() & 0o7000 != 0 || meta.uid() != own {
            saw.leak(format!("{} has mode {:o} and owner {}", path.display(), meta.mode(), meta.uid()));
        }
        for attribute in [c"security.capability", c"user.escape"] {
            let file = super::super::probe::c(&path.display().to_string());
            let arguments = [file.as_c_str().into(), attribute.into(), 0.into(), 0.into()];
            if probe::call(libc::SYS_getxattr, &arguments).is_ok() {
                saw.leak(format!("{} has {}", path.display(), attribute.to_string_lossy()));
            }
        }
    }
    saw.note("modes, owners and attributes", "the caller's own");
    Ok(saw)
}

/// OU-12.
pub fn sparse(caller: &Caller, attack: &Attack) -> Seen {
    let Made { mut saw, ran, all, .. } = made(caller, attack, |_| Ok(()))?;
    let long = saw.answers.iter().any(|a| a.what.starts_with("ftruncate") && a.answer == "ok");
    if !long {
        return Err("no long file could be made in the box".to_owned());
    }
    let given = caller.policy.paths.iter().find(|p| p.at == AT).and_then(|p| p.from.memory());
    // What `--out` gives where the policy has no such place.
    const USUAL: u64 = 64 << 20;
    let most = given.map_or(USUAL, |(bytes, _)| bytes);
    let bytes: u64 = all.iter().filter(|(_, m)| m.is_file()).map(|(_, m)| m.len()).sum();
    if bytes > most {
        saw.leak(format!("{bytes} bytes have arrived, of a place of {most}"));
    }
    if told(&ran) == 0 {
        saw.leak("what was left out is not told");
    }
    saw.note("bytes that arrived", "bounded");
    Ok(saw)
}
