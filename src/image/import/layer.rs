//! Entries of archives become a tree in memory.
//!
//! Guarantees: nothing exists on a path of the host before the whole tree is
//! known and checked; hard links are looked up in the tree, symbolic links are
//! strings, removals change the tree; so no name, link or order of entries leads
//! out of it. An entry that means something else to other readers, or that no
//! honest archive has, is an error with its name.

use std::collections::{BTreeSet, HashSet};
use std::io::Read;
use std::rc::Rc;

use super::limits::Meter;
use super::tar::{Entry, Kind, Reader, TarProblem, Trouble};
use crate::error::io_text;
use crate::image::build::Progress;
use crate::image::digest::Digest;
use crate::image::draft::{Draft, Node, kind as kind_of};
use crate::image::hygiene;
use crate::image::layout::{Content, DIR_MODE, FILE_MODE, MADE_AT, PROGRAM_MODE};
use crate::image::manifest::What;
use crate::image::store::{LeftOut, StreamProblem, Why, Writer};

/// Names that take something of a lower layer away.
const REMOVAL: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Times outside of what every file system keeps become its ends.
pub(super) const TIMES: (i64, i64) = (0, i32::MAX as i64);

/// Why an archive or a directory is refused.
#[derive(Debug)]
pub(super) enum Refused {
    /// An entry, and what is wrong with it.
    Entry(String, String),
    /// Not of one entry.
    Whole(String),
    /// The store's fault.
    Store(crate::image::StoreProblem),
}

impl From<crate::image::StoreProblem> for Refused {
    fn from(problem: crate::image::StoreProblem) -> Self {
        Self::Store(problem)
    }
}

impl From<TarProblem> for Refused {
    fn from(TarProblem { at, what }: TarProblem) -> Self {
        let what = match what {
            Trouble::Says(what) => what.to_owned(),
            Trouble::Read(error) => io_text(&error),
        };
        if at.is_empty() { Self::Whole(what) } else { Self::Entry(at, what) }
    }
}

type Done<T> = Result<T, Refused>;

/// A tree that layers are put on.
pub(super) struct Tree<'a, 's> {
    pub(super) draft: Draft,
    pub(super) writer: &'a mut Writer<'s>,
    pub(super) left_out: BTreeSet<LeftOut>,
    pub(super) set_id: u64,
    pub(super) meter: Rc<Meter>,
    pub(super) progress: &'a dyn Progress,
    /// Paths that the present layer has made.
    mine: HashSet<Vec<u8>>,
    /// The directories above them.
    above_mine: HashSet<Vec<u8>>,
    /// Paths that the present layer has, and that do not go in.
    omitted: HashSet<Vec<u8>>,
}

impl<'a, 's> Tree<'a, 's> {
    pub(super) fn new(writer: &'a mut Writer<'s>, meter: &Rc<Meter>, progress: &'a dyn Progress) -> Self {
        Self {
            draft: Draft::new(),
            writer,
            left_out: BTreeSet::new(),
            set_id: 0,
            meter: Rc::clone(meter),
            progress,
            mine: HashSet::new(),
            above_mine: HashSet::new(),
            omitted: HashSet::new(),
        }
    }

    /// Puts an archive on the tree: as a layer, with removals, or as the whole.
    pub(super) fn archive(&mut self, from: &mut dyn Read, layer: Option<u32>) -> Done<()> {
        self.mine.clear();
        self.above_mine.clear();
        self.omitted.clear();
        let why = layer.map_or(Why::Imported, |layer| Why::Layer { layer });
        let mut reader = Reader::new(from);
        let mut count = 0_u64;
        while let Some(entry) = reader.next()? {
            let shown = entry.name.escape_ascii().to_string();
            if count.is_multiple_of(64) {
                self.progress.now(&format!("unpacking {shown}"));
            }
            count += 1;
            let taken = self.meter.entry().map_err(Refused::Whole);
            taken.and_then(|()| self.entry(entry, &mut reader, layer.is_some(), &why)).map_err(
                |refused| match refused {
                    Refused::Whole(what) => Refused::Entry(shown, what),
                    other => other,
                },
            )?;
        }
        Ok(())
    }

    fn entry<R: Read>(
        &mut self,
        entry: Entry,
        content: &mut Reader<R>,
        is_layer: bool,
        why: &Why,
    ) -> Done<()> {
        let path = self.clean(&entry.name)?;
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
        let above = &path[..path.len() - name.len()];
        if above.split(|byte| *byte == b'/').any(|name| name.starts_with(REMOVAL)) {
            return whole("a path through a name that means a removal");
        }
        if name.starts_with(REMOVAL) {
            return if is_layer {
                self.removal(&entry, &path, &name)
            } else {
                whole("a name that means a removal in a layer")
            };
        }
        let place = self.place(&path)?;
        if let Kind::Special(what) = entry.kind {
            return self.omit(place, what);
        }
        if entry.xattrs {
            self.leave_out(&place, "its extended attributes (it is there without them)");
        }
        let mtime = entry.mtime.clamp(TIMES.0, TIMES.1);
        let what = match entry.kind {
            Kind::Dir => What::Dir { mode: DIR_MODE },
            Kind::Symlink => symlink(entry.link)?,
            Kind::Hardlink => {
                let Some(node) = self.hard_link(&entry.link, &place)? else { return Ok(()) };
                return self.put(place, Node { why: Some(why.clone()), ..node });
            }
            _ => match self.file(&entry, content, &place)? {
                Some(what) => what,
                None => return Ok(()),
            },
        };
        self.put(place, Node { what, mtime, why: Some(why.clone()) })
    }

    /// A path in the tree; what is wrong with it otherwise.
    fn clean(&self, name: &[u8]) -> Done<Vec<u8>> {
        if name.is_empty() {
            return whole("it has no name");
        }
        if name.starts_with(b"/") {
            return whole("an absolute path");
        }
        let mut path = Vec::new();
        let mut depth = 0;
        for part in name.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
            if part == b".." {
                return whole("'..' in its path");
            }
            if part.contains(&0) {
                return whole("a NUL in its path");
            }
            if part.len() > 255 {
                return whole("a name longer than 255 bytes");
            }
            depth += 1;
            path.push(b'/');
            path.extend_from_slice(part);
        }
        if depth > self.meter.limits().depth {
            return Err(Refused::Whole(format!("more than {} directories deep", self.meter.limits().depth)));
        }
        if path.len() > 4095 {
            return whole("a path longer than 4095 bytes");
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    /// Where a path is in the tree, with the directories above it. Links of lower
    /// layers are followed, within the tree; those of this layer are a trick.
    fn place(&mut self, path: &[u8]) -> Done<Vec<u8>> {
        let mut here = Vec::new();
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
        let Some((last, above)) = names.split_last() else { return Ok(b"/".to_vec()) };
        for name in above {
            here.push(b'/');
            here.extend_from_slice(name);
            if self.omitted.contains(&here) {
                return whole(&format!("'{}' above it was left out", here.escape_ascii()));
            }
            let own = self.mine.contains(&here);
            match self.draft.get(&here).map(|node| &node.what) {
                Some(What::Dir { .. }) => {}
                None => {
                    let node = Node { what: What::Dir { mode: DIR_MODE }, mtime: MADE_AT, why: None };
                    self.draft.put(&here, node).map_err(|problem| Refused::Whole(problem.words()))?;
                    self.mine.insert(here.clone());
                }
                Some(What::Symlink { .. }) if !own => match self.draft.resolve(&here) {
                    Some(real)
                        if matches!(self.draft.get(&real).map(|n| &n.what), Some(What::Dir { .. })) =>
                    {
                        here = if real == b"/" { Vec::new() } else { real };
                    }
                    _ => {
                        return whole(&format!(
                            "'{}' above it is a symbolic link to no directory",
                            here.escape_ascii()
                        ));
                    }
                },
                Some(other) => {
                    return whole(&format!("'{}' above it is {}", here.escape_ascii(), kind_of(other)));
                }
            }
        }
        here.push(b'/');
        here.extend_from_slice(last);
        Ok(here)
    }

    /// Puts something at its place; what a lower layer has there goes.
    pub(super) fn put(&mut self, place: Vec<u8>, node: Node) -> Done<()> {
        self.was_not_left_out(&place)?;
        let is_dir = matches!(node.what, What::Dir { .. });
        if let Some(there) = self.draft.get(&place) {
            let was_dir = matches!(there.what, What::Dir { .. });
            if place == b"/" && !is_dir {
                return whole("the root is a directory");
            }
            if !(is_dir && was_dir) {
                if self.mine.contains(&place) || self.has_own_below(&place) {
                    return self.has_already(&place);
                }
                self.draft.remove(&place);
            }
        }
        self.draft.put(&place, node).map_err(|problem| Refused::Whole(problem.words()))?;
        let slashes = place.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for at in slashes.skip(1) {
            if !self.above_mine.contains(&place[..at]) {
                self.above_mine.insert(place[..at].to_vec());
            }
        }
        self.mine.insert(place);
        Ok(())
    }

    /// A file's content goes into the store; `None`: it is left out.
    pub(super) fn file(&mut self, entry: &Entry, content: &mut dyn Read, place: &[u8]) -> Done<Option<What>> {
        let name = place.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if self.mine.contains(place) {
            // Before its bytes are read; `put` says the same of links.
            return self.has_already(place);
        }
        let refused = hygiene::name_refused(name, false);
        let secret = (entry.uid == 0 && entry.mode & 0o004 == 0).then_some("not everybody may read it");
        if let Some(why) = refused.or(secret) {
            self.omit(place.to_vec(), why)?;
            return Ok(None);
        }
        let executable = entry.mode & 0o111 != 0;
        let mode = if executable { PROGRAM_MODE } else { FILE_MODE };
        let mtime = entry.mtime.clamp(TIMES.0, TIMES.1);
        let to_search = hygiene::to_search(entry.size);
        let (digest, size) = if to_search > 0 || entry.size == 0 {
            let mut bytes = Vec::with_capacity(to_search.min(64 << 10));
            content.read_to_end(&mut bytes).map_err(|error| Refused::Whole(unread(&error)))?;
            if hygiene::has_private_key(&bytes) {
                self.omit(place.to_vec(), "a private key")?;
                return Ok(None);
            }
            let digest = Digest::of(&bytes);
            let size = bytes.len() as u64;
            if size != entry.size {
                return whole("it changed while it was read");
            }
            self.writer.put(&Content::Bytes(bytes), digest, mode, mtime)?;
            (digest, size)
        } else {
            self.writer.put_stream(content, executable, mtime).map_err(|problem| match problem {
                StreamProblem::Read(error) => Refused::Whole(unread(&error)),
                StreamProblem::Store(problem) => Refused::Store(problem),
            })?
        };
        if entry.mode & 0o6000 != 0 {
            self.set_id += 1;
            self.leave_out(place, "its set-id bits (the file itself is there)");
        }
        Ok(Some(What::File { mode, size, digest }))
    }

    /// What a hard link is another name of; `None`: something that was left out.
    fn hard_link(&mut self, target: &[u8], place: &[u8]) -> Done<Option<Node>> {
        let bad = |refused| match refused {
            Refused::Whole(what) => Refused::Whole(format!("a hard link with a bad target: {what}")),
            other => other,
        };
        let to = self.clean(target).map_err(bad)?;
        let to = self.beyond_lower_links(to);
        let name = place.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if let Some(why) = hygiene::name_refused(name, false) {
            self.omit(place.to_vec(), why)?;
            return Ok(None);
        }
        if self.omitted.contains(&to) {
            self.omit(place.to_vec(), "a hard link to something that was left out")?;
            return Ok(None);
        }
        match self.draft.get(&to) {
            None => whole(&format!("a hard link to '{}', which is not there", target.escape_ascii())),
            Some(node) if matches!(node.what, What::Dir { .. }) => {
                whole(&format!("a hard link to '{}', which is a directory", target.escape_ascii()))
            }
            Some(node) => Ok(Some(node.clone())),
        }
    }

    /// Where a path is in the tree when links of lower layers above it are
    /// followed, as [`Self::place`] does where it puts something.
    fn beyond_lower_links(&self, path: Vec<u8>) -> Vec<u8> {
        let mut here = Vec::new();
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            here.push(b'/');
            here.extend_from_slice(name);
            let link = matches!(self.draft.get(&here).map(|node| &node.what), Some(What::Symlink { .. }));
            if names.peek().is_some() && link && !self.mine.contains(&here) {
                match self.draft.resolve(&here) {
                    Some(real) => here = if real == b"/" { Vec::new() } else { real },
                    None => return path,
                }
            }
        }
        here
    }

    /// A removal: what lower layers have, not what this one has made.
    fn removal(&mut self, entry: &Entry, path: &[u8], name: &[u8]) -> Done<()> {
        if !matches!(entry.kind, Kind::File | Kind::Hardlink) || entry.size != 0 {
            return whole("a removal that is no empty file");
        }
        let above = &path[..path.len() - name.len() - 1];
        let dir = if above.is_empty() { b"/".as_slice() } else { above };
        if name == OPAQUE {
            if dir == b"/" {
                return whole("a removal of everything, at the root");
            }
            let Some(real) = self.draft.resolve(dir) else { return Ok(()) };
            self.remove_lower(&real);
            return Ok(());
        }
        let removed = &name[REMOVAL.len()..];
        // What a storage driver notes for itself.
        if removed.starts_with(REMOVAL) {
            return Ok(());
        }
        if matches!(removed, b"" | b"." | b"..") {
            return whole("a removal of nothing that has a name");
        }
        let Some(real) = self.draft.resolve(dir) else { return Ok(()) };
        let target = [if real == b"/" { b"" } else { real.as_slice() }, b"/", removed].concat();
        self.remove_lower(&target);
        if !self.mine.contains(&target) && !self.has_own_below(&target) {
            self.draft.remove(&target);
        }
        Ok(())
    }

    fn has_own_below(&self, path: &[u8]) -> bool {
        self.above_mine.contains(path)
    }

    fn remove_lower(&mut self, path: &[u8]) {
        let (mine, above) = (&self.mine, &self.above_mine);
        self.draft.retain_below(path, |path| mine.contains(path) || above.contains(path));
    }

    /// The refusal of a second thing at a place.
    fn has_already<T>(&self, place: &[u8]) -> Done<T> {
        let there = self.draft.get(place).map_or("something", |node| kind_of(&node.what));
        whole(&format!("the archive has {there} there already"))
    }

    /// The same of a place whose first thing was left out.
    fn was_not_left_out(&self, place: &[u8]) -> Done<()> {
        if self.omitted.contains(place) {
            return whole("the archive has something there already that was left out");
        }
        Ok(())
    }

    pub(super) fn omit(&mut self, place: Vec<u8>, why: &str) -> Done<()> {
        if self.mine.contains(&place) || self.has_own_below(&place) {
            return self.has_already(&place);
        }
        self.was_not_left_out(&place)?;
        self.leave_out(&place, why);
        // What a lower layer has there is no longer what the image shows.
        self.draft.remove(&place);
        self.omitted.insert(place);
        Ok(())
    }

    pub(super) fn leave_out(&mut self, path: &[u8], why: &str) {
        let path = path.escape_ascii().to_string();
        self.left_out.insert(LeftOut { path, why: why.to_owned() });
    }
}

pub(super) fn symlink(target: Vec<u8>) -> Done<What> {
    match target.len() {
        0 => whole("a symbolic link to nothing"),
        1..=4095 if !target.contains(&0) => Ok(What::Symlink { target }),
        _ => whole("a symbolic link whose target is no path"),
    }
}

fn whole<T>(what: &str) -> Done<T> {
    Err(Refused::Whole(what.to_owned()))
}

fn unread(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::UnexpectedEof => "the archive ends in the middle of it".to_owned(),
        _ => io_text(error),
    }
}
