//! Policy, host, image and request become a frozen plan.
//!
//! Everything that may fail for a reason outside the box fails here, before the
//! first process exists, with a message that says what to do.

mod seen;

use std::collections::BTreeSet;
use std::ffi::{CString, OsString};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI32, AtomicU32};
use std::sync::{Arc, OnceLock};

use self::seen::PayloadSeen;
pub use self::seen::{Payload, Seen, look};
use super::cgroup::{self, Leaf, World};
use super::explain::Explainer;
use super::host::Host;
use super::images::{self, RootChoice, StoreChoice};
use super::order::{self, Step};
use super::out::{OpenOut, Out};
use super::plan::{ENTRY_FDS, Entry, Late, Plan};
use super::root::{Bind, ExpectedMount, Layout, OpenBind};
use super::streams::{self, Ends, Input, Output, Streams};
use super::work::{Brought, OpenWork, Work};
use super::{blockers, landlock, rlimits, seccomp, spread};
use crate::Layer;
use crate::error::{Error, Kind, Result, io_text};
use crate::image::digest::Digest;
use crate::image::{Root, Store};
use crate::policy::model::{Network, OnOutput, Policy, Verify, Word};
use crate::policy::share;
use crate::sys;
use crate::sys::process::StringArray;

/// Calls that pid 1 of the box makes after its filter is in force.
const INIT_CALLS: [i64; 9] = [
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_prctl,
    libc::SYS_poll,
    libc::SYS_restart_syscall,
    libc::SYS_close,
    libc::SYS_munmap,
    libc::SYS_pause,
    libc::SYS_exit_group,
];

/// What is asked for, before anything is looked at.
#[derive(Debug)]
pub struct Request {
    /// The policy, overrides applied.
    pub policy: Arc<Policy>,
    /// The host file that is the payload; `None`: an image runs by itself.
    pub program: Option<PathBuf>,
    /// An image in place of the policy's.
    pub image: Option<Digest>,
    /// How the root is made immutable.
    pub root: RootChoice,
    /// How closely the image is looked at, if closer than the policy wants.
    pub verify: Option<Verify>,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Added to the policy's environment.
    pub env: Vec<(String, OsString)>,
    /// Files and directories of the host.
    pub binds: Vec<Bind>,
    /// What is collected after the box is dead.
    pub outs: Vec<Out>,
    /// A directory that is copied into the box.
    pub work: Option<Work>,
    /// Standard input.
    pub stdin: Input,
    /// Standard output.
    pub stdout: Output,
    /// Standard error.
    pub stderr: Output,
    /// Layers that may be missing, besides the policy's own.
    pub degrade: BTreeSet<Layer>,
    /// A delegated cgroup.
    pub cgroup: Option<PathBuf>,
    /// Where closures are kept.
    pub store: StoreChoice,
    /// Whether the report must have the payload's digest.
    pub want_digest: bool,
    /// Said in the report's notes.
    pub notes: Vec<String>,
    /// Whether the report must say what the policy stood in the way of.
    pub explain: bool,
    /// The CPU that the payload is to start on, and to keep to.
    pub cpu: Option<usize>,
}

impl Request {
    /// For an image that runs by itself, where nothing else is said.
    #[must_use]
    pub fn new(policy: Arc<Policy>) -> Self {
        Self {
            policy,
            program: None,
            image: None,
            root: RootChoice::default(),
            verify: None,
            args: Vec::new(),
            env: Vec::new(),
            binds: Vec::new(),
            outs: Vec::new(),
            work: None,
            stdin: Input::Null,
            stdout: Output::Null,
            stderr: Output::Null,
            degrade: BTreeSet::new(),
            cgroup: None,
            store: StoreChoice::Default,
            want_digest: true,
            notes: Vec::new(),
            explain: false,
            cpu: None,
        }
    }
}

/// What a launch needs.
#[derive(Debug)]
pub struct Compiled {
    /// What the children follow.
    pub plan: Plan,
    /// The policy in force.
    pub policy: Arc<Policy>,
    /// The root.
    pub image: Arc<Root>,
    /// How it was looked at.
    pub verified: &'static str,
    /// The supervisor's side of the streams.
    pub streams: Streams,
    /// The box's cgroup, once the launch has made it.
    pub leaf: Option<Leaf>,
    /// Which cgroup version.
    pub cgroup: Option<cgroup::Version>,
    /// Lines that the payload's `/proc/<pid>/cgroup` must have, likewise.
    pub cgroup_lines: Vec<String>,
    /// Where leaves are made, to be swept of orphans.
    pub world: Option<Arc<World>>,
    /// Where roots are kept, to be swept of what dead writers have left.
    pub store: Option<Store>,
    /// Mounts that must be seen.
    pub expected_mounts: Vec<ExpectedMount>,
    /// Layers that may be missing.
    pub degrade: BTreeSet<Layer>,
    /// Layers that are known to be missing already, with the reason.
    pub missing: Vec<(Layer, String)>,
    /// Facts worth knowing that weaken nothing.
    pub notes: Vec<String>,
    /// File name of the payload, if there is one.
    pub payload_name: Option<String>,
    /// The control socket, the supervisor's end.
    pub control: OwnedFd,
    /// Where the job is handed in that comes later, likewise.
    pub job: Option<LaterEnds>,
    /// The network namespace of the thread that makes the box, where it has none of its own.
    pub network: Option<u64>,
    /// The CPU that the payload is to start on, and to keep to.
    pub cpu: Option<usize>,
    /// Inodes of the three pipes.
    pub pipes: [u64; 3],
    /// Filters that the payload gets.
    pub filters: u64,
    /// Instructions in them.
    pub instructions: usize,
    /// Everything that the children use by number and the supervisor closes after the clone.
    pub for_children: Vec<OwnedFd>,
    /// Binds' mounts, likewise.
    pub binds: Vec<OpenBind>,
    /// Where on the host goes what the box makes.
    pub outs: Vec<OpenOut>,
    /// What was copied into the box.
    pub work: Option<Brought>,
    /// Whether the report must have the payload's digest.
    pub want_digest: bool,
    /// That digest, where it is known without looking at the box's copy.
    pub sha256: Option<String>,
    /// Hears of what is refused, where that is asked for.
    pub explainer: Option<Explainer>,
}

/// Where what a job brings goes into a box that was made ahead.
#[derive(Debug)]
pub struct LaterEnds {
    /// Its payload, to M.
    pub payload: OwnedFd,
    /// Its words, to P, which they let go.
    pub gate: OwnedFd,
}

/// Compiles a request.
///
/// # Errors
/// Whatever stands in the way, with what to do about it.
pub fn compile(request: Request) -> Result<Compiled> {
    let seen = look(&request, None)?;
    assemble(request, seen, None)
}

/// How a box is made before its job is known.
#[derive(Debug)]
pub struct Ahead {
    /// The empty network namespace that the box stays in: that of the thread which makes it.
    pub network: Option<u64>,
    /// What it is likely to be given: copied beforehand, and replaced if it is something else.
    pub payload: Option<Payload>,
}

/// Makes the plan of what was asked for and what was found. `ahead`: the job comes later.
///
/// # Errors
/// Whatever stands in the way, with what to do about it.
pub fn assemble(request: Request, seen: Seen, ahead: Option<Ahead>) -> Result<Compiled> {
    let host = Host::get();
    let as_root = host.uid == 0;
    let payload_size = seen.payload_size();
    let Seen { payload, binds, outs, work, with_places, image, verified, store, notes: found } = seen;
    let (is_ahead, network, likely) = match ahead {
        Some(Ahead { network, payload }) => (true, network, payload),
        None => (false, None, None),
    };
    let payload = match payload {
        PayloadSeen::Open(payload) => Some(payload),
        PayloadSeen::Later => likely,
        PayloadSeen::None => None,
    };
    let policy = with_places.map_or(request.policy, Arc::new);
    let degrade: BTreeSet<Layer> = policy.degrade.union(&request.degrade).copied().collect();
    let mut missing = Vec::new();
    let mut notes = request.notes;
    notes.extend(found);
    let layout = Layout::new(&policy, &binds)?;
    let mut prepared = layout.prepare(&image, payload_size)?;
    let (work, work_pack) = match work {
        Some(OpenWork { entries, pack, told }) => {
            prepared.fill(&told.at, entries);
            (Some(told), Some(pack))
        }
        None => (None, None),
    };
    let landlock = landlock_plan(&policy, prepared.grants, host, &degrade, &mut missing)?;
    let world = find_cgroup(request.cgroup.as_deref(), &degrade, &mut missing)?;
    let ordinary = seccomp::filters_of(&policy)?;
    let rules = || seccomp::Rules::of(&policy, &seccomp::table);
    let explaining = request.explain.then(|| seccomp::compile_explaining(&rules())).transpose()?;
    let program = program_path(&policy)?;
    if policy.command.first() != Some(&Word::Payload) {
        images::check_program(&image, &program)?;
    }
    let argv = arguments(&policy, request.program.as_deref(), &request.args)?;
    let envp = environment(&policy, &request.env)?;

    // From here on, things exist that must go away again.
    let cut = policy.limits.on_output == OnOutput::Cut;
    let ends = Ends { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
    let (streams, inside) = order::own_step(Step::MakePipes, 0, || {
        let (mut streams, inside) = streams::open(policy.limits.output, cut)?;
        if !is_ahead {
            streams.connect(ends)?;
        }
        Ok((streams, inside))
    })
    .map_err(|e| no_streams(&e))?;
    let pairs = || {
        let job = is_ahead.then(sys::fd::socket_pair).transpose()?;
        let gate = if is_ahead { sys::fd::socket_pair()? } else { sys::fd::pipe()? };
        Ok((sys::fd::socket_pair()?, gate, job))
    };
    let ((control, control_child), (gate_read, gate_write), job) =
        order::own_step(Step::MakePipes, 1, pairs).map_err(|e| no_streams(&e))?;
    let (job, job_child) = job.unzip();

    let stdio = inside.numbers();
    let pipes = [&inside.stdin, &inside.stdout, &inside.stderr]
        .map(|fd| sys::fd::identity(fd.as_fd()).map_or(0, |i| i.ino));
    let nonce = nonce()?;
    let explainer = request
        .explain
        .then(|| Explainer::new(Policy::clone(&policy), request.binds, ordinary.with_nonce(nonce), nonce));
    let filters = explaining.as_ref().unwrap_or(&ordinary);
    let compiled = filters.with_nonce(nonce);
    let (root, root_files) = images::root_plan(&image, request.root)?;
    let entry = world.as_deref().map_or(Entry::None, World::entry);
    let mut keep: Vec<RawFd> = [&control_child, &gate_read, &gate_write].map(|fd| fd.as_raw_fd()).into();
    keep.extend(job_child.iter().map(|fd| fd.as_raw_fd()));
    keep.extend(payload.iter().map(|p| p.file.as_raw_fd()));
    keep.extend(work_pack.iter().map(|fd| fd.as_raw_fd()));
    keep.extend(root_files.iter().map(|fd| fd.as_raw_fd()));
    keep.extend(binds.iter().filter_map(OpenBind::mount_fd));
    keep.sort_unstable();

    let ids = |id: u32| c_string(&id.to_string());
    let map = |id: u32| format!("{id} {id} 1").into_bytes();
    let plan = Plan {
        supervisor: std::process::id(),
        as_root,
        uid: policy.user.uid,
        gid: policy.user.gid,
        uid_text: ids(policy.user.uid)?,
        gid_text: ids(policy.user.gid)?,
        hostname: policy.hostname.clone().into_bytes(),
        own_network: network.is_none(),
        cpus: if is_ahead { None } else { spread::choice() },
        loopback: policy.network == Network::Loopback,
        control: control_child.as_raw_fd(),
        gate_read: gate_read.as_raw_fd(),
        gate_write: gate_write.as_raw_fd(),
        stdio,
        keep,
        payload: payload.as_ref().map_or(-1, |p| p.file.as_raw_fd()),
        payload_size: payload.as_ref().map_or(0, |p| p.size),
        root,
        mounts: prepared.mounts,
        proc_at: prepared.proc_at,
        proc_optional: prepared.proc_optional,
        entry,
        entry_fds: [const { AtomicI32::new(-1) }; ENTRY_FDS],
        cwd: c_string(&policy.cwd)?,
        inner_maps: [map(policy.user.uid), map(policy.user.gid)],
        rlimits: rlimits::prepare(&policy.limits, world.is_some()),
        last_cap: host.last_cap,
        landlock,
        listener: compiled.listener,
        filter: compiled.main,
        init_filter: init_filter()?,
        program,
        late: job_child.as_ref().map(|fd| Late {
            job: fd.as_raw_fd(),
            place: AtomicI32::new(-1),
            words: sys::words::Words::default(),
        }),
        argv,
        envp,
        nonce,
        init_stack: sys::clone::Stack::default(),
        payload_stack: sys::clone::Stack::default(),
        built: AtomicU32::new(0),
        init_fd: AtomicI32::new(-1),
        has_fs_ids: AtomicU32::new(0),
        init_has_namespaces: AtomicU32::new(0),
        payload_has_joined: AtomicU32::new(0),
        init_has_ids: AtomicU32::new(0),
        root_fd: AtomicI32::new(-1),
        host_proc: AtomicI32::new(-1),
        #[cfg(feature = "fault-injection")]
        inject: super::inject::from_environment()?,
        #[cfg(feature = "ablation")]
        spoilt: super::ablation::from_environment()?,
    };
    let mut for_children = vec![control_child, gate_read];
    for_children.extend(job_child);
    let job = match job {
        Some(payload) => Some(LaterEnds { payload, gate: gate_write }),
        None => {
            for_children.push(gate_write);
            None
        }
    };
    let payload_name = payload.as_ref().map(|p| p.name.clone());
    for_children.extend(payload.map(|p| OwnedFd::from(p.file)));
    for_children.extend([inside.stdin, inside.stdout, inside.stderr]);
    for_children.extend(root_files);
    for_children.extend(work_pack);
    Ok(Compiled {
        filters: filters.filters() as u64,
        instructions: filters.instructions(),
        plan,
        expected_mounts: prepared.expected,
        image,
        verified,
        streams,
        cgroup: world.as_deref().map(World::version),
        cgroup_lines: Vec::new(),
        world,
        store,
        leaf: None,
        degrade,
        missing,
        notes,
        want_digest: request.want_digest && payload_size.is_some(),
        sha256: None,
        payload_name,
        control,
        job,
        network,
        cpu: request.cpu,
        pipes,
        for_children,
        explainer,
        binds,
        outs,
        work,
        policy,
    })
}

impl Compiled {
    /// A box made ahead gets what of its job stays on this side. `sha256` is the payload's, where it
    /// is known.
    ///
    /// # Errors
    /// A stream of the caller's cannot be used.
    pub fn equip(&mut self, request: Request, seen: &Seen, sha256: Option<String>) -> Result<()> {
        let ends = Ends { stdin: request.stdin, stdout: request.stdout, stderr: request.stderr };
        self.streams.connect(ends).map_err(|e| no_streams(&e))?;
        let of_box = std::mem::replace(&mut self.notes, request.notes);
        self.notes.extend(seen.notes.iter().cloned().chain(of_box));
        self.verified = seen.verified;
        self.plan.payload_size = seen.payload().map_or(0, |payload| payload.size);
        self.payload_name = seen.payload().map(|payload| payload.name.clone());
        self.sha256 = sha256.filter(|_| request.want_digest);
        self.want_digest = request.want_digest && self.payload_name.is_some() && self.sha256.is_none();
        self.cpu = request.cpu;
        Ok(())
    }
}

/// That of pid 1, the same for every box.
fn init_filter() -> Result<Vec<seccomp::sock_filter>> {
    static COMPILED: OnceLock<Vec<seccomp::sock_filter>> = OnceLock::new();
    if let Some(filter) = COMPILED.get() {
        return Ok(filter.clone());
    }
    let filter = seccomp::compile_init(&INIT_CALLS.map(|nr| u32::try_from(nr).unwrap_or(u32::MAX)))?;
    Ok(COMPILED.get_or_init(|| filter).clone())
}

fn no_streams(e: &std::io::Error) -> Error {
    let line = Step::MakePipes.line();
    let error = Error::new(Kind::Setup, format!("{}: {}: {}", line.name, line.call, io_text(e)));
    if e.raw_os_error() == Some(libc::EMFILE) { error.help(blockers::no_descriptors().help()) } else { error }
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::new(Kind::Usage, format!("{text:?} has a NUL byte in it")))
}

fn landlock_plan(
    policy: &Policy,
    grants: Vec<landlock::Grant>,
    host: &Host,
    degrade: &BTreeSet<Layer>,
    missing: &mut Vec<(Layer, String)>,
) -> Result<Option<super::plan::LandlockPlan>> {
    let (abi, needed) = (host.landlock_abi, policy.landlock_min_abi);
    if abi < needed {
        let blocker = blockers::no_landlock(abi, host.landlock_errno, needed);
        if !degrade.contains(&Layer::Landlock) {
            return Err(Error::new(Kind::Host, blocker.what).help(blocker.fix));
        }
        missing.push((Layer::Landlock, blocker.what));
    }
    Ok((abi > 0).then(|| landlock::prepare(abi, grants, policy.network == Network::Loopback)))
}

fn find_cgroup(
    explicit: Option<&Path>,
    degrade: &BTreeSet<Layer>,
    missing: &mut Vec<(Layer, String)>,
) -> Result<Option<Arc<World>>> {
    match cgroup::find_again(explicit) {
        Ok(world) => Ok(Some(world)),
        Err(unavailable) if degrade.contains(&Layer::Cgroup) => {
            missing.push((Layer::Cgroup, unavailable.reason));
            Ok(None)
        }
        Err(unavailable) => {
            let reason = format!("no cgroup for the box: {}", unavailable.reason);
            Err(Error::new(Kind::Host, reason).help(unavailable.help))
        }
    }
}

/// Three fresh random words.
fn nonce() -> Result<[u32; 3]> {
    let mut bytes = [0u8; 12];
    sys::time::random(&mut bytes)
        .map_err(|e| Error::new(Kind::Host, format!("getrandom: {}", crate::error::errno_text(e as i32))))?;
    let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    Ok([word(0), word(4), word(8)])
}

/// What is executed: the first word of the command.
fn program_path(policy: &Policy) -> Result<CString> {
    match policy.command.first() {
        Some(Word::Literal(path)) => c_string(path),
        Some(Word::Payload) => c_string(&policy.payload.path),
        _ => Err(Error::new(Kind::Policy, "the command does not start with a program")),
    }
}

/// The program's arguments, its name first.
///
/// # Errors
/// One has a NUL byte in it.
pub fn arguments(policy: &Policy, program: Option<&Path>, args: &[OsString]) -> Result<StringArray> {
    let mut words: Vec<OsString> = Vec::with_capacity(policy.command.len() + args.len());
    let mut add = |word: &Word| match word {
        Word::Literal(text) => words.push(share::fill_in(text, policy.limits.memory).into()),
        Word::Payload => words.push(policy.payload.path.clone().into()),
        Word::Given => words.push(program.map_or_else(|| policy.payload.path.clone().into(), shown_name)),
        Word::Args => words.extend(args.iter().cloned()),
    };
    let (first, rest) = policy.command.split_first().map_or((None, &[][..]), |(f, r)| (Some(f), r));
    if let Some(name) = policy.argv0.as_ref().or(first) {
        add(name);
    }
    rest.iter().for_each(add);
    let strings = words.into_iter().map(|w| {
        let shown = w.to_string_lossy().into_owned();
        CString::new(w.into_vec())
            .map_err(|_| Error::new(Kind::Usage, format!("the argument {shown:?} has a NUL byte in it")))
    });
    Ok(StringArray::new(strings.collect::<Result<_>>()?))
}

/// The program as the caller wrote it; of an absolute path outside the system's
/// own directories only the file name, because the rest would tell the payload
/// where on the host, and whose, it is.
fn shown_name(program: &Path) -> OsString {
    const SYSTEM: [&str; 5] = ["/usr", "/bin", "/sbin", "/lib", "/lib64"];
    let telling = program.is_absolute() && !SYSTEM.iter().any(|dir| program.starts_with(dir));
    let name = if telling { program.file_name().unwrap_or_default() } else { program.as_os_str() };
    name.to_owned()
}

/// The policy's variables and the request's.
///
/// # Errors
/// One has a NUL byte in it, or a name that is none.
pub fn environment(policy: &Policy, added: &[(String, OsString)]) -> Result<StringArray> {
    if let Some((name, _)) = added.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
        let message = format!("{name:?} is not the name of an environment variable");
        return Err(Error::new(Kind::Usage, message).help("a name is not empty and has no '=' in it"));
    }
    let memory = policy.limits.memory;
    let mut all: std::collections::BTreeMap<&str, OsString> =
        policy.env.iter().map(|(k, v)| (k.as_str(), share::fill_in(v, memory).into())).collect();
    all.extend(added.iter().map(|(k, v)| (k.as_str(), v.clone())));
    let strings = all.into_iter().map(|(name, value)| {
        let mut line = OsString::from(name);
        line.push("=");
        line.push(value);
        CString::new(line.into_vec()).map_err(|_| {
            Error::new(Kind::Usage, format!("the environment variable {name} has a NUL byte in it"))
        })
    });
    Ok(StringArray::new(strings.collect::<Result<_>>()?))
}

/// Directories of the box that are file systems in memory, for the evidence.
#[must_use]
pub fn tmpfs_paths(policy: &Policy) -> Vec<&str> {
    policy.paths.iter().filter(|p| p.from.memory().is_some()).map(|p| p.at.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variable_without_a_proper_name_is_refused() {
        let policy = crate::policy::load_builtin("native").unwrap();
        let with = |name: &str| environment(&policy, &[(name.to_owned(), "1".into())]);
        assert!(with("A").is_ok());
        for wrong in ["", "A=B", "="] {
            assert!(with(wrong).unwrap_err().message().contains("is not the name"), "{wrong:?}");
        }
    }

    #[test]
    fn shown_name_keeps_what_was_typed_but_not_where_it_lies() {
        let shown = |p: &str| shown_name(Path::new(p)).into_string().unwrap();
        assert_eq!(shown("./a.out"), "./a.out");
        assert_eq!(shown("a.out"), "a.out");
        assert_eq!(shown("/usr/bin/sort"), "/usr/bin/sort");
        assert_eq!(shown("/home/alice/secret/a.out"), "a.out");
        assert_eq!(shown("/usrlocal/x"), "x");
    }
}
