//! What an explanation proposes: it allows the call, and nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop anywhere")]

mod patch_support;

use patch_support::patch;
use serde_json::{Value, json};
use stockade::policy::amend::{self, Scratch};
use stockade::policy::model::{PathSource, Wx};
use stockade::policy::{Policy, load_builtin, names, parse};
use stockade::sandbox::seccomp::{ARCH_X86_64, Answer, Call, Rules, compare, decide, table};

/// The policy that comes of a patch.
fn amended(policy: &Policy, operations: &[Value]) -> Policy {
    let mut document: Value = serde_json::from_str(&policy.to_json()).unwrap();
    patch(&mut document, operations);
    parse("patched", document.to_string().as_bytes()).unwrap()
}

/// The policy that extends `native` with these fields.
fn extended(fields: &Value) -> Policy {
    let mut document = json!({ "version": 1, "name": "more", "comment": "more", "extends": "native" });
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    parse("extended", document.to_string().as_bytes()).unwrap()
}

fn answer(policy: &Policy, nr: u32, args: [u64; 6]) -> Answer {
    decide(&Rules::of(policy, &table), [0; 3], &Call { arch: ARCH_X86_64, nr, args })
}

/// All that a policy says of a call: what is the same here cannot differ in meaning.
fn said(policy: &Policy, nr: u32) -> String {
    let allow = policy.syscalls.allow.iter().find(|r| r.calls.contains(&nr)).map(|r| (&r.when, r.otherwise));
    let violations: Vec<_> =
        policy.syscalls.violations.iter().filter(|r| r.calls.contains(&nr)).map(|r| &r.when).collect();
    let exec = (nr == 59).then_some(policy.exec);
    let wx = [9, 10, 329].contains(&nr).then_some(policy.wx);
    format!("{allow:?} {violations:?} {exec:?} {wx:?}")
}

/// Calls whose answers differ.
fn changed(a: &Policy, b: &Policy) -> Vec<&'static str> {
    let (first, second) = (Rules::of(a, &table), Rules::of(b, &table));
    let differs = |nr: u32| {
        said(a, nr) != said(b, nr)
            && compare(&first, &second, nr).unwrap().iter().any(|case| case.first != case.second)
    };
    names::all().filter(|(_, nr)| differs(*nr)).map(|(name, _)| name).collect()
}

/// Arguments that matter to some rule or demand, besides nothing at all.
fn samples() -> Vec<[u64; 6]> {
    vec![[0; 6], [1, 1, 7, 0o4755, 1, 1]]
}

#[test]
fn change_for_a_call_allows_it_and_changes_no_other() {
    let native = load_builtin("native").unwrap();
    let (mut allowed, mut refused) = (0, 0);
    for (name, nr) in names::all() {
        let samples = if name == "openat" { vec![[0, 0, 0x41, 0o4755, 0, 0]] } else { samples() };
        for args in samples {
            if answer(&native, nr, args) == Answer::Allow {
                continue;
            }
            let Ok(amendment) = amend::allow_call(&native, nr, &args) else {
                refused += 1;
                continue;
            };
            allowed += 1;
            let after = amended(&native, &amendment.patch);
            assert_eq!(answer(&after, nr, args), Answer::Allow, "{name} {args:x?}");
            // Memory that may be written and executed is asked of three calls at once.
            let mut expected = vec![name];
            if after.wx != native.wx {
                assert_eq!(after.wx, Wx::Allow);
                expected.extend(["mmap", "mprotect"]);
                expected.sort_unstable();
                expected.dedup();
            }
            assert_eq!(changed(&native, &after), expected, "{args:x?}");
            if let Some(fields) = &amendment.adds {
                let by_extending = extended(fields);
                assert_eq!(changed(&after, &by_extending), Vec::<&str>::new(), "{name} {args:x?}");
            }
        }
    }
    assert!(allowed > 200 && refused > 80, "{allowed} {refused}");
}

#[test]
fn change_that_no_policy_may_make_is_refused_with_its_reason() {
    let native = load_builtin("native").unwrap();
    let cases: [(&str, [u64; 6], &str); 8] = [
        ("ptrace", [0; 6], "`ptrace` cannot be allowed: it reaches into other processes"),
        ("openat2", [0; 6], "`openat2` cannot be allowed: its mode is behind a pointer"),
        ("io_uring_setup", [0; 6], "`io_uring_setup` cannot be allowed: "),
        ("socket", [16, 3, 0, 0, 0, 0], "`socket` needs another condition: other families"),
        ("clone", [0x1000_0000, 0, 0, 0, 0, 0], "`clone` needs another condition: in a new user namespace"),
        ("ioctl", [0, 0x5412, 0, 0, 0, 0], "`ioctl` needs another condition: TIOCSTI"),
        ("openat", [0, 0, 0x41, 0o4755, 0, 0], "`openat` needs another condition: a set-id file"),
        ("prctl", [22, 2, 0, 0, 0, 0], "`prctl` needs another condition: with PR_SET_SECCOMP"),
    ];
    for (name, args, why) in cases {
        let nr = names::number(name).unwrap();
        assert_ne!(answer(&native, nr, args), Answer::Allow, "{name}");
        let said = amend::allow_call(&native, nr, &args).unwrap_err();
        assert!(said.starts_with(why), "{said}");
    }
    let unknown = amend::allow_call(&native, 4000, &[0; 6]).unwrap_err();
    assert_eq!(unknown, "no call of the number 4000 is known, so that no policy can name it");
}

#[test]
fn violation_that_may_be_allowed_is_taken_from_the_violations() {
    let native = load_builtin("native").unwrap();
    let nr = names::number("modify_ldt").unwrap();
    assert_eq!(answer(&native, nr, [0; 6]), Answer::Notify);
    let amendment = amend::allow_call(&native, nr, &[0; 6]).unwrap();
    assert_eq!(amendment.adds, None, "extending cannot take anything away");
    let after = amended(&native, &amendment.patch);
    assert_eq!(answer(&after, nr, [0; 6]), Answer::Allow);
}

#[test]
fn changes_of_paths_give_what_they_are_asked_for() {
    let native = load_builtin("native").unwrap();
    let find = |policy: &Policy, at: &str| policy.paths.iter().find(|p| p.at == at).cloned();

    let scratch = amend::add_scratch(&native, "/var/tmp").unwrap();
    let after = extended(scratch.adds.as_ref().unwrap());
    assert!(find(&after, "/var/tmp").is_some_and(|p| p.access.create && p.access.write && !p.access.execute));
    assert!(amend::add_scratch(&native, "/tmp").unwrap_err().contains("/tmp"));

    let (cwd, at) = amend::writable_cwd(&native).unwrap();
    assert_eq!((at.as_str(), amended(&native, &cwd.patch).cwd.as_str()), ("/tmp", "/tmp"));
    let strict = load_builtin("strict").unwrap();
    assert!(amend::writable_cwd(&strict).is_err());

    for what in [Scratch::Bytes, Scratch::Inodes] {
        let after = amended(&native, &amend::more_scratch(&native, what).unwrap().patch);
        let room = |policy: &Policy| match find(policy, "/tmp").unwrap().from {
            PathSource::Tmpfs { size, inodes } => (size, inodes),
            other => panic!("{other:?}"),
        };
        let ((size, inodes), (before, files)) = (room(&after), room(&native));
        let expected = if what == Scratch::Bytes { (2 * before, files) } else { (before, 2 * files) };
        assert_eq!((size, inodes), expected);
    }

    assert!(amend::add_device(&native, "tty").is_err());
    assert!(amend::add_device(&strict, "null").is_err());
    let mut without = native;
    for path in &mut without.paths {
        if let PathSource::Devices(names) = &mut path.from {
            names.retain(|n| n != "full");
        }
    }
    let after = amended(&without, &amend::add_device(&without, "full").unwrap().patch);
    let dev = find(&after, "/dev").unwrap();
    assert!(matches!(dev.from, PathSource::Devices(names) if names.contains(&"full".to_owned())));
}
