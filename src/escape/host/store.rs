//! Root file systems that somebody has tampered with.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::super::outcome::Saw;
use super::super::table::Attack;
use super::binds::bind_of;
use super::{Caller, Setup};
use crate::error::io_text;
use crate::sandbox::StoreChoice;

type Seen = Result<Saw, String>;

fn words(e: std::io::Error) -> String {
    io_text(&e)
}

/// A store with one root in it; answers where that is.
fn populated(caller: &Caller, attack: &Attack, name: &str) -> Result<(PathBuf, PathBuf), String> {
    let store = caller.dir.join(name);
    if store.exists() {
        fs::remove_dir_all(&store).map_err(words)?;
    }
    let ran = caller.run_one(attack.id, &with(&store));
    ran.saw(attack.id)?;
    let trees = fs::read_dir(store.join("trees")).map_err(|_| "there is no store here".to_owned())?;
    let tree = trees.flatten().next().ok_or("the store has no root in it")?;
    Ok((store, tree.path().join("root")))
}

fn with(store: &Path) -> Setup {
    Setup { store: Some(StoreChoice::At(store.to_owned())), ..Setup::default() }
}

/// Puts something else where a mount is to go.
fn replace(place: &Path, kind: &str, canary: &Path) -> std::io::Result<()> {
    fs::set_permissions(place.parent().unwrap_or(place), fs::Permissions::from_mode(0o755))?;
    fs::remove_dir(place)?;
    match kind {
        "absolute" => symlink(canary, place),
        "relative" => {
            let up = "../".repeat(16);
            symlink(format!("{up}{}", canary.display().to_string().trim_start_matches('/')), place)
        }
        "dangling" => symlink("/no/such/place", place),
        "loop" => symlink(place, place),
        "file" => fs::write(place, b""),
        _ => symlink("..", place),
    }
}

fn listing(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// FS-08: links, a file and a loop where directories should be.
pub fn links_in_tree(caller: &Caller, attack: &Attack) -> Seen {
    let canary = caller.fresh("tree-canary")?;
    let before = listing(&canary);
    let mut saw = Saw::new();
    let mut tried = 0;
    for target in ["tmp", "proc", "dev", "box"] {
        for kind in ["absolute", "relative", "dangling", "loop", "file", "up"] {
            let (store, root) = populated(caller, attack, "tampered")?;
            let place = root.join(target);
            if !place.is_dir() {
                continue;
            }
            replace(&place, kind, &canary).map_err(words)?;
            if kind == "absolute" && fs::canonicalize(&place).ok() != fs::canonicalize(&canary).ok() {
                return Err("the link does not lead to the canary".to_owned());
            }
            tried += 1;
            let ran = caller.run_one(attack.id, &with(&store));
            let anew = place.symlink_metadata().is_ok_and(|m| m.is_dir());
            if !ran.was_refused() && !anew {
                // Only a box that ran has mounted anything for somebody.
                ran.saw(attack.id)?;
            }
            let became = match (ran.was_refused(), anew) {
                (true, _) => "refused",
                (false, true) => "made anew",
                (false, false) => "as planned",
            };
            saw.note(format!("{target}: {kind}"), became);
            if !ran.was_refused() && !anew {
                saw.leak(format!("{target}: a {kind} link was mounted on"));
            }
            if listing(&canary) != before {
                saw.leak(format!("{target}: the canary directory was changed by way of a {kind} link"));
            }
        }
    }
    if tried == 0 {
        return Err("the policy mounts nothing on the root".to_owned());
    }
    Ok(saw)
}

const EVIL: &[u8] = b"changed";

/// A file of the root with other bytes of the same length and the same times.
fn change_in_place(file: &Path) -> std::io::Result<()> {
    let meta = file.metadata()?;
    let times = fs::FileTimes::new().set_modified(meta.modified()?).set_accessed(meta.accessed()?);
    fs::set_permissions(file, fs::Permissions::from_mode(0o644))?;
    let mut content = vec![b'x'; usize::try_from(meta.len()).unwrap_or(0).max(EVIL.len())];
    content[..EVIL.len()].copy_from_slice(EVIL);
    fs::write(file, &content)?;
    fs::File::options().write(true).open(file)?.set_times(times)?;
    fs::set_permissions(file, meta.permissions())
}

fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)?.flatten() {
        let (place, kind) = (to.join(entry.file_name()), entry.file_type()?);
        if kind.is_dir() {
            copy_tree(&entry.path(), &place)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &place)?;
        } else {
            fs::copy(entry.path(), &place)?;
        }
    }
    fs::set_permissions(to, from.metadata()?.permissions())
}

/// Puts a changed copy in the place of a directory.
fn swap_for_a_changed_copy(dir: &Path, file: &Path) -> std::io::Result<()> {
    let parent = dir.parent().unwrap_or(dir);
    let (copy, old) = (parent.join("copy"), parent.join("old"));
    let mode = parent.metadata()?.permissions();
    fs::set_permissions(parent, fs::Permissions::from_mode(0o755))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    copy_tree(dir, &copy)?;
    change_in_place(&copy.join(file))?;
    fs::rename(dir, &old)?;
    fs::rename(&copy, dir)?;
    fs::remove_dir_all(&old)?;
    fs::set_permissions(parent, mode)
}

fn shows_change(ran: &super::Ran, attack: &Attack) -> bool {
    ran.saws.get(attack.id).is_some_and(|s| s.answers.iter().any(|a| a.answer.contains("changed")))
}

/// FS-31: a root that was changed after it was verified. What its owner does to
/// the bytes of a file deep in it shows in a full verification only; a payload
/// never gets there.
pub fn changed_tree(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    for (what, below) in [("the root replaced", ""), ("a directory of it replaced", "etc")] {
        let (store, root) = populated(caller, attack, "tampered")?;
        let file = Path::new("etc/passwd");
        let inner = file.strip_prefix(below).unwrap_or(file);
        swap_for_a_changed_copy(&root.join(below), inner).map_err(words)?;
        if !fs::read(root.join(file)).is_ok_and(|now| now.starts_with(EVIL)) {
            return Err("the file could not be changed".to_owned());
        }
        let ran = caller.run_one(attack.id, &with(&store));
        if shows_change(&ran, attack) {
            saw.leak(format!("{what}: the changed file was shown inside"));
        }
        saw.note(what, if ran.was_refused() { "refused" } else { "made anew" });
    }
    let (store, root) = populated(caller, attack, "tampered")?;
    change_in_place(&root.join("etc/passwd")).map_err(words)?;
    let name = root.parent().and_then(Path::file_name).and_then(|n| n.to_str()).unwrap_or_default();
    let digest: crate::image::digest::Digest =
        name.parse().map_err(|_| "a tree's name is its digest".to_owned())?;
    let opened = crate::image::Store::open(&store).map_err(|e| e.to_string())?;
    let clean = opened.verify_full(&digest).map_err(|e| e.to_string())?.is_clean();
    saw.note("changed by its owner, times and all", if clean { "not found" } else { "found" });
    if clean {
        saw.leak("a full verification does not find a changed file");
    }
    let ran = caller.run_one(attack.id, &with(&store).bind(bind_of(&store, "/data", true)));
    saw.note("a box that may write the store", if ran.was_refused() { "refused" } else { "ran" });
    if !ran.was_refused() {
        saw.leak("a box was given the store to write");
    }
    Ok(saw)
}
