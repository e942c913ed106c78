//! Arguments and environment that another process brings while this one waits.
//!
//! The words arrive as one message of a socket, in memory that was set aside
//! before any process of the box existed; who receives them and who executes
//! with them share that memory.
//!
//! # References
//! `execve(2)`

use std::cell::UnsafeCell;
use std::ffi::{CStr, c_char};
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::process::StringArray;
use super::template::Pieces;
use super::{Errno, Result, fd, raw};

/// Most bytes of a message: a socket's buffer holds it at one stroke. What needs
/// more room gets a box of its own, which knows its words from the start.
pub const MOST_BYTES: usize = 96 * 1024;

/// Most words, the two ends of the lists included.
const MOST_WORDS: usize = 4096;

/// Numbers at the start of a message: words of the arguments, words of the
/// environment.
const HEAD: [usize; 2] = [0, 8];
const HEAD_BYTES: usize = 16;

/// A message for [`Words::receive`]; `None`: there is no room for so many words.
#[must_use]
pub fn message(argv: &StringArray, envp: &StringArray) -> Option<Vec<u8>> {
    let words = argv.strings().len() + envp.strings().len() + 2;
    let counts = [argv.strings().len() as u64, envp.strings().len() as u64];
    let mut out: Vec<u8> = counts.into_iter().flat_map(u64::to_le_bytes).collect();
    for word in argv.strings().iter().chain(envp.strings()) {
        out.extend_from_slice(word.as_bytes_with_nul());
    }
    (words <= MOST_WORDS && out.len() <= MOST_BYTES).then_some(out)
}

/// Room for one message, and for the lists of pointers into it. Most are short: nothing of it is touched
/// before it is needed, as every box has one.
pub struct Words {
    bytes: UnsafeCell<Vec<u8>>,
    pointers: UnsafeCell<Vec<usize>>,
    /// Whether somebody has begun to fill it.
    taken: AtomicBool,
    /// Where the environment's list begins; 0 until everything is there.
    environment: AtomicUsize,
}

// SAFETY: only the one caller that finds `taken` unset writes, and it does so before it sets
// `environment`, without which nobody reads.
unsafe impl Sync for Words {}

impl std::fmt::Debug for Words {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Words").finish_non_exhaustive()
    }
}

impl Default for Words {
    fn default() -> Self {
        Self {
            bytes: UnsafeCell::new(Vec::with_capacity(MOST_BYTES)),
            pointers: UnsafeCell::new(Vec::with_capacity(MOST_WORDS)),
            taken: AtomicBool::new(false),
            environment: AtomicUsize::new(0),
        }
    }
}

impl Words {
    /// The memory that it has beside itself, while there is no message.
    pub fn pieces(&self, to: &mut Pieces) {
        // SAFETY: before there is a message nobody changes it.
        let bytes = unsafe { &*self.bytes.get() };
        // SAFETY: as above.
        let pointers = unsafe { &*self.pointers.get() };
        to.room(bytes.as_ptr(), bytes.capacity());
        to.room(pointers.as_ptr(), pointers.capacity());
    }

    /// Child only: waits for the message.
    ///
    /// # Errors
    /// `EPIPE`: the other side is gone; `EBADMSG`: not what [`message`] makes;
    /// `EBUSY`: there was a message before.
    pub fn receive(&self, socket: RawFd) -> Result<()> {
        if self.taken.swap(true, Ordering::Relaxed) {
            return Err(Errno::EBUSY);
        }
        // SAFETY: `taken` makes this the only reference, and readers wait for `environment`.
        let bytes = unsafe { &mut *self.bytes.get() };
        // SAFETY: as above.
        let pointers = unsafe { &mut *self.pointers.get() };
        loop {
            match fd::read_anew(socket, bytes) {
                Ok(0) => return Err(Errno::EPIPE),
                Ok(_) => break,
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e),
            }
        }
        let environment = lay_out(bytes, pointers).ok_or(Errno::EBADMSG)?;
        self.environment.store(environment, Ordering::Release);
        Ok(())
    }

    /// Child only: replaces this process. Returns only on failure; `EAGAIN`: no
    /// message has come.
    pub fn execve(&self, path: &CStr, extra: [u32; 3]) -> Errno {
        let environment = self.environment.load(Ordering::Acquire);
        if environment == 0 {
            return Errno::EAGAIN;
        }
        // SAFETY: whoever has set `environment` has finished writing, and nobody writes a second time.
        let pointers = unsafe { &*self.pointers.get() };
        let argv = pointers.as_ptr().cast::<*const c_char>();
        let envp = pointers[environment..].as_ptr().cast::<*const c_char>();
        // SAFETY: path is NUL-terminated; both lists end with a null, and their entries point at
        // NUL-terminated strings in `bytes`, as `lay_out` has checked.
        match unsafe { raw!(execve, path.as_ptr(), argv, envp, extra[0], extra[1], extra[2]) } {
            Err(e) => e,
            Ok(_) => Errno::UnknownErrno,
        }
    }
}

/// Child only: makes the two lists, in the room that there is. Answers where the second one begins; `None`:
/// the message is not whole.
fn lay_out(message: &[u8], pointers: &mut Vec<usize>) -> Option<usize> {
    let number = |at: usize| Some(u64::from_le_bytes(message.get(at..at + 8)?.try_into().ok()?));
    let argc = usize::try_from(number(HEAD[0])?).ok()?;
    let envc = usize::try_from(number(HEAD[1])?).ok()?;
    let environment = argc.checked_add(1)?;
    let last = environment.checked_add(envc)?;
    // Beyond its capacity it would allocate.
    if last >= pointers.capacity() {
        return None;
    }
    pointers.clear();
    let mut rest = message.get(HEAD_BYTES..)?;
    for i in 0..=last {
        if i == argc || i == last {
            pointers.push(0);
            continue;
        }
        let end = rest.iter().position(|byte| *byte == 0)?;
        pointers.push(rest.as_ptr() as usize);
        rest = rest.get(end + 1..)?;
    }
    rest.is_empty().then_some(environment)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;

    use super::*;

    fn strings(words: &[&str]) -> StringArray {
        StringArray::new(words.iter().map(|w| CString::new(*w).unwrap()).collect())
    }

    fn read(pointers: &[usize]) -> Vec<String> {
        let till_null = pointers.iter().take_while(|p| **p != 0);
        // SAFETY: the pointers are those of a message that is live, as `lay_out` has made them.
        let text = |p: &usize| unsafe { CStr::from_ptr(*p as *const c_char) };
        till_null.map(|p| text(p).to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn message_laid_out_gives_the_words_again() {
        let made = message(&strings(&["prog", "", "b c"]), &strings(&["A=1"])).unwrap();
        let mut pointers = Vec::with_capacity(16);
        assert_eq!(lay_out(&made, &mut pointers), Some(4));
        assert_eq!(read(&pointers), ["prog", "", "b c"]);
        assert_eq!(read(&pointers[4..]), ["A=1"]);
        let none = message(&strings(&[]), &strings(&[])).unwrap();
        assert_eq!(lay_out(&none, &mut pointers), Some(1));
        assert_eq!(pointers[..2], [0, 0]);
    }

    #[test]
    fn message_that_is_not_whole_is_refused() {
        let made = message(&strings(&["prog", "x"]), &strings(&["A=1"])).unwrap();
        for cut in 0..made.len() {
            assert_eq!(lay_out(&made[..cut], &mut Vec::with_capacity(16)), None, "{cut}");
        }
        let longer = [&made[..], b"\0"].concat();
        assert_eq!(lay_out(&longer, &mut Vec::with_capacity(16)), None);
        assert_eq!(lay_out(&made, &mut Vec::with_capacity(4)), None, "no room");
        let mut many = made;
        many[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(lay_out(&many, &mut Vec::with_capacity(16)), None);
    }

    #[test]
    fn message_of_too_many_words_or_bytes_is_not_made() {
        let empty = strings(&[]);
        let fits = "x".repeat(MOST_BYTES - HEAD_BYTES - 1);
        assert!(message(&strings(&[&fits]), &empty).is_some());
        assert!(message(&strings(&[&format!("{fits}x")]), &empty).is_none());
        let most = vec![""; MOST_WORDS - 2];
        assert!(message(&strings(&most), &empty).is_some());
        assert!(message(&strings(&most), &strings(&["A=1"])).is_none());
    }
}
