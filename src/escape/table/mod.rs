//! Every attack: one table that the battery, the documents and the tests share.
//!
//! Ids are those of the catalogue of attacks that stockade is built against;
//! a number within a section that is missing here is not tried by this battery.

mod files;
mod kernel;
mod processes;
mod resources;
mod surroundings;

use super::host::Caller;
use super::outcome::Saw;
use super::probe::Probe;
use crate::Layer;
use crate::policy::model::Policy;

/// How it is known that a probe could have had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// The same probe has its effect beside the box, as an ordinary process.
    Outside,
    /// The same probe has its effect as root of namespaces of its own, which is
    /// a box without any hardening.
    OwnNamespaces,
    /// Beside the box the kernel itself answers, and answers something else; or
    /// the supervisor has recorded the very call.
    Differs,
    /// The same probe has its effect beside the box; or, where a switch or a missing part of the kernel
    /// refuses everybody, its calls are answered otherwise there, or the supervisor has recorded them.
    OutsideOrDiffers,
    /// The attack is its own control, in this way.
    Own(&'static str),
}

impl Control {
    /// In a few words, for the documents.
    #[must_use]
    pub const fn text(self) -> &'static str {
        match self {
            Control::Outside => "the same probe beside the box has the effect",
            Control::OwnNamespaces => "the same probe as root of bare namespaces has the effect",
            Control::Differs => "beside the box the kernel answers something else, or the call was recorded",
            Control::OutsideOrDiffers => {
                "the same probe beside the box has the effect, or the kernel, which refuses everybody, answers \
                 something else"
            }
            Control::Own(text) => text,
        }
    }
}

/// Does a part of an attack from outside the box. `Err`: why it could not be tried.
pub type HostPart = fn(&Caller, &Attack) -> Result<Saw, String>;

/// How an attack is carried out.
#[derive(Clone, Copy)]
pub enum How {
    /// By a probe that shares its box with others.
    Shared(Probe),
    /// From outside, with boxes of its own in which the probe, if any, runs.
    Host(HostPart, Option<Probe>),
    /// Not at all, for this reason: what it attacks does not exist.
    NotApplicable(&'static str),
}

/// Which policies give what an attack is after, and how that is said.
pub type Given = (fn(&Policy) -> bool, &'static str);

/// One line of the table.
#[derive(Clone, Copy)]
pub struct Attack {
    /// Section and number.
    pub id: &'static str,
    /// Whether it is one of the most important.
    pub star: bool,
    /// What is attacked, and how.
    pub vector: &'static str,
    /// Where it is known from.
    pub reference: &'static str,
    /// Layers that hold it, each by itself unless the ablation says otherwise.
    pub layers: &'static [Layer],
    /// Whether the supervisor itself holds it, rather than a layer.
    pub supervisor: bool,
    /// How it is known that it could have had an effect.
    pub control: Control,
    /// Answers that count as held.
    pub expected: &'static [&'static str],
    /// How it is carried out.
    pub how: How,
    /// What it would take is given by some policies: which ones, and how that is said.
    pub given: Option<Given>,
}

impl std::fmt::Debug for Attack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attack").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Attack {
    const fn new(id: &'static str, vector: &'static str, reference: &'static str, how: How) -> Self {
        Self {
            id,
            star: false,
            vector,
            reference,
            layers: &[],
            supervisor: false,
            control: Control::Outside,
            expected: &[],
            how,
            given: None,
        }
    }

    /// One that shares its box with others.
    const fn shared(id: &'static str, vector: &'static str, reference: &'static str, probe: Probe) -> Self {
        Self::new(id, vector, reference, How::Shared(probe))
    }

    /// One with boxes of its own.
    const fn host(id: &'static str, vector: &'static str, reference: &'static str, part: HostPart) -> Self {
        Self::new(id, vector, reference, How::Host(part, None))
    }

    /// The probe that runs in those boxes.
    const fn with(mut self, probe: Probe) -> Self {
        if let How::Host(part, _) = self.how {
            self.how = How::Host(part, Some(probe));
        }
        self
    }

    /// One that attacks what does not exist.
    const fn none(
        id: &'static str,
        vector: &'static str,
        reference: &'static str,
        why: &'static str,
    ) -> Self {
        Self::new(id, vector, reference, How::NotApplicable(why))
    }

    const fn star(mut self) -> Self {
        self.star = true;
        self
    }

    const fn held_by(mut self, layers: &'static [Layer]) -> Self {
        self.layers = layers;
        self
    }

    const fn supervised(mut self) -> Self {
        self.supervisor = true;
        self
    }

    const fn control(mut self, control: Control) -> Self {
        self.control = control;
        self
    }

    const fn expect(mut self, expected: &'static [&'static str]) -> Self {
        self.expected = expected;
        self
    }

    const fn given(mut self, given: Given) -> Self {
        self.given = Some(given);
        self
    }

    /// Why it is not carried out in boxes of this policy, where that is the policy's own doing.
    #[must_use]
    pub fn given_by(&self, policy: &Policy) -> Option<&'static str> {
        self.given.filter(|(by, _)| by(policy)).map(|(_, why)| why)
    }

    /// The two letters before the number.
    #[must_use]
    pub fn section(&self) -> &'static str {
        self.id.split_once('-').map_or(self.id, |(section, _)| section)
    }

    /// Who holds it, as in every output.
    #[must_use]
    pub fn holders(&self) -> Vec<&'static str> {
        let mut names: Vec<&str> = self.layers.iter().map(|l| l.name()).collect();
        if self.supervisor {
            names.push("supervisor");
        }
        names
    }

    /// Why it is not carried out, if it is not.
    #[must_use]
    pub const fn not_applicable(&self) -> Option<&'static str> {
        match self.how {
            How::NotApplicable(why) => Some(why),
            _ => None,
        }
    }
}

/// Sections, by the two letters of their ids.
pub const SECTIONS: &[(&str, &str)] = &[
    ("FS", "files, mounts, the root"),
    ("NS", "namespaces"),
    ("PR", "/proc and /sys"),
    ("FD", "descriptors"),
    ("TT", "the terminal"),
    ("SC", "the filter: entries and life"),
    ("SA", "the filter: arguments"),
    ("SK", "sockets and networks"),
    ("KY", "keyrings"),
    ("KX", "the kernel's surface"),
    ("PS", "processes, signals, ends"),
    ("CG", "cgroups and accounting"),
    ("DS", "resources"),
    ("IL", "leaks and channels"),
    ("SV", "the supervisor, policy and report"),
    ("OU", "what is left for the host"),
];

/// Every attack, in the order of the sections.
#[must_use]
pub fn all() -> Vec<&'static Attack> {
    [files::ATTACKS, surroundings::ATTACKS, kernel::ATTACKS, processes::ATTACKS, resources::ATTACKS]
        .into_iter()
        .flatten()
        .collect()
}

/// The probe of an attack.
#[must_use]
pub fn probe(id: &str) -> Option<Probe> {
    if id == super::probe::leaks::NEIGHBOUR {
        return Some(super::probe::leaks::live_beside);
    }
    match all().into_iter().find(|a| a.id == id)?.how {
        How::Shared(probe) | How::Host(_, Some(probe)) => Some(probe),
        _ => None,
    }
}

/// What a filter answers, and what it does to those it does not answer.
const FILTERED: &[&str] = &["ENOSYS", "EPERM", "SIGSYS"];

/// What file systems, mounts and Landlock answer, or the filter.
const REFUSED: &[&str] = &[
    "EACCES", "EBADF", "ELOOP", "ENODEV", "ENOENT", "ENOSYS", "ENOTDIR", "ENXIO", "EPERM", "EROFS", "ESRCH",
    "ETXTBSY",
];

#[cfg(test)]
mod tests;
