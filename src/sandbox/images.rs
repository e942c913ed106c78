//! Which root a box gets: what the policy or the caller asks for, looked up,
//! looked at, and ready for the plan.

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::plan::{BackEnd, PrivateEntry, PrivateKind, RootPlan};
use super::root::{Bind, c_path};
use crate::error::{Error, Kind, Result, io_text};
use crate::image::build::Progress;
use crate::image::digest::Digest;
use crate::image::manifest::{Header, What};
use crate::image::store::{DEFAULT_CAP, Mounts, Ref, RefProblem};
use crate::image::{self, Content, Memory, Root, RootSource, Store, StoreProblem, recipe};
use crate::policy::model::{ImageSource, Policy, Verify, Word};
use crate::policy::{self, units};
use crate::sys;

/// Where closures are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreChoice {
    /// Where `STOCKADE_STORE` or the user's data directory says.
    #[default]
    Default,
    /// Here.
    At(std::path::PathBuf),
    /// Nowhere: each root is a private copy.
    None,
}

/// How the root is to be made immutable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RootChoice {
    /// The best that this host has: an overlay, else a bind.
    #[default]
    Best,
    /// A file system of its own without an upper layer: no lock and no watch
    /// crosses boxes.
    Overlay,
    /// A read-only bind, its flags locked by the inner user namespace.
    Bind,
    /// A copy in memory, compared with the image while it is made.
    Private,
}

impl RootChoice {
    /// Each by its word on the command line.
    pub const ALL: [(&'static str, Self); 3] =
        [("overlay", Self::Overlay), ("bind", Self::Bind), ("private", Self::Private)];
}

/// What is wanted of a root.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The policy.
    pub policy: &'a Policy,
    /// An image in place of the policy's.
    pub image: Option<&'a Digest>,
    /// Where images are.
    pub store: &'a StoreChoice,
    /// How the root is made.
    pub root: RootChoice,
    /// How closely the image is looked at, if closer than the policy wants.
    pub verify: Option<Verify>,
    /// The effective user id.
    pub uid: u32,
    /// Places to mount on.
    pub dirs: &'a [&'a str],
    /// Files to mount on.
    pub files: &'a [&'a str],
    /// What the caller shows of the host.
    pub binds: &'a [Bind],
    /// What was found for programs that have come before.
    pub memory: Option<&'a Memory>,
}

impl Wanted<'_> {
    /// How closely the image is looked at: as closely as either asks for.
    fn closeness(&self) -> Verify {
        self.verify.unwrap_or_default().max(self.policy.verify)
    }
}

/// A root, and how it was looked at.
#[derive(Debug)]
pub struct Chosen {
    /// The root.
    pub root: Arc<Root>,
    /// `stamp`, `stat`, `full` or `copied`.
    pub verified: &'static str,
    /// Where it is kept, to be swept of what dead writers have left.
    pub store: Option<Store>,
}

/// Opens the store that is meant.
///
/// # Errors
/// There is no place for one, or it cannot be used.
pub fn open_store(choice: &StoreChoice, uid: u32) -> Result<std::result::Result<Store, StoreProblem>> {
    let explicit = match choice {
        StoreChoice::At(path) => Some(path.as_path()),
        StoreChoice::Default | StoreChoice::None => None,
    };
    let cap = cap()?;
    let opened =
        Store::locate(explicit, &|name| std::env::var_os(name), uid).and_then(|path| Store::open(&path));
    Ok(opened.map(|store| store.with_cap(cap)))
}

/// The most bytes that the store may hold.
fn cap() -> Result<u64> {
    const NAME: &str = "STOCKADE_STORE_MAX";
    match std::env::var(NAME) {
        Ok(text) if !text.is_empty() => units::parse_size(&text).map_err(|error| {
            Error::new(Kind::Usage, format!("{NAME}: {}", error.message())).help(error.help())
        }),
        _ => Ok(DEFAULT_CAP),
    }
}

/// The root for a box.
///
/// # Errors
/// The image is not there, is not what it should be, or is no place for what
/// the policy mounts.
pub fn choose(wanted: &Wanted<'_>, payload: Option<&File>, notes: &mut Vec<String>) -> Result<Chosen> {
    let by_closure = wanted.image.is_none() && wanted.policy.image == ImageSource::PayloadClosure;
    if let (true, Some((memory, path)), Some(payload)) = (by_closure, remembering(wanted), payload)
        && let Some(root) = memory.recall(&path, &closure_request(wanted, payload))
    {
        notes.extend(root.notes.iter().cloned());
        return Ok(Chosen { root, verified: Verify::Stamp.name(), store: None });
    }
    let store = match wanted.store {
        StoreChoice::None => None,
        _ if by_closure && wanted.root == RootChoice::Private => None,
        choice => match open_store(choice, wanted.uid)? {
            Ok(store) => Some(store),
            Err(problem) if by_closure => {
                notes.push(format!("no store ({problem}): the root is a private copy"));
                None
            }
            Err(problem) => return Err(Error::new(Kind::Host, problem.to_string()).help(problem.help())),
        },
    };
    if let Some(store) = &store {
        refuse_reachable_store(store.path(), wanted.binds)?;
    }
    if by_closure {
        let (root, verified) = closure(wanted, store.as_ref(), payload, notes)?;
        return Ok(Chosen { root, verified, store });
    }
    let Some(store) = store else {
        return Err(Error::new(Kind::Usage, "an image needs a store").help("leave the store at its place"));
    };
    let image = match wanted.image {
        Some(image) => *image,
        None => of_policy(&store, &wanted.policy.image)?,
    };
    let mounts = Mounts { dirs: wanted.dirs, files: wanted.files };
    if wanted.root == RootChoice::Private {
        let root = copied(&store, &image, mounts)?;
        return Ok(Chosen { root: Arc::new(root), verified: "copied", store: Some(store) });
    }
    let seen = store.view(&image, mounts)?;
    let verify = wanted.closeness();
    if !(seen.read && verify == Verify::Full) {
        look_at(&store, &seen.laid_out, verify)?;
    }
    let view = seen.view;
    let root = Root {
        id: image.id(),
        files: view.files,
        bytes: view.bytes,
        programs: view.programs,
        source: RootSource::from(seen.tree),
        top: view.top,
        notes: Vec::new(),
    };
    Ok(Chosen { root: Arc::new(root), verified: verify.name(), store: Some(store) })
}

/// As an ordinary user, the box has the caller's id: what it may write must not
/// hold the roots of later boxes.
fn refuse_reachable_store(store: &Path, binds: &[Bind]) -> Result<()> {
    let mut writable = binds.iter().filter(|b| b.write).peekable();
    if writable.peek().is_none() {
        return Ok(());
    }
    let Ok(store) = store.canonicalize() else { return Ok(()) };
    for bind in writable {
        let Ok(host) = bind.host.canonicalize() else { continue };
        if store.starts_with(&host) || host.starts_with(&store) {
            let message =
                format!("--rw {} gives the program the store in {}", bind.host.display(), store.display());
            return Err(Error::new(Kind::Usage, message)
                .help("it could change the roots of later boxes: bind a smaller directory, or use --store"));
        }
    }
    Ok(())
}

/// The payload's own needs and nothing else.
fn closure(
    wanted: &Wanted<'_>,
    store: Option<&Store>,
    payload: Option<&File>,
    notes: &mut Vec<String>,
) -> Result<(Arc<Root>, &'static str)> {
    let Some(payload) = payload else {
        return Err(
            Error::new(Kind::Usage, "there is no program to run").help("name one, or an image that has one")
        );
    };
    let request = closure_request(wanted, payload);
    let root = match store.zip(remembering(wanted)) {
        Some((store, (memory, path))) => memory.closure(store, &path, &request)?,
        None => Arc::new(image::closure(store, &request)?),
    };
    notes.extend(root.notes.iter().cloned());
    let verify = wanted.closeness();
    let verified = match (&root.source, store) {
        (RootSource::Tree { .. }, Some(store)) => {
            if let Some(digest) = Digest::from_id(&root.id) {
                look_at(store, &digest, verify)?;
            }
            verify.name()
        }
        _ => "copied",
    };
    Ok((root, verified))
}

fn closure_request<'a>(wanted: &Wanted<'a>, payload: &'a File) -> image::Request<'a> {
    image::Request {
        payload,
        mount_dirs: wanted.dirs,
        mount_files: wanted.files,
        uid: wanted.policy.user.uid,
        gid: wanted.policy.user.gid,
        loopback: wanted.policy.network == policy::model::Network::Loopback,
    }
}

/// Where the closure of a program that comes again is known from the time before, unless it is to be looked
/// at more closely than it is remembered by; and where the store is that it lies in.
fn remembering<'a>(wanted: &Wanted<'a>) -> Option<(&'a Memory, PathBuf)> {
    let memory = wanted.memory?;
    if wanted.closeness() != Verify::Stamp
        || wanted.root == RootChoice::Private
        || wanted.binds.iter().any(|bind| bind.write)
    {
        return None;
    }
    let explicit = match wanted.store {
        StoreChoice::At(path) => Some(path.as_path()),
        StoreChoice::Default => None,
        StoreChoice::None => return None,
    };
    let path = Store::locate(explicit, &|name| std::env::var_os(name), wanted.uid).ok()?;
    Some((memory, path))
}

/// The image that a policy names.
fn of_policy(store: &Store, source: &ImageSource) -> Result<Digest> {
    let digest = |id: &str| {
        Digest::from_id(id)
            .ok_or_else(|| Error::new(Kind::Policy, format!("'{id}' is not the id of an image")))
    };
    match source {
        ImageSource::PayloadClosure => Err(Error::new(Kind::Policy, "a closure is no image")),
        ImageSource::Named { name, id } => {
            let wanted = match id {
                Some(id) => Ref::Pinned(name.clone(), digest(id)?),
                None => Ref::Name(name.clone()),
            };
            store.find(&wanted).map_err(|problem| no_image(&problem))
        }
        ImageSource::Id(id) => store.find(&Ref::Id(digest(id)?)).map_err(|problem| no_image(&problem)),
        ImageSource::Recipe { recipe, program, id } => {
            let pin = id.as_deref().map(digest).transpose()?;
            let wanted = recipe::Wanted { recipe, program, pin: pin.as_ref() };
            recipe::image(store, &wanted, &OnTerminal)
        }
    }
}

/// Tells on a terminal that a first use takes longer.
struct OnTerminal;

impl Progress for OnTerminal {
    fn now(&self, what: &str) {
        use std::io::IsTerminal as _;
        let mut err = std::io::stderr();
        if err.is_terminal() {
            crate::error::no_matter(write!(err, "\r\x1b[K{what}…\r\x1b[K"), "nobody reads it");
        }
    }
}

/// An image that cannot be had.
#[must_use]
pub fn no_image(problem: &RefProblem) -> Error {
    Error::new(Kind::Usage, problem.to_string()).help(problem.help())
}

/// Compares the tree with its manifest; a difference refuses the run.
fn look_at(store: &Store, laid_out: &Digest, verify: Verify) -> Result<()> {
    let checked = match verify {
        Verify::Stamp => return Ok(()),
        Verify::Stat => store.verify_stat(laid_out),
        Verify::Full => store.verify_full(laid_out),
    };
    let checked =
        checked.map_err(|problem| Error::new(Kind::Host, problem.to_string()).help(problem.help()))?;
    let Some(first) = checked.mismatches.first() else { return Ok(()) };
    let more = match checked.mismatches.len() {
        1 => String::new(),
        n => format!(" (and {} more differences)", n - 1),
    };
    Err(Error::new(Kind::Host, format!("the image is not what it should be: {first}{more}"))
        .help("'stockade image verify' shows everything; build or import the image again"))
}

/// The whole image, in the supervisor's own memory, compared while it is read.
fn copied(store: &Store, image: &Digest, mounts: Mounts<'_>) -> Result<Root> {
    let unusable = |problem: StoreProblem| Error::new(Kind::Host, problem.to_string()).help(problem.help());
    let Some(manifest) = store.manifest(image).map_err(unusable)? else {
        return Err(no_image(&RefProblem::Missing(image.id())));
    };
    store.note_use("images", image);
    let laid_out = mounts.add_to(&manifest)?;
    let card = store.card(image).map_err(unusable)?;
    let summary = image::store::summarise(&laid_out, None, mounts.dirs.iter().chain(mounts.files).copied());
    let mut entries = Vec::with_capacity(laid_out.entries().len());
    for entry in laid_out.entries() {
        let (mode, kind) = match &entry.what {
            What::Dir { mode } => (*mode, image::PrivateKind::Dir),
            What::Symlink { target } => {
                (0o777, image::PrivateKind::Symlink(OsStr::from_bytes(target).into()))
            }
            What::File { mode, size: 0, .. } => (*mode, image::PrivateKind::File(Content::Bytes(Vec::new()))),
            What::File { mode, size, digest } => {
                (*mode, image::PrivateKind::Stored { digest: *digest, mode: *mode, size: *size })
            }
        };
        entries.push(image::PrivateEntry { path: entry.path().into(), mode, mtime: entry.mtime, kind });
    }
    let pack = pack(store, &entries)?;
    let (files, bytes, programs) = match card {
        Some(card) => (card.census.files, card.census.bytes, card.census.programs.len() as u64),
        None => (summary.files, summary.bytes, summary.programs),
    };
    let root = Root {
        id: image.id(),
        files,
        bytes,
        programs,
        source: RootSource::Packed { entries, pack },
        top: summary.top,
        notes: Vec::new(),
    };
    Ok(root)
}

/// All contents one after the other in a nameless file: nobody else has it, so
/// that what was compared is what is copied.
fn pack(store: &Store, entries: &[image::PrivateEntry]) -> Result<File> {
    let failed = |error: &std::io::Error| Error::new(Kind::Host, format!("memfd_create: {}", io_text(error)));
    let flags = nix::sys::memfd::MFdFlags::MFD_CLOEXEC;
    let pack = nix::sys::memfd::memfd_create(c"image", flags).map_err(|e| failed(&e.into()))?;
    let mut pack = File::from(pack);
    for entry in entries {
        let image::PrivateKind::Stored { digest, mode, size } = &entry.kind else { continue };
        let unreadable = |why: &str| {
            Error::new(
                Kind::Host,
                format!("the image is not what it should be: {}: {why}", entry.path.display()),
            )
            .help("'stockade image verify' shows everything; build or import the image again")
        };
        let content =
            store.content(digest, *mode, *size).map_err(|problem| unreadable(&problem.to_string()))?;
        let found =
            content.copy(|piece| pack.write_all(piece)).map_err(|error| unreadable(&io_text(&error)))?;
        if found != *digest {
            return Err(unreadable(&format!("digest is {found}, and should be {digest}")));
        }
    }
    Ok(pack)
}

/// Whether the program is in the root at all: told here, by its name, rather than
/// by the errno of an exec. What cannot be looked up is left to the exec.
///
/// # Errors
/// It is not there, or cannot be started.
pub fn check_program(image: &Root, program: &CString) -> Result<()> {
    let RootSource::Tree { path, .. } = &image.source else { return Ok(()) };
    let shown = program.to_string_lossy();
    let help = "'stockade image files' shows what is in it";
    let below = CString::new(program.as_bytes().strip_prefix(b"/").unwrap_or_default()).unwrap_or_default();
    let root = c_path(&path.join("root"))?;
    let open = |dir, path: &CString, resolve| sys::fd::openat2(dir, path, libc::O_PATH, 0, resolve);
    let Ok(root) = open(libc::AT_FDCWD, &root, sys::fd::Resolve::PLAIN) else { return Ok(()) };
    let found = match open(root.as_raw_fd(), &below, sys::fd::Resolve::IN_ROOT) {
        Ok(found) => found,
        Err(sys::Errno::ENOENT | sys::Errno::ENOTDIR | sys::Errno::ELOOP) => {
            return Err(Error::new(Kind::NotFound, format!("the image has no program '{shown}'")).help(help));
        }
        Err(_) => return Ok(()),
    };
    let Ok(is) = sys::fd::identity(found.as_fd()) else { return Ok(()) };
    if is.mode & libc::S_IFMT == libc::S_IFREG && is.mode & 0o111 != 0 {
        return Ok(());
    }
    let message = format!("'{shown}' in the image is not a program");
    Err(Error::new(Kind::NotRunnable, message).help(help))
}

/// The root for the plan, and what must stay open for it.
///
/// # Errors
/// A descriptor cannot be kept.
pub fn root_plan(image: &Root, choice: RootChoice) -> Result<(RootPlan, Vec<OwnedFd>)> {
    match &image.source {
        RootSource::Tree { path, dev, ino, .. } => {
            let back_end = match choice {
                RootChoice::Overlay => BackEnd::Overlay,
                RootChoice::Bind => BackEnd::Bind,
                RootChoice::Best | RootChoice::Private => BackEnd::Best,
            };
            // M looks for it from the root.
            let path = std::path::absolute(path).map_err(|e| Error::new(Kind::Host, io_text(&e)))?;
            Ok((RootPlan::Tree { path: c_path(&path)?, dev: *dev, ino: *ino, back_end }, Vec::new()))
        }
        RootSource::Private(entries) => private_plan(entries, None),
        RootSource::Packed { entries, pack } => private_plan(entries, Some(pack)),
    }
}

fn private_plan(entries: &[image::PrivateEntry], pack: Option<&File>) -> Result<(RootPlan, Vec<OwnedFd>)> {
    let failed = |e: std::io::Error| Error::new(Kind::Host, io_text(&e));
    let keep = |file: &File| sys::fd::dup_at_least(file.as_fd(), 3).map_err(|e| failed(e.into()));
    let pack = pack.map(keep).transpose()?;
    let pack_fd = pack.as_ref().map_or(-1, |fd| fd.as_raw_fd());
    let mut files: Vec<OwnedFd> = pack.into_iter().collect();
    let (mut bytes, mut offset) = (0u64, 0u64);
    let mut out = Vec::with_capacity(entries.len());
    for entry in entries {
        let Ok(below) = entry.path.strip_prefix("/") else { continue };
        if below.as_os_str().is_empty() {
            continue;
        }
        let kind = match &entry.kind {
            image::PrivateKind::Dir => PrivateKind::Dir,
            image::PrivateKind::Symlink(target) => PrivateKind::Link(c_path(target)?),
            image::PrivateKind::File(Content::Bytes(content)) => {
                bytes += (content.len() as u64).next_multiple_of(4096);
                PrivateKind::Bytes(content.clone())
            }
            image::PrivateKind::File(Content::Opened(file, size)) => {
                bytes += size.next_multiple_of(4096);
                let copy = keep(file)?;
                let from = copy.as_raw_fd();
                files.push(copy);
                PrivateKind::Copy { from, offset: 0, size: *size }
            }
            image::PrivateKind::Stored { size, .. } => {
                bytes += size.next_multiple_of(4096);
                let at = i64::try_from(offset).unwrap_or(i64::MAX);
                offset += size;
                PrivateKind::Copy { from: pack_fd, offset: at, size: *size }
            }
        };
        out.push(PrivateEntry {
            path: c_path(below)?,
            kind,
            mode: u32::from(entry.mode),
            mtime: entry.mtime,
            nanos: 0,
        });
    }
    let text = |text: String| CString::new(text).unwrap_or_default();
    // Directories take a page each on some kernels, long links another.
    let size = text((bytes + 64 * 1024 + 4096 * out.len() as u64 / 8).to_string());
    let inodes = text((out.len() + 16).to_string());
    Ok((RootPlan::Private { size, inodes, entries: out }, files))
}

/// What an image is started with.
#[derive(Debug)]
pub struct Start {
    /// The policy, its command and environment those of the image where it has any.
    pub policy: Policy,
    /// The image.
    pub image: Digest,
    /// Whether the first argument is a file of the host, the payload.
    pub takes_payload: bool,
}

/// How an image starts by itself: under the given policy, else its own, else
/// `native`; with its own entry point, else the policy's command.
///
/// # Errors
/// There is no such image, or it cannot start by itself.
pub fn start(store: &Store, name: &Ref, policy: Option<Policy>) -> Result<Start> {
    let image = store.find(name).map_err(|problem| no_image(&problem))?;
    let unusable = |problem: StoreProblem| Error::new(Kind::Host, problem.to_string()).help(problem.help());
    let header = match store.card(&image).map_err(unusable)? {
        Some(card) => Header::parse(&card.header).ok(),
        None => None,
    };
    let header = match header {
        Some(header) => header,
        None => match store.manifest(&image).map_err(unusable)? {
            Some(manifest) => manifest.header().clone(),
            None => return Err(no_image(&RefProblem::Missing(image.id()))),
        },
    };
    let own = header.policy.map(|digest| own_policy(store, &digest)).transpose()?;
    let has_entry = header.entry.is_some() || !header.args.is_empty();
    if !has_entry && policy.is_none() && own.is_none() {
        return Err(Error::new(Kind::Usage, "the image has no entry point and no policy")
            .help("say how to start it: -p POLICY"));
    }
    let mut policy = match policy.or(own) {
        Some(policy) => policy,
        None => policy::load_builtin("native")?,
    };
    if has_entry {
        let mut command = Vec::new();
        for word in header.entry.iter().chain(&header.args) {
            command.push(match word.as_slice() {
                b"{payload}" => Word::Payload,
                b"{args}" => Word::Args,
                other => Word::Literal(utf8(other)?),
            });
        }
        let by_payload = command.first() == Some(&Word::Payload);
        policy.argv0 = policy.argv0.filter(|_| by_payload);
        policy.command = command;
        policy.payload.executable = by_payload;
    }
    for (name, value) in &header.env {
        policy.env.insert(utf8(name)?, utf8(value)?);
    }
    let takes_payload = policy.command.contains(&Word::Payload);
    Ok(Start { policy, image, takes_payload })
}

fn utf8(word: &[u8]) -> Result<String> {
    String::from_utf8(word.to_vec()).map_err(|_| {
        Error::new(
            Kind::Usage,
            format!("the image starts with '{}', which is not UTF-8", word.escape_ascii()),
        )
    })
}

fn own_policy(store: &Store, digest: &Digest) -> Result<Policy> {
    let unusable = |problem: StoreProblem| Error::new(Kind::Host, problem.to_string()).help(problem.help());
    match store.policy(digest).map_err(unusable)? {
        Some(text) => Ok(policy::parse("the image's policy", &text)?),
        None => {
            Err(Error::new(Kind::Host, format!("the image's policy {} is not in the store", digest.id()))
                .help("say under which it is to run: -p POLICY"))
        }
    }
}
