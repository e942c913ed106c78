//! What the kernel shows of a box, compared with the plan.

use std::fs;
use std::io;

use super::{Stopped, TOO_EARLY, Underway};
use crate::Layer;
use crate::error::{errno_text, io_text, with_help};
use crate::sandbox::order::{Step, own_step};
use crate::sandbox::posture::{self, Difference, ExpectedPlace, ExpectedSelf};
use crate::sandbox::{compile, landlock, verify};

impl Underway<'_> {
    pub(super) fn first_look(&mut self) -> Result<(), Stopped> {
        let (Some(init), Some(payload), Some(stripped)) = (&self.init, &self.payload, self.facts.stripped)
        else {
            return Err(Stopped::Failed(TOO_EARLY.to_owned()));
        };
        let mut mounts = std::mem::take(&mut self.compiled.expected_mounts);
        if stripped.proc_errno != 0 {
            mounts.retain(|m| m.kind != Some("proc"));
        }
        let expected = ExpectedPlace {
            mounts: &mounts,
            cgroup: &self.compiled.cgroup_lines,
            inner: stripped.inner_errno == 0,
            network: self.compiled.network,
        };
        let differences = &mut self.differences;
        let look = || posture::look_at_place(init.pid, payload.pid, &expected, differences);
        self.facts.place = own_step(Step::Attest, 1, look).map_err(|e| unreadable("the box's /proc", &e))?;
        Ok(())
    }

    pub(super) fn second_look(&mut self) -> Result<(), Stopped> {
        let (Some(init), Some(payload), Some(stripped)) = (&self.init, &self.payload, self.facts.stripped)
        else {
            return Err(Stopped::Failed(TOO_EARLY.to_owned()));
        };
        let compiled = &*self.compiled;
        let inner = stripped.inner_errno == 0;
        let rlimits: Vec<(u32, u64)> = compiled
            .plan
            .rlimits
            .iter()
            .map(|l| {
                let core = l.resource == libc::RLIMIT_CORE;
                let value = if core { u64::from(stripped.core_limit) } else { l.value };
                (l.resource, value + if inner { 0 } else { l.without_inner })
            })
            .collect();
        let expected = ExpectedSelf {
            ids: self.facts.host_ids,
            no_groups: compiled.plan.as_root,
            filters: compiled.filters,
            rlimits: &rlimits,
            pipes: compiled.pipes,
        };
        let differences = &mut self.differences;
        let look = || posture::look_at_self(init.pid, payload.pid, &expected, differences);
        self.facts.selves = own_step(Step::Attest, 2, look).map_err(|e| unreadable("the box's /proc", &e))?;
        let inside = |path: &str| fs::File::open(format!("/proc/{}/root{path}", payload.pid));
        let open = || compile::tmpfs_paths(&compiled.policy).into_iter().map(inside).collect();
        self.tmpfs = own_step(Step::Attest, 3, open)
            .map_err(|e| unreadable("the box's file systems in memory", &e))?;
        let open = || compiled.outs.iter().map(|out| inside(&out.at)).collect();
        self.outs = own_step(Step::Attest, 5, open).map_err(|e| unreadable("what is to be collected", &e))?;
        if compiled.want_digest {
            let copy = own_step(Step::Attest, 4, || inside(&compiled.policy.payload.path));
            self.payload_copy = Some(copy.map_err(|e| unreadable("the payload's copy", &e))?);
        }
        if compiled.plan.landlock.is_some()
            && self.facts.ready.is_some_and(|r| r.landlock_errno != landlock::REFUSED)
        {
            let errno = self.facts.ready.map_or(0, |r| r.landlock_errno);
            let answer = if errno == 0 { "let through".to_owned() } else { errno_text(errno) };
            let what = format!("opening a directory that no rule names was answered: {answer}");
            self.differences.push(Difference { layer: Layer::Landlock, what });
        }
        Ok(())
    }

    /// Any difference from the plan refuses the run, but for layers that may be missing.
    pub(super) fn judge(&mut self) -> Result<(), Stopped> {
        verify::degradations(self.compiled, &self.facts, &mut self.differences);
        #[cfg(feature = "ablation")]
        if let Some(spoilt) = self.compiled.plan.spoilt {
            self.differences.retain(|difference| !spoilt.hides(difference.layer));
        }
        let degrade = &self.compiled.degrade;
        let refusing: Vec<String> = self
            .differences
            .iter()
            .filter(|d| !degrade.contains(&d.layer))
            .map(|d| format!("{}: {}", d.layer, d.what))
            .collect();
        if refusing.is_empty() {
            for Difference { layer, what } in self.differences.drain(..) {
                self.compiled.missing.push((layer, what));
            }
            return Ok(());
        }
        let list = refusing.join("; ");
        let words = format!("attest: the kernel does not show what the plan expects: {list}");
        Err(Stopped::Failed(with_help(&words, verify::attest_help(&self.facts).as_deref())))
    }
}

/// What could not be looked at.
pub fn unreadable(what: &str, e: &io::Error) -> Stopped {
    Stopped::Failed(format!("attest: cannot read {what}: {}", io_text(e)))
}
