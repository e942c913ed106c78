//! From what was seen, in the box and beside it, to what it means. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::outcome::{Outcome, Saw};
use super::table::{Attack, Control};

/// What the positive control came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Controlled {
    /// Whether it is known that the attack could have had an effect.
    pub worked: bool,
    /// What was seen, or why nothing was.
    pub saw: String,
}

/// The judgement on one attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// The attack.
    pub id: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The exact answers, and what they were taken for.
    pub saw: String,
    /// Who holds it.
    pub layers: Vec<String>,
    /// How it is known.
    pub control: Controlled,
    /// How long it took, its control included.
    #[serde(default)]
    pub elapsed_ms: u64,
}

impl Judged {
    /// An attack of which nothing came.
    #[must_use]
    pub fn unknown(attack: &Attack, why: String) -> Self {
        Self {
            id: attack.id.to_owned(),
            outcome: Outcome::Inconclusive,
            saw: why,
            layers: attack.holders().into_iter().map(str::to_owned).collect(),
            control: Controlled { worked: false, saw: "it was not tried to its end".to_owned() },
            elapsed_ms: 0,
        }
    }
}

/// What happened in the box.
#[derive(Debug, Clone, Default)]
pub struct Inside {
    /// What the probe saw, or why it saw nothing.
    pub saw: Option<Saw>,
    /// Why it saw nothing.
    pub why: String,
    /// Numbers of the calls that the supervisor has recorded.
    pub recorded: BTreeSet<u32>,
    /// What was done to the host.
    pub damage: Option<String>,
}

/// Judges one attack. `control` is what the same probe saw where it can have
/// its effect, where there is such a place.
#[must_use]
pub fn judge(attack: &Attack, inside: &Inside, control: Option<&Result<Saw, String>>) -> Judged {
    let done = |outcome: Outcome, saw: String, control: Controlled| Judged {
        id: attack.id.to_owned(),
        outcome,
        saw,
        layers: attack.holders().into_iter().map(str::to_owned).collect(),
        control,
        elapsed_ms: 0,
    };
    let controlled = controlled(attack, inside, control);
    if let Some(damage) = &inside.damage {
        return done(Outcome::Leaked, damage.clone(), controlled);
    }
    let Some(saw) = &inside.saw else {
        return done(Outcome::Inconclusive, inside.why.clone(), controlled);
    };
    if saw.effect.is_some() {
        return done(Outcome::Leaked, saw.text(), controlled);
    }
    let unexpected = saw.answers.iter().find(|seen| !attack.expected.contains(&seen.answer.as_str()));
    if let Some(seen) = unexpected {
        // Where nothing but the answer tells the filter from the kernel, any other answer is the kernel's.
        let (outcome, why) = if attack.control == Control::Differs {
            (Outcome::Leaked, "it was not refused before the kernel looked at it")
        } else {
            (Outcome::Inconclusive, "no layer is known to answer so")
        };
        return done(outcome, format!("{}: {}: {why}", seen.what, seen.answer), controlled);
    }
    if !controlled.worked {
        return done(Outcome::Inconclusive, saw.text(), controlled);
    }
    if saw.answers.is_empty() {
        return done(Outcome::Inconclusive, "there was nothing to try".to_owned(), controlled);
    }
    done(Outcome::Held, saw.text(), controlled)
}

fn controlled(attack: &Attack, inside: &Inside, control: Option<&Result<Saw, String>>) -> Controlled {
    let of = |worked: bool, saw: String| Controlled { worked, saw };
    let seen = match (attack.control, control) {
        (Control::Own(text), _) => return of(true, text.to_owned()),
        (_, None) => return of(false, "it was not tried".to_owned()),
        (_, Some(Err(why))) => return of(false, why.clone()),
        (_, Some(Ok(seen))) => seen,
    };
    // The kernel has answered to the same call, or the very call was recorded.
    let told_apart = |calls_only: bool| {
        inside.saw.iter().flat_map(|saw| &saw.answers).filter(|a| !calls_only || a.nr.is_some()).any(
            |answer| {
                answer.nr.is_some_and(|nr| inside.recorded.contains(&nr))
                    || seen.answers.iter().any(|c| c.what == answer.what && c.answer != answer.answer)
            },
        )
    };
    let same = || of(false, format!("the same without a box: {}", seen.text()));
    match attack.control {
        Control::Differs if told_apart(false) => of(true, seen.text()),
        Control::Differs => same(),
        Control::OutsideOrDiffers => of(seen.effect.is_some() || told_apart(true), seen.text()),
        _ => of(seen.effect.is_some(), seen.text()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::escape::table;
    use crate::sys::Errno;

    fn attack(id: &str) -> Attack {
        **table::all().iter().find(|a| a.id == id).unwrap()
    }

    fn saw(answers: &[(&str, Errno)]) -> Saw {
        let mut saw = Saw::new();
        for (what, errno) in answers {
            saw.must_fail::<()>(*what, Err(*errno));
        }
        saw
    }

    fn inside(saw: Saw) -> Inside {
        Inside { saw: Some(saw), ..Inside::default() }
    }

    fn worked() -> Result<Saw, String> {
        let mut saw = Saw::new();
        saw.must_fail("x", Ok(()));
        Ok(saw)
    }

    #[test]
    fn attack_without_an_effect_is_held_only_if_its_control_had_one() {
        let attack = attack("NS-01");
        let refused = inside(saw(&[("unshare", Errno::EPERM)]));
        assert_eq!(judge(&attack, &refused, Some(&worked())).outcome, Outcome::Held);
        let failed = Ok(saw(&[("unshare", Errno::EPERM)]));
        assert_eq!(judge(&attack, &refused, Some(&failed)).outcome, Outcome::Inconclusive);
        let none = Err("no such thing here".to_owned());
        assert_eq!(judge(&attack, &refused, Some(&none)).outcome, Outcome::Inconclusive);
        assert_eq!(judge(&attack, &refused, None).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn effect_or_damage_is_a_leak_whatever_the_control_says() {
        let attack = attack("NS-01");
        let mut leaked = Saw::new();
        leaked.must_fail("unshare", Ok(()));
        assert_eq!(judge(&attack, &inside(leaked), None).outcome, Outcome::Leaked);
        let mut damaged = inside(saw(&[("unshare", Errno::EPERM)]));
        damaged.damage = Some("a file was changed".to_owned());
        assert_eq!(judge(&attack, &damaged, Some(&worked())).outcome, Outcome::Leaked);
    }

    #[test]
    fn answer_that_nobody_is_known_to_give_is_no_pass() {
        let strange = inside(saw(&[("unshare", Errno::EXFULL)]));
        assert_eq!(judge(&attack("NS-01"), &strange, Some(&worked())).outcome, Outcome::Inconclusive);
        // The kernel looked at it: the filter did not.
        let reached = inside(saw(&[("bpf", Errno::EFAULT)]));
        let beside = Ok(saw(&[("bpf", Errno::EINVAL)]));
        assert_eq!(judge(&attack("KX-02"), &reached, Some(&beside)).outcome, Outcome::Leaked);
    }

    #[test]
    fn same_answer_beside_the_box_proves_nothing_unless_the_call_was_recorded() {
        let attack = attack("KX-02");
        let beside = Ok(saw(&[("bpf", Errno::EPERM)]));
        let mut refused = Saw::new();
        refused.must_refuse("bpf", libc::SYS_bpf, Err(Errno::EPERM));
        let mut refused = inside(refused);
        assert_eq!(judge(&attack, &refused, Some(&beside)).outcome, Outcome::Inconclusive);
        refused.recorded.insert(u32::try_from(libc::SYS_bpf).unwrap());
        assert_eq!(judge(&attack, &refused, Some(&beside)).outcome, Outcome::Held);
        let other = Ok(saw(&[("bpf", Errno::EINVAL)]));
        refused.recorded.clear();
        assert_eq!(judge(&attack, &refused, Some(&other)).outcome, Outcome::Held);
    }

    #[test]
    fn kernel_that_refuses_everybody_is_told_from_the_filter_by_the_call_itself() {
        let call = |errno| {
            let mut saw = Saw::new();
            saw.step::<()>("/dev/tty", Err(if errno == Errno::EIO { Errno::EACCES } else { Errno::ENOENT }));
            saw.must_refuse("TIOCSTI on 0", libc::SYS_ioctl, Err(errno));
            saw
        };
        let attack = attack("TT-01");
        let refused = inside(call(Errno::EPERM));
        assert_eq!(judge(&attack, &refused, Some(&worked())).outcome, Outcome::Held);
        // Debian 13's kernel has a switch that refuses it to all.
        assert_eq!(judge(&attack, &refused, Some(&Ok(call(Errno::EIO)))).outcome, Outcome::Held);
        // What else differs is no answer to the attack's call.
        let beside = Ok(Saw { answers: vec![call(Errno::EIO).answers[0].clone()], effect: None });
        assert_eq!(judge(&attack, &refused, Some(&beside)).outcome, Outcome::Inconclusive);
        assert_eq!(judge(&attack, &refused, Some(&Ok(call(Errno::EPERM)))).outcome, Outcome::Inconclusive);
    }

    #[test]
    fn probe_that_saw_nothing_is_inconclusive() {
        let attack = attack("SA-01");
        assert_eq!(judge(&attack, &inside(Saw::new()), None).outcome, Outcome::Inconclusive);
        let broken = Inside { why: "wall_limit".to_owned(), ..Inside::default() };
        let judged = judge(&attack, &broken, None);
        assert_eq!((judged.outcome, judged.saw.as_str()), (Outcome::Inconclusive, "wall_limit"));
    }
}
