//! What the image tests share: compilers, skips, comparing.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use stockade::image::Request;

/// Set where nothing may be missing: there a skip is a failure.
const MUST_RUN: &str = "STOCKADE_MUST_RUN";

/// Says why a test cannot run here; fails where everything must.
pub fn skip(test: &str, why: &str) {
    assert!(std::env::var_os(MUST_RUN).is_none(), "{test} must run here: {why}");
    eprintln!("skipped: {test}: {why}");
}

/// Whether this program can be started.
pub fn has(program: &str) -> bool {
    let tried = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    tried.is_ok()
}

/// A directory of this test alone, which other users may enter.
pub fn directory() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o755)).unwrap();
    dir
}

/// Compiles a source of `tests/elf`; the compiler goes by the file's extension.
pub fn compile(dir: &Path, source: &str, options: &[&str]) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/elf").join(source);
    let mut name = source.file_stem().unwrap().to_os_string();
    for option in options {
        name.push(option.replace(['/', '$', ','], "_"));
    }
    let out = dir.join(name);
    let compiler = match source.extension().unwrap().to_str().unwrap() {
        "c" => "gcc",
        "cpp" => "g++",
        "rs" => "rustc",
        other => panic!("no compiler for {other}"),
    };
    let mut command = Command::new(compiler);
    command.arg(&source).args(options).arg("-o").arg(&out);
    let output = command.output().unwrap_or_else(|error| panic!("{compiler}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    out
}

/// The request that a plain run makes.
pub fn request(payload: &File) -> Request<'_> {
    let mount_dirs = &["/box", "/proc", "/dev", "/tmp"];
    Request { payload, mount_dirs, mount_files: &[], uid: 1000, gid: 1000, loopback: false }
}

/// Is the effective user root?
pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}
