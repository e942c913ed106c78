//! The root of a box cannot be changed: not by the payload, not by whoever has
//! every capability in the payload's user namespace, and, with an overlay, not
//! even by the root of the namespace that owns its mounts.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;
mod image_cli;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use common::{Caller, is_root, payload, skip};
use image_cli::Stockade;

const ROOTS: [&str; 3] = ["overlay", "bind", "private"];

/// What changes a file or directory.
const CONTENT: [&str; 16] = [
    "write", "create", "nameless", "truncate", "chmod", "chown", "utime", "rename", "link", "symlink",
    "mkdir", "fifo", "xattr", "chattr", "rmdir", "unlink",
];

/// What changes mounts.
const MOUNTS: [&str; 8] =
    ["remount", "remount-flags", "mount-setattr", "upper", "mount-over", "move-mount", "unmount", "detach"];

/// Calls that the filter does not let a payload make at all, anywhere.
const FILTERED: [(&str, &str); 6] = [
    ("chown", "ENOSYS"),
    ("link", "ENOSYS"),
    ("symlink", "ENOSYS"),
    ("fifo", "ENOSYS"),
    ("xattr", "ENOSYS"),
    ("chattr", "EPERM"),
];

/// Answers on the root and on a writable place, by what was tried.
type Answers = BTreeMap<String, (String, String)>;

fn answers(text: &str, who: &str) -> Answers {
    let lines = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let own = lines.filter(|words| words.len() == 4 && words[0] == who);
    own.map(|words| (words[1].to_owned(), (words[2].to_owned(), words[3].to_owned()))).collect()
}

fn expected(all: &[(&str, &str, &str)]) -> Answers {
    let own = |(what, root, control): &(&str, &str, &str)| {
        ((*what).to_owned(), ((*root).to_owned(), (*control).to_owned()))
    };
    all.iter().map(own).collect()
}

/// A file's own mode is looked at before the mount, unless the whole file system
/// is read-only.
fn content(writing: &'static str) -> Vec<(&'static str, &'static str, &'static str)> {
    let answer = |what: &str| if matches!(what, "write" | "truncate") { writing } else { "EROFS" };
    CONTENT.iter().map(|what| (*what, answer(what), "ok")).collect()
}

/// A box that waits for a line, from an image with `/data`.
struct Waiting {
    stockade: Stockade,
    child: Child,
    out: BufReader<std::process::ChildStdout>,
}

impl Waiting {
    fn new(caller: Caller, root: &str) -> Self {
        let stockade = Stockade::of(caller);
        fs::create_dir_all(stockade.dir.join("data/dir")).unwrap();
        stockade.write("data/file", "as it was\n");
        let program = format!("{}:/app", payload("root.c", &["-static"]).display());
        let include = format!("{}:/data", stockade.dir.join("data").display());
        stockade.json([
            "image",
            "build",
            "--program",
            &program,
            "--include",
            &include,
            "--name",
            "i",
            "--json",
        ]);
        let mut args = vec!["run", "--root", root];
        if !caller.has_cgroup() {
            args.extend(["--degrade", "cgroup"]);
        }
        args.extend(["-i", "i", "--", "payload"]);
        let mut command = stockade.command(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "waiting\n");
        Self { stockade, child, out }
    }

    /// Host ids of pid 1 and of the payload.
    fn pids(&self) -> (String, String) {
        let of = |pid: u32| fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let inside = |pid: &str| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap().to_owned();
            line.split_whitespace().last().unwrap().to_owned()
        };
        let own = of(self.child.id());
        let find =
            |number: &str| own.split_whitespace().find(|pid| inside(pid) == number).unwrap().to_owned();
        (find("1"), find("2"))
    }

    /// What somebody from outside is answered who has joined the box.
    fn joined(&self, who: &str) -> Answers {
        let (first, second) = self.pids();
        let program: PathBuf = payload("root.c", &["-static"]);
        let out = Command::new(program).args(["join", who, &first, &second]).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(out.status.success() && said.is_empty(), "{who}: {} {said}", out.status);
        answers(&String::from_utf8(out.stdout).unwrap(), who)
    }

    /// Lets the payload try, and answers what it says.
    fn end(mut self) -> String {
        self.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}");
        assert!(text.ends_with("sees as it was\n"), "{text}");
        self.stockade.text(["image", "verify", "i", "--full"]);
        text
    }
}

#[test]
fn root_cannot_be_changed_by_the_payload() {
    for caller in [Caller::Root, Caller::User].into_iter().filter(|c| *c == Caller::User || is_root()) {
        for root in ROOTS {
            let said = answers(&Waiting::new(caller, root).end(), "payload");
            let mut expected = expected(&content(if root == "overlay" { "EROFS" } else { "EACCES" }));
            for (what, answer) in FILTERED {
                expected.insert(what.into(), (answer.into(), answer.into()));
            }
            assert_eq!(said, expected, "{caller:?} {root}");
        }
    }
}

#[test]
fn root_cannot_be_changed_with_every_capability_in_the_payloads_namespace() {
    if !is_root() {
        return skip("joining the namespaces of a box takes root");
    }
    for root in ROOTS {
        let waiting = Waiting::new(Caller::Root, root);
        // The mounts belong to the namespace above: there is no writable place for
        // a control but one's own copy of them, which is next.
        // The private copy's files belong to the box's own id.
        let writing = if root == "bind" { "EACCES" } else { "EROFS" };
        let mut all = content(writing);
        all.extend(MOUNTS.map(|what| (what, "EPERM", "none")));
        assert_eq!(waiting.joined("inner"), expected(&all), "{root}");
        let mut all = content(writing);
        all.extend([
            ("remount", "EPERM", "ok"),
            ("remount-flags", "EPERM", "ok"),
            ("mount-setattr", "EPERM", "ok"),
            ("upper", "EINVAL", "ok"),
            ("unmount", "EINVAL", "ok"),
            ("detach", "EINVAL", "ok"),
        ]);
        assert_eq!(waiting.joined("inner-own"), expected(&all), "{root}");
        waiting.end();
    }
}

#[test]
fn overlay_cannot_be_changed_by_the_root_of_the_namespace_that_owns_it() {
    if !is_root() {
        return skip("joining the namespaces of a box takes root");
    }
    let waiting = Waiting::new(Caller::Root, "overlay");
    let mut all = content("EROFS");
    all.extend([("remount", "EROFS", "ok"), ("upper", "EINVAL", "ok")]);
    assert_eq!(waiting.joined("outer"), expected(&all));
    waiting.end();
}
