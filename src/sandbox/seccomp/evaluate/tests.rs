//! The interpreter against what the kernel documents.

use super::*;
use crate::sandbox::seccomp::ARCH_X86_64;

fn instruction(code: u16, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code, jt, jf, k }
}

fn call(args: [u64; 6]) -> Call {
    Call { arch: ARCH_X86_64, nr: 39, args }
}

fn end(value: u32) -> sock_filter {
    instruction(RETURN, value, 0, 0)
}

#[test]
fn malformed_program_is_refused_with_its_fault() {
    let load = instruction(LOAD, 0, 0, 0);
    let wild = [
        (vec![], Fault::Length(0)),
        (vec![end(0); 4097], Fault::Length(4097)),
        (vec![load.clone()], Fault::FallsOff { at: 0 }),
        (vec![load.clone(), instruction(JUMP, 1, 0, 0), end(0)], Fault::FallsOff { at: 1 }),
        (vec![load.clone(), instruction(JUMP, u32::MAX, 0, 0), end(0)], Fault::FallsOff { at: 1 }),
        (vec![load.clone(), instruction(JUMP_EQUAL, 0, 0, 1), end(0)], Fault::FallsOff { at: 1 }),
        (vec![load.clone(), instruction(JUMP_EQUAL, 0, 255, 0), end(0)], Fault::FallsOff { at: 1 }),
        (vec![instruction(LOAD, 8, 0, 0), end(0)], Fault::Load { at: 0, offset: 8 }),
        (vec![instruction(LOAD, 12, 0, 0), end(0)], Fault::Load { at: 0, offset: 12 }),
        (vec![instruction(LOAD, 18, 0, 0), end(0)], Fault::Load { at: 0, offset: 18 }),
        (vec![instruction(LOAD, 64, 0, 0), end(0)], Fault::Load { at: 0, offset: 64 }),
        // RET A, LD W LEN, ALU ADD, JEQ X, MISC TAX: known to the kernel, not to us.
        (vec![instruction(0x16, 0, 0, 0)], Fault::Unknown { at: 0, code: 0x16 }),
        (vec![instruction(0x80, 0, 0, 0), end(0)], Fault::Unknown { at: 0, code: 0x80 }),
        (vec![load.clone(), instruction(0x04, 0, 0, 0), end(0)], Fault::Unknown { at: 1, code: 0x04 }),
        (vec![load, instruction(0x1d, 0, 0, 0), end(0)], Fault::Unknown { at: 1, code: 0x1d }),
        (vec![instruction(0x07, 0, 0, 0), end(0)], Fault::Unknown { at: 0, code: 0x07 }),
    ];
    for (code, fault) in wild {
        assert_eq!(check(&code), Err(fault), "{code:?}");
    }
    assert_eq!(check(&vec![end(0); 4096]), Ok(()));
}

#[test]
fn run_refuses_what_it_comes_by() {
    let ran = |code: &[sock_filter]| run(code, &call([0; 6]));
    assert_eq!(ran(&[]), Err(Fault::FallsOff { at: 0 }));
    assert_eq!(ran(&[instruction(JUMP_EQUAL, 0, 0, 0), end(1)]), Err(Fault::NothingLoaded { at: 0 }));
    assert_eq!(ran(&[instruction(AND, 0, 0, 0), end(1)]), Err(Fault::NothingLoaded { at: 0 }));
    assert_eq!(ran(&[instruction(LOAD, 8, 0, 0), end(1)]), Err(Fault::Load { at: 0, offset: 8 }));
    let out = [instruction(LOAD, 0, 0, 0), instruction(JUMP_EQUAL, 39, 1, 0), end(1)];
    assert_eq!(ran(&out), Err(Fault::FallsOff { at: 1 }));
    assert_eq!(run(&out, &Call { nr: 40, ..call([0; 6]) }), Ok(1));
    assert_eq!(ran(&[instruction(0xffff, 0, 0, 0), end(1)]), Err(Fault::Unknown { at: 0, code: 0xffff }));
}

#[test]
fn run_loads_each_half_of_each_argument() {
    let args = [0, 1, 2, 3, 4, 5].map(|i: u64| (0x100 + i) << 32 | (0x200 + i));
    for index in 0..6_u32 {
        for (half, expected) in [(0, 0x200 + index), (4, 0x100 + index)] {
            let code = [
                instruction(LOAD, 16 + 8 * index + half, 0, 0),
                instruction(JUMP_EQUAL, expected, 0, 1),
                end(1),
                end(2),
            ];
            assert_eq!(run(&code, &call(args)), Ok(1));
        }
    }
}

#[test]
fn run_tests_as_the_kernel_does() {
    let args = [0x8000_0000_0000_0005, 0, 0, 0, 0, 0];
    let holds = |code: u16, half: u32, k: u32| {
        let code = [instruction(LOAD, 16 + half, 0, 0), instruction(code, k, 0, 1), end(1), end(2)];
        run(&code, &call(args)) == Ok(1)
    };
    // Unsigned, and in the half that was loaded.
    for (half, value) in [(0, 5), (4, 0x8000_0000)] {
        assert!(holds(JUMP_EQUAL, half, value) && !holds(JUMP_EQUAL, half, value + 1));
        assert!(holds(JUMP_AT_LEAST, half, value) && !holds(JUMP_AT_LEAST, half, value + 1));
        assert!(holds(JUMP_ABOVE, half, value - 1) && !holds(JUMP_ABOVE, half, value));
        assert!(holds(JUMP_ANY_BIT, half, value) && !holds(JUMP_ANY_BIT, half, !value));
    }
    let masked = |mask, k| {
        let load = instruction(LOAD, 20, 0, 0);
        let code = [load, instruction(AND, mask, 0, 0), instruction(JUMP_EQUAL, k, 0, 1), end(1), end(2)];
        run(&code, &call(args)) == Ok(1)
    };
    assert!(masked(0xf000_0000, 0x8000_0000) && masked(0x7fff_ffff, 0) && !masked(0xf000_0000, 0));
}

#[test]
fn stack_takes_the_most_severe_action() {
    use libc::{
        SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD,
        SECCOMP_RET_LOG, SECCOMP_RET_TRACE, SECCOMP_RET_TRAP, SECCOMP_RET_USER_NOTIF,
    };
    // seccomp(2), in decreasing order of precedence.
    let order = [
        SECCOMP_RET_KILL_PROCESS,
        SECCOMP_RET_KILL_THREAD,
        SECCOMP_RET_TRAP,
        SECCOMP_RET_ERRNO,
        SECCOMP_RET_USER_NOTIF,
        SECCOMP_RET_TRACE,
        SECCOMP_RET_LOG,
        SECCOMP_RET_ALLOW,
    ];
    for (rank, &severe) in order.iter().enumerate() {
        for &mild in &order[rank..] {
            for pair in [[severe | 7, mild], [mild, severe | 7]] {
                let programs = pair.map(|value| [end(value)]);
                // Of equal actions the data of the filter loaded last, but an
                // allow's is dropped: it is no more severe than nothing.
                let expected = match (severe == mild, severe == SECCOMP_RET_ALLOW) {
                    (true, true) => SECCOMP_RET_ALLOW,
                    (true, false) => pair[1],
                    (false, _) => severe | 7,
                };
                let both = stack(&[&programs[0], &programs[1]], &call([0; 6]));
                assert_eq!(both, Ok(expected), "{pair:#x?}");
            }
        }
    }
    // Of equal actions the data of the filter loaded last.
    let programs = [SECCOMP_RET_ERRNO | 1, SECCOMP_RET_ERRNO | 38].map(|value| [end(value)]);
    assert_eq!(stack(&[&programs[0], &programs[1]], &call([0; 6])), Ok(SECCOMP_RET_ERRNO | 38));
    assert_eq!(stack(&[], &call([0; 6])), Ok(SECCOMP_RET_ALLOW));
}

#[test]
fn constant_gives_up_at_the_first_argument() {
    let number = instruction(LOAD, 0, 0, 0);
    let argument = instruction(LOAD, 16, 0, 0);
    let plain = [number.clone(), instruction(JUMP_EQUAL, 39, 0, 1), end(1), end(2)];
    assert_eq!(constant(&plain, ARCH_X86_64, 39), Ok(Some(1)));
    assert_eq!(constant(&plain, ARCH_X86_64, 40), Ok(Some(2)));
    let tests = [number, instruction(JUMP_EQUAL, 39, 0, 1), argument, end(2)];
    assert_eq!(constant(&tests, ARCH_X86_64, 39), Ok(None));
    assert_eq!(constant(&tests, ARCH_X86_64, 40), Ok(Some(2)));
}
