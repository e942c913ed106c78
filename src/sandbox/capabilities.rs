//! Capabilities and `no_new_privs`.
//!
//! All five sets of the payload are empty, the securebits keep id 0 from
//! meaning anything and are locked, and no program it executes gains anything.
//!
//! # References
//! `capabilities(7)`, `PR_SET_SECUREBITS(2const)`, `PR_SET_NO_NEW_PRIVS(2const)`

use super::child::{Failed, Steps};
use super::order::Step;
#[cfg(feature = "ablation")]
use crate::Layer;
use crate::sys::{self, creds, process};

/// NOROOT, NO_SETUID_FIXUP and NO_CAP_AMBIENT_RAISE, each locked, and
/// KEEP_CAPS locked off.
pub const SECUREBITS: usize = 0b1110_1111;

/// Child only: no further privilege by any exec.
pub fn no_new_privs() -> sys::Result<()> {
    process::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0).map(drop)
}

fn clear_ambient() -> sys::Result<()> {
    process::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL.unsigned_abs() as usize, 0).map(drop)
}

fn drop_bounding(capability: u32) -> sys::Result<()> {
    process::prctl(libc::PR_CAPBSET_DROP, capability as usize, 0).map(drop)
}

fn lock_securebits() -> sys::Result<()> {
    process::prctl(libc::PR_SET_SECUREBITS, SECUREBITS, 0).map(drop)
}

/// Child only: everything at once, for pid 1.
pub fn drop_all(last_cap: u32) -> sys::Result<()> {
    lock_securebits()?;
    clear_ambient()?;
    for capability in 0..=last_cap {
        drop_bounding(capability)?;
    }
    creds::drop_all_capabilities()
}

/// Child only: everything, step by step, for the payload.
pub fn drop_for_payload(steps: Steps) -> Result<(), Failed> {
    #[cfg(feature = "ablation")]
    if steps.without(Layer::Capabilities) || steps.without(Layer::NoNewPrivs) {
        return super::ablation::capabilities_instead(steps);
    }
    drop_all_sets(steps)?;
    steps.call(Step::NoNewPrivs, no_new_privs)
}

/// Child only: securebits and all five sets.
pub fn drop_all_sets(steps: Steps) -> Result<(), Failed> {
    drop_ambient_and_bounding(steps)?;
    steps.call(Step::Capset, creds::drop_all_capabilities)
}

/// Child only: securebits, the ambient and the bounding set.
pub fn drop_ambient_and_bounding(steps: Steps) -> Result<(), Failed> {
    steps.call(Step::Securebits, lock_securebits)?;
    steps.call(Step::Ambient, clear_ambient)?;
    for capability in 0..=steps.plan.last_cap {
        steps.nth(Step::Bounding, capability as usize, || drop_bounding(capability))?;
    }
    Ok(())
}
