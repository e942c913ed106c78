//! Boxes of a pool beside the one that is attacked from: some wait for a job, one
//! has its own. Nothing of that job may be seen, and nothing may become of it.

use std::time::Duration;

use super::super::probe::leaks::NEIGHBOUR;
use super::{Caller, Live, Ran, Setup};

/// How long its probe takes at most until it has all that an attack may be after.
const SOON: Duration = Duration::from_secs(10);

/// A box at work.
pub struct Neighbour(Live);

impl Caller {
    /// Has boxes wait for jobs like most attacks'.
    pub fn warm_up(&self) -> Result<(), String> {
        let Some(pool) = &self.pool else { return Ok(()) };
        let like = self.prepare(NEIGHBOUR, &Setup::default())?;
        pool.warm_up(&like).map(drop).map_err(|e| e.to_string())
    }

    /// Boxes that wait, and one at work; none where boxes are made for their jobs.
    pub fn neighbour(&self) -> Result<Option<Neighbour>, String> {
        if self.pool.is_none() {
            return Ok(None);
        }
        self.warm_up()?;
        let mut live = self.start(NEIGHBOUR, &Setup::default())?;
        if !live.ready(SOON) {
            let ran = live.kill();
            return Err(format!("the box beside it did not get ready: {}", reason(&ran)));
        }
        // Another one in the place of that which was taken.
        self.warm_up()?;
        Ok(Some(Neighbour(live)))
    }
}

impl Neighbour {
    /// What has become of it, if anything.
    pub fn damage(self) -> Option<String> {
        let ran = self.0.finish();
        if let Some(saw) = ran.saws.get(NEIGHBOUR) {
            return saw.effect.clone();
        }
        // An attack may take longer than the policy gives any box.
        (ran.verdict() != "wall_limit").then(|| format!("the box beside it has ended: {}", reason(&ran)))
    }
}

fn reason(ran: &Ran) -> String {
    format!("{}: {}", ran.verdict(), ran.reason())
}
