//! A smaller image out of a larger one: some of its programs, with what they
//! need, and nothing else.

use std::path::PathBuf;

use super::build::{Built, Include, Program, Progress, Request, unusable};
use super::closure::trust::Host;
use super::digest::Digest;
use super::store::{Made, Mounts, Ref, RefProblem, Store};
use crate::error::{Error, Kind, Result};

/// What is to be left of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    /// Programs, by their absolute paths in the image.
    pub programs: Vec<PathBuf>,
    /// Other files of the image, by path or pattern.
    pub includes: Vec<String>,
}

/// Makes the smaller image. With a single program that is the image's own entry
/// point, it keeps the arguments; environment and policy stay in any case.
///
/// # Errors
/// There is no such image, or one of the programs is not in it.
pub fn slim(store: &Store, name: &Ref, part: &Part, progress: &dyn Progress) -> Result<(Digest, Built)> {
    let refused = |problem: RefProblem| Error::new(Kind::Usage, problem.to_string()).help(problem.help());
    let whole = store.find(name).map_err(refused)?;
    let manifest = store.manifest(&whole).map_err(unusable)?;
    let manifest = manifest.ok_or_else(|| refused(RefProblem::Missing(whole.id())))?;
    let about = store.about(&whole).map_err(unusable)?;
    // Held until the smaller one is made.
    let seen = store.view(&whole, Mounts::default())?;
    let host = Host::below(&seen.tree.path.join("root"), nix::unistd::geteuid().as_raw()).whoevers();
    let header = manifest.header();
    let text = |word: &[u8]| {
        String::from_utf8(word.to_vec())
            .map_err(|_| Error::new(Kind::Usage, "the image's entry point or environment is not UTF-8"))
    };
    let mut request = Request::default();
    for path in &part.programs {
        request.programs.push(Program { path: path.clone(), ..Program::default() });
    }
    request.includes =
        part.includes.iter().map(|host| Include { host: host.clone(), ..Include::default() }).collect();
    for (key, value) in &header.env {
        request.env.insert(text(key)?, text(value)?);
    }
    if let Some(policy) = &header.policy {
        let policy = store.policy(policy).map_err(unusable)?;
        request.policy = policy.map(|bytes| text(&bytes)).transpose()?;
    }
    if let (Some(entry), [program]) = (&header.entry, part.programs.as_slice())
        && std::os::unix::ffi::OsStrExt::as_bytes(program.as_os_str()) == entry.as_slice()
    {
        let args: Result<Vec<String>> = header.args.iter().map(|arg| text(arg)).collect();
        request.entry = Some((text(entry)?, args?));
    }
    let source = format!("a part of {}", whole.id());
    let (built, _) = request.build_from(host, store, Made::Slim, &source, progress, about.as_ref())?;
    Ok((whole, built))
}
