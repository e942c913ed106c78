//! What a request may change in a policy.
//!
//! Guarantees: an override is judged by the same bounds as a policy; it can
//! change limits, add to the environment and let a layer degrade, and nothing
//! else. The digest stays that of the policy: the report gives the limits that
//! held beside it.

use super::bounds::{self, Bound};
use super::model::{OnOutput, PathSource, Policy, Stack};
use super::read::{env_name_problem, env_value_problem};
use super::source::quote;
use crate::Layer;
use crate::error::{Error, Kind, Result};

/// What a request changes. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// CPU time of the box, in nanoseconds.
    pub cpu_ns: Option<u64>,
    /// Time from start to end, in nanoseconds.
    pub wall_ns: Option<u64>,
    /// Memory of the box, in bytes.
    pub memory: Option<u64>,
    /// Processes and threads.
    pub processes: Option<u32>,
    /// Open descriptors of one process.
    pub open_files: Option<u32>,
    /// Bytes of one file.
    pub file_size: Option<u64>,
    /// Bytes of each output stream.
    pub output: Option<u64>,
    /// What happens at the `output` limit.
    pub on_output: Option<OnOutput>,
    /// Stack of the main thread.
    pub stack: Option<Stack>,
    /// Bytes of the file system at `/tmp`.
    pub tmp: Option<u64>,
    /// Variables that are set, in place of the policy's own where it has them.
    pub env: Vec<(String, String)>,
    /// Further layers that may be missing.
    pub degrade: Vec<Layer>,
}

impl Policy {
    /// This policy with the overrides in place; the digest stays.
    ///
    /// # Errors
    /// [`Kind::Usage`]: a value out of bounds, a variable that cannot be one
    /// or is given twice, or `tmp` for a policy without a `/tmp`.
    pub fn with_overrides(&self, overrides: &Overrides) -> Result<Policy> {
        let mut policy = self.clone();
        let limits = &mut policy.limits;
        replace(&mut limits.cpu_ns, overrides.cpu_ns, &bounds::CPU_TIME)?;
        replace(&mut limits.wall_ns, overrides.wall_ns, &bounds::WALL_TIME)?;
        replace(&mut limits.memory, overrides.memory, &bounds::MEMORY)?;
        replace(&mut limits.processes, overrides.processes, &bounds::PROCESSES)?;
        replace(&mut limits.open_files, overrides.open_files, &bounds::OPEN_FILES)?;
        replace(&mut limits.file_size, overrides.file_size, &bounds::FILE_SIZE)?;
        replace(&mut limits.output, overrides.output, &bounds::OUTPUT)?;
        if let Some(on_output) = overrides.on_output {
            limits.on_output = on_output;
        }
        if let Some(stack) = overrides.stack {
            if let Stack::Bytes(bytes) = stack {
                judge(bytes, &bounds::STACK, bounds::STACK.name)?;
            }
            limits.stack = stack;
        }
        if let Some(bytes) = overrides.tmp {
            policy.resize_tmp(bytes)?;
        }
        for (i, (name, value)) in overrides.env.iter().enumerate() {
            if overrides.env[..i].iter().any(|e| e.0 == *name) {
                let message = format!("--env: variable {} is given twice", quote(name));
                return Err(Error::new(Kind::Usage, message).help("leave one out"));
            }
            variable(name, value)?;
            policy.env.insert(name.clone(), value.clone());
        }
        policy.degrade.extend(overrides.degrade.iter().copied());
        Ok(policy)
    }

    fn resize_tmp(&mut self, bytes: u64) -> Result<()> {
        judge(bytes, &bounds::TMPFS_SIZE, "tmp")?;
        if !bytes.is_multiple_of(bounds::PAGE) {
            let up = bounds::TMPFS_SIZE.show(bytes.next_multiple_of(bounds::PAGE));
            let message = format!("--tmp: {} is not a whole number of pages", bounds::TMPFS_SIZE.show(bytes));
            return Err(
                Error::new(Kind::Usage, message).help(format!("a page is 4KiB; the next size is {up}"))
            );
        }
        for entry in &mut self.paths {
            if entry.at == "/tmp"
                && let PathSource::Tmpfs { size, .. } = &mut entry.from
            {
                *size = bytes;
                return Ok(());
            }
        }
        let message = format!("--tmp: policy `{}` has no file system in memory at `/tmp`", self.name);
        Err(Error::new(Kind::Usage, message).help("leave --tmp out, or use a policy that has one"))
    }
}

fn variable(name: &str, value: &str) -> Result<()> {
    let problem = env_name_problem(name)
        .map(|(problem, help)| (problem, help.to_owned()))
        .or_else(|| env_value_problem(name, value));
    match problem {
        Some((problem, help)) => {
            Err(Error::new(Kind::Usage, format!("--env: {} {problem}", quote(name))).help(help))
        }
        None => Ok(()),
    }
}

/// Puts a value in place that is within its bounds.
fn replace<T: Copy + Into<u64>>(limit: &mut T, value: Option<T>, bound: &Bound) -> Result<()> {
    if let Some(value) = value {
        judge(value.into(), bound, bound.name)?;
        *limit = value;
    }
    Ok(())
}

fn judge(value: u64, bound: &Bound, name: &str) -> Result<()> {
    bound.judge(value).map_err(|outside| {
        let message = format!("--{}: {}", name.replace('_', "-"), outside.message);
        Error::new(Kind::Usage, message).help(outside.help)
    })
}

#[cfg(test)]
mod tests;
