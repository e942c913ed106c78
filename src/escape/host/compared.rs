//! The same payload in another sandbox, for a comparison.
//!
//! Only what shares a box with others is tried, and only its effects count:
//! which answers another sandbox may give is not for this table to say.

use std::process::Command;

use super::super::judge::{Controlled, Judged};
use super::super::outcome::{Outcome, Saw};
use super::super::probe::{ARGUMENT, Job, Order};
use super::super::table::{Attack, Control, How};
use super::Caller;
use super::control::parse;

impl Caller {
    /// Tries one attack in the other sandbox.
    pub fn elsewhere(&self, attack: &Attack, control: Option<&Result<Saw, String>>) -> Judged {
        let done = |outcome: Outcome, saw: String, worked: bool, seen: String| Judged {
            id: attack.id.to_owned(),
            outcome,
            saw,
            layers: Vec::new(),
            control: Controlled { worked, saw: seen },
            elapsed_ms: 0,
        };
        let unknown = |why: &str| done(Outcome::Inconclusive, why.to_owned(), false, String::new());
        if !matches!(attack.how, How::Shared(_)) {
            return unknown("it is about stockade's own boxes");
        }
        let Some(Ok(beside)) = control else { return unknown("it is about stockade's own policy") };
        let seen = self.payload_elsewhere(attack.id);
        let damage = self.damage();
        let saw = match (damage, seen) {
            (Some(damage), _) => return done(Outcome::Leaked, damage, true, beside.text()),
            (None, Err(why)) => return unknown(&why),
            (None, Ok(saw)) => saw,
        };
        // Where the kernel's answer is the only sign: the same as without any sandbox means that it was reached.
        let reached = |(what, answer): (&str, &str)| {
            beside.answers.iter().any(|b| b.what == what && b.answer == answer)
        };
        let (outcome, known) = match attack.control {
            Control::Differs => {
                let same = saw.answers.iter().all(|a| reached((&a.what, &a.answer)));
                (if same { Outcome::Leaked } else { Outcome::Held }, true)
            }
            _ => (
                if saw.effect.is_some() { Outcome::Leaked } else { Outcome::Held },
                beside.effect.is_some() || saw.effect.is_some(),
            ),
        };
        done(if known { outcome } else { Outcome::Inconclusive }, saw.text(), known, beside.text())
    }

    fn payload_elsewhere(&self, id: &str) -> Result<Saw, String> {
        let (program, words) = self.through.split_first().ok_or("no command")?;
        let order = Order { id: id.to_owned(), skip: 0 };
        let job = Job { target: self.inside.clone(), orders: vec![order] }.encode();
        let mut command = Command::new(program);
        command.args(words).arg(&self.exe).arg(ARGUMENT);
        parse(id, &self.beside(command, &job)?)
    }
}
