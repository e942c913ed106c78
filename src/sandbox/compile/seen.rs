//! What a request names on the host: opened and found, once.

use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use super::Request;
use crate::error::{Error, Kind, Result, io_text};
use crate::image::{Memory, Root, Store};
use crate::policy::model::Policy;
use crate::sandbox::blockers;
use crate::sandbox::host::Host;
use crate::sandbox::images::{self, Chosen};
use crate::sandbox::late;
use crate::sandbox::out::{self, OpenOut};
use crate::sandbox::root::{Layout, OpenBind};
use crate::sandbox::work::OpenWork;
use crate::sys;

/// What a look at the host has found for a request.
#[derive(Debug)]
pub struct Seen {
    /// The payload, open, where there is one already.
    pub(super) payload: PayloadSeen,
    /// The binds, open.
    pub(super) binds: Vec<OpenBind>,
    /// Where on the host goes what the box makes.
    pub(super) outs: Vec<OpenOut>,
    /// What is copied into the box.
    pub(super) work: Option<OpenWork>,
    /// The policy with the places of those, where there are any.
    pub(super) with_places: Option<Policy>,
    /// The root.
    pub image: Arc<Root>,
    /// How it was looked at.
    pub verified: &'static str,
    /// Where it is kept.
    pub(super) store: Option<Store>,
    /// Facts worth knowing that weaken nothing.
    pub notes: Vec<String>,
}

#[derive(Debug)]
pub(super) enum PayloadSeen {
    /// An image runs by itself.
    None,
    /// This file.
    Open(Payload),
    /// It comes when the box is ready for it.
    Later,
}

/// Opens and finds what a request names on the host; `memory` is of those before.
///
/// # Errors
/// It is not there, or not what it should be.
pub fn look(request: &Request, memory: Option<&Memory>) -> Result<Seen> {
    if let Some(blocker) = blockers::unusable() {
        return Err(Error::new(Kind::Host, blocker.what).help(blocker.fix));
    }
    let host = Host::get();
    let mut notes = Vec::new();
    let payload = request.program.as_deref().map(open_payload).transpose()?;
    let binds = request
        .binds
        .iter()
        .map(|b| b.open(host.uid == 0, request.policy.allows(libc::SYS_socket)))
        .collect::<Result<Vec<_>>>()?;
    let work = request.work.as_ref().map(|work| work.open(&request.policy)).transpose()?;
    notes.extend(work.as_ref().and_then(OpenWork::note));
    // Last of these: a directory that is missing is made.
    let (outs, with_places) = match request.outs.is_empty() {
        true => (Vec::new(), None),
        false => {
            let mut policy = Policy::clone(&request.policy);
            (out::open_all(&request.outs, &mut policy)?, Some(policy))
        }
    };
    let policy = with_places.as_ref().unwrap_or(&request.policy);
    let layout = Layout::new(policy, &binds)?;
    let (dirs, files) = layout.image_places();
    let wanted = images::Wanted {
        policy,
        image: request.image.as_ref(),
        store: &request.store,
        root: request.root,
        verify: request.verify,
        uid: host.uid,
        dirs: &dirs,
        files: &files,
        binds: &request.binds,
        memory,
    };
    let Chosen { root, verified, store } =
        images::choose(&wanted, payload.as_ref().map(|p| &p.file), &mut notes)?;
    let payload = payload.map_or(PayloadSeen::None, PayloadSeen::Open);
    Ok(Seen { payload, binds, outs, work, with_places, image: root, verified, store, notes })
}

impl Seen {
    /// The same for a box whose job comes later.
    #[must_use]
    pub fn ahead(&self) -> Self {
        let payload = match self.payload {
            PayloadSeen::None => PayloadSeen::None,
            PayloadSeen::Open(_) | PayloadSeen::Later => PayloadSeen::Later,
        };
        Self {
            payload,
            binds: Vec::new(),
            outs: Vec::new(),
            work: None,
            with_places: None,
            image: Arc::clone(&self.image),
            verified: self.verified,
            store: None,
            notes: Vec::new(),
        }
    }

    /// The payload's file, where there is one.
    #[must_use]
    pub fn payload(&self) -> Option<&Payload> {
        match &self.payload {
            PayloadSeen::Open(payload) => Some(payload),
            PayloadSeen::None | PayloadSeen::Later => None,
        }
    }

    /// Its bytes, or the room for what comes later.
    pub(super) const fn payload_size(&self) -> Option<u64> {
        match &self.payload {
            PayloadSeen::None => None,
            PayloadSeen::Open(payload) => Some(payload.size),
            PayloadSeen::Later => Some(late::ROOM),
        }
    }
}

/// The host file that is the payload.
#[derive(Debug)]
pub struct Payload {
    /// Open for reading.
    pub file: File,
    /// Its bytes, as the launch will copy them.
    pub size: u64,
    /// Its file name.
    pub name: String,
}

fn open_payload(path: &Path) -> Result<Payload> {
    let shown = path.display();
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => {
            let error = Error::new(Kind::NotFound, format!("{shown}: {}", io_text(&e)));
            if path.as_os_str().as_bytes().contains(&b'/') {
                error
            } else {
                error.help("PROGRAM is a file, not a command: give its path, for example /usr/bin/sort")
            }
        }
        _ if e.raw_os_error() == Some(libc::EMFILE) => {
            let error = Error::new(Kind::Host, format!("{shown}: {}", io_text(&e)));
            error.help(blockers::no_descriptors().help())
        }
        _ => Error::new(Kind::NotRunnable, format!("{shown}: {}", io_text(&e))),
    };
    // Not blocking: a fifo would wait for a writer.
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    let kind = meta.file_type();
    if !kind.is_file() {
        let what = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a fifo",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Err(Error::new(Kind::NotRunnable, format!("{shown} is {what}, not a program")));
    }
    let fd = sys::fd::above_stdio(OwnedFd::from(file)).map_err(|e| failed(e.into()))?;
    let name = path.file_name().unwrap_or(OsStr::new("")).to_string_lossy().into_owned();
    Ok(Payload { file: File::from(fd), size: meta.size(), name })
}
