//! The caller's work: from its brief to one line for each attack.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::facts;
use super::super::judge::{Inside, Judged, judge};
use super::super::outcome::{Place, Saw};
use super::super::pace;
use super::super::probe::{MAGIC, Order, Target, say};
use super::super::table::{self, Attack, Control, How};
use super::Caller;
use super::boxes::Setup;
use super::canary::{Den, Forgotten, Terminal, keep_key};
use crate::Layer;
use crate::error::{io_text, no_matter};
use crate::sandbox::Pool;
use crate::sys::process::die_with_parent;

/// What the caller is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Brief {
    /// What every secret contains.
    pub token: String,
    /// Directory of the battery, which whoever starts the caller removes.
    pub dir: PathBuf,
    /// Name of the policy, and its text where it does not ship.
    pub policy: (String, Option<Vec<u8>>),
    /// The attacks to try.
    pub ids: Vec<String>,
    /// Layers that may be missing.
    pub degrade: Vec<String>,
    /// A delegated cgroup.
    pub cgroup: Option<PathBuf>,
    /// What runs the payload instead of a box.
    pub through: Vec<String>,
    /// Whether boxes are those of a pool.
    pub warm: bool,
    /// How many times slower than usual this host is.
    pub slow: u32,
}

/// One line of the caller's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Result {
    /// An attack begins.
    Begins(String),
    /// An attack is judged.
    Judged(Judged),
    /// Nothing can be tried, and why.
    Failed(String),
}

/// Boxes that wait beside those that are attacked from.
const WAITING: usize = 2;

/// The most bytes of a brief.
const MAX_BRIEF: u64 = 16 << 20;

fn tell(result: &Result) {
    say(&serde_json::to_string(result).unwrap_or_default());
}

/// The caller.
#[must_use]
pub fn main() -> u8 {
    no_matter(die_with_parent(), "then its end is noticed by the streams");
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(MAX_BRIEF).read_to_end(&mut bytes);
    let brief = bytes.strip_prefix(MAGIC).and_then(|json| serde_json::from_slice::<Brief>(json).ok());
    let (Ok(_), Some(brief)) = (read, brief) else { return 125 };
    pace::set(brief.slow);
    own_mounts();
    match prepare(&brief).and_then(|(caller, key)| caller.boxes_run().map(|()| (caller, key))) {
        Ok((caller, key)) => {
            for id in &brief.ids {
                if let Some(attack) = table::all().into_iter().find(|a| a.id == id) {
                    tell(&Result::Begins(id.clone()));
                    let begin = std::time::Instant::now();
                    let mut judged = caller.attack(attack, &key);
                    judged.elapsed_ms = u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
                    tell(&Result::Judged(judged));
                }
            }
            0
        }
        Err(why) => {
            tell(&Result::Failed(why));
            125
        }
    }
}

/// As host root: what the attacks mount is nobody else's business.
fn own_mounts() {
    use nix::mount::{MsFlags, mount};
    if nix::unistd::geteuid().is_root() {
        let flags = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        let own = nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS);
        let none = None::<&str>;
        no_matter(own.and_then(|()| mount(none, "/", none, flags, none)), "what is mounted is unmounted");
    }
}

type Key = std::result::Result<(), String>;

fn prepare(brief: &Brief) -> std::result::Result<(Caller, Key), String> {
    let io = |what: &'static str| move |e: std::io::Error| format!("{what}: {}", io_text(&e));
    let policy = facts::load(&brief.policy).map_err(|e| e.to_string())?;
    let mut policy = facts::with_the_probe(policy);
    for limit in [&mut policy.limits.wall_ns, &mut policy.limits.cpu_ns] {
        *limit = pace::stretched_ns(*limit);
    }
    let exe = copy_of_program(&brief.dir).map_err(io("a copy of this program"))?;
    let dir = brief.dir.join("open");
    let den = Den::new(dir.clone(), &brief.token, "attack", &exe).map_err(io("what is to be attacked"))?;
    let control_den = Den::new(brief.dir.join("control"), &brief.token, "control", &exe)
        .map_err(io("what the control attacks"))?;
    let terminal = Terminal::open().map_err(io("a terminal (mount -t devpts devpts /dev/pts)"))?;
    let key_name = format!("{}-key", brief.token);
    let key = keep_key(&key_name, &format!("{}-key", brief.token));
    // Left open until this process ends.
    std::mem::forget(
        Forgotten::leave(&dir, terminal.descriptor()).map_err(io("descriptors that are left open"))?,
    );
    let degrade = brief.degrade.iter().filter_map(|l| l.parse::<Layer>().ok()).collect::<BTreeSet<_>>();
    let target = Target {
        place: Place::Inside,
        token: brief.token.bytes().map(|b| !b).collect(),
        dir: dir.display().to_string(),
        scratch: None,
        writable: Vec::new(),
        root: "/".to_owned(),
        program: policy.payload.path.clone(),
        tcp: den.tcp,
        udp: den.udp,
        abstract_name: den.abstract_name.clone(),
        victim: (den.victim.pid(), den.victim.address),
        key: key_name,
        terminal: terminal.path.clone(),
        slow: brief.slow,
        facts: facts::of(&policy),
    };
    let beside = control_den.dir.display().to_string();
    let outside = Target {
        place: Place::Outside,
        dir: beside.clone(),
        scratch: Some(format!("{beside}/scratch")),
        root: beside,
        program: exe.display().to_string(),
        tcp: control_den.tcp,
        udp: control_den.udp,
        abstract_name: control_den.abstract_name.clone(),
        victim: (control_den.victim.pid(), control_den.victim.address),
        ..target.clone()
    };
    let outside = Target { facts: facts::beside(target.facts.clone()), ..outside };
    let inside = Target {
        scratch: facts::scratch(&policy).next().map(str::to_owned),
        writable: facts::scratch(&policy).map(str::to_owned).collect(),
        ..target
    };
    let caller = Caller {
        policy,
        exe,
        dir: brief.dir.clone(),
        token: brief.token.clone(),
        den: std::cell::RefCell::new(den),
        control_den,
        terminal,
        degrade,
        cgroup: brief.cgroup.clone(),
        through: brief.through.clone(),
        pool: pool(brief.warm)?,
        inside,
        outside,
    };
    Ok((caller, key))
}

fn pool(warm: bool) -> std::result::Result<Option<Arc<Pool>>, String> {
    let pool = warm.then(|| Pool::new(WAITING)).transpose();
    pool.map(|pool| pool.map(Arc::new)).map_err(|e| e.to_string())
}

/// This program, where everybody can execute it. What follows its last segment
/// is for debuggers, and left out.
fn copy_of_program(dir: &Path) -> std::io::Result<PathBuf> {
    let own = std::env::current_exe()?;
    let bytes = fs::read(&own)?;
    let length = facts::loaded_length(&bytes).unwrap_or(bytes.len());
    let copy = dir.join("probe");
    fs::write(&copy, &bytes[..length.min(bytes.len())])?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755))?;
    let works = std::process::Command::new(&copy).arg("--version").output();
    if works.is_ok_and(|out| out.status.success()) { Ok(copy) } else { Ok(own) }
}

impl Caller {
    /// Where no box can be had at all, nothing is known of any attack: that is no result, but an error.
    fn boxes_run(&self) -> std::result::Result<(), String> {
        if !self.through.is_empty() {
            return Ok(());
        }
        let ran = self.run(&[], &Setup::default());
        if ran.was_refused() { Err(ran.reason()) } else { Ok(()) }
    }

    /// Tries one attack, with its control, and judges it.
    fn attack(&self, attack: &Attack, key: &Key) -> Judged {
        let control = match attack.control {
            Control::Own(_) => None,
            Control::OwnNamespaces => Some(self.control(attack.id, Place::OwnNamespaces)),
            Control::Outside | Control::OutsideOrDiffers | Control::Differs => {
                Some(self.control(attack.id, Place::Outside))
            }
        };
        let control = match (attack.section(), key) {
            // Without a key there is nothing to be found.
            ("KY", Err(why)) => Some(Err(why.clone())),
            _ => control,
        };
        self.forget();
        if !self.through.is_empty() {
            return self.elsewhere(attack, control.as_ref());
        }
        judge(attack, &self.attempt(attack), control.as_ref())
    }

    /// The attack itself, and what was done to the host and to other boxes.
    fn attempt(&self, attack: &Attack) -> Inside {
        let neighbour = match self.neighbour() {
            Ok(neighbour) => neighbour,
            Err(why) => return Inside { why, ..Inside::default() },
        };
        let inside = match attack.how {
            How::Shared(_) => self.shared(attack),
            How::Host(part, _) => self.beside_the_box(part, attack),
            How::NotApplicable(why) => Inside { why: why.to_owned(), ..Inside::default() },
        };
        let of_neighbour = neighbour.and_then(super::neighbours::Neighbour::damage);
        let damage = inside.damage.clone().or_else(|| self.damage()).or(of_neighbour);
        Inside { damage, ..inside }
    }

    /// What controls have done is not held against the attack.
    fn forget(&self) {
        self.den.borrow().forget();
        self.terminal.restore();
    }

    fn beside_the_box(&self, part: table::HostPart, attack: &Attack) -> Inside {
        match part(self, attack) {
            Ok(saw) => Inside { saw: Some(saw), ..Inside::default() },
            Err(why) => Inside { why, ..Inside::default() },
        }
    }

    /// A probe in a box; again, from the next step on, after steps that are fatal.
    fn shared(&self, attack: &Attack) -> Inside {
        /// More steps than any probe has.
        const MOST: usize = 200;
        let mut inside = Inside::default();
        let mut before = Saw::new();
        let mut skip = 0;
        for _ in 0..MOST {
            let ran = self.run(&[Order { id: attack.id.to_owned(), skip }], &Setup::default());
            let violations = ran.report.iter().flat_map(|r| &r.violations).map(|v| v.number);
            inside.recorded.extend(violations);
            if let Some(saw) = ran.saws.get(attack.id) {
                before.join(saw.clone());
                inside.saw = Some(before);
                return inside;
            }
            let verdict = ran.verdict();
            if verdict == "sandbox_failure" {
                inside.damage = Some(format!("the supervisor failed: {}", ran.reason()));
                return inside;
            }
            let signal = ran.report.as_ref().and_then(|r| r.signal.clone());
            let died = signal.unwrap_or_else(|| verdict.clone());
            match &ran.broken {
                Some((_, step, what)) if *step > skip && died == "SIGSYS" => {
                    before.note(what, died);
                    skip = *step;
                }
                _ => {
                    inside.why = format!("the box ended early: {}: {}", verdict, ran.reason());
                    return inside;
                }
            }
        }
        inside.why = "too many steps were fatal".to_owned();
        inside
    }
}
