//! Keyrings, which no namespace separates.

use super::{Steps, Target, c, refuse};
use crate::escape::outcome::Saw;
use crate::sys::probe;
use crate::sys::probe::Room;

const GET_KEYRING_ID: i32 = 0;
const SEARCH: i32 = 10;
const READ: i32 = 11;
const DESCRIBE: i32 = 6;
const SESSION: i32 = -3;
const USER: i32 = -4;
const USER_SESSION: i32 = -5;

/// KY-01: a secret in the caller's session keyring.
pub fn read_session_key(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let (room, name) = (Room::default(), c(&target.key));
    let search = probe::call(
        libc::SYS_keyctl,
        &[SEARCH.into(), SESSION.into(), c"user".into(), name.as_c_str().into(), 0.into()],
    );
    let found = saw.step("keyctl(SEARCH, session)", search);
    let request =
        probe::call(libc::SYS_request_key, &[c"user".into(), name.as_c_str().into(), 0.into(), 0.into()]);
    let requested = saw.step("request_key", request);
    for key in [found, requested].into_iter().flatten() {
        let read = probe::call(libc::SYS_keyctl, &[READ.into(), key.into(), (&room).into(), 256.into()]);
        saw.step("keyctl(READ)", read);
        if target.finds(&room.bytes()) {
            saw.leak("a key of the caller's session was read");
        }
    }
    let listed = probe::call(libc::SYS_keyctl, &[READ.into(), SESSION.into(), (&room).into(), 256.into()]);
    saw.step("keyctl(READ, session)", listed);
    let described =
        probe::call(libc::SYS_keyctl, &[DESCRIBE.into(), SESSION.into(), (&room).into(), 256.into()]);
    saw.step("keyctl(DESCRIBE, session)", described);
    saw
}

/// KY-02: a key where other runs of the same user would find it.
pub fn leave_key(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let name = c(&format!("{}-left", target.key));
    for (what, ring) in [("user", USER), ("user session", USER_SESSION), ("session", SESSION)] {
        let added = refuse!(
            saw,
            format!("add_key to the {what} keyring"),
            SYS_add_key,
            c"user",
            name.as_c_str(),
            b"x".as_slice(),
            1,
            ring
        );
        if let Some(key) = added {
            // Not left behind by the control.
            let revoke = probe::call(libc::SYS_keyctl, &[3.into(), key.into()]);
            saw.step("keyctl(REVOKE)", revoke);
        }
        refuse!(saw, format!("keyctl(GET_KEYRING_ID, {what})"), SYS_keyctl, GET_KEYRING_ID, ring, 0);
    }
    saw
}

/// KY-04: a helper that the kernel starts as host root with the caller's words.
pub fn call_helper(target: &Target, _: &mut Steps<'_>) -> Saw {
    let mut saw = Saw::new();
    let callout = if target.inside() { Some(c"escape") } else { None };
    match callout {
        Some(words) => {
            refuse!(saw, "request_key(callout)", SYS_request_key, c"user", c"escape-no-such-key", words, 0)
        }
        // Beside the box without the callout, so that no helper starts.
        None => refuse!(saw, "request_key(callout)", SYS_request_key, c"user", c"escape-no-such-key", 0, 0),
    };
    saw
}
