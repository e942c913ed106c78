//! Removing what nobody needs.
//!
//! Guarantees: what has a name stays, with everything it is made of; a tree
//! that a box runs on stays, whatever else is true; nothing is removed while a
//! writer puts something in. What has no name goes only when there is more than
//! there may be, least recently used first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};

use super::at::Dir;
use super::lock;
use super::objects::named;
use super::tree::ATTIC;
use super::{Store, StoreProblem};
use crate::image::digest::Digest;
use crate::image::manifest::What;

/// How much may stay.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of everything.
    pub bytes: u64,
    /// Closures that are remembered.
    pub closures: usize,
    /// Whether to wait for writers that are at work.
    pub wait: bool,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// Images without a name.
    pub images: u64,
    /// Closures that were remembered.
    pub closures: u64,
    /// Trees.
    pub trees: u64,
    /// Objects.
    pub objects: u64,
    /// Bytes of the store before.
    pub before: u64,
    /// Bytes of the store now.
    pub after: u64,
    /// Trees that could have gone, but for a box that runs on them.
    pub in_use: u64,
    /// Whether nothing was looked at, because a writer is at work.
    pub busy: bool,
}

/// Something that may go as a whole.
#[derive(Debug, Clone)]
struct Unit {
    kind: Kind,
    /// Manifests that it stands for.
    manifests: Vec<Digest>,
    /// When it was used last, seconds since 1970.
    used: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Image(Digest),
    Closure(Digest),
}

/// An object's file name, and its bytes.
type Objects = Vec<(OsString, u64)>;

impl Store {
    /// Removes what nobody needs.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn collect(&self, limits: &Limits) -> Result<Collected, StoreProblem> {
        let mut done = Collected::default();
        let Some(_lock) = self.lock_alone(limits.wait)? else {
            return Ok(Collected { busy: true, ..done });
        };
        self.sweep_temporaries()?;
        done.before = self.used()?;
        self.sweep_attic(&mut done)?;
        let mut units = self.units()?;
        self.choose(&mut units, limits, &mut done)?;
        let live: BTreeSet<Digest> = self.live(&units)?;
        self.sweep_trees(&live, &mut done)?;
        let held = self.trees_left()?;
        let keep: BTreeSet<Digest> = live.union(&held).copied().collect();
        self.sweep_documents(&units, &keep)?;
        done.objects = self.sweep_objects(&keep)?;
        done.after = self.used()?;
        Ok(done)
    }

    /// Takes an image's names and card away; what it is made of goes with the
    /// next collection, unless something else needs it.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn forget(&self, image: &Digest, only: Option<&str>) -> Result<Vec<String>, StoreProblem> {
        let _lock = self.lock_names()?;
        let names = self.names()?;
        let mut dropped = Vec::new();
        for (name, _) in names.iter().filter(|(_, digest)| digest == image) {
            if only.is_none_or(|only| only == name) {
                self.drop_name(name)?;
                dropped.push(name.clone());
            }
        }
        let still_named = names.iter().any(|(name, digest)| digest == image && !dropped.contains(name));
        if !still_named {
            for place in ["images", "about"] {
                if let Some(dir) = self.top.dir(OsStr::new(place))? {
                    dir.remove(OsStr::new(&image.to_string()))?;
                }
            }
        }
        Ok(dropped)
    }

    /// Everything that may go or stay as a whole and has no name.
    fn units(&self) -> Result<Vec<Unit>, StoreProblem> {
        let names: BTreeSet<Digest> = self.names()?.into_iter().map(|(_, digest)| digest).collect();
        let mut views: HashMap<Digest, Vec<Digest>> = HashMap::new();
        for (_, image, laid_out) in self.views()? {
            views.entry(image).or_default().push(laid_out);
        }
        let mut units = Vec::new();
        if let Some(dir) = self.top.dir(OsStr::new("images"))? {
            for (digest, used) in dated(&dir)? {
                let mut manifests = views.remove(&digest).unwrap_or_default();
                manifests.push(digest);
                let used = if names.contains(&digest) { i64::MAX } else { used };
                units.push(Unit { kind: Kind::Image(digest), manifests, used });
            }
        }
        if let Some(dir) = self.top.dir(OsStr::new("closures"))? {
            for (key, used) in dated(&dir)? {
                let image = crate::image::closure::image_of_record(self, &key);
                let manifests = image.into_iter().collect();
                units.push(Unit { kind: Kind::Closure(key), manifests, used });
            }
        }
        Ok(units)
    }

    /// Drops units, least recently used first, until what is left is few enough.
    fn choose(
        &self,
        units: &mut Vec<Unit>,
        limits: &Limits,
        done: &mut Collected,
    ) -> Result<(), StoreProblem> {
        units.sort_by_key(|unit| unit.used);
        let mut contents: HashMap<Digest, Objects> = HashMap::new();
        let mut users: HashMap<OsString, (u64, u64)> = HashMap::new();
        for digest in units.iter().flat_map(|unit| &unit.manifests) {
            let objects = self.objects_of(digest)?;
            for (name, bytes) in &objects {
                users.entry(name.clone()).or_insert((0, *bytes)).0 += 1;
            }
            contents.insert(*digest, objects);
        }
        let mut bytes: u64 = users.values().map(|(_, bytes)| bytes).sum();
        let mut closures = units.iter().filter(|unit| matches!(unit.kind, Kind::Closure(_))).count();
        let mut gone = Vec::new();
        for (at, unit) in units.iter().enumerate() {
            let closure = matches!(unit.kind, Kind::Closure(_));
            let too_many = bytes > limits.bytes || (closure && closures > limits.closures);
            if !too_many || unit.used == i64::MAX {
                continue;
            }
            for (name, size) in unit.manifests.iter().filter_map(|digest| contents.get(digest)).flatten() {
                if let Some((count, _)) = users.get_mut(name) {
                    *count -= 1;
                    bytes -= if *count == 0 { *size } else { 0 };
                }
            }
            closures -= usize::from(closure);
            gone.push(at);
        }
        for at in gone.into_iter().rev() {
            let unit = units.remove(at);
            match unit.kind {
                Kind::Image(digest) => {
                    self.forget(&digest, None)?;
                    done.images += 1;
                }
                Kind::Closure(key) => {
                    if let Some(dir) = self.top.dir(OsStr::new("closures"))? {
                        dir.remove(OsStr::new(&key.to_string()))?;
                    }
                    done.closures += 1;
                }
            }
        }
        Ok(())
    }

    /// Manifests that something stands for.
    fn live(&self, units: &[Unit]) -> Result<BTreeSet<Digest>, StoreProblem> {
        let mut live: BTreeSet<Digest> = units.iter().flat_map(|unit| unit.manifests.clone()).collect();
        // A name whose card is lost still means its image.
        live.extend(self.names()?.into_iter().map(|(_, digest)| digest));
        Ok(live)
    }

    fn objects_of(&self, digest: &Digest) -> Result<Objects, StoreProblem> {
        let manifest = match self.manifest(digest) {
            Ok(Some(manifest)) => manifest,
            // What cannot be read keeps nothing alive, and can be made again.
            Ok(None) | Err(StoreProblem::Damaged { .. }) => return Ok(Vec::new()),
            Err(problem) => return Err(problem),
        };
        let files = manifest.entries().iter().filter_map(|entry| match &entry.what {
            What::File { mode, size, digest } => Some((named(digest, *mode).0, size.next_multiple_of(4096))),
            _ => None,
        });
        let once: BTreeMap<OsString, u64> = files.collect();
        Ok(once.into_iter().collect())
    }

    fn sweep_attic(&self, done: &mut Collected) -> Result<(), StoreProblem> {
        let Some(attic) = self.top.dir(OsStr::new(ATTIC))? else { return Ok(()) };
        for name in attic.names()? {
            let Some(tree) = attic.inner(&name)? else { continue };
            match lock::alone(&tree)? {
                Some(_lock) => {
                    attic.remove(&name)?;
                    done.trees += 1;
                }
                None => done.in_use += 1,
            }
        }
        Ok(())
    }

    fn sweep_trees(&self, live: &BTreeSet<Digest>, done: &mut Collected) -> Result<(), StoreProblem> {
        let Some(trees) = self.top.dir(OsStr::new("trees"))? else { return Ok(()) };
        for name in trees.names()? {
            let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
            if digest.is_some_and(|digest| live.contains(&digest)) {
                continue;
            }
            let Some(tree) = trees.inner(&name)? else { continue };
            match lock::alone(&tree)? {
                Some(_lock) => {
                    self.retire_locked(&trees, &name)?;
                    done.trees += 1;
                }
                None => done.in_use += 1,
            }
        }
        Ok(())
    }

    fn trees_left(&self) -> Result<BTreeSet<Digest>, StoreProblem> {
        let Some(trees) = self.top.dir(OsStr::new("trees"))? else { return Ok(BTreeSet::new()) };
        Ok(trees.names()?.iter().filter_map(|name| name.to_str()?.parse().ok()).collect())
    }

    /// Manifests, accounts, policies and records of what is gone.
    fn sweep_documents(&self, units: &[Unit], keep: &BTreeSet<Digest>) -> Result<(), StoreProblem> {
        let images: BTreeSet<Digest> = units
            .iter()
            .filter_map(|unit| match unit.kind {
                Kind::Image(digest) => Some(digest),
                Kind::Closure(_) => None,
            })
            .collect();
        let mut policies = BTreeSet::new();
        for image in &images {
            if let Ok(Some(manifest)) = self.manifest(image) {
                policies.extend(manifest.header().policy);
            }
        }
        let gone_views = self.views()?.into_iter().filter(|(_, image, _)| !images.contains(image));
        let gone_views: BTreeSet<Digest> = gone_views.map(|(key, ..)| key).collect();
        self.remove_where("manifests", |digest| !keep.contains(digest))?;
        self.remove_where("about", |digest| !images.contains(digest))?;
        self.remove_where("policies", |digest| !policies.contains(digest))?;
        self.remove_where("views", |key| gone_views.contains(key))?;
        self.remove_where("recipes", |key| {
            let image = crate::image::recipe::image_of_record(self, key);
            image.is_none_or(|image| !images.contains(&image))
        })
    }

    fn remove_where(&self, place: &str, gone: impl Fn(&Digest) -> bool) -> Result<(), StoreProblem> {
        let Some(dir) = self.top.dir(OsStr::new(place))? else { return Ok(()) };
        for name in dir.names()? {
            let digest = name.to_str().and_then(|name| name.parse::<Digest>().ok());
            if digest.is_some_and(|digest| gone(&digest)) {
                dir.remove(&name)?;
            }
        }
        Ok(())
    }

    fn sweep_objects(&self, keep: &BTreeSet<Digest>) -> Result<u64, StoreProblem> {
        let mut wanted: BTreeSet<OsString> = BTreeSet::new();
        for digest in keep {
            wanted.extend(self.objects_of(digest)?.into_iter().map(|(name, _)| name));
        }
        let mut swept = 0;
        let Some(objects) = self.top.dir(OsStr::new("objects"))? else { return Ok(0) };
        let Some(shelves) = objects.dir(OsStr::new("sha256"))? else { return Ok(0) };
        for shelf in shelves.names()? {
            let Some(shelf) = shelves.dir(&shelf)? else { continue };
            for name in shelf.names()? {
                if !wanted.contains(&name) {
                    shelf.remove(&name)?;
                    swept += 1;
                }
            }
        }
        Ok(swept)
    }

    /// Removes a tree whose lock the caller has: out of the way in one step, so
    /// that nobody ever sees half of one.
    fn retire_locked(&self, trees: &Dir, name: &OsStr) -> Result<(), StoreProblem> {
        let scratch = self.scratch()?;
        let moved = trees.rename(name, scratch.dir(), OsStr::new("retired"));
        moved.map_err(|errno| trees.problem("renameat", name, errno))
    }
}

/// The digests that are names here, with the time of last use.
fn dated(dir: &Dir) -> Result<Vec<(Digest, i64)>, StoreProblem> {
    let mut all = Vec::new();
    for name in dir.names()? {
        let Some(digest) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(stat) = dir.stat(&name)? {
            all.push((digest, stat.mtime.0));
        }
    }
    Ok(all)
}
