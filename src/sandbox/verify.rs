//! What the facts of a launch mean for the layers: what is missing, what is only
//! a note, and what the report says of each.

use std::collections::BTreeMap;
use std::ffi::CStr;

use serde_json::{Map, Value, json};

use super::blockers::{self, Switches};
use super::compile::Compiled;
use super::frame::RootKind;
use super::host::Host;
use super::launch::Facts;
use super::order::Step;
use super::plan::{LandlockPlan, MountKind, Plan, RootPlan};
use super::posture::Difference;
use super::{landlock, rlimits};
use crate::Layer;
use crate::error::errno_text;
use crate::report::model::{LayerReport, Status};
use crate::sys::Errno;

/// Facts that weaken a layer without any file of `/proc` differing from the plan.
/// Facts that weaken nothing become notes.
pub fn degradations(compiled: &mut Compiled, facts: &Facts, differences: &mut Vec<Difference>) {
    let mut differ = |layer: Layer, what: String| differences.push(Difference { layer, what });
    let mut notes = Vec::new();
    if let Some(stripped) = facts.stripped {
        if stripped.trial_errno == 0 {
            differ(Layer::UserNs, further_user_namespace(facts));
        }
        if stripped.inner_errno != 0 {
            let why = errno_text(stripped.inner_errno);
            notes.push(format!(
                "the payload shares the user namespace of pid 1: a second one was refused ({why})"
            ));
        }
        if stripped.proc_errno != 0 {
            let why = errno_text(stripped.proc_errno);
            notes.push(format!("no /proc in the box: {} ({why})", blockers::no_proc().what));
        }
        if u64::from(stripped.core_limit) != rlimits::CORE_NEVER && Host::get().core_goes_to_program() {
            differ(Layer::Rlimits, blockers::core_to_program().what);
        }
    }
    if let Some(built) = facts.built {
        if built.keyring_errno != 0 {
            let why = errno_text(built.keyring_errno);
            if keyring_calls_refused(compiled) {
                notes.push(format!("no fresh session keyring ({why}); the filter refuses all keyring calls"));
            } else {
                differ(Layer::Keyring, format!("the caller's session keyring stays ({why})"));
            }
        } else if built.keyring != 0 {
            // One without a key in it gives nothing away, whosever it is.
            differ(Layer::Keyring, "the session keyring is not empty".to_owned());
        }
        let locked = facts.stripped.is_some_and(|s| s.inner_errno == 0);
        match built.root {
            RootKind::Bind if !locked => {
                differ(Layer::Root, "the root is a bind whose flags are not locked".to_owned());
            }
            RootKind::Bind if built.overlay_errno != 0 => {
                let why = errno_text(built.overlay_errno);
                notes.push(format!("the root is a locked read-only bind: no overlay here ({why})"));
            }
            RootKind::Overlay | RootKind::Bind | RootKind::Private => {}
        }
    }
    if !compiled.plan.as_root {
        let own = facts.host_ids.1.to_string();
        let groups: Vec<&str> =
            facts.selves.groups.split(' ').filter(|g| !g.is_empty() && *g != own).collect();
        if !groups.is_empty() {
            notes.push(format!("groups {} of the caller cannot be dropped as a user", groups.join(",")));
        }
    }
    compiled.notes.extend(notes);
}

/// What the trial showed, and why it could: the limit is a file of the host's `/proc`.
fn further_user_namespace(facts: &Facts) -> String {
    match facts.built.map_or(0, |b| b.userns_limit_errno) {
        0 => "a further user namespace could be made in the box".to_owned(),
        errno => format!("{} ({})", blockers::no_namespace_limit().what, errno_text(errno)),
    }
}

/// What to do about a posture that differs, where that is known.
#[must_use]
pub fn attest_help(facts: &Facts) -> Option<String> {
    let stripped = facts.stripped?;
    let limited = facts.built.is_none_or(|b| b.userns_limit_errno == 0);
    if stripped.trial_errno == 0 && !limited {
        return Some(blockers::no_namespace_limit().fix);
    }
    let core = u64::from(stripped.core_limit) != rlimits::CORE_NEVER && Host::get().core_goes_to_program();
    core.then(|| blockers::core_to_program().fix)
}

fn keyring_calls_refused(compiled: &Compiled) -> bool {
    let calls = [libc::SYS_keyctl, libc::SYS_add_key, libc::SYS_request_key];
    let allowed = |nr: &i64| {
        compiled.policy.syscalls.allow.iter().any(|r| r.calls.iter().any(|c| i64::from(*c) == *nr))
    };
    !calls.iter().any(allowed)
}

/// What a failed step was about.
#[must_use]
pub fn subject(plan: &Plan, step: Step, index: usize) -> String {
    let c = |s: &CStr| s.to_string_lossy().into_owned();
    let rooted = |s: &CStr| format!("/{}", s.to_string_lossy());
    let mount = || plan.mounts.get(index);
    let device = || {
        plan.mounts
            .iter()
            .find_map(|m| {
                if let MountKind::Devices { devices, .. } = &m.kind { devices.get(index) } else { None }
            })
            .map(|d| c(&d.host))
    };
    let found = match step {
        Step::OpenTree | Step::CheckTree => match &plan.root {
            RootPlan::Tree { path, .. } => Some(c(path)),
            RootPlan::Private { .. } => None,
        },
        Step::CopyRoot => match &plan.root {
            RootPlan::Private { entries, .. } => entries.get(index).map(|e| rooted(&e.path)),
            RootPlan::Tree { .. } => None,
        },
        Step::WorkCopy => plan.mounts.iter().find_map(|m| match &m.kind {
            MountKind::Tmpfs { tree, .. } => {
                tree.get(index).map(|e| format!("{}/{}", rooted(&m.at), c(&e.path)))
            }
            _ => None,
        }),
        Step::MountTmpfs
        | Step::OpenTarget
        | Step::AttachMount
        | Step::MakePlace
        | Step::SealMount
        | Step::BindOpen
        | Step::BindFlags => mount().map(|m| rooted(&m.at)),
        Step::DeviceOpen | Step::DeviceCheck | Step::DeviceFlags => device(),
        Step::Rlimit => {
            plan.rlimits.get(index).map(|l| format!("{} = {}", rlimits::name(l.resource), l.value))
        }
        Step::LandlockOpen | Step::LandlockRule => {
            plan.landlock.as_ref().and_then(|l| l.rules.get(index)).map(|r| c(&r.path))
        }
        Step::InnerMaps => super::namespaces::MAP_FILES.get(index).map(|f| format!("/proc/{}", c(f))),
        Step::Stdio => Some(format!("a pipe to {index}")),
        Step::Cwd => Some(c(&plan.cwd)),
        Step::Exec => Some(c(&plan.program)),
        Step::Uid => Some(plan.uid.to_string()),
        Step::Gid => Some(plan.gid.to_string()),
        Step::EnterLeaf => Some("tasks".to_owned()),
        _ => Some(index.to_string()),
    };
    found.unwrap_or_else(|| index.to_string())
}

/// What to do about the failures that have a known reason.
#[must_use]
pub fn help(step: Step, errno: i32) -> Option<String> {
    let code = Errno::from_raw(errno);
    let refused = matches!(code, Errno::EPERM | Errno::EACCES | Errno::ENOSYS);
    Some(match step {
        Step::HostName | Step::DomainName | Step::Private | Step::NewPidNs if refused => {
            Switches::read().no_rights().help()
        }
        Step::CloneInit | Step::ClonePayload if code == Errno::EAGAIN => {
            Switches::read().no_user_namespace(code).help()
        }
        Step::InitNamespaces => Switches::read().no_user_namespace(code).help(),
        Step::ProcMount | Step::ProcOpen if code == Errno::EPERM => blockers::no_proc().help(),
        Step::AttachRoot | Step::AttachMount | Step::MountTmpfs | Step::RootTmpfs | Step::SealMount
            if refused =>
        {
            Switches::read().no_mounts(code).help()
        }
        Step::BindOpen if matches!(code, Errno::ESTALE | Errno::ELOOP | Errno::ENOENT) => {
            "what was to be shown has been exchanged for something else meanwhile".to_owned()
        }
        Step::DeviceOpen | Step::DeviceFlags | Step::BindTree | Step::BindTreeFlags if refused => {
            Switches::read().no_mounts(code).help()
        }
        Step::OpenHostProc if matches!(code, Errno::ENODEV | Errno::ENOENT) => blockers::no_host_proc().help(),
        Step::DeviceOpen if code == Errno::ENOENT => blockers::no_device().help(),
        Step::DeviceCheck if code == Errno::ENODEV => blockers::no_device().help(),
        Step::Pivot | Step::Detach => blockers::no_pivot(code).help(),
        Step::SeccompListener | Step::SeccompMain | Step::InitFilter => blockers::no_seccomp(code).help(),
        Step::Exec if code == Errno::EACCES => {
            "the loader or the program cannot be executed in the box".to_owned()
        }
        Step::Exec if code == Errno::ENOENT => {
            "the root has no such file, or not the loader that it names: an image holds what its own programs need"
                .to_owned()
        }
        Step::Rlimit if code == Errno::EPERM => blockers::lower_limit().help(),
        Step::PayloadCopy | Step::CopyRoot | Step::WorkCopy if code == Errno::EFBIG => {
            blockers::small_files().help()
        }
        Step::PayloadCopy if code == Errno::ENODATA => {
            "the program file changed while it was being copied: run it again".to_owned()
        }
        Step::MakeLeaf if code == Errno::EAGAIN => {
            "a cgroup above it has no room: raise its cgroup.max.descendants or cgroup.max.depth".to_owned()
        }
        Step::OpenTree if code == Errno::EACCES => {
            "a directory above the store cannot be entered: use --store with one that can".to_owned()
        }
        _ if matches!(code, Errno::EPERM | Errno::ENOSYS) => {
            Switches::read().refused_by_a_filter()?.help()
        }
        _ => return None,
    })
}

/// Every layer for the report, with what the kernel said of it.
#[must_use]
pub fn layers(compiled: &Compiled, facts: &Facts) -> BTreeMap<&'static str, LayerReport> {
    Layer::ALL
        .iter()
        .map(|layer| {
            let missing = compiled.missing.iter().find(|(l, _)| l == layer);
            let mut kernel = kernel_facts(*layer, compiled, facts);
            if let Some((_, reason)) = missing {
                kernel.insert("reason".to_owned(), Value::from(reason.as_str()));
            }
            let status = if missing.is_some() { Status::Degraded } else { Status::Enforced };
            (layer.name(), LayerReport { status, kernel })
        })
        .collect()
}

/// Every layer of a run that never came to be.
#[must_use]
pub fn unknown_layers() -> BTreeMap<&'static str, LayerReport> {
    let unknown = || LayerReport { status: Status::Unknown, kernel: Map::new() };
    Layer::ALL.iter().map(|layer| (layer.name(), unknown())).collect()
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

/// What Landlock does not refuse: what this kernel's cannot, and TCP where the box has a network of its own.
fn unhandled(abi: u32, plan: Option<&LandlockPlan>) -> Vec<&'static str> {
    let mut missing = landlock::missing(abi);
    if plan.is_some_and(|l| l.attr.net == 0) && !missing.contains(&"tcp") {
        missing.push("tcp");
    }
    missing
}

fn kernel_facts(layer: Layer, compiled: &Compiled, facts: &Facts) -> Map<String, Value> {
    let status = &facts.selves.status;
    let ns = &facts.place.namespaces;
    let name_of = |errno: i32| if errno == 0 { Value::Null } else { Value::from(errno_name(errno)) };
    let stripped = facts.stripped;
    object(match layer {
        Layer::UserNs => json!({
            "inode": ns[0],
            "host_uid": facts.host_ids.0,
            "host_gid": facts.host_ids.1,
            "nested": stripped.is_some_and(|s| s.inner_errno == 0),
            "further": stripped.map_or(Value::Null, |s| name_of(s.trial_errno)),
        }),
        Layer::MountNs => json!({ "inode": ns[1], "mounts": facts.place.mounts.len() }),
        Layer::PidNs => json!({ "inode": ns[2], "pid": status.get("NSpid").rsplit(' ').next() }),
        Layer::NetNs => json!({ "inode": ns[3] }),
        Layer::IpcNs => json!({ "inode": ns[4] }),
        Layer::UtsNs => json!({ "inode": ns[5] }),
        Layer::CgroupNs => json!({ "inode": ns[6] }),
        Layer::Root => json!({ "backend": facts.built.map(|b| backend(b.root)) }),
        Layer::Capabilities => json!({
            "inheritable": status.get("CapInh"), "permitted": status.get("CapPrm"),
            "effective": status.get("CapEff"), "bounding": status.get("CapBnd"),
            "ambient": status.get("CapAmb"),
        }),
        Layer::NoNewPrivs => json!({ "no_new_privs": status.get("NoNewPrivs") == "1" }),
        Layer::Landlock => {
            let abi = Host::get().landlock_abi;
            let plan = compiled.plan.landlock.as_ref();
            json!({
                "abi": abi,
                "rules": plan.map_or(0, |l| l.rules.len()),
                "missing": unhandled(abi, plan),
                "trial": facts.ready.map_or(Value::Null, |r| name_of(r.landlock_errno)),
            })
        }
        Layer::Seccomp => json!({
            "mode": status.get("Seccomp").parse::<u32>().ok(),
            "filters": status.get("Seccomp_filters").parse::<u32>().ok(),
            "instructions": compiled.instructions,
        }),
        Layer::Cgroup => json!({
            "version": compiled.cgroup.map(super::cgroup::Version::name),
            "paths": compiled.cgroup_lines,
        }),
        Layer::Rlimits => {
            json!({ "core": stripped.map(|s| s.core_limit), "checked": compiled.plan.rlimits.len() })
        }
        Layer::Descriptors => json!({ "open": 3 }),
        Layer::Keyring => json!({
            "session": if facts.built.is_some_and(|b| b.keyring_errno == 0) { "fresh" } else { "inherited" },
            "calls_refused": keyring_calls_refused(compiled),
        }),
        Layer::Proc => {
            let absent = compiled.plan.proc_at.is_none() || stripped.is_some_and(|s| s.proc_errno != 0);
            json!({ "proc": if absent { "absent" } else { "subset=pid,hidepid=invisible" } })
        }
    })
}

fn backend(root: RootKind) -> &'static str {
    match root {
        RootKind::Overlay => "overlay",
        RootKind::Bind => "bind",
        RootKind::Private => "private",
    }
}

fn errno_name(errno: i32) -> String {
    format!("{:?}", nix::errno::Errno::from_raw(errno))
}
