//! How much of an archive is read before it is taken for a bomb.

use std::cell::Cell;
use std::io::{self, Read};
use std::rc::Rc;

/// What an import may come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of all files, and of everything that is unpacked on the way.
    pub bytes: u64,
    /// Entries of all layers.
    pub entries: u64,
    /// Layers.
    pub layers: usize,
    /// Names in a path.
    pub depth: usize,
    /// How many times larger something may be than its compressed form.
    pub ratio: u64,
}

impl Default for Limits {
    /// Twice and more of what real images have.
    fn default() -> Self {
        Self { bytes: 32 << 30, entries: 300_000, layers: 256, depth: 128, ratio: 200 }
    }
}

/// Below this, no ratio is strange: a few small files full of zeros.
const RATIO_FROM: u64 = 64 << 20;

/// Counts against the limits.
#[derive(Debug)]
pub(super) struct Meter {
    limits: Limits,
    entries: Cell<u64>,
    bytes: Cell<u64>,
}

impl Meter {
    pub(super) fn new(limits: Limits) -> Rc<Self> {
        Rc::new(Self { limits, entries: Cell::new(0), bytes: Cell::new(0) })
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// One more entry.
    pub(super) fn entry(&self) -> Result<(), String> {
        self.entries.set(self.entries.get() + 1);
        if self.entries.get() > self.limits.entries {
            return Err(format!("more than {} entries", self.limits.entries));
        }
        Ok(())
    }

    /// So many bytes more.
    fn unpacked(&self, bytes: u64) -> io::Result<()> {
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        if self.bytes.get() > self.limits.bytes {
            let most = crate::policy::units::format_size(self.limits.bytes);
            return Err(io::Error::other(format!("more than {most} unpacked")));
        }
        Ok(())
    }
}

/// Counts what passes.
#[derive(Debug)]
pub(super) struct Counted<R> {
    pub(super) from: R,
    pub(super) passed: Rc<Cell<u64>>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.passed.set(self.passed.get() + read as u64);
        Ok(read)
    }
}

/// What comes out of a decompressor, watched.
pub(super) struct Watched<R> {
    pub(super) from: R,
    /// Compressed bytes so far.
    pub(super) packed: Rc<Cell<u64>>,
    pub(super) unpacked: u64,
    pub(super) meter: Rc<Meter>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.unpacked += read as u64;
        self.meter.unpacked(read as u64)?;
        let ratio = self.meter.limits().ratio;
        if self.unpacked > RATIO_FROM && self.unpacked / self.packed.get().max(1) > ratio {
            return Err(io::Error::other(format!("it unpacks to more than {ratio} times its size")));
        }
        Ok(read)
    }
}
