//! Bounded reads of an untrusted file.
//!
//! Guarantees: never maps the file (a truncated map is a SIGBUS), never reads
//! more than [`BUDGET`] bytes of it in all, never allocates before the range is
//! known to lie inside the file, leaves the file's position alone.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use object::pod::{self, Pod};

use super::ElfProblem;

/// Read at once: headers, dynamic section and strings of a small program lie in it.
const WINDOW: u64 = 16 << 10;

/// The most that is read of one file. The largest symbol tables of real
/// libraries (LLVM, WebKit) are below 8 MiB; a hostile file costs 16 ms at most.
const BUDGET: u64 = 64 << 20;

pub(super) struct Reader<'f> {
    file: &'f File,
    size: u64,
    window: Vec<u8>,
    spent: u64,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f File, size: u64) -> Result<Self, ElfProblem> {
        let mut reader = Self { file, size, window: Vec::new(), spent: 0 };
        reader.window = reader.bytes(0, size.min(WINDOW), "the header")?;
        Ok(reader)
    }

    pub(super) const fn size(&self) -> u64 {
        self.size
    }

    /// The first bytes of the file.
    pub(super) fn head(&self) -> &[u8] {
        &self.window
    }

    /// Exactly these bytes of the file.
    pub(super) fn bytes(&mut self, offset: u64, len: u64, what: &'static str) -> Result<Vec<u8>, ElfProblem> {
        let end = offset.saturating_add(len);
        if end > self.size {
            return Err(ElfProblem::Truncated { what, end, size: self.size });
        }
        if let (Ok(from), Ok(to)) = (usize::try_from(offset), usize::try_from(end))
            && let Some(bytes) = self.window.get(from..to)
        {
            return Ok(bytes.to_vec());
        }
        self.spent = self.spent.saturating_add(len);
        let len = usize::try_from(len).ok().filter(|_| self.spent <= BUDGET);
        let Some(len) = len else {
            return Err(ElfProblem::Malformed(format!("{what} is larger than any real one")));
        };
        let mut bytes = vec![0; len];
        match self.file.read_exact_at(&mut bytes, offset) {
            Ok(()) => Ok(bytes),
            // It was cut while it was read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(ElfProblem::Truncated { what, end, size: self.size })
            }
            Err(error) => Err(ElfProblem::Unreadable(error.to_string())),
        }
    }

    /// A table of `count` records.
    pub(super) fn table<T: Pod>(
        &mut self,
        offset: u64,
        count: u64,
        what: &'static str,
    ) -> Result<Vec<T>, ElfProblem> {
        let too_large = || ElfProblem::Malformed(format!("{what} is larger than any real one"));
        let len = count.checked_mul(size_of::<T>() as u64).ok_or_else(too_large)?;
        let bytes = self.bytes(offset, len, what)?;
        let records = pod::slice_from_all_bytes::<T>(&bytes).map_err(|()| too_large())?;
        Ok(records.to_vec())
    }
}
