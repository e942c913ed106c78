//! What a filter can answer, and the words the kernel uses for it.
//!
//! Guarantees: an [`Answer`] and its return value map onto each other one to
//! one; a return value that is none of ours is told apart. See seccomp(2).

/// `errno` of a call that does not exist here (asm-generic/errno.h).
pub const ENOSYS: u16 = 38;
/// `errno` of a call that is refused.
pub const EPERM: u16 = 1;
/// `errno` of an `execve` that is not the launcher's.
pub const EACCES: u16 = 13;

/// The largest `errno` the kernel passes on (`MAX_ERRNO`); it clamps the rest.
const MAX_ERRNO: u32 = 4095;

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Answer {
    /// The kernel carries it out.
    Allow,
    /// It fails with this `errno` and has no effect.
    Errno(u16),
    /// It waits until the supervisor has recorded and refused it.
    Notify,
    /// The whole process dies of `SIGSYS`.
    Kill,
}

impl Answer {
    /// The value a filter returns for it.
    #[must_use]
    pub fn to_return(self) -> u32 {
        match self {
            Answer::Allow => libc::SECCOMP_RET_ALLOW,
            Answer::Errno(errno) => libc::SECCOMP_RET_ERRNO | u32::from(errno),
            Answer::Notify => libc::SECCOMP_RET_USER_NOTIF,
            Answer::Kill => libc::SECCOMP_RET_KILL_PROCESS,
        }
    }

    /// What a filter's return value means; `None` for the actions that no
    /// program of ours may contain (trap, trace, log, killing one thread).
    #[must_use]
    pub fn from_return(value: u32) -> Option<Self> {
        let data = value & libc::SECCOMP_RET_DATA;
        match value & libc::SECCOMP_RET_ACTION_FULL {
            libc::SECCOMP_RET_ALLOW => Some(Answer::Allow),
            libc::SECCOMP_RET_ERRNO => u16::try_from(data.min(MAX_ERRNO)).ok().map(Answer::Errno),
            libc::SECCOMP_RET_USER_NOTIF => Some(Answer::Notify),
            libc::SECCOMP_RET_KILL_PROCESS => Some(Answer::Kill),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errno_constants_match_the_kernel_headers() {
        for (ours, theirs) in [(ENOSYS, libc::ENOSYS), (EPERM, libc::EPERM), (EACCES, libc::EACCES)] {
            assert_eq!(i32::from(ours), theirs);
        }
    }

    #[test]
    fn answer_to_return_and_back_is_itself() {
        for answer in
            [Answer::Allow, Answer::Errno(ENOSYS), Answer::Errno(EPERM), Answer::Notify, Answer::Kill]
        {
            assert_eq!(Answer::from_return(answer.to_return()), Some(answer));
        }
        assert_eq!(Answer::Errno(EPERM).to_return(), 0x0005_0001);
        assert_eq!(Answer::Kill.to_return(), 0x8000_0000);
    }

    #[test]
    fn foreign_action_is_no_answer() {
        for value in [
            libc::SECCOMP_RET_KILL_THREAD,
            libc::SECCOMP_RET_TRAP,
            libc::SECCOMP_RET_TRACE | 1,
            libc::SECCOMP_RET_LOG,
            0x1234_0000,
        ] {
            assert_eq!(Answer::from_return(value), None, "{value:#x}");
        }
        assert_eq!(Answer::from_return(libc::SECCOMP_RET_ERRNO | 0xffff), Some(Answer::Errno(4095)));
    }
}
