//! SC, SA, SK and KX: the filter, sockets, and the kernel's surface.

use super::{Attack, Control, FILTERED};
use crate::Layer::{Capabilities, Landlock, NetNs, Seccomp, UserNs};
use crate::escape::host::{binds, policies};
use crate::escape::probe::{calls, descriptors, kernel, namespaces, pidone, sockets};

/// Answers to somebody who would be somebody else.
const IDS_REFUSED: &[&str] = &["ENOSYS", "EPERM", "SIGSYS", kernel::NO_SUCH_ID];

/// Answers to somebody who looks for a network.
const NETWORK: &[&str] = &[
    "ENOSYS",
    "EPERM",
    "SIGSYS",
    "EAFNOSUPPORT",
    "EPROTONOSUPPORT",
    "ECONNREFUSED",
    "ENETUNREACH",
    "EHOSTUNREACH",
    "EADDRNOTAVAIL",
    "EACCES",
    "ENOENT",
    "ENETDOWN",
    "EBADF",
    "EINPROGRESS",
    "ENOTCONN",
    "ok",
    "EDESTADDRREQ",
    "EOPNOTSUPP",
    "EPROTOTYPE",
    "EINVAL",
    "ENODEV",
    "EPIPE",
    "EDESTADDRREQ",
];

/// A call that is fatal, or is not there.
const FATAL: &[&str] = &["SIGSYS"];

pub const ATTACKS: &[Attack] = &[
    Attack::shared(
        "SC-01",
        "the x32 table: numbers with bit 30",
        "CVE-2014-0038; seccompiler#74, kafel#19",
        calls::x32_table,
    )
    .star()
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FATAL),
    Attack::shared("SC-02", "the 32-bit entry, int 0x80", "firejail#87; isolate 2.4", calls::i386_entry)
        .star()
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FATAL),
    Attack::shared(
        "SC-40",
        "numbers that are none: -1, 2^31, 2^30 - 1 and above",
        "filters that compare signed",
        calls::foreign_numbers,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(&["SIGSYS", "ENOSYS"]),
    Attack::shared(
        "SC-41",
        "the upper half of the number's register",
        "64-bit compares",
        calls::wide_numbers,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SC-05",
        "a filter of its own, with a listener",
        "Sandbox2 denies NEW_LISTENER",
        calls::install_filter,
    )
    .held_by(&[Seccomp])
    .expect(FILTERED),
    Attack::shared(
        "SC-06",
        "a call's path changed while the supervisor looks",
        "seccomp_unotify(2)",
        calls::change_under_notification,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "ok", "none"]),
    Attack::shared(
        "SC-42",
        "what the filter says of itself",
        "PTRACE_SECCOMP_GET_FILTER",
        calls::read_filter,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SC-08",
        "one thread dies of a fatal call, the others go on",
        "SECCOMP_RET_KILL_THREAD",
        calls::outlive_a_thread,
    )
    .held_by(&[Seccomp])
    .expect(&["SIGSYS", "no second thread", "ok"]),
    Attack::host(
        "SC-10",
        "a rule whose errno is 0, which looks like success",
        "SECCOMP_RET_ERRNO",
        policies::errno_zero,
    )
    .supervised()
    .control(Control::Own("the same policy with a word of the language is taken"))
    .expect(&["refused", "taken"]),
    Attack::shared("SC-13", "a denied object by way of a ring", "io_uring(7)", calls::open_by_ring)
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::host(
        "SC-14",
        "a profile that grows when it is merged",
        "CVE-2021-41133",
        policies::widened_by_merge,
    )
    .supervised()
    .control(Control::Own("the same policy without the widening rule is taken"))
    .expect(&["refused", "taken"]),
    Attack::shared(
        "SA-01",
        "each argument rule, replayed with bits that the kernel ignores",
        "CVE-2019-10063, CVE-2019-7303",
        calls::replay_widths,
    )
    .star()
    .held_by(&[Seccomp])
    .control(Control::Own("plain values of the same rules are answered differently"))
    .expect(&["same"]),
    Attack::shared(
        "SA-02",
        "negative and largest values where an int is compared",
        "AT_FDCWD and -1 as 64 bits",
        calls::replay_widths,
    )
    .held_by(&[Seccomp])
    .control(Control::Own("plain values of the same rules are answered differently"))
    .expect(&["same"]),
    Attack::host(
        "SA-03",
        "a rule on a pointer, behind which the filter cannot see",
        "seccomp(2)",
        policies::rule_on_pointer,
    )
    .supervised()
    .control(Control::Own("the same policy with a rule on a number is taken"))
    .expect(&["refused", "taken"]),
    Attack::shared(
        "SA-04",
        "other calls for what one is denied for, 27 groups",
        "CVE-2021-41133",
        calls::synonyms,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SA-40",
        "options of prctl that change what a process is",
        "prctl(2)",
        calls::prctl_options,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SA-06",
        "commands of fcntl, with bits that the kernel ignores",
        "isolate 2.4's deny-list",
        calls::fcntl_commands,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SA-07",
        "personalities",
        "READ_IMPLIES_EXEC, ADDR_NO_RANDOMIZE",
        kernel::change_personality,
    )
    .held_by(&[Seccomp])
    .expect(FILTERED),
    Attack::shared(
        "SA-08",
        "calls that take a process, on pid 1",
        "prlimit(1, RLIMIT_CPU, 0)",
        pidone::change_init,
    )
    .held_by(&[Seccomp])
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "EACCES", "ESRCH"]),
    Attack::shared("SA-09", "signals with a forged sender", "rt_sigqueueinfo(2)", pidone::forge_signals)
        .held_by(&[Seccomp])
        .expect(&["ENOSYS", "EPERM", "SIGSYS", "EBADF", "ESRCH"]),
    Attack::shared(
        "SA-10",
        "options of sockets",
        "CVE-2021-22555, CVE-2016-4997, CVE-2023-0461",
        sockets::socket_options,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SK-01",
        "the hypervisor's channel, AF_VSOCK",
        "CVE-2021-26708, CVE-2025-21756",
        sockets::vsock,
    )
    .star()
    .held_by(&[Seccomp])
    .control(Control::OutsideOrDiffers)
    .expect(NETWORK),
    Attack::shared("SK-02", "netlink, every protocol", "CVE-2023-32233, CVE-2022-27666", sockets::netlink)
        .held_by(&[Seccomp])
        .expect(NETWORK),
    Attack::shared(
        "SK-03",
        "the kernel's cryptography, AF_ALG",
        "CVE-2026-31431, CVE-2019-8912",
        sockets::algorithms,
    )
    .star()
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared("SK-04", "packets as they are", "CVE-2017-7308, CVE-2020-14386", sockets::raw_packets)
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared(
        "SK-05",
        "sixty families whose modules load on demand",
        "CVE-2010-3904, CVE-2021-43267",
        sockets::rare_families,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "SK-07",
        "the host's loopback by TCP, MPTCP and fast open",
        "landlock-lsm/linux#54, #41, #40",
        sockets::connect_tcp,
    )
    .star()
    .held_by(&[NetNs, Seccomp])
    .expect(NETWORK),
    Attack::shared("SK-08", "sockets with abstract names", "CVE-2020-15257", sockets::abstract_sockets)
        .held_by(&[NetNs, Seccomp, Landlock])
        .expect(NETWORK),
    Attack::host(
        "SK-09",
        "sockets that are files in a directory of the host",
        "docker.sock; landrun#43, sandlock#95",
        binds::sockets,
    )
    .with(sockets::path_sockets)
    .star()
    .held_by(&[Seccomp])
    .supervised()
    .control(Control::Outside)
    .expect(NETWORK),
    Attack::shared("SK-10", "the host's loopback by UDP", "landlock#10, cplt#241", sockets::send_udp)
        .held_by(&[NetNs, Seccomp])
        .expect(NETWORK),
    Attack::shared("SK-11", "secrets in the names of queries", "OpenShell#1169", sockets::send_udp)
        .held_by(&[NetNs, Seccomp])
        .expect(NETWORK),
    Attack::shared(
        "SK-12",
        "the host's loopback under its other addresses",
        "pasta's --map-gw",
        sockets::connect_tcp,
    )
    .held_by(&[NetNs, Seccomp])
    .expect(NETWORK),
    Attack::shared(
        "SK-13",
        "addresses that only mean something in a data centre",
        "169.254.169.254",
        sockets::route_out,
    )
    .held_by(&[NetNs, Seccomp])
    .expect(NETWORK),
    Attack::none(
        "SK-14",
        "a proxy's list of what is allowed",
        "CVE-2025-66479",
        "there is no proxy, and no way out to allow",
    ),
    Attack::shared(
        "SK-15",
        "a socket of the caller",
        "accept(2) on what was inherited",
        descriptors::use_inherited_sockets,
    )
    .held_by(&[crate::Layer::Descriptors, Seccomp])
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "EBADF"]),
    Attack::shared("SK-16", "out-of-band bytes on a pair", "CVE-2025-38236", sockets::out_of_band)
        .held_by(&[Seccomp])
        .expect(NETWORK),
    Attack::host("SK-17", "a socket or fifo left for a tool of the host", "go-judge#176", binds::planted)
        .with(crate::escape::probe::files::plant_in_shared)
        .held_by(&[Seccomp])
        .control(Control::Own("the same probe leaves them in the same directory beside the box"))
        .expect(&["ENOSYS", "EPERM", "SIGSYS", "ok", "ENOENT", "EACCES", "EEXIST", "EXDEV", "none"]),
    Attack::shared("SK-40", "other calls that send and receive", "sendmmsg(2)", sockets::other_ways_to_send)
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared("KX-01", "io_uring", "CVE-2021-41073, CVE-2022-29582, CVE-2023-2598", kernel::io_uring)
        .star()
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared("KX-02", "bpf", "CVE-2020-8835, CVE-2021-3490", kernel::bpf)
        .held_by(&[Seccomp, Capabilities, UserNs])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared("KX-03", "performance counters", "CVE-2013-2094", kernel::perf_events)
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared("KX-11", "where memory lies", "move_pages(2)", kernel::memory_placement)
        .held_by(&[Seccomp])
        .control(Control::Differs)
        .expect(FILTERED),
    Attack::shared(
        "KX-13",
        "the mounts of the namespace by its own calls",
        "statmount(2), listmount(2)",
        namespaces::list_mounts,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "KX-15",
        "calls that hardly anything uses any more",
        "uselib, remap_file_pages",
        kernel::old_calls,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "KX-16",
        "restrictions piled up until a helper's fail",
        "landlock's 16 layers",
        kernel::stack_restrictions,
    )
    .held_by(&[Seccomp])
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "ok"]),
    Attack::shared(
        "KX-40",
        "page faults under the payload's control",
        "CVE-2021-22555's userfaultfd",
        kernel::userfaultfd,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(&["ENOSYS", "EPERM", "SIGSYS", "ENOENT"]),
    Attack::shared(
        "KX-41",
        "modules, and another kernel",
        "init_module(2), kexec_load(2)",
        kernel::kernel_modules,
    )
    .held_by(&[Seccomp, UserNs, Capabilities])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "KX-42",
        "the machine: reboot, swap, clocks, ports, names",
        "the deny-lists of every engine",
        kernel::drive_machine,
    )
    .held_by(&[Seccomp, UserNs, Capabilities])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared("KX-43", "ids and capabilities raised", "setuid(2), capset(2)", kernel::raise_privileges)
        .held_by(&[Seccomp, UserNs, Capabilities])
        .control(Control::OwnNamespaces)
        .expect(IDS_REFUSED),
    Attack::shared(
        "KX-44",
        "rare kinds of descriptors and objects",
        "fanotify, memfd_secret, mseal",
        kernel::rare_objects,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
];
