//! PS, CG and SV: processes and their ends, accounting, and the supervisor.

use super::{Attack, Control};
use crate::Layer::{Cgroup, Landlock, MountNs, PidNs, Rlimits, Root, Seccomp, UserNs};
use crate::escape::host::{ends, groups, launcher, limits, policies, runs};
use crate::escape::probe::{mounts, pidone, processes, resources};

/// Answers to somebody who names a process.
const NAMED: &[&str] = &[
    "ENOSYS",
    "EPERM",
    "SIGSYS",
    "ESRCH",
    "ENOENT",
    "EACCES",
    "nothing secret",
    "none",
    "ok",
    "EINVAL",
    "EIO",
];

pub const ATTACKS: &[Attack] = &[
    Attack::shared(
        "PS-01",
        "the memory of a process of the host",
        "process_vm_readv(2), Yama off",
        pidone::read_victim,
    )
    .held_by(&[PidNs, Seccomp, UserNs])
    .expect(NAMED),
    Attack::shared(
        "PS-02",
        "signals to processes of the host",
        "isolate's threat model",
        pidone::signal_host,
    )
    .held_by(&[PidNs, Landlock])
    .expect(NAMED),
    Attack::host(
        "PS-05",
        "a launcher that is killed, and a payload that outlives it",
        "PR_SET_PDEATHSIG",
        launcher::killed_launcher,
    )
    .with(processes::survive_launcher)
    .held_by(&[PidNs])
    .control(Control::Own("the heart is seen to beat until the launcher is killed"))
    .expect(&["ok", "stopped", "EPERM"]),
    Attack::host("PS-06", "a daemon that outlives the run", "judges' CVEs; sandlock#238", ends::daemon)
        .with(processes::leave_daemon)
        .star()
        .held_by(&[PidNs, Cgroup])
        .control(Control::Own("the heart is seen to have beaten during the run"))
        .expect(&["ok", "stopped", "EPERM", "ENOSYS", "EAGAIN"]),
    Attack::host("PS-07", "a sibling whose status is taken for the payload's", "CLONE_PARENT", ends::sibling)
        .with(processes::make_sibling)
        .star()
        .held_by(&[Seccomp])
        .supervised()
        .control(Control::Outside)
        .expect(&["EPERM", "ENOSYS", "EINVAL", "SIGSYS", "violation"]),
    Attack::host("PS-08", "orphans kept from pid 1", "PR_SET_CHILD_SUBREAPER", ends::orphans)
        .with(processes::hide_orphans)
        .held_by(&[PidNs, Seccomp])
        .control(Control::Own("the heart is seen to have beaten during the run"))
        .expect(&["EPERM", "ENOSYS", "ok", "stopped", "EAGAIN"]),
    Attack::host("PS-10", "a payload that has stopped itself", "wait without WUNTRACED", ends::stopped)
        .with(processes::wait_for_ever)
        .supervised()
        .control(Control::Own("the probe is seen to have started, and never comes back by itself"))
        .expect(&["wall_limit", "cpu_limit", "violation"]),
    Attack::host(
        "PS-12",
        "exit codes and signals that look like the launcher's own",
        "bubblewrap#257, #701",
        ends::codes,
    )
    .with(processes::end_as)
    .supervised()
    .control(Control::Own("each code and signal is reported as itself"))
    .expect(&["as itself"]),
    Attack::shared(
        "PS-13",
        "a crash that a program of the host looks at as root",
        "CVE-2022-4415, CVE-2025-4598",
        processes::dump_core,
    )
    .held_by(&[Rlimits])
    .expect(&["no", "EPERM", "ENOSYS", "EINVAL", "ok", "EAGAIN"]),
    Attack::host(
        "PS-14",
        "a parent that waits in the kernel for a child that sleeps",
        "vfork(2)",
        ends::vfork,
    )
    .with(processes::wait_for_ever)
    .supervised()
    .control(Control::Own("the probe is seen to have started, and never comes back by itself"))
    .expect(&["wall_limit", "cpu_limit", "violation"]),
    Attack::shared(
        "PS-16",
        "more of the processor than others",
        "SCHED_FIFO, nice",
        processes::take_priority,
    )
    .held_by(&[Seccomp, Rlimits])
    .control(Control::Differs)
    .expect(&["ENOSYS", "EPERM", "SIGSYS"]),
    Attack::host(
        "PS-17",
        "a program that only the host has",
        "PATH looked up on the host",
        policies::host_program,
    )
    .held_by(&[MountNs])
    .control(Control::Own("the program is there on the host and can be executed"))
    .expect(&["refused", "setup_failed"]),
    Attack::shared("PS-40", "the end of pid 1, and with it of the box", "kill(1, 9)", pidone::signal_init)
        .held_by(&[PidNs, Landlock])
        .expect(NAMED),
    Attack::shared("PS-41", "a session and a group of its own", "setsid(2)", processes::change_group)
        .held_by(&[Seccomp])
        .expect(&["ENOSYS", "EPERM", "SIGSYS", "the policy's"]),
    Attack::shared(
        "CG-01",
        "a cgroup file system, mounted or to be mounted",
        "CVE-2022-0492; release_agent",
        mounts::reach_cgroups,
    )
    .star()
    .held_by(&[MountNs, Root, Landlock])
    .expect(&["ENOENT", "EACCES", "EPERM", "ENOSYS", "ENODEV", "SIGSYS", "ENOTDIR", "ENOSPC", "EISDIR"]),
    Attack::host("CG-02", "children that are born before the limits", "cgexec", groups::from_the_start)
        .with(processes::fork_at_once)
        .held_by(&[Cgroup])
        .control(Control::Own("the children are seen, each in the box's cgroup"))
        .expect(&["ok", "all in it", "EAGAIN", "EPERM", "ENOSYS"]),
    Attack::host(
        "CG-03",
        "a host without a usable cgroup, where limits are silently missing",
        "nsjail#196, #219; isolate#129",
        launcher::no_cgroup,
    )
    .supervised()
    .control(Control::Own("with --degrade cgroup the same command runs, and says so"))
    .expect(&["125", "ok", "cgroup", "none", "degraded"]),
    Attack::host(
        "CG-04",
        "a cgroup of the next box's name, made before",
        "nsjail's EEXIST",
        groups::name_taken,
    )
    .supervised()
    .control(Control::Own("without it the next box runs"))
    .expect(&["setup_failed", "refused", "other names"]),
    Attack::host("CG-05", "swap as memory that is not counted", "memory.swap.max", groups::swap)
        .with(processes::fork_at_once)
        .held_by(&[Cgroup])
        .control(Control::Own("the limit itself is read back from the same directory"))
        .expect(&["limited", "ok", "EAGAIN", "EPERM", "ENOSYS"]),
    Attack::host(
        "CG-06",
        "a helper dies for memory, the payload ends well",
        "benchexec#1099",
        limits::child_bursts,
    )
    .with(resources::let_a_child_burst)
    .held_by(&[Cgroup])
    .supervised()
    .control(Control::Own("with memory enough the same payload is ok"))
    .expect(&["memory_limit", "ok"]),
    Attack::shared("CG-07", "a cgroup below its own", "cgroup.max.descendants", mounts::make_cgroup)
        .held_by(&[Root, Landlock])
        .control(Control::Differs)
        .expect(&["ENOENT", "EACCES", "EPERM", "EROFS", "ENOSYS"]),
    Attack::host(
        "CG-08",
        "processor time of a process that nobody waits for",
        "getrusage(RUSAGE_CHILDREN)",
        limits::unwaited_time,
    )
    .with(resources::burn_in_grandchild)
    .held_by(&[Cgroup])
    .supervised()
    .control(Control::Own("the probe is seen to have started, and burns for 20 s by itself"))
    .expect(&["cpu_limit", "violation"]),
    Attack::host(
        "CG-09",
        "page cache that only the first run pays for",
        "first toucher pays",
        limits::page_cache,
    )
    .with(crate::escape::probe::files::show_file)
    .supervised()
    .control(Control::Own("both runs are measured"))
    .expect(&["ok", "like each other"]),
    Attack::host("CG-10", "cgroups that cannot be removed", "dying_descendants", groups::leftovers)
        .with(crate::escape::probe::files::exhaust_bytes)
        .supervised()
        .control(Control::Own("a cgroup of a box is seen while it runs"))
        .expect(&["none", "some"]),
    Attack::host(
        "SV-01",
        "a forged report on the payload's own streams",
        "judges without a channel of their own",
        launcher::forged_report,
    )
    .with(processes::forge_report)
    .star()
    .supervised()
    .control(Control::Own("the forgery is seen on the payload's stream"))
    .expect(&["nonzero_exit 42", "42", "seen"]),
    Attack::host(
        "SV-03",
        "a layer that the host cannot give, and a run that goes on",
        "OpenShell#803; nono#190",
        policies::layer_missing,
    )
    .star()
    .supervised()
    .control(Control::Own("the same payload runs under the same policy without the demand"))
    .expect(&["refused", "ok"]),
    Attack::host(
        "SV-04",
        "policies that mean something else than they say",
        "CVE-2025-66479; bounty-challenge#8721",
        policies::traps,
    )
    .supervised()
    .control(Control::Own("the same policy without the trap is taken"))
    .expect(&["refused", "taken"]),
    Attack::host(
        "SV-05",
        "a policy that the payload may rewrite for the next run",
        "firejail#7154; CVE-2025-59532",
        launcher::policy_in_reach,
    )
    .supervised()
    .control(Control::Own("the same command with the policy elsewhere runs"))
    .expect(&["125", "0", "42"]),
    Attack::host(
        "SV-06",
        "links and fifos where the report goes",
        "CVE-2018-15664",
        launcher::report_in_reach,
    )
    .supervised()
    .control(Control::Own("the link leads to the canary when followed on the host"))
    .expect(&["ok", "125", "unchanged", "42", "0"]),
    Attack::host(
        "SV-07",
        "a launcher that trusts its PATH and variables",
        "CVE-2023-4911; firejail's CVEs",
        launcher::evil_path,
    )
    .supervised()
    .control(Control::Own("the planted helpers run when they are called"))
    .expect(&["none", "ok", "42", "0"]),
    Attack::host("SV-10", "a reader that goes away, and a run that stays", "SIGPIPE", launcher::reader_gone)
        .with(resources::flood)
        .supervised()
        .control(Control::Own("the first bytes are read before the reader goes"))
        .expect(&["ended", "ok"]),
    Attack::none(
        "SV-12",
        "a pid that has become somebody else's",
        "kill(2) after the end",
        "the supervisor signals through pidfds of children it has not reaped, never by number",
    ),
    Attack::host("SV-13", "a hundred boxes at the same moment", "names that collide", runs::concurrent)
        .with(crate::escape::probe::descriptors::look_above)
        .supervised()
        .control(Control::Own("each of them says who it is"))
        .expect(&["ok"]),
    Attack::host("SV-14", "stockade as its own payload", "nested use in CI", launcher::nested)
        .supervised()
        .control(Control::Own("the same command runs beside the box"))
        .expect(&["125", "ok", "124", "159", "refused"]),
    Attack::host("SV-15", "the supervisor's memory in pid 1", "fork without exec", runs::memory_of_init)
        .with(processes::fork_at_once)
        .supervised()
        .control(Control::Own("the supervisor's own memory is seen to hold the secret"))
        .expect(&["one page", "nothing secret", "ok", "EAGAIN", "EPERM", "ENOSYS"]),
    Attack::none(
        "SV-17",
        "joining a box that somebody has forged",
        "CVE-2022-31214; firejail#2718",
        "there is no way to join a box",
    ),
];
