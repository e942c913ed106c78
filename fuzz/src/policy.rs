//! Any text is read into findings, or into a policy that prints back to itself
//! and whose filters do what it says.

use stockade::error::Kind;
use stockade::policy::model::{Condition, Policy, Test, When};
use stockade::policy::{self, Findings, names};
use stockade::sandbox::seccomp::{ARCH_X86_64, Call, Compiled, Rules, Width, compile, decide, stack};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x8000_0001, 0xffff_ffff];

pub fn check(bytes: &[u8]) {
    match policy::parse("p.json", bytes) {
        Ok(policy) => accepted(&policy),
        Err(findings) => refused(&findings),
    }
    // What is good to be extended may be no policy to run, and the reverse never.
    assert!(policy::parse("p.json", bytes).is_err() || policy::check("p.json", bytes).is_ok());
}

fn refused(findings: &Findings) {
    assert!(findings.count() > 0);
    for finding in findings.iter() {
        let message = finding.message();
        assert!(!message.is_empty() && !message.ends_with('.'), "{message}");
        assert!(!message.starts_with(char::is_uppercase), "{message}");
    }
    let shown = findings.to_string();
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
}

fn accepted(policy: &Policy) {
    let text = policy.to_json();
    let again = policy::parse("p.json", text.as_bytes());
    assert_eq!(again.as_ref(), Ok(policy));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.to_string(), text);

    let argument = |nr: u32, name: &str| {
        let argument = names::argument(nr, name)?;
        match argument.kind {
            names::ArgKind::Pointer => None,
            names::ArgKind::Int => Some((argument.index, Width::Dword)),
            names::ArgKind::Long => Some((argument.index, Width::Qword)),
        }
    };
    let rules = Rules::of(policy, &argument);
    match compile(&rules) {
        Ok(compiled) => filters(policy, &rules, &compiled),
        Err(error) => {
            assert_eq!(error.kind(), Kind::Policy);
            assert!(error.message().contains("the kernel takes 4096"), "{error}");
        }
    }
}

/// Each call of the policy, with each value that a condition of it names, and its neighbours.
fn filters(policy: &Policy, rules: &Rules<'_>, compiled: &Compiled) {
    let filters = compiled.with_nonce(NONCE);
    let agree = |nr: u32, args: [u64; 6]| {
        let call = Call { arch: ARCH_X86_64, nr, args };
        let meant = decide(rules, NONCE, &call);
        assert_eq!(stack(&filters.in_order(), &call), Ok(meant.to_return()), "{call:#x?} means {meant:?}");
    };
    let allow = policy.syscalls.allow.iter().map(|rule| match &rule.when {
        When::Always => (&rule.calls, &[][..]),
        When::All(conditions) | When::None(conditions) => (&rule.calls, &conditions[..]),
    });
    let violations = policy.syscalls.violations.iter().map(|rule| (&rule.calls, &rule.when[..]));
    for (calls, conditions) in allow.chain(violations) {
        for &nr in calls {
            for args in [[0; 6], [u64::MAX; 6], [0, 0, 7, NONCE[0].into(), NONCE[1].into(), NONCE[2].into()]]
            {
                agree(nr, args);
            }
            for Condition { arg, test } in conditions.iter().take(8) {
                let Some((index, _)) = (rules.argument)(nr, arg) else { panic!("{nr} has no {arg}") };
                for value in values(test).into_iter().take(16) {
                    for near in [value, value ^ 1, value ^ 1 << 32, value ^ 1 << 63, !value] {
                        for others in [0, u64::MAX] {
                            let mut args = [others; 6];
                            args[usize::from(index)] = near;
                            agree(nr, args);
                        }
                    }
                }
            }
        }
    }
}

fn values(test: &Test) -> Vec<u64> {
    match test {
        Test::In(values) => values.clone(),
        Test::MaskedIn { mask, values } => values.iter().flat_map(|v| [*v, v | !mask]).collect(),
        Test::AnyBit(mask) => vec![*mask, mask & mask.wrapping_neg(), !mask],
    }
}
