//! Files of the host become entries of the image.

use std::fs::{File, Metadata};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{Builder, distrusted, misplaced, unread, unusable};
use crate::error::{Error, Kind, Result};
use crate::image::closure::trust::{Distrust, Host};
use crate::image::draft::Node;
use crate::image::hygiene;
use crate::image::layout::{Content, FILE_MODE, PROGRAM_MODE};
use crate::image::manifest::What;
use crate::image::store::Why;

/// The deepest directories that are walked.
const DEEPEST: usize = 64;

/// A file that was taken.
#[derive(Debug)]
pub(crate) struct Taken {
    /// Where it is in the image.
    pub(crate) at: PathBuf,
    /// Where it lies on the host, without links.
    pub(crate) real: PathBuf,
    /// Open for reading.
    pub(crate) file: File,
    /// Whether it and every directory above it are root's alone.
    pub(crate) trusted: bool,
}

/// Which mode a file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It can be started.
    Program,
    /// It is read, or loaded.
    Data,
    /// As on the host: a program if anybody may execute it.
    AsItIs,
}

/// What of a directory is taken.
pub(crate) struct Filter<'f> {
    /// Whether something goes in, by its names below the directory.
    pub(crate) wants: &'f dyn Fn(&[&str], bool) -> bool,
    /// What files are there for.
    pub(crate) role: Role,
    /// Whether needs of libraries and programs among them are met.
    pub(crate) close: bool,
}

impl Builder<'_, '_> {
    /// Takes one file, and the links on the way to it. With `at`, it lies there
    /// in the image, and the way to it does not matter.
    pub(crate) fn take(&mut self, path: &Path, at: Option<&Path>, role: Role, why: Why) -> Result<Taken> {
        let (host, trusted) = self.trust(path);
        let walked = match host.walk(path) {
            Ok(Some(walked)) => walked,
            Ok(None) => {
                return Err(Error::new(Kind::NotFound, format!("{}: there is no such file", path.display())));
            }
            Err(why) => return Err(distrusted(path, &why)),
        };
        if let Some(kind) = hygiene::kind_refused(walked.meta.file_type()) {
            return Err(refused(path, kind));
        }
        // Before it is said how everybody could read it.
        let name = walked.real.file_name().unwrap_or_default().as_bytes();
        if !walked.meta.is_dir()
            && let Some(why) = hygiene::name_refused(name, false)
        {
            return Err(refused(path, why));
        }
        let opened = host.open(&walked.real).map_err(|why| match why {
            Distrust::Irregular(_) => Error::new(Kind::Usage, format!("{} is a directory", path.display()))
                .help("include it instead: only files are programs"),
            why => distrusted(path, &why),
        })?;
        let Some(opened) = opened else { return Err(distrusted(path, &Distrust::Links(path.into()))) };
        let place = at.unwrap_or(&walked.real).to_path_buf();
        self.check_way(&place)?;
        if at.is_none() {
            for (link, target) in &walked.links {
                self.link(link, target, &walked.real)?;
            }
        }
        let why = if at.is_none() && !walked.links.is_empty() { why_real(&why, path) } else { why };
        self.seen.insert(walked.real.clone(), Some(opened.stamp));
        match self.put(&opened.file, &walked.real, &place, role, why)? {
            None => Ok(Taken { at: place, real: walked.real, file: opened.file, trusted }),
            Some(why) => Err(refused(path, why)),
        }
    }

    /// Who is to be believed about a path: root's alone, if it is, else the caller
    /// who has named it.
    fn trust(&self, path: &Path) -> (Host, bool) {
        match self.host.resolve(path) {
            Err(Distrust::Owner(..) | Distrust::Writable(..)) => (self.anyone.clone(), false),
            _ => (self.host.clone(), true),
        }
    }

    /// A link on the way to something.
    fn link(&mut self, link: &Path, target: &Path, to: &Path) -> Result<()> {
        let why = Why::Link { to: shown(to) };
        let (at, target) = (link.as_os_str().as_bytes(), target.as_os_str().as_bytes());
        self.draft.symlink(at, target, why).map_err(|problem| misplaced(link, &problem))
    }

    /// Hidden directories do not go in, and their names neither.
    fn check_way(&self, place: &Path) -> Result<()> {
        let above = place.parent().unwrap_or(Path::new("/"));
        let hidden =
            above.components().any(|c| hygiene::name_refused(c.as_os_str().as_bytes(), true).is_some());
        if !hidden {
            return Ok(());
        }
        let message = format!("{} lies in a hidden directory", place.display());
        Err(Error::new(Kind::Usage, message).help("give it another place in the image (HOST:PLACE, or 'at')"))
    }

    /// Puts an open file in; `Some`: why it does not go in.
    fn put(
        &mut self,
        file: &File,
        real: &Path,
        at: &Path,
        role: Role,
        why: Why,
    ) -> Result<Option<&'static str>> {
        let meta = file.metadata().map_err(|error| unread(real, &error))?;
        let name = at.file_name().unwrap_or_default().as_bytes();
        let own_name = real.file_name().unwrap_or_default().as_bytes();
        let refused = hygiene::name_refused(own_name, false).or(hygiene::name_refused(name, false));
        if let Some(why) = refused.or_else(|| mode_refused(&meta)) {
            return Ok(Some(why));
        }
        let size = meta.size();
        let content = Content::Opened(file.try_clone().map_err(|error| unread(real, &error))?, size);
        let mut head = vec![0; hygiene::to_search(size)];
        content.read_at_start(&mut head).map_err(|error| unread(real, &error))?;
        if hygiene::has_private_key(&head) {
            return Ok(Some("a private key"));
        }
        if meta.mode() & 0o6000 != 0 {
            self.set_id += 1;
            self.leave_out(at, "its set-id bits (the file itself is there)");
        }
        let executable = match role {
            Role::Program => true,
            Role::Data => false,
            Role::AsItIs => meta.mode() & 0o111 != 0,
        };
        let mode = if executable { PROGRAM_MODE } else { FILE_MODE };
        let digest = content.digest().map_err(|error| unread(real, &error))?;
        self.writer.put(&content, digest, mode, meta.mtime()).map_err(unusable)?;
        let node = Node { what: What::File { mode, size, digest }, mtime: meta.mtime(), why: Some(why) };
        let bytes = at.as_os_str().as_bytes();
        // What is asked for both as a program and as data is a program.
        let there = self.draft.get(bytes).map(|node| node.what.clone());
        if let Some(What::File { mode: old, size: old_size, digest: old_digest }) = there
            && (old_size, old_digest) == (size, digest)
        {
            if old < mode {
                self.draft.remove(bytes);
            } else {
                return Ok(None);
            }
        }
        self.draft.put(bytes, node).map_err(|problem| misplaced(at, &problem))?;
        if at != real {
            self.origins.insert(bytes.to_vec(), real.as_os_str().as_bytes().to_vec());
        }
        Ok(None)
    }

    /// Takes a file or a directory with everything in it that the filter wants.
    /// Links in it are followed to what they lead to, and kept.
    pub(crate) fn tree(
        &mut self,
        path: &Path,
        at: Option<&Path>,
        filter: &Filter<'_>,
        why: &Why,
    ) -> Result<()> {
        let (host, _) = self.trust(path);
        let walked = match host.walk(path) {
            Ok(Some(walked)) => walked,
            Ok(None) => {
                return Err(Error::new(Kind::NotFound, format!("{}: there is no such file", path.display())));
            }
            Err(why) => return Err(distrusted(path, &why)),
        };
        if !walked.meta.is_dir() {
            let taken = self.take(path, at, filter.role, why.clone())?;
            return if filter.close { self.close(&taken) } else { Ok(()) };
        }
        let place = at.unwrap_or(&walked.real);
        if hygiene::name_refused(place.file_name().unwrap_or_default().as_bytes(), true).is_some() {
            return Err(refused(path, "a hidden directory"));
        }
        self.check_way(place)?;
        if at.is_none() {
            for (link, target) in &walked.links {
                self.link(link, target, &walked.real)?;
            }
        }
        let bytes = place.as_os_str().as_bytes();
        self.draft.dir(bytes, Some(why.clone())).map_err(|problem| misplaced(place, &problem))?;
        let mut names = Vec::new();
        self.walk(&host, &walked.real, place, &mut names, filter, why)
    }

    /// One directory, and those below it.
    fn walk(
        &mut self,
        host: &Host,
        real: &Path,
        at: &Path,
        names: &mut Vec<String>,
        filter: &Filter<'_>,
        why: &Why,
    ) -> Result<()> {
        if names.len() >= DEEPEST {
            let message = format!("{}: more than {DEEPEST} directories deep", real.display());
            return Err(Error::new(Kind::Usage, message).help("include less, or leave it out ('except')"));
        }
        self.progress.now(&format!("reading {}", real.display()));
        self.seen.insert(real.into(), host.state(real));
        let mut found = Vec::new();
        for entry in std::fs::read_dir(host.place(real)).map_err(|error| unread(real, &error))? {
            found.push(entry.map_err(|error| unread(real, &error))?.file_name());
        }
        found.sort();
        for name in found {
            let (next, place) = (real.join(&name), at.join(&name));
            let Some(text) = name.to_str() else {
                self.leave_out(&next, "its name is not UTF-8");
                continue;
            };
            let meta = match host.stat(&next) {
                Ok(Some(meta)) => meta,
                Ok(None) => continue,
                Err(why) => return Err(distrusted(&next, &why)),
            };
            names.push(text.to_owned());
            let wanted = (filter.wants)(&names.iter().map(String::as_str).collect::<Vec<_>>(), meta.is_dir());
            let taken =
                if wanted { self.entry(host, &next, &place, &meta, names, filter, why) } else { Ok(()) };
            names.pop();
            taken?;
        }
        Ok(())
    }

    /// One thing in a directory.
    #[expect(
        clippy::too_many_arguments,
        reason = "a step of a recursion: host and image side, and what is wanted"
    )]
    fn entry(
        &mut self,
        host: &Host,
        real: &Path,
        at: &Path,
        meta: &Metadata,
        names: &mut Vec<String>,
        filter: &Filter<'_>,
        why: &Why,
    ) -> Result<()> {
        let name = real.file_name().unwrap_or_default().as_bytes();
        let kind = meta.file_type();
        if let Some(refused) = hygiene::kind_refused(kind).or(hygiene::name_refused(name, kind.is_dir())) {
            self.leave_out(at, refused);
            return Ok(());
        }
        if kind.is_dir() {
            let bytes = at.as_os_str().as_bytes();
            self.draft.dir(bytes, Some(why.clone())).map_err(|problem| misplaced(at, &problem))?;
            return self.walk(host, real, at, names, filter, why);
        }
        if kind.is_symlink() {
            return self.inner_link(host, real, at, filter, why);
        }
        let opened = match host.open(real) {
            Ok(Some(opened)) => opened,
            Ok(None) => return Ok(()),
            Err(Distrust::Secret(..)) => {
                self.leave_out(at, "not everybody on this host may read it");
                return Ok(());
            }
            Err(Distrust::Call(_, why)) => {
                self.leave_out(at, why);
                return Ok(());
            }
            Err(why) => return Err(distrusted(real, &why)),
        };
        if let Some(refused) = self.put(&opened.file, real, at, filter.role, why.clone())? {
            self.leave_out(at, refused);
            return Ok(());
        }
        let trusted = self.host.resolve(real).is_ok();
        let taken = Taken { at: at.into(), real: real.into(), file: opened.file, trusted };
        if filter.close { self.close(&taken) } else { Ok(()) }
    }

    /// A link in a directory: it is kept, and what it leads to where that is a
    /// file in the image or, without another place, a file of the host.
    fn inner_link(
        &mut self,
        host: &Host,
        real: &Path,
        at: &Path,
        filter: &Filter<'_>,
        why: &Why,
    ) -> Result<()> {
        let target = std::fs::read_link(host.place(real)).map_err(|error| unread(real, &error))?;
        let bytes = at.as_os_str().as_bytes();
        let put = self.draft.symlink(bytes, target.as_os_str().as_bytes(), why.clone());
        put.map_err(|problem| misplaced(at, &problem))?;
        if at != real {
            return Ok(());
        }
        let end = match host.walk(real) {
            Ok(Some(end)) if end.meta.is_file() => end,
            // A directory comes in only where it is asked for; nothing stays nothing.
            _ => return Ok(()),
        };
        if hygiene::name_refused(end.real.file_name().unwrap_or_default().as_bytes(), false).is_some() {
            self.leave_out(at, "what the link leads to is a file that holds secrets");
            return Ok(());
        }
        for (link, target) in end.links.iter().skip(1) {
            self.link(link, target, &end.real)?;
        }
        match host.open(&end.real) {
            Ok(Some(opened)) => {
                let because = Why::Link { to: shown(at) };
                match self.put(&opened.file, &end.real, &end.real, filter.role, because)? {
                    Some(refused) => self.leave_out(&end.real, refused),
                    None if filter.close => {
                        let trusted = self.host.resolve(&end.real).is_ok();
                        let taken =
                            Taken { at: end.real.clone(), real: end.real, file: opened.file, trusted };
                        return self.close(&taken);
                    }
                    None => {}
                }
            }
            Ok(None) => {}
            Err(why) => self.leave_out(&end.real, why.to_string()),
        }
        Ok(())
    }

    /// A library that something needs. One that is in the image already, perhaps in
    /// another form, stays as it is there.
    pub(crate) fn library(&mut self, path: &Path, why: Why) -> Result<()> {
        let walked = self.host.walk(path).map_err(|why| distrusted(path, &why))?;
        if let Some(walked) = walked
            && self.draft.get(walked.real.as_os_str().as_bytes()).is_some()
        {
            return walked.links.iter().try_for_each(|(link, target)| self.link(link, target, &walked.real));
        }
        self.take(path, None, Role::Data, why).map(|_| ())
    }

    /// Puts a file at the place of another one, which it was made from: with the
    /// other's time, because its own is that of an installation.
    pub(crate) fn stand_in(&mut self, of: &Path, file: &Path, at: &Path, why: Why) -> Result<()> {
        let Ok(Some(opened)) = self.host.open(file) else { return Ok(()) };
        let Some(Node { mtime, .. }) = self.draft.get(of.as_os_str().as_bytes()) else { return Ok(()) };
        let mtime = *mtime;
        let size = opened.file.metadata().map_err(|error| unread(file, &error))?.len();
        let content = Content::Opened(opened.file, size);
        let digest = content.digest().map_err(|error| unread(file, &error))?;
        self.writer.put(&content, digest, FILE_MODE, mtime).map_err(unusable)?;
        let node = Node { what: What::File { mode: FILE_MODE, size, digest }, mtime, why: Some(why) };
        let bytes = at.as_os_str().as_bytes();
        self.draft.put(bytes, node).map_err(|problem| misplaced(at, &problem))?;
        self.draft.remove(of.as_os_str().as_bytes());
        self.seen.insert(file.into(), self.host.state(file));
        self.origins.insert(bytes.to_vec(), of.as_os_str().as_bytes().to_vec());
        Ok(())
    }

    /// A file, and what it needs.
    pub(crate) fn take_and_close(&mut self, path: &str, role: Role, why: Why) -> Result<()> {
        let taken = self.take(Path::new(path), None, role, why)?;
        self.close(&taken)
    }

    /// A file among so many that nobody can look at each of them again at every
    /// launch; what lists them is watched instead.
    pub(crate) fn take_quietly(&mut self, path: &Path, role: Role, why: Why) -> Result<()> {
        let taken = self.take(path, None, role, why)?;
        self.seen.remove(&taken.real);
        Ok(())
    }

    /// The image depends on this file of the host.
    pub(crate) fn watch(&mut self, path: &Path) {
        self.seen.insert(path.into(), self.host.state(path));
    }

    /// What lies below was replaced: its needs are to be met anew.
    pub(crate) fn reopen(&mut self, below: &Path) {
        self.closed.retain(|path| !path.starts_with(below));
    }

    /// A fresh directory for a program that makes files.
    pub(crate) fn workshop(&self) -> Result<PathBuf> {
        self.writer.workshop().map_err(unusable)
    }

    /// Takes directories away that hold nothing.
    pub(crate) fn prune_below(&mut self, top: &Path) {
        let prefix = [top.as_os_str().as_bytes(), b"/"].concat();
        let below: Vec<(Vec<u8>, bool)> = self
            .draft
            .iter()
            .filter(|(path, _)| path.starts_with(&prefix))
            .map(|(path, node)| (path.clone(), matches!(node.what, What::Dir { .. })))
            .collect();
        // From the end: what a directory holds comes after it.
        let mut kept: std::collections::HashSet<Vec<u8>> = std::collections::HashSet::new();
        for (path, dir) in below.into_iter().rev() {
            if dir && !kept.contains(&path) {
                self.draft.remove(&path);
                continue;
            }
            let mut above = path;
            while let Some(slash) = above.iter().rposition(|byte| *byte == b'/') {
                above.truncate(slash);
                if !kept.insert(above.clone()) {
                    break;
                }
            }
        }
    }
}

/// A path for `why`.
pub(crate) fn shown(path: &Path) -> String {
    path.as_os_str().as_bytes().escape_ascii().to_string()
}

/// The reason of what a link leads to is the link's; only what was asked for by
/// itself keeps its own.
fn why_real(why: &Why, path: &Path) -> Why {
    match why {
        Why::Program | Why::Include { .. } => why.clone(),
        Why::Link { .. } => Why::Link { to: shown(path) },
        other => other.clone(),
    }
}

/// Why a file of this mode does not go in.
fn mode_refused(meta: &Metadata) -> Option<&'static str> {
    (meta.mode() & 0o004 == 0).then_some("not everybody on this host may read it")
}

pub(super) fn refused(path: &Path, why: &str) -> Error {
    Error::new(Kind::Usage, format!("{} cannot go into an image: {why}", path.display()))
        .help("an image is read by the payload, and handed on: it holds no secrets and nothing but files")
}

/// Opens a file of a directory that a program of the host has just filled.
pub(crate) fn open_plain(path: &Path) -> Result<File> {
    let mut options = std::fs::OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(path).map_err(|error| unread(path, &error))
}

impl Builder<'_, '_> {
    /// Takes a directory that a program of the host has just made for this very
    /// image: its files count as made then, wherever and whenever that was.
    pub(crate) fn fresh_tree(
        &mut self,
        from: &Path,
        at: &Path,
        wants: &dyn Fn(&Path) -> bool,
        why: &Why,
    ) -> Result<()> {
        let mut taken = Vec::new();
        let mut todo = vec![PathBuf::new()];
        while let Some(below) = todo.pop() {
            let dir = from.join(&below);
            let mut names: Vec<_> = std::fs::read_dir(&dir)
                .and_then(|entries| entries.map(|entry| entry.map(|e| e.file_name())).collect())
                .map_err(|error| unread(&dir, &error))?;
            names.sort();
            for name in names {
                let relative = below.join(&name);
                if !wants(&relative) {
                    continue;
                }
                let (path, place) = (from.join(&relative), at.join(&relative));
                let meta = std::fs::symlink_metadata(&path).map_err(|error| unread(&path, &error))?;
                if meta.is_dir() {
                    todo.push(relative);
                } else if meta.is_symlink() {
                    let target = std::fs::read_link(&path).map_err(|error| unread(&path, &error))?;
                    let target = target.into_os_string().into_vec();
                    let put = self.draft.symlink(place.as_os_str().as_bytes(), &target, why.clone());
                    put.map_err(|problem| misplaced(&place, &problem))?;
                } else {
                    taken.push(self.fresh_file(&path, &place, meta.mode() & 0o111 != 0, why)?);
                }
            }
        }
        taken.iter().try_for_each(|taken| self.close(taken))
    }

    fn fresh_file(&mut self, path: &Path, at: &Path, executable: bool, why: &Why) -> Result<Taken> {
        let file = open_plain(path)?;
        let size = file.metadata().map_err(|error| unread(path, &error))?.len();
        let head = Content::Opened(file.try_clone().map_err(|error| unread(path, &error))?, size);
        let mut magic = [0; 4];
        head.read_at_start(&mut magic).map_err(|error| unread(path, &error))?;
        // A library that the tool has marked executable is still no program.
        let library = &magic == b"\x7fELF" && crate::image::elf::inspect_library(&file).is_ok();
        let mode = if executable && !library { PROGRAM_MODE } else { FILE_MODE };
        let digest = head.digest().map_err(|error| unread(path, &error))?;
        self.writer.put(&head, digest, mode, crate::image::layout::MADE_AT).map_err(unusable)?;
        let what = What::File { mode, size, digest };
        let node = Node { what, mtime: crate::image::layout::MADE_AT, why: Some(why.clone()) };
        let put = self.draft.put(at.as_os_str().as_bytes(), node);
        put.map_err(|problem| misplaced(at, &problem))?;
        Ok(Taken { at: at.into(), real: at.into(), file, trusted: true })
    }
}
