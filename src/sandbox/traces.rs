//! Traces of limits that the kernel enforces without counting.
//!
//! A refused `open` leaves nothing behind, nor does a refused `write`. What can be
//! seen: a process whose descriptors are all in use, as long as it lives; and a
//! file that has grown to its limit, as long as it is there.
//!
//! # References
//! `getrlimit(2)`, `tmpfs(5)`, `proc_pid_fd(5)`

use std::fs::{self, File};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use nix::sys::statfs::fstatfs;

/// Processes that are looked at: the look goes before a kill.
const MOST_PROCESSES: usize = 64;

/// Files that are looked at, so that the end of a box takes no time that its program decides on.
const MOST_FILES: usize = 10_000;

/// What a file system in memory has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// No byte is left.
    pub no_bytes: bool,
    /// No inode is left.
    pub no_inodes: bool,
}

/// What is left of a file system in memory.
#[must_use]
pub fn room_left(file: &File) -> Room {
    fstatfs(file).map_or(Room { no_bytes: false, no_inodes: false }, |s| Room {
        no_bytes: s.blocks_free() == 0,
        no_inodes: s.files_free() == 0,
    })
}

/// Whether one of these processes has so many descriptors that it gets no more.
#[must_use]
pub fn use_up_descriptors(pids: &[i32], limit: u64) -> bool {
    pids.iter().take(MOST_PROCESSES).any(|pid| open_descriptors(*pid) >= limit)
}

fn open_descriptors(pid: i32) -> u64 {
    let path = format!("/proc/{pid}/fd");
    match fs::metadata(&path).map(|m| m.size()) {
        // Before Linux 6.2 the size says nothing.
        Ok(0) => fs::read_dir(&path).map_or(0, |dir| dir.count() as u64),
        Ok(count) => count,
        Err(_) => 0,
    }
}

/// Whether a regular file below this directory, on its own file system, is as large as that.
/// Nobody may be left who could change it.
#[must_use]
pub fn has_file_of(top: &File, size: u64) -> bool {
    let unused = fstatfs(top).is_ok_and(|s| s.files().saturating_sub(s.files_free()) <= 1);
    let Ok(device) = top.metadata().map(|m| m.dev()) else { return false };
    if unused {
        return false;
    }
    let mut directories = vec![PathBuf::from(format!("/proc/self/fd/{}", top.as_raw_fd()))];
    let mut looks = 0;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            looks += 1;
            if looks > MOST_FILES {
                return false;
            }
            // Of the entry itself: a link is not followed.
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_file() && meta.len() >= size {
                return true;
            }
            if meta.is_dir() && meta.dev() == device {
                directories.push(entry.path());
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_is_found_by_its_size_and_links_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        File::create(outside.path().join("large")).unwrap().set_len(100).unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.path().join("link")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("large"), dir.path().join("link2")).unwrap();
        let top = File::open(dir.path()).unwrap();
        assert!(!has_file_of(&top, 50));
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        File::create(dir.path().join("a/b/file")).unwrap().set_len(50).unwrap();
        assert!(has_file_of(&top, 50));
        assert!(!has_file_of(&top, 51));
    }

    #[test]
    fn own_descriptors_are_used_up_at_their_own_number() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(use_up_descriptors(&[own], 1));
        assert!(!use_up_descriptors(&[own], 1_000_000));
        assert!(!use_up_descriptors(&[], 1));
    }
}
