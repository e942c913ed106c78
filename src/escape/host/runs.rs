//! Boxes with something particular about their payload, streams or number.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use super::super::outcome::{Place, Saw, name};
use super::super::probe::{Job, Order, c};
use super::super::table::Attack;
use super::canary::digest;
use super::groups::box_processes;
use super::{Caller, Setup};
use crate::error::io_text;
use crate::sandbox::{Builder, Input, Output};
use crate::sys::{Errno, probe};

type Seen = Result<Saw, String>;

fn words(e: std::io::Error) -> String {
    io_text(&e)
}

/// FS-12: a payload whose file has a capability.
pub fn file_capabilities(caller: &Caller, attack: &Attack) -> Seen {
    if !caller.is_root() {
        return Err("only host root can give a file a capability".to_owned());
    }
    let path = caller.dir.join("capable");
    fs::copy(&caller.exe, &path).map_err(words)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).map_err(words)?;
    // VFS_CAP_REVISION_2 with the effective bit; CAP_NET_RAW permitted.
    let value = [0x0200_0001u32, 1 << 13, 0, 0, 0].map(u32::to_le_bytes).concat();
    let file = c(&path.display().to_string());
    let set = probe::call(
        libc::SYS_setxattr,
        &[
            file.as_c_str().into(),
            c"security.capability".into(),
            value.as_slice().into(),
            value.len().into(),
            0.into(),
        ],
    );
    set.map_err(|e| format!("setxattr: {}", name(e)))?;
    let mut target = caller.outside.clone();
    target.place = Place::Outside;
    let job = Job { target, orders: vec![Order { id: attack.id.to_owned(), skip: 0 }] };
    let mut command = std::process::Command::new(&path);
    command.arg(super::super::probe::ARGUMENT).stdin(std::process::Stdio::piped());
    super::as_nobody(&mut command);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().map_err(words)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&job.encode()).map_err(words)?;
    }
    let out = child.wait_with_output().map_err(words)?;
    let beside = super::Ran::default().read(out.stdout).saw(attack.id)?;
    if !beside.answers.iter().any(|a| a.what == "CapEff" && a.answer == "not empty") {
        return Err("the file gives no capability on the host either".to_owned());
    }
    caller.run_one(attack.id, &Setup { program: Some(path), ..Setup::default() }).saw(attack.id)
}

/// PR-14: standard input is a file of the host that can only be read.
pub fn reopen_stdin(caller: &Caller, attack: &Attack) -> Seen {
    let policy = caller.policy(&Setup::default().limits)?;
    let order = Order { id: attack.id.to_owned(), skip: 0 };
    let job = Job { target: caller.target(&policy, &Setup::default()), orders: vec![order] };
    let path = caller.dir.join("open/stdin");
    super::open_file(&path, &job.encode()).map_err(words)?;
    let before = digest(&path);
    let file = fs::File::open(&path).map_err(words)?;
    let ran = caller.run_with(&Setup::default(), Input::File(file.into()));
    let mut saw = ran.saw(attack.id)?;
    if digest(&path) != before {
        saw.leak("the file behind standard input was changed");
    }
    Ok(saw)
}

/// FD-03: whatever was forged, the payload's status is its own.
pub fn forged_verdict(caller: &Caller, attack: &Attack) -> Seen {
    let ran = caller.run_one(attack.id, &Setup::default());
    let mut saw = ran.saw(attack.id)?;
    let code = ran.report.as_ref().and_then(|r| r.exit_code);
    if code != Some(42) || ran.verdict() != "nonzero_exit" {
        saw.leak(format!("the verdict is {} with {code:?}, not 42", ran.verdict()));
    }
    Ok(saw)
}

/// Many boxes from several threads at once.
fn at_once(caller: &Caller, attack: &Attack, boxes: usize) -> Result<Vec<super::Ran>, String> {
    const THREADS: usize = 8;
    let mut prepared = Vec::new();
    for _ in 0..boxes {
        prepared.push(caller.prepare(attack.id, &Setup::default())?);
    }
    let pool = caller.pool.as_deref();
    let run = |builder: Builder| match pool {
        Some(pool) => pool.run(builder),
        None => builder.run(),
    };
    let queue = std::sync::Mutex::new(prepared);
    let done = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().ok().and_then(|mut q| q.pop());
                    let Some(builder) = next else { return };
                    let builder = builder.stdout(Output::Capture);
                    let ran = super::Ran::of(run(builder), Vec::new());
                    if let Ok(mut done) = done.lock() {
                        done.push(ran);
                    }
                }
            });
        }
    });
    done.into_inner().map_err(|_| "a thread panicked".to_owned())
}

/// FD-09: each of many boxes looks for descriptors of the others.
pub fn parallel_descriptors(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    for ran in at_once(caller, attack, 32)? {
        let seen = ran.saw(attack.id)?;
        if let Some(effect) = &seen.effect {
            saw.leak(effect.clone());
        }
        if saw.answers.is_empty() {
            saw = Saw { effect: saw.effect, ..seen };
        }
    }
    Ok(saw)
}

/// SV-13: each of many boxes runs, and says so.
pub fn concurrent(caller: &Caller, attack: &Attack) -> Seen {
    let mut saw = Saw::new();
    let all = at_once(caller, attack, 100)?;
    let good = all.iter().filter(|ran| ran.complete && ran.verdict() == "ok").count();
    if let Some(bad) = all.iter().find(|ran| !ran.complete) {
        saw.leak(format!(
            "of {} boxes {} ran; one says {}: {}",
            all.len(),
            good,
            bad.verdict(),
            bad.reason()
        ));
    }
    saw.note(format!("{good} boxes at once"), "ok");
    Ok(saw)
}

/// SV-15: what pid 1 of a box has in its memory.
pub fn memory_of_init(caller: &Caller, attack: &Attack) -> Seen {
    let secret = format!("{}-env", caller.token);
    let own = std::env::vars().any(|(_, value)| value == secret);
    let mut live = caller.start(attack.id, &Setup::default())?;
    let ready = live.ready(Duration::from_secs(10));
    // It gives its memory away right after the payload's exec.
    std::thread::sleep(Duration::from_millis(20));
    let inits = box_processes().into_iter().filter(|one| one.is_init());
    let read = |pid: i32, file: &str| fs::read(format!("/proc/{pid}/{file}"));
    let mut inits: Vec<_> = inits.map(|one| (one, read(one.pid, "maps"), read(one.pid, "environ"))).collect();
    let ran = live.finish();
    inits.retain(|(one, ..)| one.may_be_of(&ran));
    let (maps, environ) = inits.pop().map_or((None, None), |(_, maps, environ)| (Some(maps), Some(environ)));
    let mut saw = ran.saw(attack.id)?;
    if !own {
        return Err("the supervisor's own memory does not hold the secret".to_owned());
    }
    match (ready, maps) {
        (true, Some(Ok(maps))) => {
            let text = String::from_utf8_lossy(&maps).into_owned();
            let own_maps = text.lines().filter(|l| !l.contains("[vsyscall]")).count();
            saw.note("memory of pid 1", if own_maps <= 1 { "one page" } else { "more" });
            if own_maps > 1 {
                saw.leak(format!("pid 1 has {own_maps} mappings"));
            }
        }
        (true, Some(Err(e))) if e.raw_os_error() == Some(Errno::EACCES as i32) => {
            return Err("only host root may look at pid 1 of a box".to_owned());
        }
        _ => return Err("pid 1 of the box was not found".to_owned()),
    }
    if let Some(Ok(environ)) = environ
        && environ.windows(secret.len()).any(|w| w == secret.as_bytes())
    {
        saw.leak("pid 1 has the supervisor's environment");
    }
    Ok(saw)
}
