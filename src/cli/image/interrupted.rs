//! Ctrl-C while an image is made: nothing half-made stays in the store, and the
//! status is 128 + N.
//!
//! The process becomes another one, which sweeps: from that moment nobody
//! writes, the locks of what was under way are free, and what is left of it is
//! told apart by them, as after any death of a writer.

use std::ffi::{CString, OsString};
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::process::ExitCode;

use stockade::error::{Error, Kind, Result, errno_text, no_matter};
use stockade::image::store::Limits;
use stockade::image::{Store, StoreProblem};
use stockade::sandbox::StoreChoice;
use stockade::sys::signal::{is_ignored, succeed_on};

use crate::cli::signals::ENDING;
use crate::cli::{COULD_NOT, say};

/// The private argument that starts the sweeping.
pub const SWEEP: &str = "sweep-after-signal";

/// How often the sweep is tried again: a program of the host that makes a part
/// of an image may have to notice that nobody wants it.
const TRIES: usize = 5;

/// From now on an ending signal sweeps the store, and ends this. What the caller
/// has had ignored stays ignored.
pub fn prepare(choice: &StoreChoice) -> Result<()> {
    let failed = |e: nix::errno::Errno| Error::new(Kind::Host, format!("signals: {}", errno_text(e as i32)));
    let explicit = match choice {
        StoreChoice::At(path) => Some(path.as_path()),
        StoreChoice::Default | StoreChoice::None => None,
    };
    let uid = nix::unistd::geteuid().as_raw();
    // Without a place there is nothing to sweep; opening it says why.
    let Ok(store) = Store::locate(explicit, &|name| std::env::var_os(name), uid) else { return Ok(()) };
    let absolute = std::path::absolute(&store).unwrap_or(store);
    for signal in ENDING.map(|signal| signal as i32) {
        if is_ignored(signal).map_err(failed)? {
            continue;
        }
        let words = ["stockade".into(), SWEEP.into(), signal.to_string().into(), absolute.clone().into()];
        let environment = std::env::vars_os().map(|(name, value)| {
            let mut pair = name;
            pair.push("=");
            pair.push(value);
            pair
        });
        let done = succeed_on(signal, c"/proc/self/exe", texts(words), texts(environment));
        done.unwrap_or(Ok(())).map_err(failed)?;
    }
    Ok(())
}

/// Words of a command line and an environment have no NUL.
fn texts(words: impl IntoIterator<Item = OsString>) -> Vec<CString> {
    words.into_iter().filter_map(|word| CString::new(word.into_vec()).ok()).collect()
}

/// Sweeps, and answers the status of what was interrupted.
pub fn sweep(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let signal = words.next().and_then(|word| word.to_str()?.parse::<u8>().ok());
    let (Some(signal), Some(store)) = (signal, words.next().map(PathBuf::from)) else {
        say::line(format_args!("stockade: error: {SWEEP} is not for people"));
        return ExitCode::from(COULD_NOT);
    };
    say::line(format_args!("stockade: stopped by signal {signal}"));
    if store.exists()
        && let Err(problem) = swept(&store)
    {
        let error = Error::new(Kind::Host, format!("something half-made may be left: {problem}"))
            .help("'stockade image gc' removes it");
        say::error(&error);
    }
    ExitCode::from(128_u8.saturating_add(signal))
}

/// Removes what this process has left, and the contents that no image has.
fn swept(store: &std::path::Path) -> std::result::Result<(), StoreProblem> {
    let store = Store::open(store)?;
    for _ in 0..TRIES {
        store.sweep_temporaries()?;
        if std::fs::read_dir(store.path().join("tmp")).is_ok_and(|mut left| left.next().is_none()) {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let all = Limits { bytes: u64::MAX, closures: usize::MAX, wait: false };
    // Whoever else writes at this moment keeps it from collecting, and collects later.
    no_matter(store.collect(&all).map(drop), "what nobody needs takes room, and is whole");
    Ok(())
}
