//! Whatever bytes a file has, looking at it ends soon, in an answer.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a test stops at the first surprise"
)]

#[path = "elf/craft.rs"]
mod craft;

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use craft::{Craft, GLIBC};
use proptest::collection::vec;
use proptest::prelude::*;
use stockade::image::elf::{inspect, inspect_library};

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Changes that hit what the parser reads: headers, tables, numbers' high bytes.
fn changes() -> impl Strategy<Value = Vec<(prop::sample::Index, u64, u8)>> {
    let values = prop_oneof![
        any::<u64>(),
        0..256_u64,
        Just(u64::MAX),
        Just(i64::MAX as u64),
        Just(1 << 31),
        Just(1 << 47),
        (0..64_u32).prop_map(|bit| 1 << bit)
    ];
    vec((any::<prop::sample::Index>(), values, 1..=8_u8), 1..6)
}

fn mutate(bytes: &mut [u8], changes: &[(prop::sample::Index, u64, u8)]) {
    for (index, value, width) in changes {
        let at = index.index(bytes.len());
        let end = (at + usize::from(*width)).min(bytes.len());
        bytes[at..end].copy_from_slice(&value.to_le_bytes()[..end - at]);
    }
}

/// Whatever it says, it says it soon and in bounds.
fn check(bytes: &[u8]) -> Result<(), TestCaseError> {
    let file = file(bytes);
    let start = Instant::now();
    for found in [inspect(&file), inspect_library(&file)] {
        match found {
            Ok(elf) => {
                prop_assert!(elf.needed.len() <= 4096);
                prop_assert_eq!(elf.size, bytes.len() as u64);
                prop_assert!(elf.needed.iter().all(|name| !name.as_encoded_bytes().contains(&0)));
            }
            Err(problem) => prop_assert!(!problem.to_string().contains('\n'), "{}", problem),
        }
    }
    prop_assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn mutated_crafted_file_never_panics(changes in changes()) {
        let mut craft = Craft::program(&["libc.so.6", "libstdc++.so.6"]);
        craft.imports = vec!["pthread_create", "_Unwind_Resume"];
        craft.runpath = Some("/x");
        craft.stack = Some(6);
        let mut bytes = craft.build();
        mutate(&mut bytes, &changes);
        check(&bytes)?;
    }

    #[test]
    fn random_bytes_never_panic(tail in vec(any::<u8>(), 0..400), elf in any::<bool>()) {
        let head: &[u8] = if elf { b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0" } else { b"" };
        check(&[head, &tail].concat())?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn mutated_small_real_program_never_panics(changes in changes(), near in any::<bool>()) {
        // The loader: a real file of 200 KB with every table.
        let Ok(mut bytes) = std::fs::read(GLIBC) else { return Ok(()) };
        let len = if near { 1024 } else { bytes.len() };
        mutate(&mut bytes[..len], &changes);
        check(&bytes)?;
    }
}
