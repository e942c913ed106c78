//! What tests with faults have in common.
#![allow(dead_code, reason = "no test needs everything")]

use std::sync::{Mutex, MutexGuard, PoisonError};

use stockade::sandbox::order::Step;

use crate::common::payload_of;

/// Orphans of a box become children of this process, so one box at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Until the end of a test.
pub fn alone() -> MutexGuard<'static, ()> {
    let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    nix::sys::prctl::set_child_subreaper(true).unwrap();
    guard
}

/// What the payload says.
pub const CANARY: &str = "the payload ran\n";

/// A payload that says that it ran.
pub fn canary() -> std::path::PathBuf {
    let text = format!("#include <stdio.h>\nint main(void) {{ fputs({CANARY:?}, stdout); return 0; }}");
    payload_of("canary", &text, &[])
}

/// Whether leaves are made on the unified hierarchy here: then the payload is born in its own.
pub fn v2() -> bool {
    !std::path::Path::new("/sys/fs/cgroup/memory/tasks").exists()
}

/// Errnos that the kernel may answer there.
pub fn errnos(step: Step) -> &'static [&'static str] {
    match step {
        Step::CloneMiddle | Step::CloneInit | Step::ClonePayload => &["EAGAIN", "ENOMEM", "EPERM", "ENOSPC"],
        Step::MountTmpfs | Step::PayloadCopy | Step::CopyRoot | Step::WorkCopy => {
            &["ENOSPC", "ENOMEM", "EPERM"]
        }
        Step::MakeLeaf => &["EEXIST", "EROFS", "EACCES", "ENOSPC"],
        Step::SetLimit => &["EBUSY", "EINVAL", "EACCES"],
        Step::MakePipes => &["EMFILE", "ENFILE"],
        Step::OverlayCreate => &["EINVAL", "EPERM", "ENODEV", "ELOOP", "ESTALE"],
        Step::Keyring => &["EDQUOT", "EPERM", "ENOSYS"],
        Step::LimitUserNs => &["EROFS", "EACCES", "ENOENT"],
        Step::Exec => &["ENOEXEC", "EACCES", "ENOENT", "E2BIG", "ENOMEM"],
        Step::LandlockTrial => &["EPERM", "ENOENT"],
        _ => &["EPERM", "ENOMEM", "EINVAL"],
    }
}

/// Children of this process, orphans of its descendants among them.
pub fn children() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let pids: Vec<String> =
        lists.flat_map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    pids.iter().map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default()).collect()
}
