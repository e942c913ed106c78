//! A run from request to report, and the library's way to ask for one.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use nix::sys::eventfd::{EfdFlags, EventFd};

use super::cgroup;
use super::compile::{self, Compiled, LaterEnds, Request};
use super::digesting::Digesting;
use super::host::Host;
use super::images::{RootChoice, StoreChoice};
use super::launch::{self, Facts, Launched, Stopped};
use super::meter::Meter;
use super::out::{self, Collected, Out};
use super::plan::Plan;
use super::root::Bind;
use super::streams::{Input, Output};
use super::supervise::{Cancel, Supervised, Supervisor};
use super::verify;
use super::watch::{self, Watch};
use super::work::Work;
use crate::Layer;
use crate::error::{Error, Kind, Result, errno_text, io_text, no_matter};
use crate::image::Root;
use crate::image::digest::Digest;
use crate::policy::model::{OnViolation, Policy, Verify};
use crate::report::evidence::{Evidence, Rule};
use crate::report::model::{
    self, CleanupReport, DecidedBy, HostReport, ImageReport, LimitsReport, PayloadReport, PolicyReport,
    Report, SCHEMA, UsageReport, ViolationReport,
};
use crate::sys::{signal, time};

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The report.
    pub report: Report,
    /// What was captured of standard output.
    pub stdout: Vec<u8>,
    /// What was captured of standard error.
    pub stderr: Vec<u8>,
}

/// Runs a request on this thread, which must live until the end: when it ends, so
/// does the box. `started` is called when the payload runs.
///
/// # Errors
/// The request was refused before anything was made.
pub fn run(request: Request, cancel: &dyn Cancel, started: impl FnOnce()) -> Result<Outcome> {
    let begin = Begin::now()?;
    let mut compiled = compile::compile(request)?;
    let launched = launch::launch(&mut compiled, cancel.fd());
    Ok(begin.finish(compiled, launched, cancel, started).0)
}

/// What is left of a box that has ended: memory and descriptors of this process alone, which can go when
/// there is time for it.
#[derive(Debug)]
pub struct Remains {
    _plan: Plan,
    _watched: Option<(Meter, Launched)>,
    _image: Arc<Root>,
    _sockets: (OwnedFd, Option<LaterEnds>),
    /// What held its mounts.
    pub mounts: Option<File>,
}

impl Remains {
    /// The caller's own descriptors are closed here and now.
    fn of(compiled: Compiled, watched: Option<(Meter, Launched)>) -> Self {
        let Compiled { plan, image, control, job, .. } = compiled;
        Self { _plan: plan, _watched: watched, _image: image, _sockets: (control, job), mounts: None }
    }
}

/// A run that was asked for.
#[derive(Debug)]
pub struct Begin {
    id: String,
    at_ns: u64,
}

impl Begin {
    /// Now.
    ///
    /// # Errors
    /// Nobody would be told how the program ends.
    pub fn now() -> Result<Self> {
        let at_ns = time::monotonic_ns();
        refuse_forgotten_children()?;
        Ok(Self { id: run_id(), at_ns })
    }

    /// Watches what was launched, or tells why nothing was. `started` is called when the payload runs.
    pub fn finish(
        self,
        compiled: Compiled,
        launched: std::result::Result<Launched, Stopped>,
        cancel: &dyn Cancel,
        started: impl FnOnce(),
    ) -> (Outcome, Remains) {
        match launched {
            Ok(launched) => {
                started();
                supervised(self.id, self.at_ns, compiled, launched, cancel)
            }
            Err(stopped) => not_launched(self.id, self.at_ns, compiled, stopped, cancel),
        }
    }
}

/// Without their status, nothing could be said of how the payload ended.
fn refuse_forgotten_children() -> Result<()> {
    match signal::forgets_children() {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::new(
            Kind::Host,
            "SIGCHLD is ignored in this process: the kernel would not tell how the program ends",
        )
        .help("set SIGCHLD to its default, without SA_NOCLDWAIT, before running a box")),
        Err(e) => Err(Error::new(Kind::Host, format!("rt_sigaction(SIGCHLD): {}", errno_text(e as i32)))),
    }
}

/// The box was never started: the report says why.
fn not_launched(
    id: String,
    begin: u64,
    mut compiled: Compiled,
    stopped: Stopped,
    cancel: &dyn Cancel,
) -> (Outcome, Remains) {
    let setup_ns = time::monotonic_ns().saturating_sub(begin);
    let mut evidence = Evidence { limits: Some(compiled.policy.limits.clone()), ..Evidence::none() };
    match stopped {
        Stopped::Failed(words) => evidence.setup_failed = Some(words),
        Stopped::Cancelled => {
            evidence.cancelled_by = cancel.signal();
            evidence.cancelled_at_ns = Some(0);
        }
    }
    let left = remove(compiled.leaf.take());
    let facts = Facts::default();
    let times = Times { setup_ns, teardown_ns: 0, ran: false };
    let report = report(id, &compiled, &facts, &evidence, &times, None, left);
    (Outcome { report, stdout: Vec::new(), stderr: Vec::new() }, Remains::of(compiled, None))
}

/// Watches the box to its end and tells about it.
fn supervised(
    id: String,
    begin: u64,
    mut compiled: Compiled,
    mut launched: Launched,
    cancel: &dyn Cancel,
) -> (Outcome, Remains) {
    let setup_ns = launched.started_ns.saturating_sub(begin);
    let digest = launched.payload_copy.take().filter(|_| compiled.want_digest).map(Digesting::begin);
    let facts = std::mem::take(&mut launched.facts);
    launched.facts.place = facts.place.clone();
    let meter = match compiled.leaf.take() {
        Some(leaf) => Meter::Cgroup { leaf, baseline: launched.baseline },
        None => Meter::Watch(Watch::new(watch::Start {
            pidns: facts.place.namespaces[2],
            roots: [launched.init.pid, launched.payload.pid],
            tmpfs: launched.tmpfs.iter().filter_map(|f| f.try_clone().ok()).collect(),
            before_ns: facts.before_ns,
            before: facts.ready.map(|r| r.usage).unwrap_or_default(),
            limit: compiled.policy.limits.memory,
        })),
    };
    let outs = std::mem::take(&mut launched.outs);
    let supervisor = Supervisor::new(
        (launched, compiled.control.as_fd()),
        meter,
        &mut compiled.streams,
        &compiled.policy.limits,
        &compiled.policy.syscalls,
        cancel,
    )
    .explaining(compiled.explainer.take());
    let Supervised { mut evidence, meter, launched, left, teardown_ns, explainer } = supervisor.run();
    let outputs = collected(&compiled, outs, &mut evidence);
    let sha256 = match digest.map(Digesting::finish) {
        None => compiled.sha256.take(),
        Some(Ok(hex)) => Some(hex),
        Some(Err(e)) => {
            evidence.failure.get_or_insert(format!("cannot read the payload's copy: {}", io_text(&e)));
            None
        }
    };
    let times = Times { setup_ns, teardown_ns, ran: true };
    let mut report = report(id, &compiled, &facts, &evidence, &times, sha256, left);
    report.outputs = outputs;
    if let Some(explainer) = explainer {
        report.explanations = Some(explainer.explain(&report.limits_hit, evidence.ended));
        report.notes.extend(explainer.remark());
    }
    let stdout = compiled.streams.stdout.take_captured();
    let stderr = compiled.streams.stderr.take_captured();
    (Outcome { report, stdout, stderr }, Remains::of(compiled, Some((meter, launched))))
}

/// What the box has made goes to its caller, unless nobody wants it any more or
/// something of the box may still be alive.
fn collected(compiled: &Compiled, tops: Vec<File>, evidence: &mut Evidence) -> Option<Vec<Collected>> {
    if compiled.outs.is_empty() || evidence.failure.is_some() || evidence.cancelled_at_ns.is_some() {
        return None;
    }
    let mut outputs = Vec::with_capacity(tops.len());
    for (top, out) in tops.iter().zip(&compiled.outs) {
        match out::collect(top, out) {
            Ok(collected) => outputs.push(collected),
            Err(e) => {
                let words = format!("cannot collect into {}: {}", out.shown.display(), io_text(&e));
                evidence.failure.get_or_insert(words);
            }
        }
    }
    Some(outputs)
}

/// Removes the cgroup; answers what stays.
pub fn remove(leaf: Option<cgroup::Leaf>) -> Vec<String> {
    leaf.map(|mut leaf| leaf.remove()).unwrap_or_default()
}

/// Sorts by time, and is not to be guessed: 48 bits of milliseconds, 80 random ones.
fn run_id() -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let mut bytes = [0u8; 16];
    bytes[..8].copy_from_slice(&(u64::try_from(now.as_millis()).unwrap_or(0) << 16).to_be_bytes());
    no_matter(time::random(&mut bytes[6..]), "the time alone still tells runs apart");
    let number = u128::from_be_bytes(bytes);
    (0..26)
        .rev()
        .map(|i| char::from(ALPHABET[usize::try_from(number >> (5 * i) & 31).unwrap_or(0)]))
        .collect()
}

/// How long things took besides the run itself.
struct Times {
    setup_ns: u64,
    teardown_ns: u64,
    ran: bool,
}

fn report(
    id: String,
    compiled: &Compiled,
    facts: &Facts,
    evidence: &Evidence,
    times: &Times,
    sha256: Option<String>,
    left: Vec<String>,
) -> Report {
    let judged = model::judge(evidence);
    let decision = judged.decision;
    let kills = compiled.policy.syscalls.on_violation == OnViolation::Kill;
    let action = if kills { "killed" } else { "refused" };
    let mut degraded: Vec<Layer> = compiled.missing.iter().map(|(layer, _)| *layer).collect();
    degraded.sort_unstable();
    degraded.dedup();
    let streams = &compiled.streams;
    Report {
        schema: SCHEMA,
        stockade: env!("CARGO_PKG_VERSION"),
        id,
        verdict: decision.verdict,
        reason: decision.reason,
        decided_by: DecidedBy { rule: decision.rule.name(), at_ns: decision.at_ns, killed: decision.killed },
        exit_code: judged.exit_code,
        signal: judged.signal,
        usage: times.ran.then(|| UsageReport {
            cpu_ns: evidence.cpu_ns,
            user_ns: evidence.user_ns,
            system_ns: evidence.system_ns,
            split: if compiled.cgroup == Some(cgroup::Version::V2) { "counted" } else { "sampled" },
            wall_ns: evidence.wall_ns,
            memory_peak_bytes: evidence.memory_peak,
            processes_peak: evidence.processes_peak,
            oom_kills: evidence.oom_kills,
            forks_refused: evidence.forks_refused,
            context_switches: evidence.payload.switches,
            payload_cpu_ns: (evidence.payload.user_ns + evidence.payload.system_ns)
                .saturating_sub(facts.ready.map_or(0, |r| r.usage.user_ns + r.usage.system_ns)),
            stdin_bytes: streams.stdin.bytes(),
            stdout_bytes: evidence.stdout.bytes,
            stderr_bytes: evidence.stderr.bytes,
            stdout_truncated: evidence.stdout.truncated,
            stderr_truncated: evidence.stderr.truncated,
        }),
        setup_ns: times.setup_ns,
        teardown_ns: times.teardown_ns,
        limits: Some(LimitsReport::from(&compiled.policy.limits)),
        limits_hit: judged.limits_hit,
        violations: evidence.violations.iter().map(|v| ViolationReport::new(v, action)).collect(),
        layers: if times.ran { verify::layers(compiled, facts) } else { verify::unknown_layers() },
        degraded,
        notes: compiled.notes.iter().cloned().chain(streams.stdin.note()).collect(),
        policy: Some(PolicyReport {
            name: compiled.policy.name.clone(),
            digest: compiled.policy.digest.clone(),
        }),
        image: Some(ImageReport {
            id: compiled.image.id.clone(),
            files: compiled.image.files,
            bytes: compiled.image.bytes,
            programs: compiled.image.programs,
            verified: compiled.verified,
        }),
        payload: compiled.payload_name.clone().map(|name| PayloadReport {
            sha256,
            bytes: compiled.plan.payload_size,
            name,
        }),
        host: host_report(compiled.cgroup),
        cleanup: CleanupReport { ok: left.is_empty(), left },
        work: compiled.work.clone(),
        outputs: None,
        explanations: compiled.explainer.is_some().then(Vec::new),
        exit_status: judged.exit_status,
    }
}

fn host_report(version: Option<cgroup::Version>) -> HostReport {
    let host = Host::get();
    HostReport {
        kernel: host.kernel.clone(),
        landlock_abi: host.landlock_abi,
        cgroup: version.map_or("none", cgroup::Version::name),
        uid: host.uid,
    }
}

/// The report of a request that was refused before anything was made.
#[must_use]
pub fn refusal_report(error: &Error) -> Report {
    let words = Some(error.message().to_owned());
    let evidence = match error.kind() {
        Kind::Sandbox => Evidence { failure: words, ..Evidence::none() },
        _ => Evidence { setup_failed: words, ..Evidence::none() },
    };
    let judged = model::judge(&evidence);
    Report {
        schema: SCHEMA,
        stockade: env!("CARGO_PKG_VERSION"),
        id: run_id(),
        verdict: judged.decision.verdict,
        reason: judged.decision.reason,
        decided_by: DecidedBy { rule: Rule::Failure.name(), at_ns: 0, killed: false },
        exit_code: None,
        signal: None,
        usage: None,
        setup_ns: 0,
        teardown_ns: 0,
        limits: None,
        limits_hit: Vec::new(),
        violations: Vec::new(),
        layers: verify::unknown_layers(),
        degraded: Vec::new(),
        notes: Vec::new(),
        policy: None,
        image: None,
        payload: None,
        host: host_report(None),
        cleanup: CleanupReport { ok: true, left: Vec::new() },
        work: None,
        outputs: None,
        explanations: None,
        exit_status: error.kind().exit_code(),
    }
}

/// Asks for an end from any thread.
#[derive(Debug, Clone)]
pub struct Canceller(Arc<EventFd>);

impl Canceller {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(EventFd::from_flags(EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK)?)))
    }

    /// Kills the box; its report says `cancelled`.
    pub fn cancel(&self) {
        no_matter(self.0.write(1), "a counter that is full is as good as set");
    }
}

impl Cancel for Canceller {
    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    fn signal(&self) -> Option<i32> {
        None
    }
}

/// Builds a request. See the crate's documentation for an example.
#[derive(Debug)]
#[must_use]
pub struct Builder {
    request: Request,
}

/// A sandbox: the way in.
#[derive(Debug)]
pub struct Sandbox;

impl Sandbox {
    /// A request for running `program` under `policy`. Standard input is empty,
    /// and output goes nowhere, unless something else is said.
    pub fn builder(policy: impl Into<Arc<Policy>>, program: impl Into<PathBuf>) -> Builder {
        Self::request(policy.into(), Some(program.into()), None)
    }

    /// A request for running an image of the store by itself, without a payload:
    /// the policy's command does not name any. See [`super::images::start`].
    pub fn image(policy: impl Into<Arc<Policy>>, image: Digest) -> Builder {
        Self::request(policy.into(), None, Some(image))
    }

    fn request(policy: Arc<Policy>, program: Option<PathBuf>, image: Option<Digest>) -> Builder {
        Builder { request: Request { program, image, ..Request::new(policy) } }
    }
}

impl Builder {
    /// Arguments of the payload.
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        self.request.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// One more environment variable; it replaces the policy's of the same name.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Self {
        self.request.env.push((name.into(), value.into()));
        self
    }

    /// A file or directory of the host that is to be seen inside.
    pub fn bind(mut self, bind: Bind) -> Self {
        self.request.binds.push(bind);
        self
    }

    /// A directory of the host that gets what the box makes, after its end.
    pub fn out(mut self, out: Out) -> Self {
        self.request.outs.push(out);
        self
    }

    /// A directory that is copied into the box, where the policy has a work tree.
    pub fn work(mut self, work: Work) -> Self {
        self.request.work = Some(work);
        self
    }

    /// Standard input.
    pub fn stdin(mut self, input: Input) -> Self {
        self.request.stdin = input;
        self
    }

    /// Standard output.
    pub fn stdout(mut self, output: Output) -> Self {
        self.request.stdout = output;
        self
    }

    /// Standard error.
    pub fn stderr(mut self, output: Output) -> Self {
        self.request.stderr = output;
        self
    }

    /// Runs although this host cannot give that layer in full.
    pub fn degrade(mut self, layer: Layer) -> Self {
        self.request.degrade.insert(layer);
        self
    }

    /// A delegated cgroup that contains this process.
    pub fn cgroup(mut self, path: impl Into<PathBuf>) -> Self {
        self.request.cgroup = Some(path.into());
        self
    }

    /// An image of the store in place of the policy's.
    pub fn in_image(mut self, image: Digest) -> Self {
        self.request.image = Some(image);
        self
    }

    /// How the root is made immutable; one that cannot be had is an error.
    pub fn root(mut self, root: RootChoice) -> Self {
        self.request.root = root;
        self
    }

    /// How closely the image is looked at, at least.
    pub fn verify(mut self, verify: Verify) -> Self {
        self.request.verify = Some(verify);
        self
    }

    /// Where closures are kept.
    pub fn store(mut self, store: StoreChoice) -> Self {
        self.request.store = store;
        self
    }

    /// One more line in the report's notes.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.request.notes.push(note.into());
        self
    }

    /// Whether the report has the payload's SHA-256 (default: yes).
    pub fn digest(mut self, wanted: bool) -> Self {
        self.request.want_digest = wanted;
        self
    }

    /// Whether the report says what the policy stood in the way of, and what would allow it (default:
    /// no). The supervisor then answers refused calls, and hears of some that are allowed: what can
    /// succeed stays the same, times do not.
    pub fn explain(mut self, wanted: bool) -> Self {
        self.request.explain = wanted;
        self
    }

    /// The CPU that the program starts on, and keeps to unless its policy lets it choose another.
    pub fn on_cpu(mut self, cpu: usize) -> Self {
        self.request.cpu = Some(cpu);
        self
    }

    /// What is asked for.
    pub(super) const fn request(&self) -> &Request {
        &self.request
    }

    /// The same, to be run.
    pub(super) fn into_request(self) -> Request {
        self.request
    }

    /// Runs to the end on this thread.
    ///
    /// # Errors
    /// The request was refused before anything was made.
    pub fn run(self) -> Result<Outcome> {
        let cancel = Canceller::new().map_err(|e| Error::new(Kind::Host, io_text(&e)))?;
        run(self.request, &cancel, || {})
    }

    /// Runs to the end on this thread; `cancel` can end it.
    ///
    /// # Errors
    /// As [`Builder::run`].
    pub fn run_with(self, cancel: &dyn Cancel, started: impl FnOnce()) -> Result<Outcome> {
        run(self.request, cancel, started)
    }

    /// Starts it, supervised by a thread of its own; comes back when the payload
    /// runs, or when it cannot.
    ///
    /// # Errors
    /// The request was refused before anything was made.
    pub fn spawn(self) -> Result<Running> {
        Running::start(move |cancel, tell| run(self.request, cancel, tell))
    }
}

fn join(thread: JoinHandle<Result<Outcome>>) -> Result<Outcome> {
    thread.join().unwrap_or_else(|_| Err(Error::new(Kind::Sandbox, "the supervisor panicked")))
}

/// A box that runs, or has run.
#[derive(Debug)]
pub struct Running {
    thread: JoinHandle<Result<Outcome>>,
    cancel: Canceller,
}

impl Running {
    /// In a thread of its own, which calls the second argument when the payload runs.
    pub(super) fn start(
        run: impl FnOnce(&Canceller, &dyn Fn()) -> Result<Outcome> + Send + 'static,
    ) -> Result<Self> {
        let host = |e: io::Error| Error::new(Kind::Host, io_text(&e));
        let cancel = Canceller::new().map_err(host)?;
        let for_thread = cancel.clone();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("stockade".to_owned())
            .spawn(move || run(&for_thread, &move || no_matter(tell.send(()), "nobody waits")))
            .map_err(host)?;
        if told.recv().is_ok() {
            return Ok(Self { thread, cancel });
        }
        // Its end of the channel is gone without a word: it is at its end, or almost.
        match join(thread) {
            Err(error) => Err(error),
            Ok(outcome) => {
                let over = std::thread::Builder::new().spawn(move || Ok(outcome)).map_err(host)?;
                Ok(Self { thread: over, cancel })
            }
        }
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// The request was refused before anything was made.
    pub fn wait(self) -> Result<Outcome> {
        join(self.thread)
    }

    /// Kills it; its report says `cancelled`.
    pub fn kill(&self) {
        self.cancel.cancel();
    }

    /// Something that kills it from elsewhere.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.cancel.clone()
    }

    /// Whether it is over.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }
}
