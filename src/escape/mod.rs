//! The escape check: attacks from inside real boxes, each with a proof that it
//! could have worked.
//!
//! Three processes play. The one that is asked ([`check`]) makes a directory
//! and a caller; the caller ([`host`]) has everything that an attack may be
//! after and starts the boxes; the payload of the boxes ([`probe`]) is this
//! program itself. An attack is *held* when it had no effect and the same probe
//! is known to have one where nothing is in its way; without that knowledge it
//! is *inconclusive*, never a pass.

mod check;
pub mod document;
mod facts;
pub mod host;
mod judge;
mod outcome;
mod pace;
pub mod print;
pub mod probe;
pub mod table;

pub use check::{Event, Options, Summary, check, listed};
pub use judge::{Controlled, Judged};
pub use outcome::{Outcome, Place, Saw, Seen};
pub use probe::ARGUMENT;
pub use probe::roles::start;
pub use table::{Attack, Control, all};
