//! From the policy's paths and the caller's binds to mounts, mount points,
//! Landlock grants and the mounts that must be seen in the end.

use std::collections::BTreeSet;
use std::ffi::CString;

use landlock::AccessFs;

use super::apply::{DEVICE_ATTR, PROC_ATTR, ROOT_ATTR};
use super::binds::OpenBind;
use crate::error::{Error, Kind, Result};
use crate::image::Root;
use crate::policy::model::{Access, PathSource, Policy};
use crate::sandbox::landlock::{Grant, rights_of, rights_of_work};
use crate::sandbox::plan::{Device, MountKind, MountPlan, Place, PrivateEntry};
use crate::sys::mount::Attr;

/// One mount that must be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedMount {
    /// Where.
    pub at: String,
    /// Type of its file system, where the plan decides it.
    pub kind: Option<&'static str>,
    /// Attributes it has at least.
    pub attr: Attr,
    /// Whether mounts of the host may lie below it.
    pub with_submounts: bool,
}

/// Devices that a policy may name, with their numbers.
const DEVICES: [(&str, u64); 5] = [
    ("null", nix::libc::makedev(1, 3)),
    ("zero", nix::libc::makedev(1, 5)),
    ("full", nix::libc::makedev(1, 7)),
    ("random", nix::libc::makedev(1, 8)),
    ("urandom", nix::libc::makedev(1, 9)),
];

/// Something that is mounted below the root.
enum Item<'a> {
    Path(&'a PathSource, Access),
    Bind(&'a OpenBind),
}

impl Item<'_> {
    /// Whether mount points can be made in it.
    const fn holds_places(&self) -> bool {
        matches!(
            self,
            Item::Path(
                PathSource::Tmpfs { .. }
                    | PathSource::Out { .. }
                    | PathSource::Work { .. }
                    | PathSource::Payload
                    | PathSource::Devices(_),
                _
            )
        )
    }

    const fn is_dir(&self) -> bool {
        match self {
            Item::Path(..) => true,
            Item::Bind(bind) => bind.dir,
        }
    }
}

/// Everything that can be seen, in the order in which it is mounted.
pub struct Layout<'a> {
    policy: &'a Policy,
    items: Vec<(&'a str, Item<'a>)>,
}

/// What the plan and the attestation need.
pub struct Prepared {
    /// Mounts below the root.
    pub mounts: Vec<MountPlan>,
    /// Where `/proc` goes, relative to the root.
    pub proc_at: Option<CString>,
    /// Whether it may be missing.
    pub proc_optional: bool,
    /// Landlock grants.
    pub grants: Vec<Grant>,
    /// Mounts that must be seen, `/proc` included.
    pub expected: Vec<ExpectedMount>,
}

fn is_below(path: &str, dir: &str) -> bool {
    path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'))
}

/// The path relative to the root.
fn relative(at: &str) -> Result<CString> {
    c_string(at.trim_start_matches('/'))
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(Kind::Usage, format!("{text:?} has a NUL byte in it")))
}

impl<'a> Layout<'a> {
    /// Orders everything, parents first.
    ///
    /// # Errors
    /// Two things at one place, or a place where nothing can be put.
    pub fn new(policy: &'a Policy, binds: &'a [OpenBind]) -> Result<Self> {
        let mut items: Vec<(&str, Item<'_>)> = Vec::new();
        for path in &policy.paths {
            if path.from != PathSource::Image {
                items.push((&path.at, Item::Path(&path.from, path.access)));
            }
        }
        items.extend(binds.iter().map(|b| (b.bind.at.as_str(), Item::Bind(b))));
        items.sort_by(|a, b| a.0.cmp(b.0));
        let refused = |message: String| Err(Error::new(Kind::Usage, message));
        for pair in items.windows(2) {
            if pair[0].0 == pair[1].0 {
                return refused(format!("{} is asked for twice", pair[0].0));
            }
        }
        for (at, _) in &items {
            if let Some((outer, item)) = outer_of(&items, at)
                && !item.holds_places()
                && !matches!(item, Item::Bind(b) if b.bind.host.join(at[outer.len() + 1..].trim_start_matches('/')).exists())
            {
                return refused(format!("{at} lies below {outer}, where no mount point can be made"));
            }
        }
        Ok(Self { policy, items })
    }

    /// Mount points that the image must have: directories, and empty files.
    #[must_use]
    pub fn image_places(&self) -> (Vec<&'a str>, Vec<&'a str>) {
        let in_image = self.items.iter().filter(|(at, _)| outer_of(&self.items, at).is_none());
        let (dirs, files): (Vec<_>, Vec<_>) = in_image.partition(|(_, item)| item.is_dir());
        let paths = |items: Vec<&(&'a str, Item<'a>)>| items.into_iter().map(|(at, _)| *at).collect();
        (paths(dirs), paths(files))
    }

    /// Mount points inside the tmpfs at `outer`, with the directories that lead to them.
    fn places_in(&self, outer: &str) -> Result<Vec<Place>> {
        let mut dirs = BTreeSet::new();
        let mut files = BTreeSet::new();
        for (at, item) in &self.items {
            if outer_of(&self.items, at).is_none_or(|(o, _)| o != outer) {
                continue;
            }
            let below = &at[outer.len() + 1..];
            for (slash, _) in below.match_indices('/') {
                dirs.insert(&below[..slash]);
            }
            if item.is_dir() {
                dirs.insert(below)
            } else {
                files.insert(below)
            };
        }
        let place = |dir: bool| move |path: &str| Ok(Place { path: c_string(path)?, dir });
        dirs.into_iter().map(place(true)).chain(files.into_iter().map(place(false))).collect()
    }

    /// Everything for the plan, once the image is known.
    ///
    /// # Errors
    /// A path with a NUL in it.
    pub fn prepare(&self, image: &Root, payload_size: Option<u64>) -> Result<Prepared> {
        let mut out = Prepared {
            mounts: Vec::new(),
            proc_at: None,
            proc_optional: false,
            grants: self.image_grants(image)?,
            expected: vec![ExpectedMount {
                at: "/".to_owned(),
                kind: None,
                attr: ROOT_ATTR,
                with_submounts: false,
            }],
        };
        for (at, item) in &self.items {
            match item {
                Item::Bind(bind) => self.bind(at, bind, &mut out)?,
                Item::Path(source, access) => self.path(at, source, *access, payload_size, &mut out)?,
            }
        }
        Ok(out)
    }

    /// `/` may be listed; what lies directly in it has grants of its own, because
    /// a grant also holds below every mount inside.
    fn image_grants(&self, image: &Root) -> Result<Vec<Grant>> {
        let access = self.policy.paths.iter().find(|p| p.from == PathSource::Image).map(|p| p.access);
        let access = access.unwrap_or_default();
        let mut grants = Vec::new();
        if access.read {
            grants.push(Grant { path: c_string("/")?, rights: AccessFs::ReadDir.into(), dir: true });
        }
        for entry in image.top.iter().filter(|e| !e.is_mount) {
            let execute = access.execute && entry.has_program;
            let rights = rights_of(Access { execute, write: false, create: false, ..access });
            grants.push(Grant { path: c_string(&format!("/{}", entry.name))?, rights, dir: entry.is_dir });
        }
        Ok(grants)
    }

    fn path(
        &self,
        at: &str,
        source: &PathSource,
        access: Access,
        payload_size: Option<u64>,
        out: &mut Prepared,
    ) -> Result<()> {
        let read_only = |attr: Attr| if access.write { attr } else { attr.and(Attr::RDONLY) };
        let noexec = |attr: Attr| if access.execute { attr } else { attr.and(Attr::NOEXEC) };
        let base = Attr::NOSUID.and(Attr::NODEV);
        let (kind, attr, type_name) = match source {
            PathSource::Image => return Ok(()),
            PathSource::Proc => {
                out.proc_at = Some(relative(at)?);
                out.proc_optional = self.policy.paths.iter().any(|p| p.at == at && p.optional);
                out.grants.push(Grant { path: c_string(at)?, rights: rights_of(access), dir: true });
                out.expected.push(expected(at, Some("proc"), PROC_ATTR));
                return Ok(());
            }
            PathSource::Payload => (
                self.payload_place(at, payload_size)?,
                noexec(base.and(Attr::RDONLY).and(Attr::NOSYMFOLLOW)),
                "tmpfs",
            ),
            PathSource::Devices(names) => {
                let devices = names.iter().map(|n| device(n)).collect::<Result<Vec<_>>>()?;
                for name in names {
                    out.expected.push(expected(&format!("{at}/{name}"), None, DEVICE_ATTR));
                }
                let places = self.places_in(at)?;
                let kind = MountKind::Devices { devices, streams: self.policy.names_streams(), places };
                (kind, base.and(Attr::RDONLY).and(Attr::NOEXEC), "tmpfs")
            }
            PathSource::Tmpfs { size, inodes } | PathSource::Out { size, inodes } => {
                (self.in_memory(at, *size, *inodes)?, noexec(read_only(base.and(Attr::NOSYMFOLLOW))), "tmpfs")
            }
            PathSource::Work { size, inodes } => {
                (self.in_memory(at, *size, *inodes)?, noexec(read_only(base)), "tmpfs")
            }
        };
        let rights = match source {
            PathSource::Work { .. } => rights_of_work(access),
            _ => rights_of(access),
        };
        out.grants.push(Grant { path: c_string(at)?, rights, dir: true });
        out.expected.push(expected(at, Some(type_name), attr));
        out.mounts.push(MountPlan { at: relative(at)?, kind, attr });
        Ok(())
    }

    /// An empty file system in memory.
    fn in_memory(&self, at: &str, size: u64, inodes: u64) -> Result<MountKind> {
        let places = self.places_in(at)?;
        // The directory itself, and the mount points in it, are not the payload's to count.
        let all = inodes + 1 + places.len() as u64;
        Ok(MountKind::Tmpfs {
            size: c_string(&size.to_string())?,
            inodes: c_string(&all.to_string())?,
            mode: c_string("1777")?,
            places,
            tree: Vec::new(),
        })
    }

    /// The payload's directory, which is empty where an image runs without one.
    fn payload_place(&self, at: &str, payload_size: Option<u64>) -> Result<MountKind> {
        let places = self.places_in(at)?;
        let inodes = c_string(&(3 + places.len()).to_string())?;
        let Some(size) = payload_size else {
            let (size, mode) = (c_string("4096")?, c_string("0555")?);
            return Ok(MountKind::Tmpfs { size, inodes, mode, places, tree: Vec::new() });
        };
        let place = &self.policy.payload;
        let name = place.path.rsplit('/').next().unwrap_or_default();
        Ok(MountKind::Payload {
            size: c_string(&(size.next_multiple_of(4096) + 4096).to_string())?,
            inodes,
            name: c_string(name)?,
            mode: if place.executable { 0o555 } else { 0o444 },
            places,
        })
    }

    fn bind(&self, at: &str, bind: &OpenBind, out: &mut Prepared) -> Result<()> {
        let attr = bind.bind.attr();
        let write = bind.bind.write;
        let access = Access { read: true, write, create: write, execute: false };
        out.grants.push(Grant { path: c_string(at)?, rights: rights_of(access), dir: bind.dir });
        out.expected.push(ExpectedMount { with_submounts: bind.dir, ..expected(at, None, attr) });
        out.mounts.push(MountPlan { at: relative(at)?, kind: MountKind::Bind { from: bind.from()? }, attr });
        Ok(())
    }
}

impl Prepared {
    /// Fills a file system in memory.
    pub fn fill(&mut self, at: &str, entries: Vec<PrivateEntry>) {
        let at = at.trim_start_matches('/').as_bytes();
        for mount in self.mounts.iter_mut().filter(|mount| mount.at.as_bytes() == at) {
            if let MountKind::Tmpfs { tree, .. } = &mut mount.kind {
                *tree = entries;
                return;
            }
        }
    }
}

fn expected(at: &str, kind: Option<&'static str>, attr: Attr) -> ExpectedMount {
    ExpectedMount { at: at.to_owned(), kind, attr, with_submounts: false }
}

/// The nearest item that a path lies below.
fn outer_of<'b, 'a>(items: &'b [(&'a str, Item<'a>)], at: &str) -> Option<(&'a str, &'b Item<'a>)> {
    items
        .iter()
        .filter(|(outer, _)| is_below(at, outer))
        .max_by_key(|(outer, _)| outer.len())
        .map(|(outer, item)| (*outer, item))
}

fn device(name: &str) -> Result<Device> {
    let known = DEVICES.iter().find(|(n, _)| *n == name);
    let (name, rdev) = known.ok_or_else(|| Error::new(Kind::Policy, format!("unknown device '{name}'")))?;
    Ok(Device { name: c_string(name)?, host: c_string(&format!("/dev/{name}"))?, rdev: *rdev })
}
