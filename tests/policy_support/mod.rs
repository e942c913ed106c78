//! Policies of random shape, and what is done with their text.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use sha2::{Digest as _, Sha256};
use stockade::Layer;
use stockade::policy::model::*;
use stockade::policy::{Policy, names};

/// Calls of which nothing is demanded, with an argument that can be tested.
pub const CALLS: &[(&str, &str, u32)] = &[
    ("flock", "operation", 32),
    ("getpgid", "pid", 32),
    ("lseek", "offset", 64),
    ("readahead", "count", 64),
    ("mkdir", "mode", 16),
    ("umask", "mask", 32),
    ("fcntl", "cmd", 32),
    ("fcntl", "arg", 64),
    ("mremap", "flags", 64),
    ("kill", "sig", 32),
    ("mq_open", "mode", 16),
    ("waitid", "id", 32),
    ("epoll_ctl", "op", 32),
    ("futex", "val3", 32),
    ("setpriority", "who", 32),
    ("eventfd2", "flags", 32),
];

pub fn number(name: &str) -> u32 {
    names::number(name).unwrap()
}

pub fn comment() -> impl Strategy<Value = String> {
    // Anything a JSON string can hold, but not only space.
    "\\PC{0,12}[a-z]\\PC{0,12}|[\\x00-\\x20]{0,3}\"\\\\[^ ]"
}

fn test(bits: u32) -> impl Strategy<Value = Test> {
    let most = u64::MAX >> (64 - bits);
    let values =
        || proptest::collection::btree_set(0..=most, 1..5).prop_map(|s| s.into_iter().collect::<Vec<_>>());
    let equal = values().prop_map(move |values| match bits {
        16 => Test::MaskedIn { mask: 0xffff, values },
        _ => Test::In(values),
    });
    let masked = (1..=most, values()).prop_map(|(mask, values)| {
        let values: BTreeSet<u64> = values.into_iter().map(|v| v & mask).collect();
        Test::MaskedIn { mask, values: values.into_iter().collect() }
    });
    prop_oneof![equal, masked, (1..=most).prop_map(Test::AnyBit)]
}

pub fn conditions(arg: &'static str, bits: u32) -> impl Strategy<Value = Vec<Condition>> {
    proptest::collection::vec(test(bits).prop_map(move |test| Condition { arg: arg.to_owned(), test }), 1..3)
}

pub fn when(arg: &'static str, bits: u32) -> impl Strategy<Value = When> {
    prop_oneof![
        Just(When::Always),
        conditions(arg, bits).prop_map(When::All),
        conditions(arg, bits).prop_map(When::None),
    ]
}

pub fn rule(call: &'static str, arg: &'static str, bits: u32) -> impl Strategy<Value = AllowRule> {
    let otherwise = select(vec![Otherwise::Enosys, Otherwise::Eperm, Otherwise::Violation]);
    (when(arg, bits), otherwise, comment()).prop_map(move |(when, otherwise, comment)| AllowRule {
        calls: vec![number(call)],
        // Without a condition there is nothing else to answer.
        otherwise: if when == When::Always { Otherwise::Enosys } else { otherwise },
        when,
        comment,
    })
}

pub fn syscalls() -> impl Strategy<Value = Syscalls> {
    let chosen = subsequence((0..CALLS.len()).collect::<Vec<_>>(), 0..CALLS.len());
    let allow = chosen.prop_flat_map(|chosen| {
        let mut seen = BTreeSet::new();
        let rules: Vec<_> = chosen
            .into_iter()
            .map(|i| CALLS[i])
            .filter(|c| seen.insert(c.0))
            .map(|(call, arg, bits)| rule(call, arg, bits))
            .collect();
        rules
    });
    let refused = conditions("backlog", 32);
    (
        select(vec![OnViolation::Refuse, OnViolation::Kill]),
        0..=1_000_000_u32,
        allow,
        comment(),
        proptest::option::of((refused, comment())),
    )
        .prop_map(|(on_violation, max_violations, mut allow, text, refused)| {
            let calls = vec![number("write"), number("read"), number("exit_group")];
            allow.insert(
                0,
                AllowRule { calls, when: When::Always, otherwise: Otherwise::Enosys, comment: text.clone() },
            );
            let mut violations =
                vec![ViolationRule { calls: vec![number("ptrace")], when: Vec::new(), comment: text }];
            match refused {
                Some((when, comment)) => {
                    violations.push(ViolationRule { calls: vec![number("listen")], when, comment })
                }
                None => violations.clear(),
            }
            Syscalls { on_violation, max_violations, allow, violations }
        })
}

pub fn limits() -> impl Strategy<Value = Limits> {
    let size = |least: u64| {
        prop_oneof![least..=1 << 50, (least.div_ceil(1 << 20).max(1)..=1 << 30).prop_map(|m| m << 20)]
    };
    let year = 31_536_000_000_000_000_u64;
    let time = || prop_oneof![1_000_000..=year, (1..=31_536_000_u64).prop_map(|s| s * 1_000_000_000)];
    (
        (time(), time(), size(1 << 20), 1..=4_194_304_u32, 8..=1_048_576_u32),
        (size(0), size(0), select(vec![OnOutput::Kill, OnOutput::Cut])),
        prop_oneof![Just(Stack::Memory), size(65_536).prop_map(Stack::Bytes)],
    )
        .prop_map(
            |((cpu_ns, wall_ns, memory, processes, open_files), (file_size, output, on_output), stack)| {
                Limits { cpu_ns, wall_ns, memory, processes, open_files, file_size, output, on_output, stack }
            },
        )
}

fn entry(at: &str, from: PathSource, access: Access, optional: bool, comment: &str) -> PathEntry {
    PathEntry { at: at.to_owned(), from, access, optional, comment: comment.to_owned() }
}

pub fn paths() -> impl Strategy<Value = Vec<PathEntry>> {
    let devices = subsequence(vec!["null", "zero", "full", "random", "urandom"], 1..=5).prop_shuffle();
    let tmpfs = (1..=1_u64 << 38, 2..=1_u64 << 24)
        .prop_map(|(pages, inodes)| PathSource::Tmpfs { size: pages << 12, inodes });
    let places = proptest::collection::btree_set("/(t[a-z0-9._-]{0,6}|t\\PC{1,4}/[^/\\pC.]{1,8})", 0..4);
    (
        comment(),
        proptest::option::of(any::<bool>()),
        proptest::option::of((devices, any::<bool>())),
        tmpfs,
        places,
        any::<(bool, bool)>(),
    )
        .prop_map(|(comment, proc, devices, tmpfs, places, (write, create))| {
            let read = Access { read: true, ..Access::default() };
            let run = Access { execute: true, ..read };
            let mut paths = vec![
                entry("/", PathSource::Image, run, false, &comment),
                entry("/box", PathSource::Payload, run, false, &comment),
            ];
            if let Some((devices, write)) = devices {
                let names = devices.into_iter().map(str::to_owned).collect();
                paths.push(entry(
                    "/dev",
                    PathSource::Devices(names),
                    Access { write, ..read },
                    false,
                    &comment,
                ));
            }
            if let Some(optional) = proc {
                paths.push(entry("/proc", PathSource::Proc, read, optional, &comment));
            }
            let access = Access { write, create: write && create, ..read };
            let mut kept: Vec<String> = Vec::new();
            for at in places {
                let clean = !at.contains("//") && at.split('/').all(|p| p != "." && p != "..");
                let apart = kept.iter().all(|k| !at.starts_with(&format!("{k}/")));
                if clean && apart && !at.ends_with('/') && !at.chars().any(char::is_control) {
                    kept.push(at);
                }
            }
            paths.extend(kept.iter().map(|at| entry(at, tmpfs.clone(), access, false, &comment)));
            paths.sort_by(|a, b| a.at.cmp(&b.at));
            paths
        })
}

fn words() -> impl Strategy<Value = (Vec<Word>, Option<Word>)> {
    let literal = || "[^\\x00{}]{0,10}".prop_map(Word::Literal);
    let argv0 = proptest::option::of(prop_oneof![literal(), Just(Word::Payload), Just(Word::Given)]);
    (proptest::collection::vec(literal(), 0..4), any::<bool>(), argv0).prop_map(|(literals, args, argv0)| {
        let mut command = vec![Word::Payload];
        command.extend(literals);
        if args {
            command.push(Word::Args);
        }
        (command, argv0)
    })
}

fn root_image() -> impl Strategy<Value = ImageSource> {
    let id = || "sha256:[0-9a-f]{64}";
    let pin = || proptest::option::of(id());
    let recipe = select(vec!["python3", "node", "g++"]);
    prop_oneof![
        Just(ImageSource::PayloadClosure),
        ("[a-zA-Z0-9][a-zA-Z0-9._:-]{0,10}[a-z]", pin())
            .prop_map(|(name, id)| ImageSource::Named { name, id }),
        id().prop_map(ImageSource::Id),
        (recipe, "/[a-z]{1,5}(/[a-z]{1,5}){0,2}", pin()).prop_map(|(recipe, program, id)| {
            ImageSource::Recipe { recipe: recipe.to_owned(), program, id }
        }),
    ]
}

/// Any policy that can be run.
pub fn policy() -> impl Strategy<Value = Policy> {
    let identity = (
        "[a-zA-Z0-9][a-zA-Z0-9_-]{0,20}",
        comment(),
        (1..u32::MAX, 1..u32::MAX),
        "[a-z0-9]([a-z0-9.-]{0,10}[a-z0-9])?",
        select(vec!["/", "/box"]),
    );
    let choices = (
        select(vec![Network::None, Network::Loopback]),
        1..=99_u32,
        select(vec![Wx::Deny, Wx::Allow]),
        subsequence(Layer::ALL.to_vec(), 0..=Layer::ALL.len()),
        (root_image(), select(vec![Verify::Stamp, Verify::Stat, Verify::Full])),
    );
    let env: BTreeMap<String, String> = BTreeMap::new();
    let env = proptest::collection::btree_map("[^=\\x00]{1,6}", "[^\\x00]{0,10}", 0..4)
        .prop_map(move |more| env.clone().into_iter().chain(more).collect::<BTreeMap<_, _>>());
    (identity, choices, words(), env, paths(), (syscalls(), any::<bool>()), limits()).prop_map(
        |(identity, choices, (command, argv0), env, paths, (mut syscalls, image), limits)| {
            let (name, comment, (uid, gid), hostname, cwd) = identity;
            let (network, landlock_min_abi, wx, degrade, (root, verify)) = choices;
            if image {
                syscalls.allow[0].calls.push(number("execve"));
            }
            let mut policy = Policy {
                name,
                comment,
                image: root,
                verify,
                payload: PayloadPlace { path: "/box/program".into(), executable: true },
                command,
                argv0,
                user: User { uid, gid },
                hostname,
                cwd: cwd.to_owned(),
                env,
                paths,
                network,
                landlock_min_abi,
                exec: if image { Exec::Image } else { Exec::LaunchOnly },
                wx,
                syscalls,
                limits,
                degrade: degrade.into_iter().collect(),
                digest: String::new(),
            };
            let digest = Sha256::digest(policy.to_json().as_bytes());
            policy.digest =
                format!("sha256:{}", digest.iter().map(|b| format!("{b:02x}")).collect::<String>());
            policy
        },
    )
}

/// JSON pointers to every value below the root.
pub fn collect(value: &serde_json::Value, at: String, pointers: &mut Vec<String>) {
    let children: Vec<(String, &serde_json::Value)> = match value {
        serde_json::Value::Object(map) => {
            map.iter().map(|(k, v)| (k.replace('~', "~0").replace('/', "~1"), v)).collect()
        }
        serde_json::Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => Vec::new(),
    };
    for (key, child) in children {
        let pointer = format!("{at}/{key}");
        collect(child, pointer.clone(), pointers);
        pointers.push(pointer);
    }
}
