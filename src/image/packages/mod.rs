//! Packages that the files of an image come from, so that scanners keep
//! working on what is left of them.
//!
//! Read when the image is made: what the host's dpkg says of the files that
//! were copied, and what package databases inside an imported image say. A
//! database that cannot be understood is no error; its packages are missing.

mod apk;
mod dpkg;
mod python;
pub mod sbom;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::closure::trust::Host;
use super::draft::Draft;
use super::manifest::What;
use super::store::{Package, Store};

/// The most bytes of one database file.
const MOST: u64 = 64 << 20;

/// Packages, and which of them the paths of the image belong to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Packages {
    pub(crate) packages: Vec<Package>,
    pub(crate) owners: BTreeMap<String, u32>,
    pub(crate) notes: Vec<String>,
}

/// Where a database is read from.
trait Files {
    /// A file; `None`: there is none, or it is too large.
    fn read(&self, path: &str) -> Option<Vec<u8>>;
    /// Names in a directory, sorted.
    fn list(&self, dir: &str) -> Vec<String>;
}

struct OfHost<'h>(&'h Host);

impl Files for OfHost<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let place = self.0.place(Path::new(path));
        let fits = std::fs::metadata(&place).ok()?.len() <= MOST;
        fits.then(|| std::fs::read(place).ok())?
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.place(Path::new(dir))).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }
}

struct OfImage<'d> {
    store: &'d Store,
    draft: &'d Draft,
}

impl Files for OfImage<'_> {
    fn read(&self, path: &str) -> Option<Vec<u8>> {
        let real = self.draft.resolve(path.as_bytes())?;
        match &self.draft.get(&real)?.what {
            What::File { mode, size, digest } if *size <= MOST => {
                self.store.content(digest, *mode, *size).ok()?.bytes().ok()
            }
            _ => None,
        }
    }

    fn list(&self, dir: &str) -> Vec<String> {
        let Some(real) = self.draft.resolve(dir.as_bytes()) else { return Vec::new() };
        let prefix = [real.as_slice(), b"/"].concat();
        let below = self.draft.iter().filter_map(|(path, _)| path.strip_prefix(prefix.as_slice()));
        let names = below.filter(|name| !name.is_empty() && !name.contains(&b'/'));
        names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect()
    }
}

/// A package of a database, and the paths that it says it has.
struct Entry {
    package: Package,
    /// Absolute; directories may be among them.
    paths: Vec<Vec<u8>>,
}

/// The packages of the host that a built image has files of.
pub(crate) fn of_host(
    store: &Store,
    host: &Host,
    draft: &Draft,
    origins: &BTreeMap<Vec<u8>, Vec<u8>>,
) -> Packages {
    let files = OfHost(host);
    let mut paths = Paths::default();
    for (path, node) in draft.iter() {
        if !matches!(node.what, What::Dir { .. }) {
            paths.add(origins.get(path).unwrap_or(path), path);
        }
    }
    let mut all = Packages::default();
    dpkg::read(&files, "/var/lib/dpkg", &distribution(&files), &mut |entry| all.add(entry, &paths));
    let image = OfImage { store, draft };
    python::read(&image, draft, &mut |entry| all.add(entry, &Paths::of(draft)));
    all.sort();
    all
}

/// The packages that an imported image says it has.
pub(crate) fn of_image(store: &Store, draft: &Draft) -> Packages {
    let files = OfImage { store, draft };
    let paths = Paths::of(draft);
    let distribution = distribution(&files);
    let mut all = Packages::default();
    dpkg::read(&files, "/var/lib/dpkg", &distribution, &mut |entry| all.add(entry, &paths));
    apk::read(&files, &distribution, &mut |entry| all.add(entry, &paths));
    python::read(&files, draft, &mut |entry| all.add(entry, &paths));
    let rpm = ["/var/lib/rpm", "/usr/lib/sysimage/rpm"].iter().any(|dir| !files.list(dir).is_empty());
    if rpm {
        all.notes.push(sbom::RPM_UNREAD.into());
    }
    all.sort();
    all
}

/// The packages of an image that was made from a part of another.
pub(crate) fn of_part(whole: &super::store::About, draft: &Draft) -> Packages {
    let mut all = Packages { packages: whole.packages.clone(), ..Packages::default() };
    all.packages.iter_mut().for_each(|package| package.kept = 0);
    for (path, node) in draft.iter().filter(|(_, node)| !matches!(node.what, What::Dir { .. })) {
        debug_assert!(!matches!(node.what, What::Dir { .. }));
        let shown = path.escape_ascii().to_string();
        let Some(owner) = whole.owners.get(&shown) else { continue };
        if let Some(package) = usize::try_from(*owner).ok().and_then(|at| all.packages.get_mut(at)) {
            package.kept += 1;
            all.owners.insert(shown, *owner);
        }
    }
    all.sort();
    all
}

/// The `ID` of os-release.
fn distribution(files: &dyn Files) -> String {
    let text =
        files.read("/etc/os-release").or_else(|| files.read("/usr/lib/os-release")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let id = text.lines().find_map(|line| line.strip_prefix("ID="));
    id.map(|id| id.trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
}

/// Paths of the image by the path that a package knows them under.
#[derive(Default)]
struct Paths(HashMap<Vec<u8>, Vec<u8>>);

impl Paths {
    fn of(draft: &Draft) -> Self {
        let mut paths = Self::default();
        for (path, node) in draft.iter() {
            if !matches!(node.what, What::Dir { .. }) {
                paths.add(path, path);
            }
        }
        paths
    }

    /// Packages of Debian still say `/lib` where files lie in `/usr/lib`.
    fn add(&mut self, known: &[u8], path: &[u8]) {
        if let Some(short) = known.strip_prefix(b"/usr")
            && [b"/bin/".as_slice(), b"/lib/", b"/lib64/", b"/sbin/"].iter().any(|dir| short.starts_with(dir))
        {
            self.0.entry(short.to_vec()).or_insert_with(|| path.to_vec());
        }
        self.0.insert(known.to_vec(), path.to_vec());
    }
}

impl Packages {
    /// Adds a package of which something is there.
    fn add(&mut self, entry: Entry, paths: &Paths) {
        let Entry { mut package, paths: listed } = entry;
        let listed = files_among(&listed);
        let kept: Vec<&Vec<u8>> = listed.iter().filter_map(|path| paths.0.get(*path)).collect();
        if kept.is_empty() {
            return;
        }
        let index = u32::try_from(self.packages.len()).unwrap_or(u32::MAX);
        package.kept = kept.len() as u64;
        package.files = listed.len() as u64;
        for path in kept {
            self.owners.entry(path.escape_ascii().to_string()).or_insert(index);
        }
        self.packages.push(package);
    }

    /// By kind and name, without those of which nothing is left.
    fn sort(&mut self) {
        let mut order: Vec<usize> =
            (0..self.packages.len()).filter(|at| self.packages[*at].kept > 0).collect();
        order.sort_by(|a, b| self.packages[*a].cmp(&self.packages[*b]));
        let place: HashMap<u32, u32> = order
            .iter()
            .enumerate()
            .map(|(new, old)| {
                (u32::try_from(*old).unwrap_or(u32::MAX), u32::try_from(new).unwrap_or(u32::MAX))
            })
            .collect();
        self.packages = order.iter().map(|at| self.packages[*at].clone()).collect();
        self.owners.retain(|_, owner| match place.get(owner) {
            Some(new) => {
                *owner = *new;
                true
            }
            None => false,
        });
    }
}

/// Those of these paths that are no directories: nothing is below them.
fn files_among(paths: &[Vec<u8>]) -> Vec<&Vec<u8>> {
    let above = |path: &[u8]| path.iter().rposition(|byte| *byte == b'/');
    let parents: HashSet<&[u8]> = paths.iter().filter_map(|path| Some(&path[..above(path)?])).collect();
    // Directories of a package that are links of the system's, with nothing left below.
    let merged = |path: &[u8]| {
        [b"/bin".as_slice(), b"/lib", b"/lib32", b"/lib64", b"/libx32", b"/sbin"].contains(&path)
    };
    paths.iter().filter(|path| !parents.contains(path.as_slice()) && !merged(path)).collect()
}

/// The fields of a paragraph of `Name: value` lines; lines that go on are left out.
fn fields(paragraph: &str) -> HashMap<&str, &str> {
    let lines = paragraph.lines().filter(|line| !line.starts_with([' ', '\t']));
    lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect()
}
