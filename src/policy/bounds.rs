//! How small and how large a limit may be, and why.
//!
//! Guarantees: no limit means "unlimited", neither zero nor a number so large
//! that the kernel would take it for that; policies and the command line are
//! judged by the same table.

use super::units::{format_duration, format_size};

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Nanoseconds, written as a duration.
    Time,
    /// Bytes, written as a size.
    Size,
    /// A plain number.
    Count,
}

/// The range of a limit.
#[derive(Debug)]
pub(crate) struct Bound {
    /// Its name in a policy; with dashes, its option on the command line.
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    pub(crate) least: u64,
    pub(crate) most: u64,
    /// What would happen below.
    below: &'static str,
}

/// What is wrong with a value, and what to write.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outside {
    pub(crate) message: String,
    pub(crate) help: String,
}

/// A year: longer than any run, and far from overflowing a signed count of
/// nanoseconds when it is added to a clock.
const YEAR: u64 = 365 * 24 * 3_600_000_000_000;

/// 1024 TiB: no machine has it, and it is far below the kernel's infinities
/// (`RLIM_INFINITY`, the largest page counter), which mean "no limit".
const HUGE: u64 = 1 << 50;

/// CPU time of the box.
pub(crate) const CPU_TIME: Bound = Bound {
    name: "cpu_time",
    unit: Unit::Time,
    least: 1_000_000,
    most: YEAR,
    below: "a program uses more than that to start",
};

/// Time from start to end.
pub(crate) const WALL_TIME: Bound = Bound {
    name: "wall_time",
    unit: Unit::Time,
    least: 1_000_000,
    most: YEAR,
    below: "a program needs more than that to start",
};

/// Memory of the box. An empty box itself is charged about half a MiB.
pub(crate) const MEMORY: Bound = Bound {
    name: "memory",
    unit: Unit::Size,
    least: 1 << 20,
    most: HUGE,
    below: "the box itself needs about half of that before the program starts",
};

/// Processes and threads. The kernel has no more process ids than the most.
pub(crate) const PROCESSES: Bound = Bound {
    name: "processes",
    unit: Unit::Count,
    least: 1,
    most: 1 << 22,
    below: "the program itself is one",
};

/// Open descriptors. The limit holds before the last steps of the set-up,
/// which fail with fewer than seven; the most is the kernel's default for
/// `fs.nr_open`.
pub(crate) const OPEN_FILES: Bound = Bound {
    name: "open_files",
    unit: Unit::Count,
    least: 8,
    most: 1 << 20,
    below: "stdin, stdout and stderr are three, and the launcher's last steps need a few more",
};

/// Bytes of one file; zero is a box that cannot write any.
pub(crate) const FILE_SIZE: Bound =
    Bound { name: "file_size", unit: Unit::Size, least: 0, most: HUGE, below: "" };

/// Bytes of one output stream; zero is a program that must say nothing.
pub(crate) const OUTPUT: Bound = Bound { name: "output", unit: Unit::Size, least: 0, most: HUGE, below: "" };

/// Stack of the main thread: arguments, environment and the first frames.
pub(crate) const STACK: Bound = Bound {
    name: "stack",
    unit: Unit::Size,
    least: 64 << 10,
    most: HUGE,
    below: "arguments, environment and the first frames are there",
};

/// Bytes of a file system in memory.
pub(crate) const TMPFS_SIZE: Bound = Bound {
    name: "size",
    unit: Unit::Size,
    least: PAGE,
    most: HUGE,
    below: "the kernel takes zero for half of the machine's memory",
};

/// Files of a file system in memory: its root directory is one.
pub(crate) const TMPFS_INODES: Bound = Bound {
    name: "inodes",
    unit: Unit::Count,
    least: 2,
    most: 1 << 24,
    below: "its root directory is one, and the kernel takes zero for no limit",
};

/// Refusals before the box is killed; zero kills at the first. Each one costs
/// the supervisor some 10 µs that nobody is billed for.
pub(crate) const MAX_VIOLATIONS: Bound =
    Bound { name: "max_violations", unit: Unit::Count, least: 0, most: 1_000_000, below: "" };

/// The page size of x86-64; a tmpfs is a whole number of pages.
pub(crate) const PAGE: u64 = 4096;

impl Bound {
    /// Whether `value` is in the range.
    pub(crate) fn judge(&self, value: u64) -> Result<(), Outside> {
        let (name, least, most) = (self.name, self.show(self.least), self.show(self.most));
        if value == 0 && self.least > 0 {
            let help = format!("zero is not \"unlimited\", and there is no such thing; the least is {least}");
            return Err(Outside { message: format!("`{name}` is zero"), help });
        }
        if value < self.least {
            let help = format!("{}; the least is {least}", self.below);
            return Err(Outside { message: format!("`{name}` is too small: {}", self.show(value)), help });
        }
        if value > self.most {
            let help = format!("a limit that nothing reaches is none; the most is {most}");
            return Err(Outside { message: format!("`{name}` is too large: {}", self.show(value)), help });
        }
        Ok(())
    }

    /// A value as it is written.
    pub(crate) fn show(&self, value: u64) -> String {
        match self.unit {
            Unit::Time => format_duration(value),
            Unit::Size => format_size(value),
            Unit::Count => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_at_and_beyond_a_bound_is_judged() {
        for bound in [
            &CPU_TIME,
            &WALL_TIME,
            &MEMORY,
            &PROCESSES,
            &OPEN_FILES,
            &FILE_SIZE,
            &OUTPUT,
            &STACK,
            &TMPFS_SIZE,
            &TMPFS_INODES,
            &MAX_VIOLATIONS,
        ] {
            assert_eq!(bound.judge(bound.least), Ok(()), "{}", bound.name);
            assert_eq!(bound.judge(bound.most), Ok(()), "{}", bound.name);
            let above = bound.judge(bound.most + 1).unwrap_err();
            assert!(above.message.starts_with(&format!("`{}` is too large: ", bound.name)), "{above:?}");
            if let Some(below) = bound.least.checked_sub(1) {
                let below = bound.judge(below).unwrap_err();
                let expected = if bound.least == 1 { "is zero" } else { "is too small" };
                assert!(below.message.contains(expected), "{below:?}");
            }
        }
    }

    #[test]
    fn zero_is_never_unlimited() {
        let zero = MEMORY.judge(0).unwrap_err();
        assert_eq!(zero.message, "`memory` is zero");
        assert_eq!(zero.help, "zero is not \"unlimited\", and there is no such thing; the least is 1MiB");
        assert_eq!(OUTPUT.judge(0), Ok(()));
    }
}
