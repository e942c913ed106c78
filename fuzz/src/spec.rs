//! A specification is refused with findings, or means something that a path on
//! the image cannot lead out of.

use stockade::image::build::spec;

pub fn check(bytes: &[u8]) {
    match spec::parse("fuzz.json", bytes) {
        Ok(read) => {
            assert!(stockade::image::store::check_name(&read.name).is_ok());
            let request = &read.request;
            let places = request.files.iter().map(|file| file.at.as_str());
            let places = places.chain(request.links.iter().map(|(at, _)| at.as_str()));
            for place in places {
                assert!(place.starts_with('/') && place.len() > 1, "{place:?}");
                assert!(!place.split('/').any(|name| name == ".." || name == "."), "{place:?}");
            }
            if let Some((program, _)) = &request.entry {
                assert!(program.starts_with('/') || program == "{payload}", "{program:?}");
            }
        }
        Err(findings) => {
            assert!(findings.count() > 0);
            let words = findings.to_string();
            assert!(!words.contains(|c: char| c.is_control() && c != '\n'), "{words:?}");
        }
    }
}
