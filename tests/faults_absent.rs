//! A build for use knows nothing of faults.
#![cfg(not(feature = "fault-injection"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Caller, payload, run};

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn program_does_not_hold_the_variable_and_does_not_obey_it() {
    let program = std::fs::read(env!("CARGO_BIN_EXE_stockade")).unwrap();
    // The control: a variable that it does know can be found.
    assert!(holds(&program, "STOCKADE_STORE"));
    assert!(!holds(&program, "STOCKADE_INJECT"));
    let ran =
        run(Caller::all()[0], payload("hello.c", &[])).env("STOCKADE_INJECT", "clone-middle:EPERM").go();
    assert_eq!((ran.status, ran.text().as_str()), (0, "hello\n"), "{}", ran.all());
}
