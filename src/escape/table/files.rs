//! FS and OU: files, mounts, the root, and what is left for the host.

use super::{Attack, Control, FILTERED, REFUSED};
use crate::Layer::{Capabilities, Landlock, MountNs, NoNewPrivs, Proc, Root, Seccomp, UserNs};
use crate::escape::facts::NO_SCRATCH;
use crate::escape::host::{binds, outputs, runs, store};
use crate::escape::probe::{files, kernel, mounts, outputs as made};
use crate::policy::model::Wx;

const NOBODY_LEFT: &str = "what --out collects is copied when nobody is left who could change it";

/// Answers on the way to what is collected.
const COLLECTED: &[&str] = &[
    "EACCES",
    "EFBIG",
    "EINVAL",
    "EMFILE",
    "ENAMETOOLONG",
    "ENOENT",
    "ENOSPC",
    "ENOSYS",
    "EOPNOTSUPP",
    "EPERM",
    "EROFS",
    "EXDEV",
    "SIGSYS",
    "bounded",
    "in time",
    "ok",
    "one each",
    "plain",
    "the caller's own",
    "unchanged",
];

/// Answers on the way to an effect on files.
const TRIED: &[&str] = &[
    "EACCES",
    "EBADF",
    "EFBIG",
    "EINVAL",
    "EISDIR",
    "ELOOP",
    "ENODEV",
    "ENOENT",
    "ENOSPC",
    "ENOSYS",
    "ENOTDIR",
    "ENXIO",
    "EPERM",
    "EROFS",
    "ESRCH",
    "ETXTBSY",
    "EXDEV",
    "SIGSYS",
    "SIGXFSZ",
    "nothing secret",
    "ok",
    "none",
    files::LOADER_MAPS_NOTHING,
];

pub const ATTACKS: &[Attack] = &[
    Attack::shared(
        "FS-01",
        "a file made, or cut, anywhere but where the policy says",
        "every judge",
        files::write_everywhere,
    )
    .held_by(&[Root, Landlock, UserNs])
    .expect(REFUSED),
    Attack::shared(
        "FS-02",
        "a read-only mount made writable, also from a user namespace of its own",
        "mount_namespaces(7), locked flags",
        mounts::remount,
    )
    .held_by(&[Seccomp, Capabilities, Landlock, UserNs])
    .control(Control::OwnNamespaces)
    .expect(TRIED),
    Attack::shared("FS-03", "a mount taken away, for what lies below it", "CVE-2014-9717", mounts::uncover)
        .held_by(&[Seccomp, Capabilities, Landlock, UserNs])
        .control(Control::OwnNamespaces)
        .expect(TRIED),
    Attack::shared(
        "FS-04",
        "chroot into a directory below, and out again by an open one",
        "unchroot.c of firejail's tests",
        mounts::leave_chroot,
    )
    .held_by(&[MountNs, Seccomp, Capabilities])
    .control(Control::OwnNamespaces)
    .expect(TRIED),
    Attack::shared(
        "FS-05",
        "the old root, or any mount that is not planned",
        "hand-made sandboxes",
        mounts::find_old_root,
    )
    .held_by(&[MountNs])
    .expect(TRIED),
    Attack::host(
        "FS-06",
        "a submount of a read-only bind, which stays writable",
        "OCI rro; mount_setattr(2)",
        binds::submount,
    )
    .with(files::show_bound)
    .held_by(&[Root, Landlock])
    .control(Control::Own("the same file can be made there by the same user on the host"))
    .expect(TRIED),
    Attack::host(
        "FS-07",
        "a mount that the host makes while the box runs",
        "mount_namespaces(7)",
        binds::propagation,
    )
    .with(files::wait_and_look)
    .held_by(&[MountNs])
    .control(Control::Own("the host sees what it has mounted at the same place"))
    .expect(TRIED),
    Attack::host(
        "FS-08",
        "a link where something is to be mounted in the root",
        "CVE-2019-19921, CVE-2021-30465, CVE-2023-27561, CVE-2025-31133",
        store::links_in_tree,
    )
    .with(files::show_file)
    .star()
    .held_by(&[MountNs])
    .supervised()
    .control(Control::Own("the link leads to the canary directory when followed on the host"))
    .expect(&["refused", "made anew", "as planned"]),
    Attack::host(
        "FS-09",
        "a mount point swapped for a link while the box is being made",
        "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        binds::race_target,
    )
    .with(files::show_bound)
    .held_by(&[MountNs])
    .supervised()
    .control(Control::Own("the swap is seen to happen from outside"))
    .expect(TRIED),
    Attack::host(
        "FS-10",
        "the source of a bind swapped for a link to something else",
        "CVE-2021-30465, CVE-2025-59532",
        binds::race_source,
    )
    .with(files::show_bound)
    .held_by(&[MountNs])
    .supervised()
    .control(Control::Own("the swap is seen to happen from outside"))
    .expect(TRIED),
    Attack::host(
        "FS-12",
        "capabilities of a file",
        "CVE-2022-24769, CVE-2022-29162",
        runs::file_capabilities,
    )
    .with(kernel::count_capabilities)
    .held_by(&[NoNewPrivs, Capabilities, Root])
    .control(Control::Own("the same file gives the capability when it is executed on the host"))
    .expect(&["empty", "ENOSYS", "EPERM", "EACCES", "ENOENT"]),
    Attack::host(
        "FS-13",
        "a set-id file, link, fifo, socket or device left in a directory of the host",
        "isolate's threat model",
        binds::planted,
    )
    .with(files::plant_in_shared)
    .held_by(&[Seccomp])
    .control(Control::Own("the same probe leaves them in the same directory beside the box"))
    .expect(TRIED),
    Attack::shared(
        "FS-14",
        "a node for a device of the host",
        "the device module of CDK",
        files::make_device,
    )
    .held_by(&[Seccomp, UserNs, Capabilities, Landlock])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "FS-18",
        "the host's file system by file handles",
        "shocker.c, 2014",
        files::open_by_handle,
    )
    .held_by(&[Seccomp, Capabilities, UserNs])
    .control(Control::Differs)
    .expect(FILTERED),
    Attack::shared(
        "FS-20",
        "the new mount API, which older deny-lists do not name",
        "CVE-2021-41133 (flatpak)",
        mounts::new_mount_api,
    )
    .held_by(&[Seccomp])
    .control(Control::OwnNamespaces)
    .expect(FILTERED),
    Attack::shared(
        "FS-21",
        "every call number that the policy does not allow, 0 to 1023",
        "calls newer than the tables of seccompiler and libseccomp",
        crate::escape::probe::calls::sweep_numbers,
    )
    .held_by(&[Seccomp])
    .expect(&["ENOSYS", "EPERM", "EACCES"]),
    Attack::shared(
        "FS-22",
        "file systems that a user namespace may mount",
        "CVE-2021-3493, CVE-2022-0185, CVE-2023-0386",
        mounts::mount_in_own_namespace,
    )
    .held_by(&[Seccomp, UserNs, Capabilities, Landlock])
    .control(Control::OwnNamespaces)
    .expect(TRIED),
    Attack::shared(
        "FS-23",
        "other spellings of a path that is denied",
        "agent sandboxes that compare strings",
        files::spell_differently,
    )
    .held_by(&[MountNs, Root, Landlock])
    .expect(TRIED),
    Attack::shared(
        "FS-25",
        "a place outside, opened without rights and used later",
        "Landlock allows O_PATH",
        files::keep_a_place,
    )
    .held_by(&[MountNs, Root, Landlock])
    .expect(TRIED),
    Attack::shared(
        "FS-27",
        "a program of its own, started directly, by the loader, or mapped",
        "ld.so as a way around EXECUTE",
        files::execute_own_file,
    )
    .held_by(&[Root, Seccomp, Landlock])
    .given(NO_SCRATCH)
    .expect(TRIED),
    Attack::shared(
        "FS-28",
        "a program that has no name in any file system",
        "memfd_create and execveat",
        files::execute_nameless,
    )
    .held_by(&[Seccomp])
    .expect(TRIED),
    Attack::shared(
        "FS-29",
        "memory asked for as writable and executable at once",
        "W^X; kernel bug 219227",
        kernel::execute_written_memory,
    )
    .held_by(&[Seccomp])
    .given((|policy| policy.wx == Wx::Allow, "the policy has `\"wx\": \"allow\"`"))
    .expect(TRIED),
    Attack::host(
        "FS-31",
        "the root changed after it was verified",
        "time of check, time of use",
        store::changed_tree,
    )
    .with(files::show_file)
    .supervised()
    .control(Control::Own(
        "the changed file is seen to be changed on the host, and the same box runs without the change",
    ))
    .expect(&["refused", "made anew", "found"]),
    Attack::shared(
        "FS-33",
        "what a file system does by ioctl",
        "project ids, immutable files, freezing",
        kernel::file_ioctls,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(TRIED_IOCTL),
    Attack::shared(
        "FS-34",
        "files without bytes, more than the policy gives",
        "tmpfs nr_inodes",
        files::exhaust_inodes,
    )
    .held_by(&[Root])
    .given(NO_SCRATCH)
    .expect(TRIED),
    Attack::shared(
        "FS-35",
        "a label of a security module for the next program",
        "CVE-2019-16884, CVE-2025-52881",
        files::write_labels,
    )
    .held_by(&[Proc, Landlock])
    .expect(REFUSED),
    Attack::shared(
        "FS-40",
        "the page cache of a file that can only be read, by splice",
        "CVE-2022-0847 (Dirty Pipe)",
        files::splice_into_cache,
    )
    .held_by(&[Seccomp])
    .control(Control::Differs)
    .expect(TRIED_WITH_STEPS),
    Attack::shared(
        "FS-41",
        "a second name or a link for what belongs to others",
        "sandlock#179",
        files::make_links,
    )
    .held_by(&[Seccomp])
    .expect(TRIED),
    Attack::shared(
        "FS-42",
        "owners and attributes of files",
        "file capabilities as an attribute",
        files::change_owner_and_attributes,
    )
    .held_by(&[Seccomp, Capabilities, UserNs])
    .control(Control::Differs)
    .expect(TRIED_WITH_STEPS),
    Attack::shared("FS-43", "files cut by their paths", "truncate(2)", files::truncate_by_path)
        .held_by(&[Root, MountNs, Landlock])
        .expect(TRIED),
    Attack::shared(
        "FS-44",
        "times of a device, which the host and all boxes share",
        "utimensat(2) on /dev/null",
        mounts::touch_devices,
    )
    .held_by(&[Root])
    .expect(REFUSED),
    Attack::host(
        "OU-01",
        "a link in the output directory",
        "CVE-2018-15664, CVE-2019-14271, CVE-2024-28189",
        outputs::links,
    )
    .with(made::links)
    .star()
    .held_by(&[Seccomp])
    .supervised()
    .control(Control::Own("the link leads to the canary when followed on the host, and a file arrives"))
    .given(NO_SCRATCH)
    .expect(COLLECTED),
    Attack::host("OU-02", "a fifo, socket or device in the output directory", "strata#653", outputs::special)
        .with(made::special)
        .star()
        .held_by(&[Seccomp])
        .supervised()
        .control(Control::Own("a fifo is in the directory, and a file of the box arrives beside it"))
        .given(NO_SCRATCH)
        .expect(COLLECTED),
    Attack::none("OU-03", "a name swapped while it is copied", "time of check, time of use", NOBODY_LEFT),
    Attack::host("OU-04", "a hard link in the output directory", "sandlock#179", outputs::second_names)
        .with(made::second_names)
        .held_by(&[Seccomp])
        .supervised()
        .control(Control::Own("a file arrives"))
        .given(NO_SCRATCH)
        .expect(COLLECTED),
    Attack::none("OU-05", "a file that grows while it is copied", "-", NOBODY_LEFT),
    Attack::host("OU-06", "too many, too deep, too long names", "-", outputs::too_many)
        .with(made::too_many)
        .held_by(&[Root])
        .supervised()
        .control(Control::Own("a file arrives, and what was left out is told"))
        .given(NO_SCRATCH)
        .expect(COLLECTED),
    Attack::host("OU-07", "hostile names", "the tar class", outputs::names)
        .with(made::names)
        .supervised()
        .control(Control::Own("the names are made in the box, and a plain one arrives"))
        .given(NO_SCRATCH)
        .expect(COLLECTED),
    Attack::host("OU-08", "modes, owners and attributes carried over", "-", outputs::modes)
        .with(made::modes)
        .held_by(&[Seccomp])
        .supervised()
        .control(Control::Own("a file arrives"))
        .given(NO_SCRATCH)
        .expect(COLLECTED),
    Attack::none(
        "OU-10",
        "archives that lead elsewhere",
        "CVE-2007-4559, CVE-2025-4517",
        "no archive is made of what is collected",
    ),
    Attack::none(
        "OU-11",
        "outputs that a tool of the host executes",
        "CVE-2022-24765",
        "a non-goal, documented: the caller names a directory, and what its files are used for",
    ),
    Attack::host("OU-12", "sparse and compressible bombs", "-", outputs::sparse)
        .with(made::sparse)
        .held_by(&[Root])
        .supervised()
        .control(Control::Own("long files are made in the box, and a short one arrives"))
        .given(NO_SCRATCH)
        .expect(COLLECTED),
];

/// With a step before that is meant to work.
const TRIED_WITH_STEPS: &[&str] = &["ENOSYS", "EPERM", "SIGSYS", "ok", "ENOENT", "EROFS"];

/// The file that the requests are tried on, and what they are answered.
const TRIED_IOCTL: &[&str] = &["ENOSYS", "EPERM", "SIGSYS", "ok"];
