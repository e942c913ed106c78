//! What the children do, in order. Everything here runs between clone and exec:
//! system calls only, no allocation, no lock, no formatting, no unwinding.
//!
//! Three processes: M, a copy of the supervisor in new namespaces; then I and P,
//! which share M's memory. I stays as pid 1 of the box, P becomes the payload.
//! The order and its reasons are in [`super::order`].

use crate::Layer;
use crate::error::no_matter;
use std::convert::Infallible;
use std::os::fd::{AsRawFd, IntoRawFd};
use std::sync::atomic::Ordering;

use super::frame::{Built, Frame, Ready, Stripped};
use super::order::Step;
use super::plan::{Entry, Plan, RootPlan};
use super::{
    capabilities, cgroup, descriptors, inherited, landlock, late, namespaces, rlimits, root, spread,
};
use crate::sys::clone::{self, Cgroup};
use crate::sys::signal::{self, Disposition};
use crate::sys::{self, Errno, fd, process};

/// A step that failed: all that a child can say about it.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    step: Step,
    index: u32,
    errno: Errno,
}

impl Failed {
    /// Child only: what the kernel said.
    pub fn errno(self) -> i32 {
        self.errno as i32
    }
}

/// What every step is made through: it names the call in case it fails, and it
/// is where a test build makes it fail.
#[derive(Clone, Copy)]
pub struct Steps {
    /// The plan that is followed.
    pub plan: &'static Plan,
}

impl Steps {
    /// Child only: one call.
    pub fn call<T>(self, step: Step, make: impl FnOnce() -> sys::Result<T>) -> Result<T, Failed> {
        self.nth(step, 0, make)
    }

    /// Child only: one call of several of its kind.
    pub fn nth<T>(
        self,
        step: Step,
        index: usize,
        make: impl FnOnce() -> sys::Result<T>,
    ) -> Result<T, Failed> {
        #[cfg(feature = "fault-injection")]
        let make = || match super::inject::answer(&self.plan.inject, step, index) {
            Some(errno) => Err(errno),
            None => make(),
        };
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        make().map_err(|errno| Failed { step, index, errno })
    }

    /// Child only: whether a layer is not applied where it belongs. Never, but in a test build.
    #[cfg(not(feature = "ablation"))]
    pub const fn without(self, _: Layer) -> bool {
        false
    }

    /// Child only: whether a layer is not applied where it belongs.
    #[cfg(feature = "ablation")]
    pub fn without(self, layer: Layer) -> bool {
        self.plan.spoilt.is_some_and(|spoilt| spoilt.layer == layer)
    }

    /// Child only: a call whose failure is a fact to report, not the end. 0 is success.
    pub fn fact(self, step: Step, make: impl FnOnce() -> sys::Result<()>) -> i32 {
        self.call(step, make).map_or_else(|f| f.errno as i32, |()| 0)
    }

    /// Child only: tells the supervisor.
    pub fn send(self, step: Step, frame: Frame) -> Result<(), Failed> {
        self.call(step, || fd::write(self.plan.control, &frame.encode()).map(drop))
    }

    /// Child only: waits for one byte.
    fn wait_byte(self, step: Step, from: i32) -> Result<(), Failed> {
        self.call(step, || {
            let mut byte = [0u8];
            loop {
                match fd::read(from, &mut byte) {
                    Ok(0) => return Err(Errno::EPIPE),
                    Ok(_) => return Ok(()),
                    Err(Errno::EINTR) => {}
                    Err(e) => return Err(e),
                }
            }
        })
    }

    /// Child only: the end of a process whose step failed.
    fn fail(self, failed: Failed) -> ! {
        let Failed { step, index, errno } = failed;
        let frame = Frame::Failed { step, index, errno: errno as i32 };
        no_matter(
            fd::write(self.plan.control, &frame.encode()),
            "the supervisor sees the end of the process",
        );
        process::exit_now(125)
    }
}

/// Child only: the middle process.
pub fn middle(plan: &'static Plan) -> ! {
    let steps = Steps { plan };
    match build(steps) {
        Ok(()) => process::exit_now(0),
        Err(failed) => steps.fail(failed),
    }
}

/// Child only: makes the namespaces, the root, I and P.
fn build(steps: Steps) -> Result<(), Failed> {
    let plan = steps.plan;
    steps.call(Step::MiddleDeathsig, process::die_with_parent)?;
    // It may have died before the line above, and this copy holds both ends of the control socket
    // for now.
    let same = || if process::parent() == plan.supervisor { Ok(()) } else { Err(Errno::ESRCH) };
    steps.call(Step::MiddleDeathsig, same)?;
    descriptors::close_at_exec(steps)?;
    if !steps.without(Layer::PidNs) {
        namespaces::new_pid_namespace(steps)?;
    }
    let keyring_errno = match steps.without(Layer::Keyring) {
        false => steps.fact(Step::Keyring, process::join_fresh_session_keyring),
        true => 0,
    };
    let keyring = process::session_keyring_length().unwrap_or(u32::MAX);
    descriptors::replace_stdio(steps)?;
    if !steps.without(Layer::Descriptors) {
        descriptors::close_all_but(steps, Step::CloseOthers, &plan.keep)?;
    }
    namespaces::set_names(steps)?;
    namespaces::open_host_proc(steps)?;
    let userns_limit_errno = namespaces::limit_user_namespaces(steps);
    steps.wait_byte(Step::MiddleWait, plan.control)?;
    spread::anywhere(plan.cpus, 0);
    // Pid 1 makes what takes longest, and is not waited for before the root is entered.
    steps.call(Step::LeaveCwd, || sys::mount::chdir(c"/"))?;
    let init = steps.call(Step::CloneInit, || clone::share(plan, &plan.init_stack, Cgroup::Inherit, init))?;
    spread::elsewhere(plan.cpus, init);
    steps.send(Step::CloneInit, Frame::InitPid(init))?;
    let init_fd = steps.call(Step::OpenInit, || process::pidfd_open(init))?;
    plan.init_fd.store(init_fd.into_raw_fd(), Ordering::Relaxed);

    let base = root::attach_root(steps)?;
    cgroup::receive(steps, Step::ReceiveLeaf, Entry::Clone)?;
    let leaf = match steps.without(Layer::Cgroup) {
        false => cgroup::birth_place(plan),
        true => Cgroup::Inherit,
    };
    let pid = steps.call(Step::ClonePayload, || clone::share(plan, &plan.payload_stack, leaf, payload))?;
    steps.send(Step::ClonePayload, Frame::PayloadPid(pid))?;
    // On the unified hierarchy only the host's root may put a child into the leaf.
    namespaces::use_box_ids_for_files(steps)?;

    inherited::modes_as_planned(steps)?;
    root::fill(steps)?;
    let built = Built {
        root: base.kind,
        overlay_errno: base.overlay_errno,
        keyring_errno,
        userns_limit_errno,
        keyring,
    };
    steps.call(Step::WaitBuilt, || process::set_and_wake(&plan.built, 1))?;
    spread::anywhere(plan.cpus, init);
    // After it: who has said this may end, and P does not wait for it any more.
    steps.send(Step::WaitBuilt, Frame::Built(built))?;
    late::receive(steps)
}

/// Child only: pid 1 of the box.
fn init(plan: &'static Plan) -> ! {
    let steps = Steps { plan };
    match harden_init(steps) {
        Ok(()) => sys::init::become_minimal(),
        Err(failed) => steps.fail(failed),
    }
}

/// Child only: gives up everything, then passes the supervisor's word on to P.
fn harden_init(steps: Steps) -> Result<(), Failed> {
    let plan = steps.plan;
    steps.call(Step::InitDeathsig, process::die_with_parent)?;
    steps.call(Step::InitSession, process::setsid)?;
    steps.call(Step::InitSigchld, || signal::set_disposition(libc::SIGCHLD, Disposition::Ignore))?;
    namespaces::make_as_init(steps)?;
    steps.call(Step::InitIds, || namespaces::set_ids(plan))?;
    steps.call(Step::InitIds, || process::set_and_wake(&plan.init_has_ids, 1))?;
    steps.call(Step::InitDeathsigAgain, process::die_with_parent)?;
    #[cfg(feature = "ablation")]
    super::ablation::elsewhere(steps)?;
    steps.call(Step::InitCaps, || capabilities::drop_all(plan.last_cap))?;
    steps.call(Step::InitNnp, capabilities::no_new_privs)?;
    descriptors::close_all(steps, Step::InitClose, &mut [plan.control, plan.gate_write])?;
    steps.call(Step::InitName, || process::set_name(c"init"))?;
    steps.call(Step::InitFilter, || sys::seccomp::install(&plan.init_filter, [0; 3]))?;
    steps.send(Step::InitFrame, Frame::InitReady)?;
    steps.wait_byte(Step::InitWait, plan.control)?;
    steps.call(Step::InitDumpable, || process::set_dumpable(false))?;
    let last = match plan.late {
        None => {
            steps.call(Step::InitGate, || fd::write(plan.gate_write, &[1]).map(drop))?;
            Step::InitGate
        }
        Some(_) => {
            steps.send(Step::InitDone, Frame::InitDone)?;
            Step::InitDone
        }
    };
    // P's end of the gate closes at its exec, which also gives it memory of its own: only then may
    // this process take the shared one away.
    steps.call(last, || fd::wait_reader_gone(plan.gate_write))?;
    steps.call(last, || fd::close(plan.control))?;
    steps.call(last, || fd::close(plan.gate_write))
}

/// Child only: the process that becomes the payload.
fn payload(plan: &'static Plan) -> ! {
    let steps = Steps { plan };
    let failed = match become_payload(steps) {
        Ok(never) => match never {},
        Err(failed) => failed,
    };
    steps.fail(failed)
}

/// Child only: enters the root, gives up everything, restricts itself, executes.
fn become_payload(steps: Steps) -> Result<Infallible, Failed> {
    let plan = steps.plan;
    steps.call(Step::Deathsig, process::die_with_parent)?;
    inherited::check_parent(steps)?;
    steps.call(Step::Session, process::setsid)?;
    #[cfg(feature = "ablation")]
    super::ablation::early(steps)?;
    inherited::reset(steps)?;
    let built = || process::wait_for_change(&plan.built, 0);
    if matches!(plan.root, RootPlan::Private { .. }) {
        // Its mount points are still being made.
        steps.call(Step::WaitBuilt, built)?;
    }
    let proc_errno = root::mount_proc(steps)?;
    steps.call(Step::WaitBuilt, built)?;
    root::enter(steps)?;
    if !steps.without(Layer::Cgroup) {
        cgroup::enter(steps)?;
    }
    #[cfg(feature = "ablation")]
    super::ablation::cgroup_instead(steps)?;
    namespaces::join_init(steps)?;
    if !steps.without(Layer::CgroupNs) {
        cgroup::own_namespace(steps)?;
    }
    namespaces::become_box_user(steps)?;
    let inner_errno = match steps.without(Layer::UserNs) {
        false => namespaces::enter_inner_user_namespace(steps)?,
        true => 0,
    };
    let trial_errno = namespaces::try_another_user_namespace(steps)?;
    let core_limit = match steps.without(Layer::Rlimits) {
        false => rlimits::apply(steps, inner_errno == 0)?,
        true => 1,
    };
    capabilities::drop_for_payload(steps)?;
    let stripped = Stripped { proc_errno, inner_errno, trial_errno, core_limit };
    steps.send(Step::FrameB, Frame::Stripped(stripped))?;

    let landlock_errno = match steps.without(Layer::Landlock) {
        false => landlock::restrict(steps)?,
        true => 0,
    };
    let filtered = !steps.without(Layer::Seccomp);
    if let Some(filter) = plan.listener.as_ref().filter(|_| filtered) {
        let listener = steps.call(Step::SeccompListener, || sys::seccomp::install_with_listener(filter))?;
        steps.call(Step::SendListener, || {
            fd::send_with_fds(plan.control, &Frame::Listener.encode(), [listener.as_raw_fd()], plan.nonce)
        })?;
        // Closed with the others below; dropping it would run the C library's close.
        std::mem::forget(listener);
    }
    if !steps.without(Layer::Descriptors) {
        descriptors::close_all(steps, Step::CloseInternal, &mut [plan.control, plan.gate_read])?;
    }
    let usage = steps.call(Step::OwnUsage, process::own_usage)?;
    steps.call(Step::Unblock, || signal::set_mask(0).map(drop))?;
    if filtered {
        steps.call(Step::SeccompMain, || sys::seccomp::install(&plan.filter, plan.nonce))?;
    }
    steps.send(Step::FrameA, Frame::Ready(Ready { landlock_errno, usage }))?;
    match &plan.late {
        None => steps.wait_byte(Step::WaitGate, plan.gate_read)?,
        Some(late) => steps.call(Step::WaitGate, || late.words.receive(plan.gate_read))?,
    }
    steps.call(Step::Exec, || {
        Err(match &plan.late {
            Some(late) => late.words.execve(&plan.program, plan.nonce),
            None => process::execve(&plan.program, &plan.argv, &plan.envp, plan.nonce),
        })
    })
}
