//! Filters that were compiled ahead of time, with the policies that ship.

use seccompiler::sock_filter;

use super::compile::{Compiled, Program};
use crate::policy::Policy;
use crate::policy::prebuilt;

/// One program: its instructions, and where the nonce goes.
type Stored = (Vec<(u16, u8, u8, u32)>, Vec<(usize, u8)>);

/// The filters of a policy that says of system calls what one that ships says.
#[must_use]
pub fn prebuilt(policy: &Policy) -> Option<Compiled> {
    let (shipped, filters) = prebuilt::policy_and_filters(&policy.name)?;
    let same = shipped.syscalls == policy.syscalls && shipped.exec == policy.exec && shipped.wx == policy.wx;
    if !same {
        return None;
    }
    let (listener, main): (Option<Stored>, Stored) = postcard::from_bytes(filters).ok()?;
    Some(Compiled { listener: listener.map(program), main: program(main) })
}

fn program((code, nonce): Stored) -> Program {
    let code = code.into_iter().map(|(code, jt, jf, k)| sock_filter { code, jt, jf, k }).collect();
    Program { code, nonce }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{builtin_names, builtin_text, load_builtin, parse};
    use crate::sandbox::compile::rules;
    use crate::sandbox::seccomp::compile;

    fn stored(program: &Program) -> Stored {
        (program.code.iter().map(|i| (i.code, i.jt, i.jf, i.k)).collect(), program.nonce.clone())
    }

    fn encoded(policy: &Policy) -> Vec<u8> {
        let compiled = compile(&rules(policy)).unwrap();
        let mut bytes = postcard::to_allocvec(policy).unwrap();
        let filters = (compiled.listener.as_ref().map(stored), stored(&compiled.main));
        bytes.extend(postcard::to_allocvec(&filters).unwrap());
        bytes
    }

    #[test]
    fn prebuilt_policies_and_filters_are_those_of_their_texts() {
        let mut runnable = 0;
        for name in builtin_names() {
            let text = builtin_text(name).unwrap();
            let Ok(policy) = parse(&format!("{name} (built in)"), text.as_bytes()) else { continue };
            runnable += 1;
            let bytes = encoded(&policy);
            if std::env::var_os("STOCKADE_WRITE_PREBUILT").is_some() {
                let path = format!("{}/policies/prebuilt/{name}.bin", env!("CARGO_MANIFEST_DIR"));
                std::fs::write(path, &bytes).unwrap();
                continue;
            }
            let hint = "STOCKADE_WRITE_PREBUILT=1 cargo test --lib prebuilt writes it anew";
            assert_eq!(prebuilt::policy(name), Some(policy.clone()), "{name}: {hint}");
            assert_eq!(prebuilt(&policy), Some(compile(&rules(&policy)).unwrap()), "{name}: {hint}");
        }
        assert!(runnable >= 2);
    }

    #[test]
    fn prebuilt_filters_are_not_those_of_a_policy_that_was_changed() {
        let mut policy = load_builtin("native").unwrap();
        assert!(prebuilt(&policy).is_some());
        policy.syscalls.max_violations += 1;
        assert_eq!(prebuilt(&policy), None);
    }
}
