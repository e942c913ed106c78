//! `stockade run`.

use std::ffi::OsString;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use stockade::error::{Error, Kind, Result, io_text};
use stockade::image::store::Ref;
use stockade::policy::ceiling::{Asked, AskedBind, Way};
use stockade::policy::model::{Policy, Stack, Verify, Word};
use stockade::policy::{Ceiling, Located, Overrides, is_file_argument, units};
use stockade::report::Report;
use stockade::report::verdict::Verdict;
use stockade::report::write::Sink;
use stockade::sandbox::{
    Bind, Input, Out, Outcome, RootChoice, Sandbox, StoreChoice, Work, images, refusal_report,
};
use stockade::{Layer, policy, sandbox};

use super::files;
use super::say;
use super::signals::Signals;

/// Options of `stockade run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "stockade run [OPTIONS] [--] PROGRAM [ARGS]...\n       stockade run [OPTIONS] -i IMAGE [--] [PROGRAM] [ARGS]..."
)]
pub struct Run {
    /// A built-in policy, or a file (an argument with '/' or ending in .json)
    /// [default: the image's own, else native].
    #[arg(short, long, value_name = "NAME|FILE.json")]
    policy: Option<String>,

    /// An image of the store in place of the policy's: NAME, NAME@sha256:ID or sha256:ID.
    /// It starts by itself where it has an entry point.
    #[arg(short, long, value_name = "IMAGE")]
    image: Option<String>,

    /// The most that the policy, --ro, --rw, --env, --degrade and the limits may ask for.
    #[arg(long, value_name = "FILE.json", conflicts_with = "image")]
    ceiling: Option<PathBuf>,

    /// Where the JSON report goes: a file, replaced whole, or an open descriptor.
    #[arg(long, value_name = "FILE|fd:N")]
    report: Option<String>,

    /// Standard input of the program [default: the caller's].
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,

    /// Standard output of the program, truncated [default: the caller's].
    #[arg(long, value_name = "FILE")]
    stdout: Option<PathBuf>,

    /// Standard error of the program, truncated [default: the caller's].
    #[arg(long, value_name = "FILE")]
    stderr: Option<PathBuf>,

    /// Adds a variable to the environment, which is otherwise the policy's alone.
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_env)]
    env: Vec<(String, String)>,

    /// Shows a file or directory of the host, read-only [default BOX: the same path].
    #[arg(long, value_name = "HOST[:BOX]")]
    ro: Vec<String>,

    /// Shows a directory or file of the host that may be written, without programs, devices or links.
    #[arg(long, value_name = "HOST[:BOX]")]
    rw: Vec<String>,

    /// Collects what the box has made below BOX, after its end: regular files only [default BOX: /out].
    #[arg(long, value_name = "DIR[:BOX]")]
    out: Vec<String>,

    /// Copies a directory into the work tree of a policy that has one, like ci; the host's stays as it is.
    #[arg(long, value_name = "DIR[:BOX]")]
    work: Option<String>,

    /// Runs although this host cannot give that layer in full; the report says so.
    #[arg(long, value_name = "LAYER", value_parser = parse_layer)]
    degrade: Vec<Layer>,

    /// A delegated cgroup (v2) that contains the one stockade runs in.
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,

    /// Where root file systems are kept [default: $STOCKADE_STORE, or stockade's place among the user's data].
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,

    /// Says what the policy stood in the way of, and what would allow it; the report has it, too.
    #[arg(long)]
    explain: bool,

    /// How the root is made immutable [default: an overlay, else a bind].
    #[arg(long, value_name = "overlay|bind|private", value_parser = parse_root)]
    root: Option<RootChoice>,

    /// How closely the image is looked at before the run [default: the policy's, mostly stamp].
    #[arg(long, value_name = "stamp|stat|full", value_parser = parse_verify)]
    verify: Option<Verify>,

    /// No verdict line, not even on a terminal.
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// The verdict line, the notes and every layer, on standard error.
    #[arg(short, long)]
    verbose: bool,

    /// The program (a file of the host, copied into the box) and its arguments.
    #[arg(value_name = "PROGRAM", required_unless_present = "image", trailing_var_arg = true)]
    program: Vec<OsString>,

    // Last: what follows a heading stands under it.
    #[command(flatten)]
    limits: LimitOptions,
}

/// Limits that override the policy's.
#[derive(Debug, Args)]
#[command(next_help_heading = "Limits (override the policy's; every number has a unit)")]
struct LimitOptions {
    /// CPU time of the whole box, for example 1s or 250ms.
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, allow_hyphen_values = true)]
    cpu_time: Option<u64>,

    /// Time from start to end.
    #[arg(long, value_name = "DURATION", value_parser = units::parse_duration, allow_hyphen_values = true)]
    wall_time: Option<u64>,

    /// Memory of the whole box, swap and files in memory included, for example 256MiB.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_hyphen_values = true)]
    memory: Option<u64>,

    /// Processes and threads at one time.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    processes: Option<u32>,

    /// Open descriptors of one process.
    #[arg(long, value_name = "N", value_parser = parse_count, allow_hyphen_values = true)]
    open_files: Option<u32>,

    /// Size of one file.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_hyphen_values = true)]
    file_size: Option<u64>,

    /// Bytes of each output stream.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_hyphen_values = true)]
    output: Option<u64>,

    /// Stack of the main thread.
    #[arg(long, value_name = "SIZE|memory", value_parser = parse_stack, allow_hyphen_values = true)]
    stack: Option<Stack>,

    /// Size of /tmp.
    #[arg(long, value_name = "SIZE", value_parser = units::parse_size, allow_hyphen_values = true)]
    tmp: Option<u64>,
}

fn parse_env(text: &str) -> std::result::Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("give NAME=VALUE: nothing is taken over from the caller's environment".to_owned()),
    }
}

/// A layer by its name.
pub fn parse_layer(text: &str) -> std::result::Result<Layer, String> {
    text.parse().map_err(|e: stockade::layer::UnknownLayer| e.to_string())
}

fn parse_root(text: &str) -> std::result::Result<RootChoice, String> {
    let found = RootChoice::ALL.into_iter().find(|(word, _)| *word == text);
    found.map(|(_, choice)| choice).ok_or_else(|| "write overlay, bind or private".to_owned())
}

fn parse_verify(text: &str) -> std::result::Result<Verify, String> {
    let found = [Verify::Stamp, Verify::Stat, Verify::Full].into_iter().find(|verify| verify.name() == text);
    found.ok_or_else(|| "write stamp, stat or full".to_owned())
}

fn parse_count(text: &str) -> std::result::Result<u32, String> {
    text.parse().map_err(|_| format!("'{text}' is not a whole number from 0 to {}", u32::MAX))
}

fn parse_stack(text: &str) -> std::result::Result<Stack, units::UnitError> {
    if text == "memory" { Ok(Stack::Memory) } else { units::parse_size(text).map(Stack::Bytes) }
}

impl Run {
    /// Runs the program; answers the exit status.
    pub fn execute(self) -> ExitCode {
        let sink = match self.report.as_deref().map(Sink::open).transpose() {
            Ok(sink) => sink,
            Err(error) => {
                say::error(&error);
                return ExitCode::from(error.kind().exit_code());
            }
        };
        let (quiet, verbose) = (self.quiet, self.verbose);
        let report = match self.outcome(sink.as_ref().and_then(Sink::path)) {
            Ok(outcome) => {
                tell(&outcome.report, quiet, verbose);
                outcome.report
            }
            Err(error) => {
                say::error(&error);
                refusal_report(&error)
            }
        };
        let status = report.exit_status;
        if let Some(sink) = sink
            && let Err(e) = sink.write(&report)
        {
            say::error(&Error::new(Kind::Sandbox, format!("cannot write the report: {}", io_text(&e))));
            return ExitCode::from(Kind::Sandbox.exit_code());
        }
        ExitCode::from(status)
    }

    fn outcome(self, report: Option<&Path>) -> Result<Outcome> {
        let store = self.store.clone().map_or(StoreChoice::Default, StoreChoice::At);
        // Read once: what is judged is what is run.
        let job = self.ceiling.as_deref().map(|c| Ok::<_, Error>((c, super::policy::locate(self.policy())?)));
        let job = job.transpose()?;
        let given = self.policy.as_deref().map(super::policy::load).transpose()?;
        let start = match &self.image {
            Some(image) => Some(start(image, &store, given.clone())?),
            None => None,
        };
        let policy = match (&job, &start, given) {
            (Some((_, job)), ..) => job.policy().clone(),
            (None, Some(start), _) => start.policy.clone(),
            (None, None, Some(policy)) => policy,
            (None, None, None) => super::policy::load(self.policy())?,
        };
        let policy = policy.with_overrides(&self.overrides())?;
        let cwd = std::env::current_dir().unwrap_or_default();
        let mut binds = Vec::new();
        for (specs, write) in [(&self.ro, false), (&self.rw, true)] {
            for spec in specs {
                binds.push(Bind::parse(spec, write, &cwd)?);
            }
        }
        let outs = self.out.iter().map(|spec| Out::parse(spec)).collect::<Result<Vec<_>>>()?;
        let mut work = self.work.as_deref().map(|spec| Work::parse(spec, &cwd)).transpose()?;
        self.refuse_in_reach(report, &binds, &outs)?;
        let note = job.map(|(path, job)| self.below(path, &job, &mut binds, work.as_mut())).transpose()?;
        let stdin = match &self.stdin {
            Some(path) => Input::File(files::input(path, "--stdin")?),
            None => Input::Inherit,
        };
        let stdout = files::output(self.stdout.as_deref(), "--stdout")?;
        let stderr = files::output(self.stderr.as_deref(), "--stderr")?;
        let mut words = self.program.into_iter();
        let builder = match start {
            Some(start) if !start.takes_payload => {
                refuse_arguments(&policy, words.len())?;
                Sandbox::image(policy, start.image)
            }
            start => {
                let Some(program) = words.next() else {
                    return Err(Error::new(
                        Kind::Usage,
                        "the image takes a file of the host, and none is named",
                    )
                    .help("stockade run -i IMAGE FILE [ARGS]..."));
                };
                let builder = Sandbox::builder(policy, program);
                start.into_iter().fold(builder, |builder, start| builder.in_image(start.image))
            }
        };
        let mut builder = builder
            .args(words)
            .store(store)
            .root(self.root.unwrap_or_default())
            .stdin(stdin)
            .stdout(stdout)
            .stderr(stderr)
            .digest(self.report.is_some())
            .explain(self.explain);
        if let Some(note) = note {
            builder = builder.note(note);
        }
        for bind in binds {
            builder = builder.bind(bind);
        }
        for out in outs {
            builder = builder.out(out);
        }
        if let Some(work) = work {
            builder = builder.work(work);
        }
        for (name, value) in self.env {
            builder = builder.env(name, value);
        }
        for layer in self.degrade {
            builder = builder.degrade(layer);
        }
        if let Some(path) = self.cgroup {
            builder = builder.cgroup(path);
        }
        if let Some(verify) = self.verify {
            builder = builder.verify(verify);
        }
        let signals = Signals::take()?;
        builder.run_with(&signals as &dyn sandbox::Cancel, || {})
    }

    /// Holds the request to a ceiling; answers what the report says of it. Binds are
    /// made of the paths that were judged, so that no link leads elsewhere later.
    fn below(
        &self,
        path: &Path,
        job: &Located,
        binds: &mut [Bind],
        work: Option<&mut Work>,
    ) -> Result<String> {
        let name = path.display().to_string();
        let text = policy::read_file(path).map_err(|e| {
            Error::new(Kind::Policy, format!("cannot read the ceiling {name}: {}", io_text(&e)))
        })?;
        let ceiling = Ceiling::parse(&name, &text)?;
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let way = |bind: &Bind| if bind.write { Way::Write } else { Way::Read };
        let mut asked: Vec<AskedBind> =
            binds.iter().map(|b| AskedBind { host: b.host.clone(), way: way(b) }).collect();
        asked.extend(work.iter().map(|w| AskedBind { host: w.host.clone(), way: Way::Copy }));
        let overrides =
            Overrides { env: self.env.clone(), degrade: self.degrade.clone(), ..self.overrides() };
        job.policy().with_overrides(&overrides)?;
        ceiling.judge(job, &Asked { overrides: &overrides, binds: &asked, real: &real })?;
        for bind in binds {
            bind.host = real(&bind.host);
        }
        if let Some(work) = work {
            work.host = real(&work.host);
        }
        let policy = ceiling.policy();
        Ok(format!("below the ceiling {} ({})", policy.name, policy.digest))
    }

    /// What the payload may write, now or in the end, must not hold what decides about it.
    fn refuse_in_reach(&self, report: Option<&Path>, binds: &[Bind], outs: &[Out]) -> Result<()> {
        let binds = binds.iter().filter(|b| b.write).map(|b| ("--rw", b.host.as_path()));
        let written: Vec<_> = binds.chain(outs.iter().map(|o| ("--out", o.host.as_path()))).collect();
        let policy = is_file_argument(self.policy()).then(|| Path::new(self.policy()));
        let decide = [
            ("--report", report, "the program could write its own report"),
            ("--policy", policy, "the program could write the policy of its next run"),
            ("--ceiling", self.ceiling.as_deref(), "the program could write the ceiling of its next run"),
        ];
        for (option, file, why) in decide {
            file.map_or(Ok(()), |file| refuse_in_reach(option, file, &written, why))?;
        }
        Ok(())
    }

    /// The policy that is meant where no image says otherwise.
    fn policy(&self) -> &str {
        self.policy.as_deref().unwrap_or("native")
    }

    fn overrides(&self) -> Overrides {
        let l = &self.limits;
        Overrides {
            cpu_ns: l.cpu_time,
            wall_ns: l.wall_time,
            memory: l.memory,
            processes: l.processes,
            open_files: l.open_files,
            file_size: l.file_size,
            output: l.output,
            stack: l.stack,
            tmp: l.tmp,
            ..Overrides::default()
        }
    }
}

/// Refusals always say why; the verdict shows on a terminal or when asked for.
fn tell(report: &Report, quiet: bool, verbose: bool) {
    if verbose {
        say::details(report);
    }
    if !quiet {
        say::explanations(report);
    }
    if report.verdict >= Verdict::SetupFailed {
        say::refusal(report);
    } else if verbose || (!quiet && std::io::stderr().is_terminal()) {
        say::verdict(report);
    }
}

/// What an image starts with.
pub fn start(image: &str, store: &StoreChoice, policy: Option<Policy>) -> Result<images::Start> {
    let name = Ref::parse(image).map_err(|problem| images::no_image(&problem))?;
    let uid = nix::unistd::geteuid().as_raw();
    let store = images::open_store(store, uid)?;
    let store = store.map_err(|problem| Error::new(Kind::Host, problem.to_string()).help(problem.help()))?;
    images::start(&store, &name, policy)
}

/// Arguments that would be lost are a mistake.
pub fn refuse_arguments(policy: &Policy, count: usize) -> Result<()> {
    if count == 0 || policy.command.contains(&Word::Args) {
        return Ok(());
    }
    let message = format!("the image takes no arguments, and {count} were given");
    Err(Error::new(Kind::Usage, message).help("an entry point with '{args}' takes some"))
}

/// One file that decides, and every place that the payload may write.
pub fn refuse_in_reach(option: &str, file: &Path, written: &[(&str, &Path)], why: &str) -> Result<()> {
    let parent = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // The directory as it is named, and, where the file is a link, what it leads to.
    let named = parent.canonicalize().ok();
    let meant = file.canonicalize().ok();
    for (by, place) in written {
        let Ok(host) = place.canonicalize() else { continue };
        if [&named, &meant].into_iter().flatten().any(|path| path.starts_with(&host)) {
            let message = format!("{option} {} lies below {by} {}", file.display(), place.display());
            return Err(Error::new(Kind::Usage, message).help(format!("{why}: put it elsewhere")));
        }
    }
    Ok(())
}
