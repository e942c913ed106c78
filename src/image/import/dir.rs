//! A directory that holds a root file system, read relative to descriptors: a
//! link in it is a string, wherever it leads.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};

use super::layer::{Refused, TIMES, Tree, symlink};
use super::tar::{Entry, Kind};
use crate::image::draft::Node;
use crate::image::layout::DIR_MODE;
use crate::image::manifest::What;
use crate::image::store::Why;

type Done<T> = Result<T, Refused>;

fn failed(path: &[u8], errno: Errno) -> Refused {
    Refused::Entry(path.escape_ascii().to_string(), crate::error::errno_text(errno as i32))
}

impl Tree<'_, '_> {
    /// Takes everything in a directory.
    pub(super) fn directory(&mut self, root: &OwnedFd) -> Done<()> {
        let stat = fstat(root).map_err(|errno| failed(b"/", errno))?;
        self.put(b"/".to_vec(), dir_node(&stat))?;
        self.walk(root, b"", 0)
    }

    fn walk(&mut self, dir: &impl AsFd, path: &[u8], depth: usize) -> Done<()> {
        if depth > self.meter.limits().depth {
            let what = format!("more than {} directories deep", self.meter.limits().depth);
            return Err(Refused::Entry(path.escape_ascii().to_string(), what));
        }
        for name in names(dir).map_err(|errno| failed(path, errno))? {
            let place = [path, b"/", name.as_bytes()].concat();
            self.meter.entry().map_err(|what| Refused::Entry(place.escape_ascii().to_string(), what))?;
            let stat = fstatat(dir, name.as_os_str(), AtFlags::AT_SYMLINK_NOFOLLOW)
                .map_err(|errno| failed(&place, errno))?;
            self.inner(dir, &name, &stat, place.clone(), depth).map_err(|refused| match refused {
                Refused::Whole(what) => Refused::Entry(place.escape_ascii().to_string(), what),
                other => other,
            })?;
        }
        Ok(())
    }

    fn inner(
        &mut self,
        dir: &impl AsFd,
        name: &OsStr,
        stat: &FileStat,
        place: Vec<u8>,
        depth: usize,
    ) -> Done<()> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => {
                self.put(place.clone(), dir_node(stat))?;
                let flags = flags | OFlag::O_DIRECTORY;
                let below = openat(dir, name, flags, Mode::empty()).map_err(|errno| failed(&place, errno))?;
                self.walk(&below, &place, depth + 1)
            }
            SFlag::S_IFLNK => {
                let target = readlinkat(dir, name).map_err(|errno| failed(&place, errno))?;
                let what = symlink(target.as_bytes().to_vec())?;
                self.put(place, Node { what, mtime: time(stat), why: Some(Why::Imported) })
            }
            SFlag::S_IFREG => {
                self.progress.now(&format!("reading {}", place.escape_ascii()));
                let file = openat(dir, name, flags, Mode::empty()).map_err(|errno| failed(&place, errno))?;
                let stat = fstat(&file).map_err(|errno| failed(&place, errno))?;
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                let entry = Entry {
                    name: place.clone(),
                    link: Vec::new(),
                    kind: Kind::File,
                    mode: stat.st_mode & 0o7777,
                    uid: stat.st_uid.into(),
                    size,
                    mtime: stat.st_mtime,
                    xattrs: false,
                };
                match self.file(&entry, &mut File::from(file).take(size), &place)? {
                    Some(what) => {
                        self.put(place, Node { what, mtime: time(&stat), why: Some(Why::Imported) })
                    }
                    None => Ok(()),
                }
            }
            SFlag::S_IFIFO => self.omit(place, "a fifo"),
            SFlag::S_IFSOCK => self.omit(place, "a socket"),
            _ => self.omit(place, "a device"),
        }
    }
}

fn time(stat: &FileStat) -> i64 {
    stat.st_mtime.clamp(TIMES.0, TIMES.1)
}

fn dir_node(stat: &FileStat) -> Node {
    Node { what: What::Dir { mode: DIR_MODE }, mtime: time(stat), why: Some(Why::Imported) }
}

/// The names in a directory, sorted.
fn names(dir: &impl AsFd) -> nix::Result<Vec<OsString>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut listing = nix::dir::Dir::openat(dir, ".", flags, Mode::empty())?;
    let mut names = Vec::new();
    for entry in listing.iter() {
        let name = OsStr::from_bytes(entry?.file_name().to_bytes()).to_os_string();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}
