//! A program that has the kernel forget its children cannot be told how a box
//! ended. Alone in its program: the disposition is that of the whole process.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use stockade::Layer;
use stockade::error::Kind;
use stockade::policy::load_builtin;
use stockade::report::verdict::Verdict;
use stockade::sandbox::{Builder, Sandbox};
use stockade::sys::signal::{Disposition, set_disposition};

fn request() -> Builder {
    Sandbox::builder(load_builtin("native").unwrap(), "/usr/bin/true").degrade(Layer::Cgroup)
}

#[test]
fn caller_that_ignores_sigchld_is_refused_before_anything_is_made() {
    set_disposition(libc::SIGCHLD, Disposition::Ignore).unwrap();
    for refused in [request().run().unwrap_err(), request().spawn().map(|_| ()).unwrap_err()] {
        assert_eq!(refused.kind(), Kind::Host);
        assert!(refused.message().starts_with("SIGCHLD is ignored in this process"), "{refused}");
        assert!(refused.help_text().unwrap().contains("default"));
    }
    set_disposition(libc::SIGCHLD, Disposition::Default).unwrap();
    assert_eq!(request().run().unwrap().report.verdict, Verdict::Ok);
}
