//! The compiled filters say what the policy means: proved, and the proof tried.

mod seccomp_support;

use seccomp_support::{Policy, all, base};
use stockade::sandbox::seccomp::{compile, prove};

#[test]
fn prove_every_policy_succeeds() {
    for policy in all() {
        let compiled = compile(&policy.rules()).unwrap();
        let start = std::time::Instant::now();
        let proof = prove(&compiled, &policy.rules()).unwrap_or_else(|e| panic!("{}: {e}", policy.name));
        eprintln!("{}: {} + {} {:?} {:?}", policy.name, compiled.listener().map_or(0, |l| l.instructions()), compiled.main().instructions(), proof, start.elapsed());
    }
}
