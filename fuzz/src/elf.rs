//! Whatever bytes a file has, looking at it ends in an answer.

use std::fs::File;
use std::io::Write as _;

use nix::sys::memfd::{MFdFlags, memfd_create};
use stockade::image::elf::{inspect, inspect_library};

pub fn check(bytes: &[u8]) {
    let mut file = File::from(memfd_create("elf", MFdFlags::MFD_CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    for found in [inspect(&file), inspect_library(&file)] {
        match found {
            Ok(elf) => {
                assert_eq!(elf.size, bytes.len() as u64);
                assert!(elf.needed.len() <= 4096);
                assert!(elf.needed.iter().all(|name| !name.as_encoded_bytes().contains(&0)));
            }
            Err(problem) => {
                let words = problem.to_string();
                assert!(!words.is_empty() && !words.contains(|c: char| c.is_control()), "{words:?}");
            }
        }
    }
    assert_eq!(inspect(&file), inspect(&file));
}
