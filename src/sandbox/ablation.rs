//! Test builds only (feature `ablation`): one layer of a box is left out, or is
//! applied wrongly.
//!
//! `STOCKADE_ABLATE=landlock` leaves a layer out, and has the attestation look
//! away: what the other layers hold by themselves shows in the escape check.
//! `STOCKADE_BREAK=landlock:skipped|early|elsewhere` has a launch forget the
//! layer, apply it before its time, or apply it to pid 1 instead of the payload,
//! with the attestation as it is: somebody must notice.

use super::capabilities;
use super::child::{Failed, Steps};
use super::order::Step;
use super::plan::Entry;
use super::{cgroup, landlock, namespaces, rlimits};
use crate::Layer;
use crate::error::{Error, Kind, Result};
use crate::sys::{self, process};

/// What is done to a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It is left out, and the attestation does not look for it.
    Removed,
    /// It is forgotten.
    Skipped,
    /// It is applied as soon as there is a process, before what it must not precede.
    Early,
    /// It is applied to pid 1 of the box.
    Elsewhere,
}

/// A layer, and what is done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoilt {
    /// Which layer.
    pub layer: Layer,
    /// How.
    pub way: Way,
}

/// Layers that one process applies to itself, and that could be applied to another, or at another time.
const MOVABLE: [Layer; 7] = [
    Layer::UserNs,
    Layer::Capabilities,
    Layer::NoNewPrivs,
    Layer::Landlock,
    Layer::Seccomp,
    Layer::Cgroup,
    Layer::Rlimits,
];

/// What is asked for.
///
/// # Errors
/// Something that does not exist: a test must not pass because it was misspelt.
pub fn from_environment() -> Result<Option<Spoilt>> {
    let text = |name: &str| std::env::var_os(name).map(|v| v.to_string_lossy().into_owned());
    match (text("STOCKADE_ABLATE"), text("STOCKADE_BREAK")) {
        (None, None) => Ok(None),
        (Some(layer), None) => parse(&format!("{layer}:removed")).map(Some),
        (None, Some(spec)) if !spec.ends_with(":removed") => parse(&spec).map(Some),
        _ => Err(wrong("one of STOCKADE_ABLATE=LAYER and STOCKADE_BREAK=LAYER:WAY")),
    }
}

fn wrong(what: &str) -> Error {
    Error::new(Kind::Usage, format!("cannot spoil a box so: {what}"))
}

fn parse(spec: &str) -> Result<Spoilt> {
    let (layer, way) = spec.split_once(':').ok_or_else(|| wrong(spec))?;
    let layer: Layer = layer.parse().map_err(|_| wrong(spec))?;
    let way = match way {
        "removed" => Way::Removed,
        "skipped" => Way::Skipped,
        "early" if MOVABLE.contains(&layer) => Way::Early,
        "elsewhere" if MOVABLE.contains(&layer) => Way::Elsewhere,
        _ => return Err(wrong(spec)),
    };
    Ok(Spoilt { layer, way })
}

impl Spoilt {
    /// Whether a difference in this layer is looked away from.
    pub fn hides(self, layer: Layer) -> bool {
        // Without no_new_privs, filters want a capability until the exec.
        let also = match self.layer {
            Layer::NoNewPrivs => layer == Layer::Capabilities,
            // What stands in the places of the planned mounts has other attributes.
            Layer::MountNs => matches!(layer, Layer::Root | Layer::Proc),
            Layer::Proc => layer == Layer::Root,
            _ => false,
        };
        self.way == Way::Removed && (self.layer == layer || also)
    }
}

/// Child only: what takes the place of dropping everything.
pub fn capabilities_instead(steps: Steps) -> std::result::Result<(), Failed> {
    match steps.plan.spoilt {
        Some(Spoilt { layer: Layer::Capabilities, way: Way::Removed }) => {
            // An exec would clear them: kept in the set that it does not.
            steps.call(Step::Capset, || keep_all(steps.plan.last_cap))?;
            steps.call(Step::NoNewPrivs, capabilities::no_new_privs)
        }
        Some(Spoilt { layer: Layer::NoNewPrivs, way: Way::Removed }) => {
            capabilities::drop_ambient_and_bounding(steps)?;
            steps.call(Step::Capset, sys::creds::keep_one_capability)
        }
        Some(Spoilt { layer: Layer::NoNewPrivs, .. }) => capabilities::drop_all_sets(steps),
        // Skipped, early or elsewhere.
        _ => steps.call(Step::NoNewPrivs, capabilities::no_new_privs),
    }
}

/// Child only: what takes the place of entering the leaf: its descriptors are taken all the same, or
/// pid 1, which reads from the same socket, would take them for its word to go on.
pub fn cgroup_instead(steps: Steps) -> std::result::Result<(), Failed> {
    match steps.plan.spoilt {
        Some(Spoilt { layer: Layer::Cgroup, way: Way::Removed | Way::Skipped }) => {
            cgroup::receive(steps, Step::TakeLeaf, Entry::Tasks)
        }
        _ => Ok(()),
    }
}

fn keep_all(last_cap: u32) -> sys::Result<()> {
    sys::creds::inherit_all_capabilities(last_cap)?;
    (0..=last_cap).try_for_each(|capability| {
        let raise = libc::PR_CAP_AMBIENT_RAISE.unsigned_abs() as usize;
        process::prctl(libc::PR_CAP_AMBIENT, raise, capability as usize).map(drop)
    })
}

/// Child only: in P, before everything; what belongs later is done now.
pub fn early(steps: Steps) -> std::result::Result<(), Failed> {
    moved(steps, Way::Early)
}

/// Child only: in I, which has its ids; what belongs to P is done here.
pub fn elsewhere(steps: Steps) -> std::result::Result<(), Failed> {
    moved(steps, Way::Elsewhere)
}

fn moved(steps: Steps, now: Way) -> std::result::Result<(), Failed> {
    let plan = steps.plan;
    let Some(Spoilt { layer, way }) = plan.spoilt else { return Ok(()) };
    if way != now {
        return Ok(());
    }
    match layer {
        Layer::UserNs => namespaces::enter_inner_user_namespace(steps).map(drop),
        Layer::Capabilities => capabilities::drop_all_sets(steps),
        Layer::NoNewPrivs => steps.call(Step::NoNewPrivs, capabilities::no_new_privs),
        Layer::Landlock => landlock::restrict(steps).map(drop),
        Layer::Seccomp => {
            steps.call(Step::NoNewPrivs, capabilities::no_new_privs)?;
            steps.call(Step::SeccompMain, || sys::seccomp::install(&plan.filter, plan.nonce))
        }
        Layer::Cgroup => cgroup::enter(steps),
        Layer::Rlimits => rlimits::apply(steps, true).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spoilt_layer_is_a_layer_and_a_way_that_exist() {
        let spoilt = |layer, way| Spoilt { layer, way };
        assert_eq!(parse("landlock:early").unwrap(), spoilt(Layer::Landlock, Way::Early));
        assert_eq!(parse("net_ns:skipped").unwrap(), spoilt(Layer::NetNs, Way::Skipped));
        for wrong in ["landlock", "landlok:skipped", "landlock:late", "net_ns:early", "", ":"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn attestation_looks_away_only_from_what_was_removed() {
        let spoilt = |layer, way| Spoilt { layer, way };
        assert!(spoilt(Layer::Root, Way::Removed).hides(Layer::Root));
        assert!(!spoilt(Layer::Root, Way::Removed).hides(Layer::MountNs));
        assert!(!spoilt(Layer::Root, Way::Skipped).hides(Layer::Root));
    }
}
