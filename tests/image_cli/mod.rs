//! A caller of `stockade image` with a store and a directory of their own.
#![allow(dead_code, clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::common::{self, Caller, Ran, is_root, stockade};

/// A caller, their directory and store.
pub struct Stockade {
    /// Where they keep files.
    pub dir: PathBuf,
    caller: Caller,
    store: PathBuf,
    memory: Option<tempfile::TempDir>,
}

impl Stockade {
    /// Whoever runs the tests.
    pub fn new() -> Self {
        Self::of(if is_root() { Caller::Root } else { Caller::User })
    }

    /// This caller.
    pub fn of(caller: Caller) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let dir = caller.home().join(format!("images-{}", NEXT.fetch_add(1, Ordering::Relaxed)));
        fs::create_dir(&dir).unwrap();
        if caller == Caller::User && is_root() {
            std::os::unix::fs::chown(&dir, Some(common::SOMEBODY), Some(common::SOMEBODY)).unwrap();
        }
        Self { store: dir.join("store"), dir, caller, memory: None }
    }

    /// Whoever runs the tests, with a store in memory where there is such a place:
    /// writing out a disk that others write to takes seconds, at each of many
    /// operations, and only the loss of power shows whether it was done.
    pub fn in_memory() -> Self {
        let mut stockade = Self::new();
        if let Ok(dir) = tempfile::Builder::new().prefix("stockade-test-").tempdir_in("/dev/shm") {
            stockade.store = dir.path().join("store");
            stockade.memory = Some(dir);
        }
        stockade
    }

    /// Their store.
    pub fn store(&self) -> &Path {
        &self.store
    }

    /// Writes a file, and answers its path.
    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.dir.join(name);
        fs::write(&path, bytes).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The command, not started.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.caller.command(stockade());
        command.args(args).env("STOCKADE_STORE", &self.store).current_dir(&self.dir).stdin(Stdio::null());
        command
    }

    /// Runs any of its commands.
    pub fn go<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let out = self.command(args).output().unwrap();
        Ran {
            pid: 0,
            status: out.status.code().unwrap_or(-1),
            stdout: out.stdout,
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
            report: Value::Null,
        }
    }

    /// What it prints, if it is content.
    pub fn text<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let ran = self.go(args);
        assert_eq!(ran.status, 0, "{}", ran.all());
        ran.text()
    }

    /// The JSON that it prints.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        serde_json::from_str(&self.text(args)).unwrap()
    }

    /// Everything in an image, by path.
    pub fn files(&self, image: &str) -> Vec<String> {
        let list = self.json(["image", "files", image, "--json"]);
        list.as_array().unwrap().iter().map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    }

    /// The regular files in an image, by path.
    pub fn file_paths(&self, image: &str) -> Vec<String> {
        let list = self.json(["image", "files", image, "--json"]);
        let files = list.as_array().unwrap().iter().filter(|entry| entry["type"] == "file");
        files.map(|entry| entry["path"].as_str().unwrap().to_owned()).collect()
    }

    /// `stockade run`, and its report.
    pub fn run<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Ran {
        self.run_under([], args)
    }

    /// The same with variables set.
    pub fn run_under<'a>(
        &self,
        env: impl IntoIterator<Item = (&'a str, &'a str)>,
        args: impl IntoIterator<Item = &'a str>,
    ) -> Ran {
        let report = self.dir.join("report.json");
        let mut all = vec!["run".to_owned(), "--report".into(), report.to_str().unwrap().to_owned()];
        if !self.caller.has_cgroup() {
            all.extend(["--degrade".into(), "cgroup".into()]);
        }
        all.extend(args.into_iter().map(str::to_owned));
        let out = self.command(&all).envs(env).output().unwrap();
        let text = fs::read(&report).unwrap_or_default();
        drop(fs::remove_file(&report));
        Ran {
            pid: 0,
            status: out.status.code().unwrap_or(-1),
            stdout: out.stdout,
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
            report: serde_json::from_slice(&text).unwrap_or(Value::Null),
        }
    }
}
