//! Every policy file of the tree ships, and its filters are proved: one that is
//! new cannot be forgotten.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use stockade::policy::{builtin_names, builtin_text, load_builtin};
use stockade::sandbox::seccomp::{
    ARCH_X86_64, Answer, Call, Rules, compile, compile_explaining, decide, prove, prove_explaining,
    prove_filters, table,
};

const NONCE: [u32; 3] = [0x9e37_79b9, 0x8000_0001, 0xffff_fffe];

/// Names of the files in `policies/`, but for what is no policy.
fn files() -> BTreeSet<String> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let entries = fs::read_dir(directory).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = entries.filter_map(|n| n.strip_suffix(".json").map(str::to_owned)).collect();
    names.into_iter().filter(|n| n != "schema").collect()
}

#[test]
fn policy_files_of_the_tree_are_those_that_ship() {
    let names: BTreeSet<String> = builtin_names().map(str::to_owned).collect();
    assert_eq!(files(), names);
    for name in names {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("policies/{name}.json"));
        assert_eq!(builtin_text(&name).unwrap(), fs::read_to_string(file).unwrap(), "{name}");
    }
}

#[test]
fn filters_of_every_policy_file_are_proved_to_mean_what_it_says() {
    let mut proved = Vec::new();
    for name in files() {
        let policy = match load_builtin(&name) {
            Ok(policy) => policy,
            // Only a part of others, which are proved with it.
            Err(_) if ["base", "compile"].contains(&name.as_str()) => continue,
            Err(findings) => panic!("{name}: {findings}"),
        };
        let rules = Rules::of(&policy, &table);
        let compiled = compile(&rules).unwrap();
        prove(&compiled, &rules).unwrap_or_else(|e| panic!("{name}: {e}"));
        prove_filters(&compiled.with_nonce(NONCE), NONCE, &rules).unwrap_or_else(|e| panic!("{name}: {e}"));
        let explaining = compile_explaining(&rules).unwrap();
        prove_explaining(&explaining, &rules).unwrap_or_else(|e| panic!("{name}, explained: {e}"));

        // The proof looks: it is not that of the same policy with one call less.
        let mut less = policy.clone();
        less.syscalls.allow.remove(0);
        assert!(prove(&compiled, &Rules::of(&less, &table)).is_err(), "{name}");
        proved.push(name);
    }
    assert!(proved.len() >= 5 && proved.iter().any(|n| n == "native"), "{proved:?}");
}

/// Huge pages of the host and locks count towards no limit, room beyond the end of a file counts towards
/// none of its size, a whiteout is a device, and a lock is seen by whoever has the same inode.
#[test]
fn no_policy_that_ships_gives_what_no_limit_counts_nor_a_device_nor_a_lock() {
    const HIGH: u64 = 1 << 32;
    // The call, the argument, values that every policy refuses, and values that `native` allows.
    let rows: [(i64, usize, &[u64], &[u64]); 4] = [
        (libc::SYS_mmap, 3, &[0x4_0022, 0x5404_0022, 0x4_0001, 0x4_0022 | HIGH], &[0x22, 1, 0x22 | HIGH]),
        (libc::SYS_fallocate, 1, &[1, 3, 0x11, 1 | HIGH], &[0, 0x10, HIGH]),
        (libc::SYS_renameat2, 4, &[4, 5, 6, 4 | HIGH], &[0, 1, 2, HIGH]),
        (libc::SYS_fcntl, 1, &[5, 6, 7, 36, 37, 38, 6 | HIGH], &[0, 1, 3, 3 | HIGH]),
    ];
    let mut seen = 0;
    for name in files() {
        let Ok(policy) = load_builtin(&name) else { continue };
        let rules = Rules::of(&policy, &table);
        let answer = |nr: i64, arg: usize, value: u64| {
            let mut args = [0; 6];
            args[arg] = value;
            decide(&rules, NONCE, &Call { arch: ARCH_X86_64, nr: u32::try_from(nr).unwrap(), args })
        };
        for (nr, arg, refused, allowed) in rows {
            for value in refused {
                assert_ne!(answer(nr, arg, *value), Answer::Allow, "{name}: {nr}, {value:#x}");
            }
            for value in allowed.iter().filter(|_| name == "native") {
                assert_eq!(answer(nr, arg, *value), Answer::Allow, "{name}: {nr}, {value:#x}");
            }
        }
        for nr in [libc::SYS_flock, libc::SYS_memfd_secret, libc::SYS_shmget] {
            assert_ne!(answer(nr, 0, 0), Answer::Allow, "{name}: {nr}");
        }
        seen += 1;
    }
    assert!(seen >= 14, "{seen}");
}
