//! Directories of the host that are shown inside, attacked from both sides.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use super::super::outcome::{Place, Saw};
use super::super::table::Attack;
use super::{Caller, Setup, open_dir, open_file};
use crate::error::{io_text, no_matter};
use crate::sandbox::Bind;

type Seen = Result<Saw, String>;

/// Boxes started in a race.
const RACES: usize = 40;

fn words(e: std::io::Error) -> String {
    io_text(&e)
}

fn errno(e: nix::Error) -> String {
    crate::error::errno_text(e as i32)
}

/// A bind of a directory.
pub fn bind_of(host: &Path, at: &str, write: bool) -> Bind {
    Bind { host: host.to_owned(), at: at.to_owned(), write }
}

impl Caller {
    /// A new directory of the attacks' that everybody may write.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, String> {
        let dir = self.dir.join("open").join(name);
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(words)?;
        }
        open_dir(&dir).map_err(words)?;
        Ok(dir)
    }
}

/// Only host root can mount without a namespace in between.
fn root_only(caller: &Caller) -> Result<(), String> {
    if caller.is_root() {
        Ok(())
    } else {
        Err("only host root can make the mount that this needs".to_owned())
    }
}

fn answer<'a>(saw: &'a Saw, what: &str) -> Option<&'a str> {
    saw.answers.iter().find(|a| a.what == what).map(|a| a.answer.as_str())
}

/// FS-06: what is mounted below a read-only bind.
pub fn submount(caller: &Caller, attack: &Attack) -> Seen {
    root_only(caller)?;
    let dir = caller.fresh("submount")?;
    let sub = dir.join("sub");
    open_dir(&sub).map_err(words)?;
    mount(Some("none"), &sub, Some("tmpfs"), MsFlags::empty(), Some("mode=0777")).map_err(errno)?;
    let on_host = fs::write(sub.join("by-the-host"), b"x");
    let ran = caller.run_one(attack.id, &Setup::default().bind(bind_of(&dir, "/data", false)));
    umount2(&sub, MntFlags::MNT_DETACH).map_err(errno)?;
    on_host.map_err(words)?;
    let mut saw = ran.saw(attack.id)?;
    for place in ["create in /data", "create in /data/sub"] {
        if answer(&saw, place) == Some("ok") {
            saw.leak(format!("{place}, which is read-only"));
        }
    }
    Ok(saw)
}

/// FS-07: what the host mounts while the box runs.
pub fn propagation(caller: &Caller, attack: &Attack) -> Seen {
    root_only(caller)?;
    let dir = caller.fresh("propagation")?;
    let sub = dir.join("sub");
    open_dir(&sub).map_err(words)?;
    let none = None::<&str>;
    mount(Some(&dir), &dir, none, MsFlags::MS_BIND, none).map_err(errno)?;
    mount(none, &dir, none, MsFlags::MS_SHARED, none).map_err(errno)?;
    let started = caller.start(attack.id, &Setup::default().bind(bind_of(&dir, "/data", false)));
    let mut live = match started {
        Ok(live) => live,
        Err(why) => {
            umount2(&dir, MntFlags::MNT_DETACH).map_err(errno)?;
            return Err(why);
        }
    };
    let ready = live.ready(Duration::from_secs(10));
    let mounted = mount(Some("none"), &sub, Some("tmpfs"), MsFlags::empty(), none);
    let secret = sub.join("secret");
    let written = open_file(&secret, format!("{}-mounted\n", caller.token).as_bytes());
    let ran = live.finish();
    let seen = fs::read(&secret).is_ok();
    no_matter(umount2(&sub, MntFlags::MNT_DETACH), "the namespace ends with this process");
    umount2(&dir, MntFlags::MNT_DETACH).map_err(errno)?;
    mounted.map_err(errno)?;
    written.map_err(words)?;
    if !ready || !seen {
        return Err(format!("the probe was not ready, or the host did not see its mount: {}", ran.reason()));
    }
    ran.saw(attack.id)
}

/// Swaps two names again and again while `work` goes on; answers how often.
fn while_swapping(one: &Path, other: &Path, work: impl FnOnce()) -> u64 {
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).is_ok() {
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::yield_now();
            }
        });
        work();
        stop.store(true, Ordering::Relaxed);
    });
    swaps.load(Ordering::Relaxed)
}

/// Runs the attack's probe many times; anything secret is the effect.
fn race(caller: &Caller, attack: &Attack, binds: &[Bind], one: &Path, other: &Path) -> Seen {
    let mut saw = Saw::new();
    let (mut ran_boxes, mut refused) = (0, 0);
    let swaps = while_swapping(one, other, || {
        for _ in 0..RACES {
            let setup = Setup { binds: binds.to_vec(), ..Setup::default() };
            let ran = caller.run_one(attack.id, &setup);
            match ran.saw(attack.id) {
                Ok(seen) => {
                    ran_boxes += 1;
                    if let Some(effect) = seen.effect {
                        saw.leak(effect);
                    }
                }
                Err(_) => refused += 1,
            }
        }
    });
    if swaps == 0 {
        return Err("the names were never swapped".to_owned());
    }
    if ran_boxes + refused == 0 || ran_boxes == 0 && refused < RACES {
        return Err("no box was started".to_owned());
    }
    saw.note(format!("{ran_boxes} boxes ran, {refused} were refused, {swaps} swaps"), "nothing secret");
    Ok(saw)
}

/// FS-09: the place where a bind goes is swapped for a link.
pub fn race_target(caller: &Caller, attack: &Attack) -> Seen {
    let outer = caller.fresh("race-target")?;
    let inner = caller.fresh("race-inner")?;
    open_dir(&outer.join("sub")).map_err(words)?;
    symlink(caller.dir.join("open"), outer.join("link")).map_err(words)?;
    let binds = [bind_of(&outer, "/data", true), bind_of(&inner, "/data/sub", false)];
    race(caller, attack, &binds, &outer.join("sub"), &outer.join("link"))
}

/// FS-10: what is bound is swapped for a link.
pub fn race_source(caller: &Caller, attack: &Attack) -> Seen {
    let dir = caller.fresh("race-source")?;
    open_dir(&dir.join("source")).map_err(words)?;
    symlink(caller.dir.join("open"), dir.join("link")).map_err(words)?;
    let binds = [bind_of(&dir.join("source"), "/data", false)];
    race(caller, attack, &binds, &dir.join("source"), &dir.join("link"))
}

/// SK-09: sockets in a directory that is shown.
pub fn sockets(caller: &Caller, attack: &Attack) -> Seen {
    let setup = Setup::default().bind(bind_of(&caller.dir.join("open"), "/data", false));
    let ran = caller.run_one(attack.id, &setup);
    if ran.was_refused() && ran.reason().contains("is a socket") {
        let mut saw = Saw::new();
        saw.note("a bind with sockets in it", "refused");
        return Ok(saw);
    }
    ran.saw(attack.id)
}

/// Nothing but plain files without set-id bits.
fn harmless(dir: &Path) -> Result<(), String> {
    for entry in fs::read_dir(dir).map_err(words)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let meta = entry.path().symlink_metadata().map_err(words)?;
        let kind = meta.file_type();
        if kind.is_symlink()
            || kind.is_fifo()
            || kind.is_socket()
            || kind.is_block_device()
            || kind.is_char_device()
        {
            return Err(format!("{name} is no plain file"));
        }
        if meta.permissions().mode() & 0o6000 != 0 {
            return Err(format!("{name} has a set-id bit"));
        }
    }
    Ok(())
}

/// FS-13, SK-17: what is left in a directory that may be written.
pub fn planted(caller: &Caller, attack: &Attack) -> Seen {
    let control = caller.control(attack.id, Place::Outside)?;
    if control.effect.is_none() {
        return Err(format!("beside the box nothing was left either: {}", control.text()));
    }
    let dir = caller.fresh("planted")?;
    let setup = Setup { scratch: Some("/data".to_owned()), ..Setup::default() };
    let ran = caller.run_one(attack.id, &setup.bind(bind_of(&dir, "/data", true)));
    let mut saw = ran.saw(attack.id)?;
    if let Err(what) = harmless(&dir) {
        saw.leak(format!("left for the host: {what}"));
    }
    Ok(saw)
}

/// DS-14: more than a file may have, in a directory of the host.
pub fn write_back(caller: &Caller, attack: &Attack) -> Seen {
    let control = caller.control(attack.id, Place::Outside)?;
    if control.effect.is_none() {
        return Err(format!("beside the box it was not written either: {}", control.text()));
    }
    let dir = caller.fresh("write-back")?;
    let mut setup = Setup::default().bind(bind_of(&dir, "/data", true));
    setup.limits.file_size = Some(1 << 20);
    caller.run_one(attack.id, &setup).saw(attack.id)
}
