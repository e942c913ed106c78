//! Jobs for one `stockade batch`, from several threads.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::contenders::{Launched, MOST};

type Waiting = Arc<Mutex<HashMap<u64, Sender<(Instant, Value)>>>>;

/// A batch that runs.
pub struct Batch {
    child: Mutex<Child>,
    to: Mutex<Option<ChildStdin>>,
    waiting: Waiting,
    next: AtomicU64,
    program: String,
}

impl Batch {
    pub fn start(stockade: &str, degrade: &[&str], home: &Path, program: &str) -> Self {
        let mut command = Command::new(stockade);
        command.args(["batch", "-q", "--slots", &MOST.to_string()]).args(degrade).current_dir("/");
        command.env_clear().env("STOCKADE_STORE", home.join("store"));
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(home.join("said")).unwrap());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        let waiting = Waiting::default();
        let answered = Arc::clone(&waiting);
        std::thread::spawn(move || {
            for line in from.lines().map_while(Result::ok) {
                let now = Instant::now();
                let answer: Value = serde_json::from_str(&line).unwrap();
                let who = answered.lock().unwrap().remove(&answer["id"].as_u64().unwrap()).unwrap();
                who.send((now, answer)).unwrap();
            }
            // Whoever still waits is told so.
            answered.lock().unwrap().clear();
        });
        let (child, to) = (Mutex::new(child), Mutex::new(to));
        Self { child, to, waiting, next: AtomicU64::new(0), program: program.to_owned() }
    }

    pub fn launch(&self) -> Launched {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (tell, hear) = channel();
        self.waiting.lock().unwrap().insert(id, tell);
        let line = format!("{}\n", json!({ "id": id, "program": self.program }));
        let begin = Instant::now();
        let written = self.to.lock().unwrap().as_mut().unwrap().write_all(line.as_bytes());
        written.map_err(|e| e.to_string())?;
        let (end, answer) = hear.recv_timeout(Duration::from_secs(20)).map_err(|_| "no answer".to_owned())?;
        let report = &answer["report"];
        if report["verdict"] == "ok" { Ok(end - begin) } else { Err(report["reason"].to_string()) }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        drop(self.to.lock().unwrap().take());
        assert!(self.child.lock().unwrap().wait().unwrap().success());
    }
}
