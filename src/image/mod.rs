//! Images: the trusted, immutable root file systems.

pub mod digest;
pub mod elf;
pub mod manifest;
