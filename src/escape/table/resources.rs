//! DS: more than the policy gives.

use super::{Attack, Control, FILTERED};
use crate::Layer::{Cgroup, IpcNs, MountNs, Rlimits, Root, Seccomp};
use crate::escape::facts::NO_SCRATCH;
use crate::escape::host::{binds, limits};
use crate::escape::probe::{files, resources};

const STARTED: Control = Control::Own("the probe is seen to have started, and goes on for seconds by itself");

pub const ATTACKS: &[Attack] = &[
    Attack::host("DS-01", "processes and threads without end", "the fork bomb", limits::processes)
        .with(resources::multiply)
        .star()
        .held_by(&[Cgroup, Rlimits])
        .control(Control::Own("as many as allowed are made before the first is refused"))
        .expect(&["EAGAIN", "ok", "ENOSYS", "EPERM", "violation"]),
    Attack::host("DS-02", "memory without end: nine kinds", "every judge", limits::memory)
        .with(resources::eat_memory)
        .star()
        .held_by(&[Cgroup])
        .control(Control::Own("with memory enough the same probe gets all it asks for"))
        .expect(&[
            "memory_limit",
            "ENOMEM",
            "ENOSPC",
            "ENOSYS",
            "EPERM",
            "EMFILE",
            "EAGAIN",
            "EFBIG",
            "signaled",
            "ok",
            "violation",
            "ENOENT",
        ]),
    Attack::shared("DS-03", "the scratch space, filled", "tmpfs without a size", files::exhaust_bytes)
        .star()
        .held_by(&[Root])
        .given(NO_SCRATCH)
        .control(Control::Outside)
        .expect(&["ENOSPC", "ok", "ENOENT", "ENOMEM"]),
    Attack::shared("DS-04", "descriptors without end", "EMFILE", resources::exhaust_descriptors)
        .held_by(&[Rlimits])
        .control(Control::Outside)
        .expect(&["EMFILE", "ENOSYS", "EPERM"]),
    Attack::shared("DS-06", "buffers of sockets and pipes", "SCM_RIGHTS nested", resources::fill_buffers)
        .held_by(&[Seccomp, Cgroup])
        .control(Control::Outside)
        .expect(&["ENOSYS", "EPERM", "SIGSYS", "the policy's"]),
    Attack::host(
        "DS-07",
        "output without end, on either stream and on both",
        "sandlock#149, vm0#19083",
        limits::output,
    )
    .with(resources::flood)
    .star()
    .supervised()
    .control(Control::Own("the limit itself is seen to have been written"))
    .expect(&["output_limit", "bounded", "cpu_limit", "wall_limit", "ok", "signaled"]),
    Attack::host(
        "DS-08",
        "a child that keeps the stream open",
        "waiting for end of file",
        limits::held_stream,
    )
    .with(resources::keep_stream_open)
    .supervised()
    .control(Control::Own("the child is seen to have been made"))
    .expect(&["ok", "in time", "EAGAIN", "EPERM", "ENOSYS", "violation"]),
    Attack::host("DS-09", "nothing, for ever, in five ways", "no CPU limit ever trips", limits::sleeps)
        .with(crate::escape::probe::processes::wait_for_ever)
        .star()
        .supervised()
        .control(STARTED)
        .expect(&["wall_limit", "cpu_limit", "violation"]),
    Attack::shared(
        "DS-11",
        "objects that are counted for each user",
        "inotify, epoll, timerfd, eventfd",
        resources::exhaust_objects,
    )
    .held_by(&[Rlimits])
    .control(Control::Outside)
    .expect(&["EMFILE", "ENOSYS", "EPERM", "SIGSYS"]),
    Attack::shared(
        "DS-12",
        "timers, and contexts that the whole host shares",
        "fs.aio-max-nr",
        resources::exhaust_timers,
    )
    .held_by(&[Rlimits])
    .control(Control::Outside)
    .expect(&["EAGAIN", "ENOSYS", "EPERM", "SIGSYS", "ENOMEM"]),
    Attack::shared(
        "DS-13",
        "System V objects and message queues",
        "syzkaller's sandbox",
        resources::leave_system_v,
    )
    .held_by(&[Seccomp, IpcNs])
    .control(Control::Outside)
    .expect(&["ENOSYS", "EPERM", "SIGSYS"]),
    Attack::host(
        "DS-14",
        "the host's disk, through a directory that may be written",
        "write-back storms",
        binds::write_back,
    )
    .with(resources::write_back)
    .held_by(&[Rlimits, Seccomp])
    .control(Control::Own("the same probe beside the box writes all of it"))
    .expect(&["EFBIG", "ENOSYS", "EPERM", "SIGSYS", "ok", "SIGXFSZ", "ENOENT"]),
    Attack::shared(
        "DS-15",
        "a crash with much mapped, and the file it leaves",
        "RLIMIT_CORE",
        crate::escape::probe::processes::dump_core,
    )
    .held_by(&[Rlimits])
    .control(Control::Outside)
    .expect(&["no", "EPERM", "ENOSYS", "EINVAL", "ok", "EAGAIN"]),
    Attack::shared("DS-16", "a file that claims to be enormous", "ftruncate(1 TiB)", files::claim_size)
        .held_by(&[Rlimits, Root])
        .control(Control::Outside)
        .expect(&["EFBIG", "ENOSPC", "ENOSYS", "EPERM", "ok", "EINVAL"])
        .given(NO_SCRATCH),
    Attack::host("DS-17", "names that are not there, without end", "negative dentries", limits::names)
        .with(resources::keep_kernel_busy)
        .held_by(&[Cgroup])
        .supervised()
        .control(STARTED)
        .expect(&["cpu_limit", "memory_limit", "wall_limit"]),
    Attack::host("DS-18", "mappings that cannot be merged, without end", "page tables", limits::mappings)
        .with(resources::keep_kernel_busy)
        .held_by(&[Cgroup])
        .supervised()
        .control(STARTED)
        .expect(&["memory_limit", "cpu_limit", "wall_limit", "ENOMEM", "ok"]),
    Attack::shared(
        "DS-19",
        "memory that cannot be taken back",
        "mlock, huge pages, memfd_secret",
        resources::pin_memory,
    )
    .held_by(&[Rlimits, Seccomp])
    .control(Control::Outside)
    .expect(&["EPERM", "ENOMEM", "ENOSYS", "SIGSYS"]),
    Attack::host("DS-20", "processes that have ended and that nobody waits for", "zombies", limits::zombies)
        .with(resources::leave_zombies)
        .held_by(&[Cgroup, Rlimits])
        .control(Control::Own("as many as allowed are left before the first is refused"))
        .expect(&["EAGAIN", "ok", "EPERM", "ENOSYS", "in time", "violation"]),
    Attack::host("DS-21", "locks on every second byte", "posix locks", limits::locks)
        .with(resources::keep_kernel_busy)
        .held_by(&[Cgroup])
        .supervised()
        .control(STARTED)
        .expect(&["cpu_limit", "memory_limit", "wall_limit"]),
    Attack::host("DS-22", "refusals that the host writes down one by one", "RET_LOG, audit", limits::log)
        .with(resources::provoke_log)
        .supervised()
        .control(Control::Own("the kernel's log can be read before and after"))
        .expect(&["6000", "few lines"]),
    Attack::host("DS-23", "calls that make all processors work", "membarrier(2)", limits::barriers)
        .with(resources::keep_kernel_busy)
        .held_by(&[Cgroup])
        .supervised()
        .control(STARTED)
        .expect(&["cpu_limit", "wall_limit"]),
    Attack::host(
        "DS-24",
        "so many files that taking the box away takes long",
        "pc2's clean-up",
        limits::teardown,
    )
    .with(resources::leave_many_files)
    .held_by(&[MountNs])
    .control(Control::Own("the files are seen to have been made"))
    .expect(&["many", "in time", "none"]),
    Attack::shared(
        "DS-40",
        "huge pages that the host has set aside, which no limit counts",
        "mmap(2), MAP_HUGETLB",
        resources::take_huge_pages,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(FILTERED),
];
