//! Where benchmarks make things, and what they measure.
#![allow(dead_code, reason = "no benchmark needs everything")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

/// Where everything is made; every caller can enter it.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("stockade-bench-").tempdir_in("/tmp").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// The build to measure, and whether it is the static one.
pub fn stockade() -> (PathBuf, bool) {
    let own = Path::new(env!("CARGO_BIN_EXE_stockade"));
    let target = own.ancestors().nth(2).unwrap();
    let fixed = target.join("x86_64-unknown-linux-gnu/release/stockade");
    if fixed.exists() { (fixed, true) } else { (own.to_owned(), false) }
}
