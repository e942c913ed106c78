//! The root file system and every mount below it.

mod apply;

pub use apply::{attach_root, enter, fill, mount_proc};
