//! How an imported image starts: what its configuration says, or, where this
//! program has written it, the very header that the image had.

use std::collections::BTreeMap;

use super::oci::Start;
use crate::image::draft::Draft;
use crate::image::manifest::{Header, What};

/// Labels and records that carry an image's own header and policy.
pub(crate) const HEADER: &str = "header";
pub(crate) const POLICY: &str = "policy";
pub(crate) const LABEL: &str = "org.stockade.";

/// Where programs without a slash are looked for where nothing is said.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was found out about the start.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) header: Header,
    /// The policy's canonical text, whose digest the header has.
    pub(super) policy: Option<String>,
    pub(super) notes: Vec<String>,
}

/// What this program has written itself; an error if it contradicts itself.
pub(super) fn own(records: &BTreeMap<String, String>, prefix: &str) -> Result<Option<Found>, String> {
    let Some(text) = records.get(&format!("{prefix}{HEADER}")) else { return Ok(None) };
    let header =
        Header::parse(text).map_err(|problem| format!("the header that stockade wrote: {problem}"))?;
    let policy = match (header.policy, records.get(&format!("{prefix}{POLICY}"))) {
        (None, _) => None,
        (Some(digest), Some(text)) if crate::image::digest::Digest::of(text.as_bytes()) == digest => {
            crate::policy::parse("the image's policy", text.as_bytes()).map_err(|error| error.to_string())?;
            Some(text.clone())
        }
        (Some(_), Some(_)) => {
            return Err("the policy that stockade wrote is not the one of its header".into());
        }
        (Some(_), None) => return Err("the policy of the header that stockade wrote is missing".into()),
    };
    Ok(Some(Found { header, policy, notes: Vec::new() }))
}

/// What a configuration says.
pub(super) fn of_configuration(start: &Start, draft: &Draft) -> Result<Found, String> {
    if let Some(labels) = &start.labels
        && let Some(found) = own(labels, LABEL)?
    {
        return Ok(found);
    }
    let mut found = Found::default();
    for variable in start.env.iter().flatten() {
        match variable.split_once('=') {
            Some((name, value)) if !name.is_empty() && !variable.contains('\0') => {
                found.header.env.insert(name.as_bytes().to_vec(), value.as_bytes().to_vec());
            }
            _ => found
                .notes
                .push(format!("the variable '{}' has no name and was left out", variable.escape_default())),
        }
    }
    let words: Vec<&String> =
        start.entrypoint.iter().flatten().chain(start.command.iter().flatten()).collect();
    let Some((program, args)) = words.split_first() else { return Ok(found) };
    if words.iter().any(|word| word.contains('\0')) {
        return Err("a NUL in a word of its entry point".into());
    }
    let path = found.header.env.get(b"PATH".as_slice()).map_or(PATH.as_bytes(), Vec::as_slice);
    match locate(draft, program.as_bytes(), path) {
        Some(entry) => {
            found.header.entry = Some(entry);
            found.header.args = args.iter().map(|word| word.as_bytes().to_vec()).collect();
            found.header.args.push(b"{args}".to_vec());
        }
        None => {
            let program = program.escape_default();
            found.notes.push(format!(
                "its entry point '{program}' is no program of the image: it does not start by itself"
            ));
        }
    }
    Ok(found)
}

/// A program of the image, by path or by name.
fn locate(draft: &Draft, program: &[u8], path: &[u8]) -> Option<Vec<u8>> {
    let is_program = |path: &[u8]| {
        let node = draft.resolve(path).and_then(|real| draft.get(&real));
        matches!(node.map(|node| &node.what), Some(What::File { mode, .. }) if mode & 0o111 != 0)
    };
    let normal = |path: &[u8]| crate::image::manifest::check_path(path).is_ok() && is_program(path);
    if program.starts_with(b"/") {
        return normal(program).then(|| program.to_vec());
    }
    if program.contains(&b'/') {
        return None;
    }
    let dirs = path.split(|byte| *byte == b':').filter(|dir| dir.starts_with(b"/"));
    let mut places = dirs.map(|dir| [dir.strip_suffix(b"/").unwrap_or(dir), b"/", program].concat());
    places.find(|place| normal(place))
}
