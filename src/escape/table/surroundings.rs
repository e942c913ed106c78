//! NS, PR, FD, TT, KY and IL: what surrounds a process, and what it shows.

use super::{Attack, Control, FILTERED};
use crate::Layer::{
    Capabilities, CgroupNs, Descriptors, Keyring, Landlock, MountNs, NetNs, PidNs, Proc, Root, Seccomp,
    UserNs, UtsNs,
};
use crate::escape::facts::NO_SCRATCH;
use crate::escape::host::{groups, launcher, pairs, runs};
use crate::escape::probe::{descriptors, keys, leaks, namespaces, pidone, proc, processes, terminal};

/// Answers while a process looks around.
const LOOKED: &[&str] = &[
    "EACCES",
    "EBADF",
    "EINVAL",
    "EIO",
    "EISDIR",
    "ELOOP",
    "ENODEV",
    "ENOENT",
    "ENOSYS",
    "ENOTDIR",
    "ENXIO",
    "EPERM",
    "EROFS",
    "ESRCH",
    "SIGSYS",
    "nothing secret",
    "nothing of the host",
    "lo at most",
    "ok",
    "none",
    "no secret",
    "as planned",
    "tells nothing",
    "none can be read",
    "empty",
];

const FILES_OF_KERNEL: &[&str] = &["EACCES", "ENOENT", "ENOTDIR", "EPERM", "EROFS", "ENXIO", "ENODEV"];

/// What the filter answers, or the limit on user namespaces.
const NO_NAMESPACE: &[&str] = &["ENOSYS", "EPERM", "SIGSYS", "ENOSPC"];

pub const ATTACKS: &[Attack] = &[
    Attack::shared(
        "NS-01",
        "a user namespace, alone and with every other",
        "CVE-2022-0185, CVE-2023-0386, CVE-2024-1086",
        namespaces::unshare_user,
    )
    .held_by(&[Seccomp, UserNs])
    .expect(NO_NAMESPACE),
    Attack::shared(
        "NS-02",
        "the same by clone, with bits that the kernel ignores",
        "CVE-2021-41133",
        namespaces::clone_user,
    )
    .held_by(&[Seccomp, UserNs])
    .expect(NO_NAMESPACE),
    Attack::shared(
        "NS-03",
        "the same by clone3, whose flags no filter can see",
        "CVE-2021-41133; moby's ENOSYS rule",
        namespaces::clone3_user,
    )
    .star()
    .held_by(&[Seccomp, UserNs])
    .expect(NO_NAMESPACE),
    Attack::shared(
        "NS-04",
        "into the namespaces of whoever can be seen",
        "setns(2)",
        namespaces::enter_others,
    )
    .held_by(&[Seccomp, Capabilities, UserNs])
    .control(Control::Differs)
    .expect(LOOKED),
    Attack::shared(
        "NS-05",
        "from a user namespace to the network's configuration",
        "CVE-2022-0185, CVE-2023-32233, CVE-2024-1086",
        namespaces::reach_netfilter,
    )
    .star()
    .held_by(&[Seccomp, UserNs, Capabilities])
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "ENOSPC"]),
    Attack::host(
        "NS-07",
        "what is counted for each user, used up by another box",
        "one uid for all runs",
        pairs::shared_user,
    )
    .with(leaks::use_up_user)
    .held_by(&[UserNs])
    .control(Control::Own("the first box is seen to have used up its own share"))
    .expect(&["ok"]),
    Attack::shared(
        "NS-08",
        "groups dropped, for an access list that refuses one of them",
        "CVE-2014-8989",
        namespaces::drop_groups,
    )
    .held_by(&[Seccomp, Capabilities, UserNs])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::none(
        "NS-09",
        "newuidmap and a reused pid",
        "bubblewrap#553",
        "no helper is used: the supervisor writes the maps itself, of a child it has not reaped",
    ),
    Attack::shared("NS-10", "a clock of its own", "time_namespaces(7)", namespaces::shift_time)
        .held_by(&[Seccomp, UserNs, Capabilities])
        .expect(&["ENOSYS", "EPERM", "SIGSYS", "ENOENT", "EACCES", "EROFS", "ENOSPC"]),
    Attack::host("NS-11", "the path of its cgroup on the host", "cgroup_namespaces(7)", groups::path)
        .with(namespaces::see_cgroup_path)
        .held_by(&[CgroupNs])
        .control(Control::Own("the host sees the path that the box must not see"))
        .expect(&["tells nothing", "ENOENT"]),
    Attack::host(
        "NS-12",
        "a host without user namespaces, where a tool falls back to nothing",
        "bubblewrap#632, nsjail#236, codex#9250",
        launcher::no_user_namespaces,
    )
    .supervised()
    .control(Control::Own("the same command runs where user namespaces are allowed"))
    .expect(&["125", "none", "user namespace", "ok"]),
    Attack::shared(
        "NS-13",
        "parents, owners and numbers of namespaces",
        "ioctl_nsfs(2), listns(2)",
        namespaces::walk_namespaces,
    )
    .held_by(&[Seccomp])
    .expect(LOOKED),
    Attack::shared(
        "NS-14",
        "network devices of the host",
        "CVE-2025-66479 (an empty list that means all)",
        namespaces::see_devices,
    )
    .held_by(&[NetNs])
    .expect(LOOKED),
    Attack::shared(
        "PR-01",
        "pid 1 of the box: its files, its memory, its control",
        "bubblewrap#725, #800",
        pidone::take_over_init,
    )
    .star()
    .held_by(&[Proc, Seccomp, UserNs])
    .expect(LOOKED),
    Attack::shared(
        "PR-02",
        "words of the launcher's command line and environment",
        "ps(1)",
        pidone::read_command_lines,
    )
    .held_by(&[PidNs])
    .expect(LOOKED),
    Attack::shared("PR-40", "what a process may set about itself", "proc(5)", proc::write_own_settings)
        .held_by(&[Proc, Landlock])
        .expect(FILES_OF_KERNEL),
    Attack::shared(
        "PR-04",
        "settings whose program the kernel starts as host root",
        "core_pattern; CVE-2025-31133",
        proc::write_settings,
    )
    .held_by(&[Proc, Landlock, UserNs])
    .control(Control::Differs)
    .expect(FILES_OF_KERNEL),
    Attack::shared(
        "PR-05",
        "other ways to have the kernel start a program",
        "sysrq, uevent_helper, binfmt_misc",
        proc::write_triggers,
    )
    .held_by(&[Root, Proc, Landlock, UserNs])
    .control(Control::Differs)
    .expect(FILES_OF_KERNEL),
    Attack::shared("PR-06", "memory of the machine", "/dev/mem, /proc/kcore", proc::read_memory_of_machine)
        .held_by(&[Root, Proc, Landlock])
        .control(Control::Differs)
        .expect(FILES_OF_KERNEL),
    Attack::shared("PR-07", "addresses of the kernel", "kallsyms", proc::read_addresses)
        .held_by(&[Proc])
        .expect(FILES_OF_KERNEL),
    Attack::shared("PR-08", "which machine this is", "27 files", proc::read_fingerprint)
        .held_by(&[Proc])
        .expect(FILES_OF_KERNEL),
    Attack::shared(
        "PR-09",
        "what others on the machine do",
        "/proc/locks, keys, stat, loadavg",
        proc::read_activity,
    )
    .held_by(&[Proc])
    .expect(FILES_OF_KERNEL),
    Attack::shared(
        "PR-10",
        "paths of the host in what a process sees of itself",
        "mountinfo",
        proc::read_own_paths,
    )
    .held_by(&[MountNs])
    .expect(LOOKED),
    Attack::shared(
        "PR-11",
        "its own code, written through /proc/self/mem",
        "FOLL_FORCE",
        proc::write_own_memory,
    )
    .held_by(&[Proc, Landlock])
    .expect(LOOKED),
    Attack::shared(
        "PR-12",
        "the launcher's program, through /proc/self/exe",
        "CVE-2019-5736, CVE-2016-9962",
        proc::overwrite_launcher,
    )
    .star()
    .held_by(&[Root, Landlock, Proc])
    .expect(LOOKED),
    Attack::shared(
        "PR-13",
        "whom the kernel kills when memory runs out",
        "oom_score_adj",
        proc::change_oom_score,
    )
    .held_by(&[Proc, Landlock])
    .expect(FILES_OF_KERNEL),
    Attack::host(
        "PR-14",
        "more rights on an open file, by opening it once more",
        "CVE-2024-21626",
        runs::reopen_stdin,
    )
    .with(proc::reopen_with_more_rights)
    .held_by(&[Descriptors])
    .control(Control::Outside)
    .expect(LOOKED),
    Attack::host(
        "PR-15",
        "a masked /proc, in whose place a tool binds the host's",
        "bubblewrap#284, #505; runc#1658",
        launcher::masked_proc,
    )
    .held_by(&[Proc])
    .supervised()
    .control(Control::Own("the same command runs where /proc is whole"))
    .expect(&["absent"]),
    Attack::shared("PR-16", "sockets of the host in /proc/net", "proc_pid_net(5)", proc::read_sockets)
        .held_by(&[NetNs])
        .expect(LOOKED),
    Attack::shared("PR-17", "/sys and what hangs below it", "CDK", proc::walk_sys)
        .held_by(&[Root, Landlock])
        .expect(FILES_OF_KERNEL),
    Attack::shared(
        "PR-18",
        "settings that belong to a namespace",
        "user.max_*, ns_last_pid",
        proc::write_namespace_settings,
    )
    .held_by(&[Proc, Landlock])
    .control(Control::Differs)
    .expect(FILES_OF_KERNEL),
    Attack::shared("PR-41", "devices of the host", "/dev/kvm, /dev/fuse, disks", proc::open_devices)
        .held_by(&[Root, Landlock])
        .expect(FILES_OF_KERNEL),
    Attack::shared(
        "FD-01",
        "a directory, file, socket, pipe or terminal that the caller forgot about",
        "CVE-2024-21626, CVE-2016-9962",
        descriptors::find_inherited,
    )
    .star()
    .held_by(&[Descriptors])
    .expect(&["none"]),
    Attack::shared(
        "FD-02",
        "a working directory outside the root",
        "CVE-2024-21626",
        descriptors::look_above,
    )
    .held_by(&[MountNs, Root])
    .expect(LOOKED),
    Attack::host(
        "FD-03",
        "descriptors of pid 1 and of the host, and a forged verdict on them",
        "launchers whose status travels through the box",
        runs::forged_verdict,
    )
    .with(processes::forge_verdict)
    .star()
    .held_by(&[Seccomp, Proc, UserNs, PidNs])
    .supervised()
    .control(Control::Outside)
    .expect(&["EACCES", "EBADF", "ENOENT", "ENOSYS", "EPERM", "ESRCH", "ENXIO", "nonzero_exit 42"]),
    Attack::host(
        "FD-06",
        "a launcher that is started without its streams",
        "setuid programs without 0, 1 and 2",
        launcher::closed_streams,
    )
    .supervised()
    .control(Control::Own("with all three open the same command does its work"))
    .expect(&["ok", "0", "125", "42"]),
    Attack::shared(
        "FD-08",
        "descriptors traded with somebody outside",
        "SCM_RIGHTS",
        descriptors::trade_descriptors,
    )
    .held_by(&[Seccomp, NetNs, Landlock, MountNs])
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "ECONNREFUSED", "ENOENT", "EACCES", "ok", "EAFNOSUPPORT"]),
    Attack::host(
        "FD-09",
        "descriptors of other boxes that start at the same moment",
        "fork and exec in threads",
        runs::parallel_descriptors,
    )
    .with(descriptors::find_inherited)
    .held_by(&[Descriptors])
    .control(Control::Own("FD-01 finds what is inherited where it is not closed"))
    .expect(&["none"]),
    Attack::shared(
        "TT-01",
        "keystrokes into the caller's shell",
        "CVE-2017-5226, bubblewrap#142",
        terminal::type_into_terminal,
    )
    .star()
    .held_by(&[Descriptors, Seccomp, Root])
    .control(Control::OutsideOrDiffers)
    .expect(LOOKED_AT_TERMINAL),
    Attack::shared("TT-02", "paste by the console's selection", "CVE-2023-28100", terminal::paste)
        .held_by(&[Descriptors, Seccomp, Root])
        .control(Control::Differs)
        .expect(LOOKED_AT_TERMINAL),
    Attack::shared(
        "TT-03",
        "TIOCSTI with bits that the kernel ignores",
        "CVE-2019-10063, CVE-2019-7303",
        terminal::type_with_high_bits,
    )
    .held_by(&[Descriptors, Seccomp, Root])
    .control(Control::OutsideOrDiffers)
    .expect(LOOKED_AT_TERMINAL),
    Attack::host(
        "TT-04",
        "sequences that a terminal would act on",
        "OSC 52, forged lines",
        launcher::terminal_output,
    )
    .with(processes::write_sequences)
    .supervised()
    .control(Control::Own("into a file the same bytes arrive as they are"))
    .expect(&["shown, not acted on", "as they are"]),
    Attack::shared(
        "TT-05",
        "a terminal that is left raw, or taken over",
        "nsjail's skip_setsid",
        terminal::make_raw,
    )
    .held_by(&[Descriptors, Seccomp, Root])
    .expect(LOOKED_AT_TERMINAL),
    Attack::shared("TT-06", "terminals and consoles by their names", "CVE-2025-52565", proc::open_terminals)
        .held_by(&[Root, Landlock])
        .expect(FILES_OF_KERNEL),
    Attack::shared(
        "TT-08",
        "signals to the caller's group, and its terminal's foreground",
        "bubblewrap#147, #150",
        pidone::signal_group,
    )
    .held_by(&[PidNs, Descriptors, Seccomp])
    .control(Control::Differs)
    .expect(LOOKED_AT_TERMINAL),
    Attack::shared(
        "KY-01",
        "a secret in the caller's session keyring",
        "isolate 2.4; runc's own keyring",
        keys::read_session_key,
    )
    .star()
    .held_by(&[Seccomp, Keyring])
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "ENOKEY", "EACCES"]),
    Attack::shared("KY-02", "a key left for other runs of the same user", "isolate 2.4", keys::leave_key)
        .held_by(&[Seccomp])
        .expect(FILTERED),
    Attack::shared(
        "KY-04",
        "the helper that the kernel starts for a missing key",
        "CVE-2016-0728",
        keys::call_helper,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::host(
        "IL-01",
        "locks and notices on files that other boxes have too",
        "IOI's isolate 2.4",
        pairs::locks,
    )
    .with(leaks::talk_by_files)
    .star()
    .held_by(&[Root, Seccomp])
    .control(Control::Own(
        "beside the box the second process sees the lock of the first, and its opening of the file",
    ))
    .expect(&["ok", "none", "ENOSYS", "EPERM", "EINVAL"]),
    Attack::shared(
        "IL-02",
        "which pages of a shared file are in memory",
        "arXiv 1901.01161",
        leaks::probe_page_cache,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared("IL-03", "memory merged with that of others", "KSM", leaks::merge_memory)
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared(
        "IL-04",
        "the launcher's environment",
        "bubblewrap#725, #631, #792",
        leaks::read_environments,
    )
    .supervised()
    .expect(LOOKED),
    Attack::shared(
        "IL-05",
        "every byte that can be read, searched for twelve secrets",
        "ssh keys, tokens, test answers",
        leaks::sweep,
    )
    .held_by(&[MountNs, Root, Landlock])
    .expect(LOOKED),
    Attack::shared("IL-06", "names of the machine", "uname(2)", leaks::read_names)
        .held_by(&[UtsNs])
        .expect(LOOKED),
    Attack::none(
        "IL-07",
        "the processor's own clock and counters",
        "cache attacks",
        "a non-goal, documented: programs need the time",
    ),
    Attack::host("IL-08", "free space and inodes as a channel between boxes", "statfs(2)", pairs::counters)
        .with(leaks::talk_by_counters)
        .given(NO_SCRATCH)
        .held_by(&[MountNs])
        .control(Control::Own("the first box is seen to have filled its own"))
        .expect(&["ok", "0", "1", "2", "3", "4"]),
    Attack::host("IL-09", "words and variables of the launcher's helpers", "ps(1)", launcher::visible_words)
        .supervised()
        .control(Control::Own("the caller's own words are seen in the same way"))
        .expect(&["none", "some", "ok"]),
    Attack::none(
        "IL-11",
        "the moment of the verdict",
        "judge design",
        "a non-goal, documented: the caller decides when to tell",
    ),
];

/// What looking for a terminal, and asking what is found, is answered.
const LOOKED_AT_TERMINAL: &[&str] =
    &["ENOSYS", "EPERM", "SIGSYS", "ENOENT", "EACCES", "ENXIO", "ENOTTY", "ENODEV", "ok"];
