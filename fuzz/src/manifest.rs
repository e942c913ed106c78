//! What is accepted as a manifest prints back to its own bytes.

use stockade::image::manifest::{Manifest, What};

pub fn check(bytes: &[u8]) {
    match Manifest::parse(bytes) {
        Ok(manifest) => {
            assert_eq!(manifest.to_bytes(), bytes);
            let entries = manifest.entries().to_vec();
            assert!(matches!(entries[0].what, What::Dir { .. }) && entries[0].path == b"/");
            for entry in &entries {
                assert!(entry.path.starts_with(b"/") && !entry.path.contains(&0));
                assert!(entry.path.split(|b| *b == b'/').all(|name| name != b".." && name != b"."));
            }
            let again = Manifest::new(manifest.header().clone(), entries).unwrap();
            assert_eq!(again.digest(), manifest.digest());
            assert_eq!(again, manifest);
        }
        Err(problem) => {
            let words = problem.to_string();
            assert!(!words.contains(|c: char| c.is_control()), "{words:?}");
        }
    }
}
