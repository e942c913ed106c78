//! What a process tells its parent about where its secret lies.

use std::time::Duration;

use super::{MAGIC, read_exact, say};
use crate::error::no_matter;
use crate::sys::probe::Room;
use crate::sys::process;

/// A process of the host with a secret in its memory: reads it, complemented,
/// from standard input, says where it lies, and lives until its input ends.
#[must_use]
pub fn victim() -> u8 {
    let mut head = [0u8; MAGIC.len() + 1];
    if read_exact(&mut head).is_none() || head[..MAGIC.len()] != *MAGIC {
        return 125;
    }
    let mut token = vec![0u8; usize::from(head[MAGIC.len()])];
    if read_exact(&mut token).is_none() {
        return 125;
    }
    let secret: Vec<u8> = token.iter().map(|b| !*b).collect();
    let room = Room::of(&secret);
    // Where processes may not be attached to without a word from them, this is the word.
    no_matter(process::prctl(libc::PR_SET_PTRACER, usize::MAX, 0), "nothing restricts it here");
    say(&format!("V {} {}", std::process::id(), room.address()));
    let mut byte = [0u8];
    while crate::sys::fd::read(0, &mut byte) == Err(crate::sys::Errno::EINTR) {
        super::rest(Duration::from_millis(1));
    }
    u8::from(room.bytes().is_empty())
}
