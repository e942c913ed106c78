//! Root file systems that somebody has tampered with.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use super::super::outcome::Saw;
use super::super::table::Attack;
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

/// FS-31: a file of the root that was changed after it was verified.
pub fn changed_tree(caller: &Caller, attack: &Attack) -> Seen {
    const EVIL: &[u8] = b"changed";
    let mut saw = Saw::new();
    for way in ["in place", "replaced", "in place, with its old times"] {
        let (store, root) = populated(caller, attack, "tampered")?;
        let file = root.join("etc/passwd");
        let meta = file.metadata().map_err(words)?;
        let times = fs::FileTimes::new()
            .set_modified(meta.modified().map_err(words)?)
            .set_accessed(meta.accessed().map_err(words)?);
        let mut content = vec![b'x'; usize::try_from(meta.len()).unwrap_or(0)];
        content[..EVIL.len()].copy_from_slice(EVIL);
        fs::set_permissions(file.parent().unwrap_or(&file), fs::Permissions::from_mode(0o755))
            .map_err(words)?;
        if way == "replaced" {
            fs::remove_file(&file).map_err(words)?;
        } else {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).map_err(words)?;
        }
        fs::write(&file, &content).map_err(words)?;
        fs::set_permissions(&file, meta.permissions()).map_err(words)?;
        if way.ends_with("times") {
            let opened = fs::File::options().read(true).open(&file).map_err(words)?;
            opened.set_times(times).map_err(words)?;
        }
        let changed_on_host = fs::read(&file).is_ok_and(|now| now.starts_with(EVIL));
        let ran = caller.run_one(attack.id, &with(&store));
        if !changed_on_host {
            return Err("the file could not be changed".to_owned());
        }
        let shown =
            ran.saws.get(attack.id).is_some_and(|s| s.answers.iter().any(|a| a.answer.contains("changed")));
        if shown {
            saw.leak(format!("a file of the root, changed {way}, was shown inside"));
        }
        saw.note(format!("changed {way}"), if ran.was_refused() { "refused" } else { "made anew" });
    }
    Ok(saw)
}
