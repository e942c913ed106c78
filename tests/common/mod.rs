//! What the tests share: compiled payloads, callers, runs and their reports.
#![allow(
    dead_code,
    unused_imports,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, OnceLock};

use serde_json::Value;

mod document;
mod host;
pub use document::held;
pub use host::{full, patience, pause, sample, slow, stretched};

/// Says why a test did not run; an error where everything must run.
pub fn skip(reason: &str) {
    eprintln!("SKIPPED: {reason}");
    assert!(std::env::var_os("STOCKADE_MUST_RUN").is_none_or(|v| v != "1"), "must run, but: {reason}");
}

/// Whether these tests run as root.
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// An id that owns nothing.
pub const SOMEBODY: u32 = 42_424;

/// Holds [`work`]'s directory.
static WORK: OnceLock<tempfile::TempDir> = OnceLock::new();

/// What a static holds is never dropped.
extern "C" fn remove_work() {
    if let Some(dir) = WORK.get() {
        drop(fs::remove_dir_all(dir.path()));
    }
}

/// A directory that every caller can enter, gone when the test program ends.
pub fn work() -> &'static Path {
    WORK.get_or_init(|| {
        // SAFETY: the function needs nothing that is gone by then, and does not unwind.
        assert_eq!(unsafe { libc::atexit(remove_work) }, 0);
        let dir = tempfile::Builder::new().prefix("stockade-test-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        dir
    })
    .path()
}

/// The program under test, where every caller can execute it.
pub fn stockade() -> &'static Path {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    COPY.get_or_init(|| {
        let copy = work().join("stockade");
        fs::copy(env!("CARGO_BIN_EXE_stockade"), &copy).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
        copy
    })
}

/// Compiles a C or C++ source of `tests/payloads`, once for all tests of a program.
pub fn payload(source: &str, flags: &[&str]) -> PathBuf {
    static DONE: OnceLock<Mutex<HashMap<String, PathBuf>>> = OnceLock::new();
    let mut done = DONE.get_or_init(Mutex::default).lock().unwrap();
    let key = format!("{source} {}", flags.join(" "));
    if let Some(path) = done.get(&key) {
        return path.clone();
    }
    let out = work().join(format!("{}-{}", source.replace(['/', '.'], "_"), done.len()));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/payloads").join(source);
    compile(&file, &out, flags);
    done.insert(key, out.clone());
    out
}

/// Compiles one file.
pub fn compile(file: &Path, out: &Path, flags: &[&str]) {
    let compiler = if file.extension().is_some_and(|e| e == "cpp") { "g++" } else { "gcc" };
    let status = Command::new(compiler)
        .args(["-O1", "-Wall", "-Wno-unused-result", "-o"])
        .arg(out)
        .arg(file)
        .args(flags)
        .status()
        .unwrap_or_else(|e| panic!("{compiler}: {e}"));
    assert!(status.success(), "{compiler} {} failed", file.display());
}

/// Compiles C text, once for all tests of a program: one name, one text.
pub fn payload_of(name: &str, text: &str, flags: &[&str]) -> PathBuf {
    static LOCK: Mutex<()> = Mutex::new(());
    let _guard = LOCK.lock().unwrap();
    let source = work().join(format!("{name}.c"));
    let out = work().join(name);
    if fs::read(&source).is_ok_and(|there| there == text.as_bytes()) && out.exists() {
        return out;
    }
    fs::write(&source, text).unwrap();
    compile(&source, &out, flags);
    out
}

/// Who calls stockade.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Root, with cgroups.
    Root,
    /// An ordinary user, on most hosts without.
    User,
}

impl Caller {
    /// A directory of their own that only they can write.
    pub fn home(self) -> PathBuf {
        let home = work().join(if self == Caller::Root { "root" } else { "user" });
        static LOCK: Mutex<()> = Mutex::new(());
        let _guard = LOCK.lock().unwrap();
        if !home.exists() {
            fs::create_dir(&home).unwrap();
            if self == Caller::User && is_root() {
                std::os::unix::fs::chown(&home, Some(SOMEBODY), Some(SOMEBODY)).unwrap();
            }
        }
        home
    }

    /// A command that runs as them.
    pub fn command(self, program: &Path) -> Command {
        hear_signals();
        let mut command = if self == Caller::User && is_root() {
            let mut c = Command::new("setpriv");
            let id = SOMEBODY.to_string();
            c.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(program);
            c
        } else {
            Command::new(program)
        };
        command.env_clear().env("HOME", self.home()).env("PATH", "/usr/bin:/bin");
        command.env("STOCKADE_STORE", self.home().join("store")).current_dir(self.home());
        command
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// Process id that stockade had.
    pub pid: u32,
    /// Exit status of stockade.
    pub status: i32,
    /// Standard output, as the caller got it.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// The report.
    pub report: Value,
}

impl Ran {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The verdict's name.
    pub fn verdict(&self) -> &str {
        self.report["verdict"].as_str().unwrap_or("none")
    }

    /// Everything, for a failed assertion.
    pub fn all(&self) -> String {
        format!(
            "status {}\nstdout {:?}\nstderr {}\nreport {:#}",
            self.status,
            self.text().chars().take(2000).collect::<String>(),
            self.stderr,
            self.report
        )
    }
}

/// Builds a run.
pub struct Run {
    caller: Caller,
    options: Vec<String>,
    program: PathBuf,
    args: Vec<String>,
    stdin: Vec<u8>,
    degrade: bool,
    env: Vec<(String, String)>,
    through: Option<String>,
}

/// What a background job's shell has set to be ignored would stay so in what the tests start.
fn hear_signals() {
    use nix::sys::signal::{SigHandler, Signal, signal};
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        for ending in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
            // SAFETY: the default action is no handler.
            unsafe { signal(ending, SigHandler::SigDfl) }.unwrap();
        }
    });
}

/// A run of `program` by `caller`.
pub fn run(caller: Caller, program: impl Into<PathBuf>) -> Run {
    Run {
        caller,
        options: Vec::new(),
        program: program.into(),
        args: Vec::new(),
        stdin: Vec::new(),
        degrade: !caller.has_cgroup(),
        env: Vec::new(),
        through: None,
    }
}

impl Run {
    /// Options of `stockade run`. Limits in time are stretched where the host is slow.
    pub fn options<'a>(mut self, options: impl IntoIterator<Item = &'a str>) -> Self {
        for option in options {
            let is_time =
                self.options.last().is_some_and(|o| ["--wall-time", "--cpu-time"].contains(&o.as_str()));
            self.options.push(if is_time { stretched(option) } else { option.to_owned() });
        }
        self
    }

    /// Arguments of the program.
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.args.extend(args.into_iter().map(str::to_owned));
        self
    }

    /// Its standard input.
    pub fn stdin(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.stdin = bytes.into();
        self
    }

    /// An environment variable of stockade itself.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Demands every layer, from an ordinary user too.
    pub fn whole(mut self) -> Self {
        self.degrade = false;
        self
    }

    /// Started by a shell script of whoever runs the tests: `"$@"` is the command.
    pub fn through(mut self, script: &str) -> Self {
        self.through = Some(script.to_owned());
        self
    }

    /// The command, its report going to the path answered.
    pub fn command(&self) -> (Command, PathBuf) {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let report = self.caller.home().join(format!("report-{number}.json"));
        let mut command = self.caller.command(stockade());
        command.arg("run").arg("--report").arg(&report);
        if self.degrade {
            command.args(["--degrade", "cgroup"]);
        }
        if slow() > 1 {
            // The policy's own may be too little here.
            let limits = [("--cpu-time", "10s"), ("--wall-time", "30s")];
            for (option, usual) in
                limits.into_iter().filter(|(o, _)| !self.options.iter().any(|own| own == o))
            {
                command.args([option, &stretched(usual)]);
            }
        }
        command.args(&self.options).arg("--").arg(&self.program).args(&self.args);
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        match &self.through {
            Some(script) => (by_shell(script, &command), report),
            None => (command, report),
        }
    }

    /// Runs it to its end.
    pub fn go(self) -> Ran {
        let (mut command, report) = self.command();
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = child.id();
        let mut stdin = child.stdin.take().unwrap();
        let bytes = self.stdin;
        let feeder = std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        let out = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        let text = fs::read(&report).unwrap_or_default();
        drop(fs::remove_file(&report));
        Ran {
            pid,
            status: out.status.code().unwrap_or_else(|| -out.status.signal().unwrap_or(0)),
            stdout: out.stdout,
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
            report: serde_json::from_slice(&text).unwrap_or(Value::Null),
        }
    }
}

/// A command as the `"$@"` of a shell script.
pub fn by_shell(script: &str, command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(dir) = command.get_current_dir() {
        shell.current_dir(dir);
    }
    shell
}

/// The same program without a box.
pub fn bare(program: &Path, args: &[&str], stdin: &[u8]) -> (i32, Vec<u8>) {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let bytes = stdin.to_vec();
    let feeder = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    let out = child.wait_with_output().unwrap();
    feeder.join().unwrap();
    let status = out.status.code().unwrap_or_else(|| 128 + out.status.signal().unwrap_or(0));
    (status, out.stdout)
}

/// Whether a child of this process is what boxes are made from: it is there as long as the thread that makes
/// them.
pub fn is_template(pid: impl std::fmt::Display) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "template\n")
}

/// Cgroup directories that a stockade with this process id has left.
pub fn leaves_of(pid: u32) -> Vec<String> {
    let name = format!("/stockade-{pid}-");
    leftovers().into_iter().filter(|path| path.contains(&name)).collect()
}

/// Cgroup directories and processes of boxes that are left on this host, whoever made them.
pub fn leftovers() -> Vec<String> {
    let mut left = Vec::new();
    collect_leaves(Path::new("/sys/fs/cgroup"), 0, &mut left);
    left
}

fn collect_leaves(dir: &Path, depth: usize, left: &mut Vec<String>) {
    if depth > 6 {
        return;
    }
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|t| t.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with("stockade-") {
            left.push(entry.path().display().to_string());
        } else {
            collect_leaves(&entry.path(), depth + 1, left);
        }
    }
}

/// A busy process for each CPU, for as long as this lives.
pub struct Load(Vec<std::process::Child>);

impl Load {
    /// Takes every CPU.
    pub fn on_all_cpus() -> Self {
        Self::of(|| Command::new("/bin/sh"))
    }

    /// The same by processes that are of no session of anything here, as the other work of a machine is.
    pub fn of_other_sessions() -> Self {
        Self::of(|| {
            let mut command = Command::new("setsid");
            command.arg("/bin/sh");
            command
        })
    }

    fn of(shell: impl Fn() -> Command) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = |_| shell().args(["-c", "while :; do :; done"]).spawn().unwrap();
        Self((0..cpus).map(busy).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

/// A few megabytes of lines that look like text; less where that would take long.
pub fn megabytes() -> Vec<u8> {
    let mut out = Vec::new();
    let mut x = 88_172_645_463_325_252_u64;
    while out.len() < (3 << 20) / (slow() * slow()) as usize {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        out.extend_from_slice(format!("{} line {:x} {}\n", x % 1000, x, x % 7).as_bytes());
    }
    out
}
