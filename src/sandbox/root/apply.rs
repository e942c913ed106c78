//! What the children do to make the root: mounts through descriptors, in the
//! order that three kernels accept.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::atomic::Ordering;

use crate::Layer;
use crate::error::no_matter;
use crate::sandbox::child::{Failed, Steps};
use crate::sandbox::frame::RootKind;
use crate::sandbox::late;
use crate::sandbox::order::Step;
use crate::sandbox::plan::{
    BackEnd, BindFrom, Device, MountKind, MountPlan, Place, PrivateEntry, PrivateKind, RootPlan,
};
use crate::sys::fd::{self, Resolve};
use crate::sys::mount::{self, Attr};
use crate::sys::{self, Errno};

/// Attributes of the root, whatever stands behind it.
pub const ROOT_ATTR: Attr = Attr::RDONLY.and(Attr::NOSUID).and(Attr::NODEV);

/// Attributes of one device node. Not `nodev`, which would make it useless; read-only, which it can be
/// written in spite of, because its times are the host's and every box's.
pub const DEVICE_ATTR: Attr = Attr::RDONLY.and(Attr::NOSUID).and(Attr::NOEXEC);

/// Names beside the devices by which programs open their own descriptors: `/dev/stdin` of judges'
/// programs, `/dev/fd` of shells. They lead nowhere where there is no `/proc`.
const STREAM_LINKS: [(&CStr, &CStr); 4] = [
    (c"fd", c"/proc/self/fd"),
    (c"stdin", c"/proc/self/fd/0"),
    (c"stdout", c"/proc/self/fd/1"),
    (c"stderr", c"/proc/self/fd/2"),
];

/// Whether a path is one of the names of streams, or below one.
pub fn is_of_a_stream(at: &str) -> bool {
    let name = at.strip_prefix("/dev/").unwrap_or_default();
    let name = if name.starts_with("fd/") { "fd" } else { name };
    STREAM_LINKS.iter().any(|(link, _)| link.to_bytes() == name.as_bytes())
}

/// Attributes of `/proc`.
pub const PROC_ATTR: Attr = Attr::RDONLY.and(Attr::NOSUID).and(Attr::NODEV).and(Attr::NOEXEC);

/// How the root came to be.
pub struct Base {
    /// Which kind it is.
    pub kind: RootKind,
    /// Why there is no overlay, if one was to be, else 0.
    pub overlay_errno: i32,
}

/// Child only: a name that leads nowhere else, opened as a place.
fn open_place(dir: RawFd, path: &CStr) -> sys::Result<OwnedFd> {
    fd::openat2(dir, path, libc::O_PATH | libc::O_NOFOLLOW, 0, Resolve::BENEATH)
}

/// Child only: files are to lie in large pieces: copying them takes a third of the time.
fn in_large_pieces(fs: BorrowedFd<'_>) {
    no_matter(
        mount::fsconfig_string(fs, c"huge", c"within_size"),
        "a kernel without such pieces copies page by page",
    );
}

/// Child only: a new tmpfs, detached and writable.
fn new_tmpfs(size: &CStr, inodes: &CStr, mode: &CStr, attr: Attr, large: bool) -> sys::Result<OwnedFd> {
    let fs = mount::fsopen(c"tmpfs")?;
    if large {
        in_large_pieces(fs.as_fd());
    }
    mount::fsconfig_string(fs.as_fd(), c"size", size)?;
    mount::fsconfig_string(fs.as_fd(), c"nr_inodes", inodes)?;
    mount::fsconfig_string(fs.as_fd(), c"mode", mode)?;
    mount::fsconfig_create(fs.as_fd())?;
    mount::fsmount(fs.as_fd(), attr)
}

/// Child only: makes the root and attaches it, so that others can be attached below.
pub fn attach_root(steps: Steps) -> Result<Base, Failed> {
    steps.call(Step::Private, mount::make_all_private)?;
    let (kind, overlay_errno, root) = match &steps.plan.root {
        RootPlan::Tree { path, dev, ino, back_end } => {
            let flags = libc::O_PATH | libc::O_DIRECTORY;
            let tree =
                steps.call(Step::OpenTree, || fd::openat2(libc::AT_FDCWD, path, flags, 0, Resolve::PLAIN))?;
            steps.call(Step::CheckTree, || {
                let found = fd::identity(tree.as_fd())?;
                if (found.dev, found.ino) == (*dev, *ino) { Ok(()) } else { Err(Errno::ESTALE) }
            })?;
            tree_root(steps, tree.as_fd(), *back_end)?
        }
        RootPlan::Private { size, inodes, .. } => (RootKind::Private, 0, private_root(steps, size, inodes)?),
    };
    // P inherits the working directory, as pid 1 has before: no directory of the store is to be anybody's.
    steps.call(Step::AttachRoot, || mount::chdir(c"/"))?;
    steps.plan.root_fd.store(root.into_raw_fd(), Ordering::Relaxed);
    Ok(Base { kind, overlay_errno })
}

/// Child only: overlay where it can be had, else a bind, unless one of them was asked for.
fn tree_root(
    steps: Steps,
    tree: BorrowedFd<'_>,
    back_end: BackEnd,
) -> Result<(RootKind, i32, OwnedFd), Failed> {
    // Relative lower directories are looked up from the working directory.
    steps.call(Step::AttachRoot, || mount::fchdir(tree))?;
    let mut made = (RootKind::Bind, 0, None);
    // An overlay without an upper layer cannot be written, whatever its attributes.
    if back_end != BackEnd::Bind && !steps.without(Layer::Root) {
        match overlay_root(steps) {
            Ok(root) => made = (RootKind::Overlay, 0, Some(root)),
            Err(failed) if back_end == BackEnd::Overlay => return Err(failed),
            Err(failed) => made.1 = failed.errno(),
        }
    }
    let root = match made.2 {
        Some(root) => root,
        None => {
            let root =
                steps.call(Step::BindTree, || mount::open_tree_clone(tree.as_raw_fd(), c"root", false))?;
            steps.call(Step::BindTreeFlags, || {
                mount::set_attr(root.as_fd(), attributes(steps, Layer::Root, ROOT_ATTR), false)
            })?;
            root
        }
    };
    steps.call(Step::AttachRoot, || {
        mount::attach(root.as_fd(), open_place(tree.as_raw_fd(), c"root")?.as_fd())
    })?;
    Ok((made.0, made.1, root))
}

/// Child only: lower layers only, relative to the working directory. Two of them: one is `EINVAL`.
fn overlay_root(steps: Steps) -> Result<OwnedFd, Failed> {
    let fs = steps.call(Step::OverlayOpen, || mount::fsopen(c"overlay"))?;
    steps.call(Step::OverlayLower, || mount::fsconfig_string(fs.as_fd(), c"lowerdir", c"root:empty"))?;
    steps.call(Step::OverlayUserXattr, || mount::fsconfig_flag(fs.as_fd(), c"userxattr"))?;
    steps.call(Step::OverlayCreate, || mount::fsconfig_create(fs.as_fd()))?;
    steps.call(Step::OverlayMount, || mount::fsmount(fs.as_fd(), ROOT_ATTR))
}

/// Child only: an empty root in memory, which belongs to the box's ids from the start.
fn private_root(steps: Steps, size: &CStr, inodes: &CStr) -> Result<OwnedFd, Failed> {
    steps.call(Step::RootTmpfs, || {
        let fs = mount::fsopen(c"tmpfs")?;
        in_large_pieces(fs.as_fd());
        mount::fsconfig_string(fs.as_fd(), c"size", size)?;
        mount::fsconfig_string(fs.as_fd(), c"nr_inodes", inodes)?;
        mount::fsconfig_string(fs.as_fd(), c"mode", c"0755")?;
        mount::fsconfig_string(fs.as_fd(), c"uid", &steps.plan.uid_text)?;
        mount::fsconfig_string(fs.as_fd(), c"gid", &steps.plan.gid_text)?;
        mount::fsconfig_create(fs.as_fd())?;
        let root = mount::fsmount(fs.as_fd(), Attr::NOSUID.and(Attr::NODEV))?;
        // On top of the old root: path look-up starts below it, pivot_root finds it.
        mount::attach(root.as_fd(), fd::openat(libc::AT_FDCWD, c"/", libc::O_PATH, 0)?.as_fd())?;
        Ok(root)
    })
}

/// Child only: everything below the root but `/proc`.
pub fn fill(steps: Steps) -> Result<(), Failed> {
    let root = steps.plan.root_fd.load(Ordering::Relaxed);
    if let RootPlan::Private { entries, .. } = &steps.plan.root {
        for (i, entry) in entries.iter().enumerate() {
            steps.nth(Step::CopyRoot, i, || copy_entry(root, entry))?;
        }
    }
    for (i, planned) in steps.plan.mounts.iter().enumerate() {
        make_mount(steps, root, i, planned)?;
    }
    if matches!(steps.plan.root, RootPlan::Private { .. }) {
        steps.nth(Step::SealMount, usize::MAX, || {
            let root = fd::openat(root, c".", libc::O_PATH, 0)?;
            mount::set_attr(root.as_fd(), ROOT_ATTR, false)
        })?;
    }
    Ok(())
}

/// Child only: one entry of a private root, or of a work tree.
fn copy_entry(root: RawFd, entry: &PrivateEntry) -> sys::Result<()> {
    let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let place = libc::O_PATH | libc::O_DIRECTORY | libc::O_NOFOLLOW;
    match &entry.kind {
        PrivateKind::Dir => match fd::mkdirat(root, &entry.path, entry.mode) {
            // A mount point was made there.
            Err(Errno::EEXIST) => fd::openat2(root, &entry.path, place, 0, Resolve::BENEATH).map(drop),
            made => made,
        },
        PrivateKind::Link(target) => fd::symlinkat(target, root, &entry.path),
        PrivateKind::Copy { from, offset, size } => {
            let file = fd::openat2(root, &entry.path, create, 0o600, Resolve::BENEATH)?;
            copy_all(file.as_raw_fd(), *from, *offset, *size)?;
            finish_file(file.as_fd(), entry)
        }
        PrivateKind::Bytes(bytes) => {
            let file = fd::openat2(root, &entry.path, create, 0o600, Resolve::BENEATH)?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let n = fd::write(file.as_raw_fd(), rest)?;
                rest = rest.get(n..).ok_or(Errno::EIO)?;
            }
            finish_file(file.as_fd(), entry)
        }
    }
}

/// Child only: mode and time, once the content is there.
fn finish_file(file: BorrowedFd<'_>, entry: &PrivateEntry) -> sys::Result<()> {
    fd::fchmod(file.as_raw_fd(), entry.mode)?;
    fd::set_mtime(file.as_raw_fd(), entry.mtime, entry.nanos)
}

/// Child only: exactly `size` bytes; `ENODATA` when the source has fewer by now.
pub fn copy_all(to: RawFd, from: RawFd, start: i64, size: u64) -> sys::Result<()> {
    let mut offset = start;
    let mut left = size;
    while left > 0 {
        let count = usize::try_from(left).unwrap_or(usize::MAX);
        match fd::sendfile(to, from, &mut offset, count) {
            Ok(0) => return Err(Errno::ENODATA),
            Ok(n) => left -= (n as u64).min(left),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Child only: one mount.
fn make_mount(steps: Steps, root: RawFd, i: usize, planned: &MountPlan) -> Result<(), Failed> {
    let open = |attr: Attr| attributes(steps, Layer::Root, attr_without_rdonly(attr));
    let made = match &planned.kind {
        MountKind::Tmpfs { size, inodes, mode, places, tree } => {
            let made = steps
                .nth(Step::MountTmpfs, i, || new_tmpfs(size, inodes, mode, open(planned.attr), false))?;
            attach_at(steps, root, i, &planned.at, made.as_fd())?;
            // Before the tree: what it has at their paths is then no link that could lead elsewhere.
            make_places(steps, i, made.as_fd(), places)?;
            for (e, entry) in tree.iter().enumerate() {
                steps.nth(Step::WorkCopy, e, || copy_entry(made.as_raw_fd(), entry))?;
            }
            made
        }
        MountKind::Payload { size, inodes, name, mode, places } => {
            let made = steps
                .nth(Step::MountTmpfs, i, || new_tmpfs(size, inodes, c"0555", open(planned.attr), true))?;
            attach_at(steps, root, i, &planned.at, made.as_fd())?;
            make_places(steps, i, made.as_fd(), places)?;
            match &steps.plan.late {
                Some(late) => late::make_payload(steps, late, made.as_fd(), name, *mode)?,
                None => copy_payload(steps, made.as_fd(), name, *mode)?,
            }
            made
        }
        MountKind::Devices { devices, streams, places } => {
            let made = steps
                .nth(Step::MountTmpfs, i, || new_tmpfs(c"64k", c"64", c"0755", open(planned.attr), false))?;
            attach_at(steps, root, i, &planned.at, made.as_fd())?;
            make_places(steps, i, made.as_fd(), places)?;
            for (d, device) in devices.iter().enumerate() {
                bind_device(steps, made.as_raw_fd(), d, device)?;
            }
            let links: &[(&CStr, &CStr)] = if *streams { &STREAM_LINKS } else { &[] };
            links.iter().try_for_each(|(name, target)| {
                steps.nth(Step::MakePlace, i, || make_link(made.as_raw_fd(), name, target))
            })?;
            made
        }
        MountKind::Bind { from } => return bind(steps, root, i, planned, from),
    };
    if planned.attr.has(Attr::RDONLY) && !steps.without(Layer::Root) {
        steps.nth(Step::SealMount, i, || mount::set_attr(made.as_fd(), planned.attr, false))?;
    }
    Ok(())
}

/// Child only: the attributes of a mount, none where their layer is left out.
fn attributes(steps: Steps, layer: Layer, planned: Attr) -> Attr {
    if steps.without(layer) { Attr::NONE } else { planned }
}

/// What a mount has while it is still being filled.
const fn attr_without_rdonly(attr: Attr) -> Attr {
    attr.without(Attr::RDONLY)
}

/// Child only: attaches at a path below the root, through no link.
fn attach_at(steps: Steps, root: RawFd, i: usize, at: &CStr, mounted: BorrowedFd<'_>) -> Result<(), Failed> {
    let place = steps.nth(Step::OpenTarget, i, || open_place(root, at))?;
    steps.nth(Step::AttachMount, i, || mount::attach(mounted, place.as_fd()))
}

/// Child only: mount points for what is mounted below this one.
fn make_places(steps: Steps, i: usize, dir: BorrowedFd<'_>, places: &[Place]) -> Result<(), Failed> {
    places.iter().try_for_each(|place| steps.nth(Step::MakePlace, i, || make_place(dir.as_raw_fd(), place)))
}

/// Child only: a mount point in the box's own tmpfs.
fn make_place(dir: RawFd, place: &Place) -> sys::Result<()> {
    let made = if place.dir {
        fd::mkdirat(dir, &place.path, 0o755)
    } else {
        fd::mknodat(dir, &place.path, libc::S_IFREG | 0o444)
    };
    match made {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Child only: a link in the box's own tmpfs. A mount point of that name comes first.
fn make_link(dir: RawFd, name: &CStr, target: &CStr) -> sys::Result<()> {
    match fd::symlinkat(target, dir, name) {
        Err(Errno::EEXIST) => Ok(()),
        other => other,
    }
}

/// Child only: the private copy of the payload.
fn copy_payload(steps: Steps, dir: BorrowedFd<'_>, name: &CStr, mode: u32) -> Result<(), Failed> {
    let plan = steps.plan;
    let create = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    let file = steps.call(Step::PayloadCreate, || fd::openat(dir.as_raw_fd(), name, create, 0o600))?;
    steps.call(Step::PayloadCopy, || copy_all(file.as_raw_fd(), plan.payload, 0, plan.payload_size))?;
    steps.call(Step::PayloadCopy, || fd::fchmod(file.as_raw_fd(), mode))
}

/// Child only: one device node.
fn bind_device(steps: Steps, dir: RawFd, d: usize, device: &Device) -> Result<(), Failed> {
    let node =
        steps.nth(Step::DeviceOpen, d, || mount::open_tree_clone(libc::AT_FDCWD, &device.host, false))?;
    steps.nth(Step::DeviceCheck, d, || {
        let found = fd::identity(node.as_fd())?;
        let is = found.mode & libc::S_IFMT == libc::S_IFCHR && found.rdev == device.rdev;
        if is { Ok(()) } else { Err(Errno::ENODEV) }
    })?;
    steps.nth(Step::DeviceFlags, d, || {
        mount::set_attr(node.as_fd(), attributes(steps, Layer::Root, DEVICE_ATTR), false)
    })?;
    steps.nth(Step::MakePlace, d, || fd::mknodat(dir, &device.name, libc::S_IFREG | 0o600))?;
    let place = steps.nth(Step::OpenTarget, d, || open_place(dir, &device.name))?;
    steps.nth(Step::AttachMount, d, || mount::attach(node.as_fd(), place.as_fd()))
}

/// Child only: a file or directory of the host. Flags first: nothing is visible without them.
fn bind(steps: Steps, root: RawFd, i: usize, planned: &MountPlan, from: &BindFrom) -> Result<(), Failed> {
    let opened;
    let tree = match from {
        BindFrom::Path { path, dev, ino } => {
            opened = steps.nth(Step::BindOpen, i, || {
                let place = fd::openat2(libc::AT_FDCWD, path, libc::O_PATH, 0, Resolve::NO_LINKS)?;
                let found = fd::identity(place.as_fd())?;
                if (found.dev, found.ino) != (*dev, *ino) {
                    return Err(Errno::ESTALE);
                }
                mount::open_tree_clone(place.as_raw_fd(), c"", true)
            })?;
            opened.as_raw_fd()
        }
        BindFrom::Mount(mount) => *mount,
    };
    steps.nth(Step::BindFlags, i, || {
        mount::set_attr_and_cut_off_raw(tree, attributes(steps, Layer::Root, planned.attr))
    })?;
    let place = steps.nth(Step::OpenTarget, i, || open_place(root, &planned.at))?;
    steps.nth(Step::AttachMount, i, || mount::attach_raw(tree, place.as_fd()))
}

/// Child only: the box's own `/proc`, by a member of its pid namespace and while
/// the host's is still visible. Answers an errno where there is none, else 0.
pub fn mount_proc(steps: Steps) -> Result<i32, Failed> {
    let Some(at) = &steps.plan.proc_at else { return Ok(0) };
    let made = steps.call(Step::ProcOpen, || {
        let fs = mount::fsopen(c"proc")?;
        if !steps.without(Layer::Proc) {
            mount::fsconfig_string(fs.as_fd(), c"hidepid", c"invisible")?;
            mount::fsconfig_string(fs.as_fd(), c"subset", c"pid")?;
        }
        mount::fsconfig_create(fs.as_fd())?;
        Ok(fs)
    });
    let made = made.and_then(|fs| {
        steps.call(Step::ProcMount, || mount::fsmount(fs.as_fd(), attributes(steps, Layer::Proc, PROC_ATTR)))
    });
    let mounted = match made {
        Ok(mounted) => mounted,
        Err(failed) if steps.plan.proc_optional || steps.without(Layer::PidNs) => return Ok(failed.errno()),
        Err(failed) => return Err(failed),
    };
    let root = steps.plan.root_fd.load(Ordering::Relaxed);
    steps.call(Step::ProcAttach, || mount::attach(mounted.as_fd(), open_place(root, at)?.as_fd()))?;
    Ok(0)
}

/// Child only: the root becomes the root, and the old one is gone.
pub fn enter(steps: Steps) -> Result<(), Failed> {
    let root = steps.plan.root_fd.load(Ordering::Relaxed);
    steps.call(Step::EnterRoot, || mount::fchdir_raw(root))?;
    steps.call(Step::Pivot, mount::pivot_root_to_cwd)?;
    if !steps.without(Layer::MountNs) {
        steps.call(Step::Detach, mount::detach_cwd)?;
    }
    steps.call(Step::EnterRoot, || mount::chdir(c"/"))?;
    steps.call(Step::Cwd, || mount::chdir(&steps.plan.cwd))
}
