//! Facts about this host that a launch needs, found by trying or reading, never
//! by comparing versions.

use super::procfs;
use std::sync::OnceLock;

use crate::sys;

/// What does not change while this process lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Kernel release.
    pub kernel: String,
    /// Landlock's ABI; 0: there is none.
    pub landlock_abi: u32,
    /// Why there is none, as an errno, else 0.
    pub landlock_errno: i32,
    /// The kernel's last capability.
    pub last_cap: u32,
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Content of `core_pattern`.
    pub core_pattern: String,
}

/// The last capability that the headers know, for a kernel that does not tell.
const LAST_CAP_KNOWN: u32 = 40;

impl Host {
    /// Read once.
    #[must_use]
    pub fn get() -> &'static Self {
        static HOST: OnceLock<Host> = OnceLock::new();
        HOST.get_or_init(|| {
            let (landlock_abi, landlock_errno) = match sys::landlock::abi() {
                Ok(abi) => (abi, 0),
                Err(e) => (0, e as i32),
            };
            let read = |path: &str| procfs::read(path).unwrap_or_default().trim().to_owned();
            Self {
                kernel: nix::sys::utsname::uname()
                    .map(|u| u.release().to_string_lossy().into_owned())
                    .unwrap_or_default(),
                landlock_abi,
                landlock_errno,
                last_cap: read("/proc/sys/kernel/cap_last_cap").parse().unwrap_or(LAST_CAP_KNOWN),
                uid: nix::unistd::geteuid().as_raw(),
                gid: nix::unistd::getegid().as_raw(),
                core_pattern: read("/proc/sys/kernel/core_pattern"),
            }
        })
    }

    /// Whether a core dump would go to a program or socket rather than a file.
    #[must_use]
    pub fn core_goes_to_program(&self) -> bool {
        self.core_pattern.starts_with(['|', '@'])
    }
}
