//! What the children tell the supervisor: small records of fixed size over a
//! sequenced-packet socket. The children send numbers; the supervisor, which
//! has the plan, turns them into words.

use super::order::Step;
use crate::sys::process::Usage;

/// Bytes of an encoded frame.
pub const FRAME_BYTES: usize = 56;

/// How the root came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RootKind {
    /// Overlay with lower layers only.
    Overlay,
    /// Read-only bind of the tree, flags locked.
    Bind,
    /// Copy in memory.
    Private,
}

/// Facts of the middle process, once the root is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Built {
    /// How the root came to be.
    pub root: RootKind,
    /// Why there is no overlay, if one was to be (errno), else 0.
    pub overlay_errno: i32,
    /// Why there is no fresh session keyring (errno), else 0.
    pub keyring_errno: i32,
    /// Why `user.max_user_namespaces` could not be written (errno), else 0.
    pub userns_limit_errno: i32,
    /// Bytes of the session keyring in force: 0 when no key is in it.
    pub keyring: u32,
}

/// Facts of the payload process once it has no privilege left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stripped {
    /// Why there is no `/proc` (errno), else 0.
    pub proc_errno: i32,
    /// Why there is no inner user namespace (errno), else 0.
    pub inner_errno: i32,
    /// What a further user namespace was answered; 0 means that it was made.
    pub trial_errno: i32,
    /// The core limit in force.
    pub core_limit: u32,
}

/// Facts of the payload process right before its exec.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ready {
    /// What Landlock's trial was answered; 0 means that it was let through.
    pub landlock_errno: i32,
    /// Its own usage so far: the set-up's, not the payload's.
    pub usage: Usage,
}

/// One record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame {
    /// A step failed; nothing more comes from this process.
    Failed {
        /// Which step.
        step: Step,
        /// What it was about.
        index: u32,
        /// What the kernel said.
        errno: i32,
    },
    /// Pid 1 of the box exists (pid as the supervisor sees it).
    InitPid(i32),
    /// The payload process exists (pid as the supervisor sees it).
    PayloadPid(i32),
    /// The middle process has done its part.
    Built(Built),
    /// Frame B.
    Stripped(Stripped),
    /// Accompanies the listener's descriptor.
    Listener,
    /// Frame A.
    Ready(Ready),
    /// Pid 1 has given up everything.
    InitReady,
    /// Pid 1 has heard that all is well, and has nothing left to do: only in a box made ahead.
    InitDone,
    /// The job's payload is in its place: likewise.
    Placed,
}

/// Words of 32 bits in a frame before the 64-bit ones.
const WORDS: usize = 6;

fn pack(tag: u32, words: [u32; WORDS - 1], longs: [u64; 4]) -> [u8; FRAME_BYTES] {
    let mut out = [0u8; FRAME_BYTES];
    let (head, tail) = out.split_at_mut(WORDS * 4);
    for (chunk, word) in head.chunks_exact_mut(4).zip(std::iter::once(tag).chain(words)) {
        chunk.copy_from_slice(&word.to_le_bytes());
    }
    for (chunk, long) in tail.chunks_exact_mut(8).zip(longs) {
        chunk.copy_from_slice(&long.to_le_bytes());
    }
    out
}

/// An errno or pid, carried as its bits.
#[allow(clippy::cast_sign_loss)]
const fn bits(value: i32) -> u32 {
    value as u32
}

/// The reverse of [`bits`].
#[allow(clippy::cast_possible_wrap)]
const fn value(bits: u32) -> i32 {
    bits as i32
}

impl Frame {
    /// Child too: no allocation.
    #[must_use]
    pub fn encode(&self) -> [u8; FRAME_BYTES] {
        let none = [0; 4];
        match *self {
            Frame::Failed { step, index, errno } => pack(1, [step as u32, index, bits(errno), 0, 0], none),
            Frame::InitPid(pid) => pack(2, [bits(pid), 0, 0, 0, 0], none),
            Frame::PayloadPid(pid) => pack(3, [bits(pid), 0, 0, 0, 0], none),
            Frame::Built(b) => {
                let (o, k, u) = (bits(b.overlay_errno), bits(b.keyring_errno), bits(b.userns_limit_errno));
                pack(4, [b.root as u32, o, k, u, b.keyring], none)
            }
            Frame::Stripped(s) => {
                let (p, i, t) = (bits(s.proc_errno), bits(s.inner_errno), bits(s.trial_errno));
                pack(5, [p, i, t, s.core_limit, 0], none)
            }
            Frame::Listener => pack(6, [0; 5], none),
            Frame::InitReady => pack(8, [0; 5], none),
            Frame::InitDone => pack(9, [0; 5], none),
            Frame::Placed => pack(10, [0; 5], none),
            Frame::Ready(r) => pack(
                7,
                [bits(r.landlock_errno), 0, 0, 0, 0],
                [r.usage.user_ns, r.usage.system_ns, r.usage.switches, 0],
            ),
        }
    }

    /// `None` for anything that [`Frame::encode`] does not make.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; FRAME_BYTES] = bytes.try_into().ok()?;
        let (head, tail) = bytes.split_at(WORDS * 4);
        let mut w = [0u32; WORDS];
        for (word, chunk) in w.iter_mut().zip(head.chunks_exact(4)) {
            *word = u32::from_le_bytes(chunk.try_into().ok()?);
        }
        let mut l = [0u64; 4];
        for (long, chunk) in l.iter_mut().zip(tail.chunks_exact(8)) {
            *long = u64::from_le_bytes(chunk.try_into().ok()?);
        }
        let frame = match w[0] {
            1 => Frame::Failed {
                step: Step::from_number(u16::try_from(w[1]).ok()?)?,
                index: w[2],
                errno: value(w[3]),
            },
            2 => Frame::InitPid(value(w[1])),
            3 => Frame::PayloadPid(value(w[1])),
            4 => Frame::Built(Built {
                root: [RootKind::Overlay, RootKind::Bind, RootKind::Private]
                    .into_iter()
                    .find(|k| *k as u32 == w[1])?,
                overlay_errno: value(w[2]),
                keyring_errno: value(w[3]),
                userns_limit_errno: value(w[4]),
                keyring: w[5],
            }),
            5 => Frame::Stripped(Stripped {
                proc_errno: value(w[1]),
                inner_errno: value(w[2]),
                trial_errno: value(w[3]),
                core_limit: w[4],
            }),
            6 => Frame::Listener,
            7 => Frame::Ready(Ready {
                landlock_errno: value(w[1]),
                usage: Usage { user_ns: l[0], system_ns: l[1], switches: l[2] },
            }),
            8 => Frame::InitReady,
            9 => Frame::InitDone,
            10 => Frame::Placed,
            _ => return None,
        };
        (frame.encode() == *bytes).then_some(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_every_kind_survives_the_round_trip() {
        let frames = [
            Frame::Failed { step: Step::Bounding, index: 40, errno: 1 },
            Frame::InitPid(4_194_303),
            Frame::PayloadPid(7),
            Frame::Built(Built {
                root: RootKind::Private,
                overlay_errno: 22,
                keyring_errno: 122,
                userns_limit_errno: 30,
                keyring: 0x2fff_ffff,
            }),
            Frame::Stripped(Stripped { proc_errno: 1, inner_errno: 28, trial_errno: 28, core_limit: 1 }),
            Frame::Listener,
            Frame::InitReady,
            Frame::InitDone,
            Frame::Placed,
            Frame::Ready(Ready {
                landlock_errno: 13,
                usage: Usage { user_ns: 1, system_ns: u64::MAX, switches: 3 },
            }),
        ];
        for frame in frames {
            assert_eq!(Frame::decode(&frame.encode()), Some(frame));
        }
    }

    #[test]
    fn frame_that_nobody_makes_is_refused() {
        let good = Frame::InitPid(5).encode();
        assert_eq!(Frame::decode(&good), Some(Frame::InitPid(5)));
        assert_eq!(Frame::decode(&good[1..]), None);
        let mut unknown = good;
        unknown[0] = 99;
        assert_eq!(Frame::decode(&unknown), None);
        let mut trailing = good;
        trailing[FRAME_BYTES - 1] = 1;
        assert_eq!(Frame::decode(&trailing), None);
        let mut step = Frame::Failed { step: Step::Exec, index: 0, errno: 2 }.encode();
        step[5] = 0xff;
        assert_eq!(Frame::decode(&step), None);
    }
}
