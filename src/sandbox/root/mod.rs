//! The root file system and every mount below it.
//!
//! Mount flags and Landlock rights both derive from the policy's `access`, so
//! that they cannot diverge.

mod apply;
mod binds;
mod links;
mod prepare;

pub use apply::{ROOT_ATTR, attach_root, copy_all, enter, fill, is_of_a_stream, mount_proc};
pub use binds::{Bind, OpenBind, c_path};
pub use links::resolve;
pub use prepare::{ExpectedMount, Layout};
