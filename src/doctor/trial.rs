//! The decision: a program is run under `native`, and the report of the run says
//! what this host gives.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use super::{Check, Choice, NATIVE, Status};
use crate::Layer;
use crate::policy;
use crate::report::Report;
use crate::report::verdict::Verdict;
use crate::sandbox::{Output, Sandbox};

/// Layers that a request may do without where the host lacks what they are made
/// of. Of all others a box has to show the whole.
const DEGRADABLE: [Layer; 7] =
    [Layer::Cgroup, Layer::Landlock, Layer::UserNs, Layer::Rlimits, Layer::Root, Layer::Keyring, Layer::Proc];

/// A program for the real run, and what it must print.
#[derive(Debug, Clone)]
pub struct Payload {
    /// The host file.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its standard output when all is well.
    pub prints: Vec<u8>,
}

/// Whether `native` runs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Native {
    /// In full.
    Full,
    /// With layers missing.
    Degraded,
    /// Not at all.
    Refused,
}

impl Native {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Native::Full => "full",
            Native::Degraded => "degraded",
            Native::Refused => "refused",
        }
    }
}

/// What the runs showed.
pub struct Trial {
    pub check: Check,
    pub native: Native,
    pub needs_degrade: Vec<Layer>,
    pub root: Choice,
}

/// Runs the payload, with every layer and, if that is refused, with those missing
/// that may be.
pub fn run(payload: &Payload) -> Trial {
    let refusal = match once(payload, &[]) {
        Ok(report) => {
            let check = Check::pass(NATIVE, "ran with every layer, and the kernel confirmed each");
            return Trial { check, native: Native::Full, needs_degrade: Vec::new(), root: root_of(&report) };
        }
        Err(refusal) => refusal,
    };
    let (found, fix) = match refusal.split_once("\n  help: ") {
        Some((found, fix)) => (found, Some(fix.to_owned())),
        None => (refusal.as_str(), None),
    };
    let found = found.replace('\n', " ");
    let check = |status| Check { fix: fix.clone(), ..Check::new(NATIVE, status, found.clone()) };
    match once(payload, &DEGRADABLE) {
        Ok(report) => {
            let needs_degrade: BTreeSet<Layer> = report.degraded.iter().copied().collect();
            Trial {
                check: check(Status::Degraded),
                native: Native::Degraded,
                needs_degrade: needs_degrade.into_iter().collect(),
                root: root_of(&report),
            }
        }
        Err(_) => Trial {
            check: check(Status::Fail),
            native: Native::Refused,
            needs_degrade: Vec::new(),
            root: Choice { what: "none".to_owned(), why: "no box can be had".to_owned() },
        },
    }
}

/// One run; why it was not what it should be.
fn once(payload: &Payload, degrade: &[Layer]) -> Result<Report, String> {
    let policy = policy::load_builtin("native").map_err(|f| f.to_string())?;
    let mut builder = Sandbox::builder(policy, &payload.program)
        .args(payload.args.iter().cloned())
        .stdout(Output::Capture)
        .stderr(Output::Capture)
        .digest(false);
    for layer in degrade {
        builder = builder.degrade(*layer);
    }
    let outcome = builder.run().map_err(|e| e.to_string())?;
    let report = outcome.report;
    if report.verdict != Verdict::Ok {
        return Err(report.reason);
    }
    if outcome.stdout != payload.prints {
        return Err(format!("the program printed {:?}", String::from_utf8_lossy(&outcome.stdout)));
    }
    if !report.cleanup.ok {
        return Err(format!("something was left behind: {}", report.cleanup.left.join(", ")));
    }
    Ok(report)
}

/// The root that the run had.
fn root_of(report: &Report) -> Choice {
    let backend = report.layers.get("root").and_then(|l| l.kernel.get("backend")).and_then(Value::as_str);
    let noted = |word: &str| report.notes.iter().find(|n| n.contains(word)).cloned();
    let (what, why) = match backend {
        Some("overlay") => {
            ("overlay", "a superblock that nobody can write, over the store's files".to_owned())
        }
        Some("bind") => ("bind", noted("root is a locked").unwrap_or_else(|| "no overlay here".to_owned())),
        Some("private") => ("private", noted("private copy").unwrap_or_else(|| "no store here".to_owned())),
        _ => ("unknown", "the run did not say".to_owned()),
    };
    Choice { what: what.to_owned(), why }
}
