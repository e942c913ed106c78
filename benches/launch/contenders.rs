//! The ways to start the program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use stockade::Layer;
use stockade::policy::load_builtin;
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Builder, Pool, Sandbox, StoreChoice};

use crate::batch::Batch;
use crate::others;
use crate::place::{Floor, Launcher, Layers, Place};

/// Somebody who owns nothing.
pub const USER: u32 = 64_242;

/// The most that are launched at one time.
pub const MOST: usize = 4;

/// Told in the place of a name that is to be used once.
pub const FRESH: &str = "{fresh}";

/// Whose launches are measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    Root,
    User,
}

impl Caller {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::User => "user",
        }
    }

    /// Another user than the one who measures.
    pub fn is_other(self) -> bool {
        self == Self::User && nix::unistd::geteuid().is_root()
    }
}

/// A command that starts the program and waits for its end.
pub struct Words {
    pub words: Vec<String>,
    pub caller: Caller,
    pub home: PathBuf,
    /// A file on its standard input.
    pub stdin: Option<PathBuf>,
    /// Does not know what to do where v1 and v2 are mounted side by side.
    pub only_v1: bool,
}

/// How the program is started.
pub enum How {
    Command(Words),
    Floor(Vec<Mutex<Launcher>>),
    Pool(Box<Pool>, Box<Sandboxed>),
    Batch(Batch),
}

/// What makes jobs for a pool.
pub type Sandboxed = dyn Fn() -> Builder + Sync;

/// One way to start the program.
pub struct Contender {
    pub name: String,
    pub how: How,
}

/// Of a launch: what it took, or what it said.
pub type Launched = Result<Duration, String>;

impl Contender {
    pub fn command(name: &str, words: Words) -> Self {
        Self { name: format!("{name}, {}", words.caller.name()), how: How::Command(words) }
    }

    fn floor(name: &str, floor: &Floor, layers: Layers) -> Self {
        let each = (0..MOST).map(|_| Mutex::new(floor.launcher(layers))).collect();
        Self { name: name.to_owned(), how: How::Floor(each) }
    }

    /// One launch on one of the threads that launch at one time.
    pub fn launch(&self, thread: usize) -> Launched {
        match &self.how {
            How::Command(words) => words.launch(),
            How::Floor(all) => Ok(Duration::from_secs_f64(all[thread].lock().unwrap().launch() / 1e6)),
            How::Pool(pool, job) => {
                let begin = Instant::now();
                let outcome = pool.run(job()).map_err(|e| e.to_string())?;
                let took = begin.elapsed();
                let report = outcome.report;
                if report.verdict == Verdict::Ok { Ok(took) } else { Err(report.reason) }
            }
            How::Batch(batch) => batch.launch(),
        }
    }

    /// What the threads that launch need, each of them.
    pub fn prepare_thread(&self) {
        if let How::Command(Words { only_v1: true, .. }) = &self.how {
            others::hide_unified();
        }
    }
}

impl Words {
    fn launch(&self) -> Launched {
        static FRESH_NAMES: AtomicU64 = AtomicU64::new(0);
        let fresh =
            || format!("bench-{}-{}", std::process::id(), FRESH_NAMES.fetch_add(1, Ordering::Relaxed));
        let mut command = Command::new(&self.words[0]);
        for word in &self.words[1..] {
            command.arg(if word == FRESH { fresh() } else { word.clone() });
        }
        command.env_clear().env("STOCKADE_STORE", self.home.join("store")).env("HOME", &self.home);
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin");
        let stdin = self.stdin.as_ref().map(|file| fs::File::open(file).unwrap().into());
        command.stdin(stdin.unwrap_or_else(Stdio::null)).stdout(Stdio::null()).stderr(Stdio::piped());
        command.current_dir("/");
        if self.caller.is_other() {
            command.uid(USER).gid(USER);
        }
        let begin = Instant::now();
        let output = command.spawn().and_then(std::process::Child::wait_with_output);
        let took = begin.elapsed();
        let output = output.map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(took);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        Err(format!("{}: {said}", output.status))
    }
}

pub fn home(place: &Place, caller: Caller) -> PathBuf {
    let home = place.path(caller.name());
    if !home.exists() {
        fs::create_dir(&home).unwrap();
        if caller.is_other() {
            std::os::unix::fs::chown(&home, Some(USER), Some(USER)).unwrap();
        }
    }
    home
}

/// Those that the caller of this benchmark can measure.
fn callers() -> &'static [Caller] {
    if nix::unistd::geteuid().is_root() { &[Caller::Root, Caller::User] } else { &[Caller::User] }
}

pub fn all(place: &Place, stockade: &Path) -> Vec<Contender> {
    let nothing = place.nothing();
    let floor = place.floor(&nothing);
    let copy = place.path("stockade");
    fs::copy(stockade, &copy).unwrap();
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).unwrap();
    let words = |caller, words: &[&str]| Words {
        words: words.iter().map(|w| (*w).to_owned()).collect(),
        caller,
        home: home(place, caller),
        stdin: None,
        only_v1: false,
    };
    let own = callers()[0];
    let program = nothing.display().to_string();
    let mut all = vec![
        Contender { name: "bare spawn".to_owned(), how: How::Command(words(own, &[&program])) },
        Contender::floor("floor", &floor, Layers::Bare),
        Contender::floor("whole floor", &floor, Layers::Whole),
    ];
    let copy = copy.display().to_string();
    for caller in callers() {
        let degrade: &[&str] = if *caller == Caller::Root { &[] } else { &["--degrade", "cgroup"] };
        let run = [&[copy.as_str(), "run", "-q"], degrade].concat();
        let report = home(place, *caller).join("report.json").display().to_string();
        all.push(Contender::command("stockade run", words(*caller, &[&run[..], &["--", &program]].concat())));
        if *caller == own {
            let kept = [&run[..], &["--report", &report, "--", &program]].concat();
            all.push(Contender::command("stockade run --report", words(*caller, &kept)));
            all.push(Contender {
                name: format!("stockade batch, {}", caller.name()),
                how: How::Batch(Batch::start(&copy, degrade, &home(place, *caller), &program)),
            });
            all.push(pool(place, &nothing, *caller));
        }
        all.extend(others::all(place, *caller, &nothing));
    }
    all
}

fn pool(place: &Place, program: &Path, caller: Caller) -> Contender {
    let policy = load_builtin("native").unwrap();
    let (program, store) = (program.to_owned(), place.path("pool-store"));
    let job = move || {
        let job = Sandbox::builder(policy.clone(), &program).store(StoreChoice::At(store.clone()));
        if caller == Caller::Root { job } else { job.degrade(Layer::Cgroup) }
    };
    let pool = Pool::new(MOST).unwrap();
    Contender {
        name: format!("stockade pool, {}", caller.name()),
        how: How::Pool(Box::new(pool), Box::new(job)),
    }
}
