//! Two boxes at once that must not notice each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::super::outcome::{Place, Saw};
use super::super::probe::leaks;
use super::super::table::Attack;
use super::{Caller, Setup};

type Seen = Result<Saw, String>;

/// One box acts, then a second one looks.
fn pair(caller: &Caller, attack: &Attack, setup: impl Fn() -> Setup) -> Seen {
    let (tell, hear) = (format!("{}=tell", attack.id), format!("{}=hear", attack.id));
    let mut first = caller.start(&tell, &setup())?;
    let ready = first.ready(Duration::from_secs(10));
    let second = caller.run_one(&hear, &setup());
    let first = first.finish();
    if !ready {
        return Err(format!("the first box did not get ready: {}: {}", first.verdict(), first.reason()));
    }
    second.saw(&hear)
}

/// NS-07: one uses up its processes, the other wants some of its own.
pub fn shared_user(caller: &Caller, attack: &Attack) -> Seen {
    pair(caller, attack, || {
        let mut setup = Setup::default();
        setup.limits.processes = Some(24);
        setup
    })
}

/// IL-01: one locks and opens a file that both have.
pub fn locks(caller: &Caller, attack: &Attack) -> Seen {
    let path = caller.control_den.dir.join("precious");
    let file = std::fs::File::open(&path).map_err(|e| crate::error::io_text(&e))?;
    let locked = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock);
    let locked = locked.map_err(|(_, e)| crate::error::errno_text(e as i32))?;
    let done = AtomicBool::new(false);
    let control = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop(std::fs::File::open(&path));
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let control = caller.control(&format!("{}=hear", attack.id), Place::Outside);
        done.store(true, Ordering::Relaxed);
        control
    })?;
    drop(locked);
    let heard = control.answers.iter().any(|a| a.what == leaks::OPENS && a.answer == "seen");
    if control.effect.is_none() || !heard {
        return Err(format!("beside the box not all of it is seen either: {}", control.text()));
    }
    pair(caller, attack, Setup::default)
}

/// IL-08: one fills its scratch space.
pub fn counters(caller: &Caller, attack: &Attack) -> Seen {
    if caller.inside.scratch.is_none() {
        return Err("this policy has no scratch space".to_owned());
    }
    pair(caller, attack, Setup::default)
}
