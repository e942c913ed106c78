//! Where benchmarks make things, and what they measure.
#![allow(dead_code, reason = "no benchmark needs everything")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Where everything is made; every caller can enter it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("stockade-bench-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn compile(&self, source: &Path, name: &str, flags: &[&str]) -> PathBuf {
        let program = self.path(name);
        let made = Command::new("gcc").args(["-O2", "-o"]).arg(&program).arg(source).args(flags).status();
        assert!(made.expect("gcc is needed").success());
        program
    }

    /// A program of this text.
    pub fn text(&self, name: &str, text: &str, flags: &[&str]) -> PathBuf {
        let source = self.path(&format!("{name}.c"));
        fs::write(&source, text).unwrap();
        self.compile(&source, name, flags)
    }

    /// The static program that does nothing.
    pub fn nothing(&self) -> PathBuf {
        self.text("nothing", "int main(void) { return 0; }\n", &["-static"])
    }

    /// `floor.c`, and what it launches that program in.
    pub fn floor(&self, nothing: &Path) -> Floor {
        for below in ["empty", "root/box", "root/dev", "root/proc", "root/tmp"] {
            fs::create_dir_all(self.path(below)).unwrap();
        }
        fs::copy(nothing, self.path("program")).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/floor.c");
        Floor { program: self.compile(&source, "floor", &[]), dir: self.dir().to_owned() }
    }
}

/// `floor.c`, ready to launch.
pub struct Floor {
    program: PathBuf,
    dir: PathBuf,
}

/// Which of its two.
#[derive(Clone, Copy)]
pub enum Layers {
    /// Namespaces, mounts, capabilities, Landlock and a filter.
    Bare,
    /// Pid 1, resource limits, streams and, where it can make them, cgroups too.
    Whole,
}

impl Floor {
    pub fn launcher(&self, layers: Layers) -> Launcher {
        Launcher::start(&mut self.command(layers, &[]))
    }

    /// Launches a second, so many at a time.
    pub fn rate(&self, layers: Layers, count: usize, side: usize) -> f64 {
        let output = self.command(layers, &[count, side]).output().unwrap();
        let ns: f64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
        count as f64 / (ns / 1e9)
    }

    fn command(&self, layers: Layers, numbers: &[usize]) -> Command {
        let mut command = Command::new(&self.program);
        let (name, parents) = match layers {
            Layers::Bare => ("bare", Vec::new()),
            Layers::Whole => ("whole", own_cgroups()),
        };
        command.arg(&self.dir).arg(name).args(numbers.iter().map(usize::to_string)).args(parents);
        command
    }
}

/// This process's directories in the v1 hierarchies that a box has limits in. None for an ordinary user, and
/// where those controllers are on v2: a cgroup that has processes cannot pass them on there.
pub fn own_cgroups() -> Vec<PathBuf> {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let find = |controller: &str| {
        let has = |list: &str| list.split(',').any(|word| word == controller);
        let own = own.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>()).find(|f| has(f[1]))?;
        let mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts.into_iter().find(|f| f[2] == "cgroup" && has(f[3]))?[1];
        let place = Path::new(mount).join(own[2].trim_start_matches('/'));
        nix::unistd::access(&place, nix::unistd::AccessFlags::W_OK).ok().map(|()| place)
    };
    let mut found: Vec<_> = ["memory", "pids", "cpuacct"].into_iter().filter_map(find).collect();
    found.dedup();
    found
}

/// Hands each option of the command line to `take`, with what reads the number behind it; `false`: there is
/// no such option.
pub fn each_option(mut take: impl FnMut(&str, &mut dyn FnMut() -> usize) -> bool) {
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> usize {
            let value = words.next().unwrap_or_default();
            value.parse().unwrap_or_else(|_| panic!("{word} takes a number, not '{value}'"))
        };
        // Cargo says so to every benchmark.
        assert!(word == "--bench" || take(&word, &mut number), "unknown option '{word}'");
    }
}

/// A process that launches once for each byte that it is sent, and says how long it took.
pub struct Launcher {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Launcher {
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, to, from }
    }

    /// Microseconds.
    pub fn launch(&mut self) -> f64 {
        self.to.write_all(b"x").unwrap();
        let mut line = String::new();
        self.from.read_line(&mut line).unwrap();
        line.trim().parse::<f64>().unwrap() / 1e3
    }

    pub fn end(mut self) {
        drop(self.to);
        assert!(self.child.wait().unwrap().success());
    }
}

pub fn median(values: Vec<f64>) -> f64 {
    at(values, 0.5)
}

/// The value below which that part of all lies.
pub fn at(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let place = ((values.len() as f64 * part) as usize).min(values.len() - 1);
    values[place]
}

/// Bytes of a process, what is shared divided among those who share it.
pub fn pss(pid: &str) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let pss = rollup.lines().find_map(|l| l.strip_prefix("Pss:")).unwrap_or_default();
    pss.trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(0.0) * 1024.0
}

/// Children of a process, whichever of its threads has made them.
pub fn children(pid: &str) -> Vec<String> {
    let mut pids = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
        let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        pids.extend(children.split_whitespace().map(str::to_owned));
    }
    pids
}

/// Bytes of this process and of all below it.
pub fn pss_with_children() -> f64 {
    let mut sum = 0.0;
    let mut pids = vec!["self".to_owned()];
    while let Some(pid) = pids.pop() {
        sum += pss(&pid);
        pids.extend(children(&pid));
    }
    sum
}

/// A box that waits takes some thirty descriptors.
pub fn raise_descriptors() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let hard = getrlimit(Resource::RLIMIT_NOFILE).unwrap().1;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
}

/// The build to measure, and whether it is the static one.
pub fn stockade() -> (PathBuf, bool) {
    let own = Path::new(env!("CARGO_BIN_EXE_stockade"));
    let target = own.ancestors().nth(2).unwrap();
    let fixed = target.join("x86_64-unknown-linux-gnu/release/stockade");
    if fixed.exists() { (fixed, true) } else { (own.to_owned(), false) }
}
