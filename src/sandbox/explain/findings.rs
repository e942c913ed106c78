//! From what was noted to what is told: the likely cause first.

use super::proposals::{Proposal, Request, options};
use super::{Explainer, Note, Room, Trouble, expected, places};
use crate::policy::amend::{self, Scratch};
use crate::policy::model::{Exec, Limits, Network, Stack, Wx};
use crate::policy::names::{self, describe_call};
use crate::policy::units::{format_duration, format_size};
use crate::policy::{Overrides, Policy};
use crate::report::explanation::{Allow, Explanation};
use crate::sys::process::Ended;

/// `execve`, and the calls that `wx` is about.
const EXECVE: u32 = 59;
const SETS_PROTECTION: [u32; 3] = [9, 10, 329];

impl Explainer {
    /// Everything, likely causes first: limits, then what was refused last. What programs do without
    /// comes at the end. `hit` are the limits that the evidence shows.
    pub fn explain(&self, hit: &[&'static str], ended: Option<Ended>) -> Vec<Explanation> {
        let request = Request {
            policy: &self.policy,
            binds: &self.binds,
            cwd: std::env::current_dir().unwrap_or_default(),
        };
        let mut all = self.limits(&request, hit);
        all.extend(self.of_signal(&request, ended));
        let mut notes: Vec<&Note> =
            self.notes.iter().filter(|n| !matches!(n.trouble, Trouble::Full(_))).collect();
        notes.sort_by_key(|n| std::cmp::Reverse(n.last));
        let mut told: Vec<Explanation> = Vec::new();
        for note in notes {
            let explanation = self.of_note(&request, note);
            match told.iter_mut().find(|other| is_the_same(other, &explanation)) {
                Some(other) => other.count += explanation.count,
                None => told.push(explanation),
            }
        }
        leave_to_what_lies_below(&mut told);
        told.sort_by_key(|e| e.expected.is_some());
        all.extend(told);
        all
    }

    /// How much was not kept, in words.
    pub fn remark(&self) -> Option<String> {
        (self.more > 0)
            .then(|| format!("--explain kept {} things and left {} out", self.notes.len(), self.more))
    }

    fn limits(&self, request: &Request<'_>, hit: &[&'static str]) -> Vec<Explanation> {
        let full = |room: Room| self.notes.iter().find(|n| n.trouble == Trouble::Full(room));
        let mut names: Vec<(&'static str, Option<&Note>)> = hit.iter().map(|name| (*name, None)).collect();
        let rooms = [
            ("processes", full(Room::Processes)),
            ("open_files", full(Room::OpenFiles)),
            ("file_size", full(Room::FileSize)),
        ];
        for (name, note) in rooms {
            match names.iter_mut().find(|(known, _)| *known == name) {
                Some(known) => known.1 = note,
                None if note.is_some() => names.push((name, note)),
                None => {}
            }
        }
        names.into_iter().map(|(name, note)| limit(request, name, note)).collect()
    }

    /// What a signal says.
    fn of_signal(&self, request: &Request<'_>, ended: Option<Ended>) -> Option<Explanation> {
        match ended? {
            Ended::Signaled(libc::SIGSYS) => {
                let what =
                    "the program died of SIGSYS, as after a call of another architecture (32-bit, or x32)";
                let why = "such calls are the end under every policy";
                Some(Explanation { never: Some(why.to_owned()), ..blank("call", what.to_owned()) })
            }
            Ended::Signaled(libc::SIGSEGV) => Some(limit(request, "stack", None)),
            _ => None,
        }
    }

    fn of_note(&self, request: &Request<'_>, note: &Note) -> Explanation {
        match (&note.trouble, &note.path) {
            (Trouble::Refused(errno), _) => {
                let proposal = request.call(note);
                let blank = of_call("call", note, self.refusal(note, errno.as_deref()));
                let answer = Some(errno.clone().unwrap_or_else(|| "EPERM".to_owned()));
                let expected = expected::call(note.nr, &note.args).map(str::to_owned);
                proposed(Explanation { answer, expected, ..blank }, proposal)
            }
            (Trouble::Locks, _) => {
                let blank = of_call("call", note, format!("{} was answered EPERM", said(note)));
                proposed(Explanation { answer: Some("EPERM".to_owned()), ..blank }, request.call(note))
            }
            (Trouble::NoNetwork(at), _) => {
                let what = match self.policy.network {
                    Network::None => format!("{} finds no network for {at}", said(note)),
                    Network::Loopback => format!("{} finds no way to {at}", said(note)),
                };
                proposed(of_call("call", note, what), request.network(at))
            }
            (trouble, Some(path)) => {
                let (what, answer) = match trouble {
                    Trouble::Missing => ("finds nothing there".to_owned(), Some("ENOENT".to_owned())),
                    Trouble::NotExecutable => ("may not execute it".to_owned(), Some("EACCES".to_owned())),
                    Trouble::Unmakable(special) => {
                        (format!("may not make {} there", special.word()), Some("EACCES".to_owned()))
                    }
                    Trouble::Mounted => ("may not remove or replace it".to_owned(), Some("EBUSY".to_owned())),
                    _ => ("may not write there".to_owned(), None),
                };
                let blank = of_call("path", note, format!("{} {what}", said(note)));
                let expected =
                    expected::path(&path.at).filter(|_| *trouble == Trouble::Missing).map(str::to_owned);
                proposed(Explanation { answer, expected, ..blank }, request.path(path, trouble))
            }
            (_, None) => of_call("path", note, said(note)),
        }
    }

    /// A refused call in words: what it was answered, and by which part of the policy.
    fn refusal(&self, note: &Note, errno: Option<&str>) -> String {
        let call = said(note);
        let Some(errno) = errno else { return format!("{call} is a violation, and was refused") };
        let rule = self.policy.syscalls.allow.iter().find(|r| r.calls.contains(&note.nr));
        let why = if note.nr == EXECVE && self.policy.exec == Exec::LaunchOnly {
            "the policy lets the payload start no program"
        } else if self.policy.wx == Wx::Deny
            && SETS_PROTECTION.contains(&note.nr)
            && note.args[2] & 6 == 6
            && rule.is_some()
        {
            "memory may not be writable and executable at once"
        } else if rule.is_some() {
            "the rule that allows it does not allow these arguments"
        } else {
            "no rule allows it"
        };
        format!("{call} was answered {errno}: {why}")
    }
}

/// A call with its path and its arguments.
fn said(note: &Note) -> String {
    let mut call = describe_call(note.nr, &note.args);
    if !places::makes_a_file(note.nr, &note.args) {
        // Nobody looks at the mode then.
        call = call.replace(", mode=00)", ")");
    }
    let Some(path) = &note.path else { return call };
    let shown = format!("{:?}", path.given);
    match call.split_once('(') {
        Some((name, ")")) => format!("{name}({shown})"),
        Some((name, rest)) => format!("{name}({shown}, {rest}"),
        None => call,
    }
}

/// A directory on the way to something else that is missing comes with it, and is no cause.
fn leave_to_what_lies_below(told: &mut [Explanation]) {
    let missing = |e: &Explanation| e.expected.is_none() && e.answer.as_deref() == Some("ENOENT");
    let paths: Vec<String> = told.iter().filter(|e| missing(e)).filter_map(|e| e.path.clone()).collect();
    for explanation in told.iter_mut().filter(|e| missing(e)) {
        let Some(path) = &explanation.path else { continue };
        let below = |other: &String| other.strip_prefix(path.as_str()).is_some_and(|r| r.starts_with('/'));
        if paths.iter().any(below) {
            explanation.expected = Some("what was looked for below it is told by itself".to_owned());
        }
    }
}

/// Calls that one change allows are told once.
fn is_the_same(a: &Explanation, b: &Explanation) -> bool {
    a.kind == b.kind
        && a.syscall == b.syscall
        && a.path == b.path
        && a.allow.is_some()
        && a.allow == b.allow
        && a.expected == b.expected
}

fn blank(kind: &'static str, what: String) -> Explanation {
    Explanation {
        kind,
        what,
        syscall: None,
        number: None,
        args: None,
        answer: None,
        path: None,
        limit: None,
        count: 1,
        expected: None,
        allow: None,
        never: None,
    }
}

fn of_call(kind: &'static str, note: &Note, what: String) -> Explanation {
    Explanation {
        syscall: Some(names::shown(note.nr)),
        number: Some(note.nr),
        args: Some(note.args.map(|a| format!("{a:#x}"))),
        path: note.path.as_ref().map(|p| p.at.clone()),
        count: note.count,
        ..blank(kind, what)
    }
}

fn proposed(explanation: Explanation, proposal: Proposal) -> Explanation {
    match proposal {
        Proposal::Allow(allow) => Explanation { allow: Some(allow), ..explanation },
        Proposal::Never(why) => Explanation { never: Some(why), ..explanation },
        Proposal::NotOnHost => {
            let why = explanation.expected.clone().unwrap_or_else(|| "the host has none either".to_owned());
            Explanation { expected: Some(why), ..explanation }
        }
    }
}

/// A limit that was reached, and one that is twice as large.
fn limit(request: &Request<'_>, name: &'static str, note: Option<&Note>) -> Explanation {
    let policy = request.policy;
    let limits = &policy.limits;
    let size = |bytes: u64| format_size(bytes);
    let what = match name {
        "cpu_time" => format!("the box used up its cpu time of {}", format_duration(limits.cpu_ns)),
        "wall_time" => format!("the box used up its wall time of {}", format_duration(limits.wall_ns)),
        "memory" => format!("memory ran out at {}", size(limits.memory)),
        "processes" => format!("a process or thread beyond {} was refused", limits.processes),
        "open_files" => format!("a descriptor beyond {} was refused", limits.open_files),
        "file_size" => format!("a file would have been longer than {}", size(limits.file_size)),
        "output" => format!("a stream went beyond {}", size(limits.output)),
        "stack" => {
            let room = match limits.stack {
                Stack::Bytes(bytes) => bytes,
                Stack::Memory => limits.memory,
            };
            format!(
                "the program died of SIGSEGV: a pointer was wrong, or its stack needs more than {}",
                size(room)
            )
        }
        "tmp" => "a scratch directory had no byte left".to_owned(),
        _ => "a scratch directory had no room for another file".to_owned(),
    };
    let explanation = Explanation { limit: Some(name), ..blank("limit", what) };
    let explanation = match note {
        Some(note) => Explanation {
            syscall: Some(names::shown(note.nr)),
            number: Some(note.nr),
            args: Some(note.args.map(|a| format!("{a:#x}"))),
            count: note.count,
            ..explanation
        },
        None => explanation,
    };
    let proposal = match larger(policy, name, note) {
        Some(Ok(allow)) => Proposal::Allow(allow),
        Some(Err(why)) => Proposal::Never(why),
        None => {
            let what = if name == "tmp" { Scratch::Bytes } else { Scratch::Inodes };
            request.amended(amend::more_scratch(policy, what))
        }
    };
    proposed(explanation, proposal)
}

/// The option that makes a limit twice as large; `None`: there is no option for it.
fn larger(policy: &Policy, name: &str, note: Option<&Note>) -> Option<Result<Allow, String>> {
    let Limits { cpu_ns, wall_ns, memory, processes, open_files, file_size, output, .. } = policy.limits;
    let asked = note.and_then(|n| places::file_size(n.nr, &n.args)).unwrap_or(0);
    let twice = |value: u64| value.saturating_mul(2).max(1);
    let more = |value: u32| value.saturating_mul(2);
    let none = Overrides::default();
    let (option, value, overrides) = match name {
        "cpu_time" => {
            ("--cpu-time", format_duration(twice(cpu_ns)), Overrides { cpu_ns: Some(twice(cpu_ns)), ..none })
        }
        "wall_time" => (
            "--wall-time",
            format_duration(twice(wall_ns)),
            Overrides { wall_ns: Some(twice(wall_ns)), ..none },
        ),
        "memory" => {
            ("--memory", format_size(twice(memory)), Overrides { memory: Some(twice(memory)), ..none })
        }
        "processes" => (
            "--processes",
            more(processes).to_string(),
            Overrides { processes: Some(more(processes)), ..none },
        ),
        "open_files" => (
            "--open-files",
            more(open_files).to_string(),
            Overrides { open_files: Some(more(open_files)), ..none },
        ),
        "file_size" => {
            let bytes = twice(file_size).max(asked.next_multiple_of(4096));
            ("--file-size", format_size(bytes), Overrides { file_size: Some(bytes), ..none })
        }
        "output" => {
            ("--output", format_size(twice(output)), Overrides { output: Some(twice(output)), ..none })
        }
        "stack" => {
            // Where it may be as large as the memory, it grows with it.
            let Stack::Bytes(bytes) = policy.limits.stack else { return larger(policy, "memory", None) };
            let stack = Stack::Bytes(twice(bytes));
            ("--stack", format_size(twice(bytes)), Overrides { stack: Some(stack), ..none })
        }
        "tmp" => {
            let bytes = twice(tmp_bytes(policy)?);
            ("--tmp", format_size(bytes), Overrides { tmp: Some(bytes), ..none })
        }
        _ => return None,
    };
    Some(match policy.with_overrides(&overrides) {
        Ok(_) => Ok(options(&[option, &value])),
        Err(e) => Err(e.message().to_owned()),
    })
}

/// The size of `/tmp`, where it is a scratch directory.
fn tmp_bytes(policy: &Policy) -> Option<u64> {
    policy.paths.iter().find(|p| p.at == "/tmp").and_then(|p| match p.from {
        crate::policy::model::PathSource::Tmpfs { size, .. } => Some(size),
        _ => None,
    })
}
