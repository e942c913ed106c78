//! The same probes beside the box: the proof that they could have had an effect.

use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::super::outcome::{Place, Saw};
use super::super::pace;
use super::super::probe::{ARGUMENT, Job, Order};
use super::Caller;
use super::canary::as_nobody;
use crate::error::{io_text, no_matter};

/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(8);

impl Caller {
    /// Runs one probe beside the box, or in bare namespaces of its own.
    pub fn control(&self, id: &str, place: Place) -> Result<Saw, String> {
        let mut target = self.outside.clone();
        target.place = place;
        let job = Job { target, orders: vec![Order { id: id.to_owned(), skip: 0 }] }.encode();
        let mut command = Command::new(&self.exe);
        command.arg(ARGUMENT);
        self.beside(command, &job).and_then(|text| parse(id, &text))
    }

    /// What a process beside the boxes says to a job, at its end.
    pub fn beside(&self, mut command: Command, job: &[u8]) -> Result<String, String> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.current_dir(self.outside.dir.as_str());
        as_nobody(&mut command);
        // Some signal the group that they are in.
        command.process_group(0);
        let mut child = command.spawn().map_err(|e| io_text(&e))?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        if let Some(mut stdin) = stdin {
            no_matter(stdin.write_all(job), "it says so itself");
        }
        let Some(mut stdout) = stdout else { return Err("no stream".to_owned()) };
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            no_matter(stdout.read_to_end(&mut text), "what came before is there");
            text
        });
        let begin = Instant::now();
        let ended = loop {
            match child.try_wait() {
                Ok(Some(_)) => break true,
                Ok(None) if begin.elapsed() < pace::stretched(PATIENCE) => {
                    std::thread::sleep(Duration::from_millis(2))
                }
                _ => break false,
            }
        };
        if !ended {
            no_matter(child.kill(), "it has ended already");
            no_matter(child.wait(), "somebody has reaped it");
            return Err("it did not end".to_owned());
        }
        let text = reader.join().unwrap_or_default();
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// What the probe of that id has seen.
pub fn parse(id: &str, text: &str) -> Result<Saw, String> {
    for line in text.lines() {
        if let Some(why) = line.strip_prefix("X ") {
            return Err(why.to_owned());
        }
        let saw = line.strip_prefix("R ").and_then(|rest| rest.strip_prefix(id)).map(str::trim_start);
        if let Some(json) = saw {
            return serde_json::from_str(json).map_err(|e| e.to_string());
        }
    }
    Err("it ended without a word".to_owned())
}
