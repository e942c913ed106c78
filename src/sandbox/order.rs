//! The order in which a box is set up: one table, read by the code that reports
//! failures, by the documents and by the tests.
//!
//! Who: `S` supervisor, `M` middle process, `I` pid 1 of the box, `P` payload
//! before its exec. A step is one call that can fail; what failed is reported
//! as step, index (of the mount, device, limit, rule … it was about) and errno.

use std::fmt;

/// Which process performs a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Who {
    /// The supervisor.
    Supervisor,
    /// The short-lived process that makes the namespaces and the root.
    Middle,
    /// Pid 1 of the box.
    Init,
    /// The process that becomes the payload.
    Payload,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Who::Supervisor => "supervisor",
            Who::Middle => "middle process",
            Who::Init => "pid 1 of the box",
            Who::Payload => "payload process",
        })
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// The step.
    pub step: Step,
    /// Its name in reports.
    pub name: &'static str,
    /// Who performs it.
    pub who: Who,
    /// The call, `{}` standing for what the index is about.
    pub call: &'static str,
    /// Why it is there, and why in this place.
    pub why: &'static str,
}

macro_rules! steps {
    ($($variant:ident $who:ident $name:literal $call:literal $why:literal),+ $(,)?) => {
        /// One call of the set-up.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Step { $(#[doc = $call] $variant),+ }

        /// Every step, in order.
        pub const ORDER: &[Line] = &[$(Line {
            step: Step::$variant, name: $name, who: Who::$who, call: $call, why: $why,
        }),+];
    };
}

steps! {
    // The supervisor.
    MakePipes Supervisor "pipes" "pipe2(O_CLOEXEC)" "the payload never holds a descriptor of the caller",
    CloneMiddle Supervisor "clone-middle" "clone3(NEWUSER|NEWNS|NEWUTS)" "the user namespace gives rights over the others; not NEWPID, because pid 1 may not use CLONE_PARENT",
    WriteMaps Supervisor "id-maps" "write {}" "host ids 0 are never mapped",
    MakeLeaf Supervisor "cgroup-leaf" "mkdir {}" "while M builds the root, and pid 1 its namespaces; nothing waits for it before P is to enter",
    SetLimit Supervisor "cgroup-limit" "write {}" "each file is read back: a limit that is not in force is a refusal",
    HandLeaf Supervisor "hand-leaf" "sendmsg(SCM_RIGHTS)" "P enters by descriptors: the cgroup file systems are out of its sight by then",

    // The middle process: everything that needs the host's view.
    MiddleDeathsig Middle "middle-deathsig" "prctl(PR_SET_PDEATHSIG, SIGKILL)" "nothing outlives the supervisor",
    CloseAtExec Middle "close-at-exec" "close_range(3, all, CLOEXEC)" "whatever is not closed below, for whatever reason, the exec closes",
    NewPidNs Middle "pid-namespace" "unshare(NEWPID)" "the next child is pid 1",
    Keyring Middle "keyring" "keyctl(JOIN_SESSION_KEYRING, NULL)" "a box would read the caller's keys",
    Stdio Middle "stdio" "dup3 {}" "pipes in place of the caller's descriptors",
    CloseOthers Middle "close" "close_range {}" "a directory descriptor survives pivot_root",
    HostName Middle "host-name" "sethostname" "the host's name is nobody's business inside",
    DomainName Middle "domain-name" "setdomainname" "the same",
    OpenHostProc Middle "host-proc" "open(/proc)" "the box's own /proc has no sys; needed for the maps of the inner namespace",
    LimitUserNs Middle "user-namespace-limit" "write 1 to user.max_user_namespaces" "room for the inner namespace and for no other",
    MiddleWait Middle "middle-wait" "read(control)" "no file can be made before the maps are in force",
    LeaveCwd Middle "leave-cwd" "chdir(/)" "pid 1 inherits it, and pivot_root moves it along only from the old root",
    CloneInit Middle "clone-init" "clone3(init: VM|PARENT)" "the first child is pid 1",
    OpenInit Middle "open-init" "pidfd_open(init)" "P joins its namespaces by this",
    Private Middle "private" "mount_setattr(/, MS_PRIVATE, recursive)" "no mount travels in or out",
    OpenTree Middle "open-tree" "openat2 {}" "opened here: a descriptor of the supervisor's mount namespace is useless",
    CheckTree Middle "check-tree" "fstat {}" "the directory is the one that was verified",
    OverlayOpen Middle "overlay" "fsopen(overlay)" "a read-only superblock refuses a remount even to the namespace's root",
    OverlayLower Middle "overlay-lowerdir" "fsconfig(lowerdir=root:empty)" "relative to the open directory: the host's path stays out of mountinfo",
    OverlayUserXattr Middle "overlay-userxattr" "fsconfig(userxattr)" "trusted xattrs are not for a user namespace",
    OverlayCreate Middle "overlay-create" "fsconfig(CMD_CREATE, overlay)" "where it cannot be had, a locked bind or a private copy takes its place",
    OverlayMount Middle "overlay-mount" "fsmount(overlay)" "detached until everything about it is set",
    BindTree Middle "bind-root" "open_tree(root, CLONE)" "the root where there is no overlay; its flags are locked by the inner user namespace",
    BindTreeFlags Middle "bind-root-flags" "mount_setattr(root, RDONLY|NOSUID|NODEV)" "a bind starts with the flags of its source",
    RootTmpfs Middle "root-tmpfs" "mount tmpfs (root)" "the private copy, where there is no store",
    AttachRoot Middle "attach-root" "move_mount(root)" "before 6.18 nothing can be attached below a detached mount",
    ReceiveLeaf Middle "receive-leaf" "recvmsg(SCM_RIGHTS)" "only on the unified hierarchy, where P is born in the leaf",
    ClonePayload Middle "clone-payload" "clone3(payload: VM|PARENT)" "pid 2 of the box and the supervisor's own child: exact status, and nothing in the box carries it",
    FsIds Middle "fs-ids" "setfsgid, setfsuid, prctl(PR_SET_DUMPABLE, 1)" "files of the box belong to the box's ids; taking them makes the memory non-dumpable, and what cannot be dumped cannot be joined; after the clones, because on the unified hierarchy the host's root alone may put a child into the leaf",
    MiddleUmask Middle "middle-umask" "umask(0)" "modes are the plan's, whatever the caller's umask",
    CopyRoot Middle "copy-root" "copy {}" "where there is no store",
    MountTmpfs Middle "mount-tmpfs" "mount tmpfs {}" "sized in bytes and in inodes",
    OpenTarget Middle "mount-point" "openat2 {}" "no link is followed on the way to a mount point",
    AttachMount Middle "attach" "move_mount {}" "through descriptors: nothing can be swapped in between",
    MakePlace Middle "make-place" "create {}" "mount points inside the box's own tmpfs",
    WorkCopy Middle "work-copy" "create {}" "a copy of the caller's work tree, under the box's ids: nothing inside leads back to the host's files",
    PayloadCreate Middle "payload-create" "open(payload, O_CREAT|O_EXCL)" "a private copy: nothing changes under the run",
    PayloadCopy Middle "payload-copy" "sendfile(payload)" "outside the leaf: not billed to the payload",
    DeviceOpen Middle "device" "open_tree({}, CLONE)" "device nodes cannot be made in a user namespace",
    DeviceCheck Middle "device-check" "fstat {}" "the host's node must be the device it is named for",
    DeviceFlags Middle "device-flags" "mount_setattr({}, RDONLY|NOSUID|NOEXEC)" "without nodev, which would make it useless; read-only for the times of the node, which are the host's",
    PayloadLater Middle "payload-later" "open_tree(payload's directory, CLONE)" "only a box made ahead: a second mount, attached nowhere, to write through when the first is sealed",
    SealMount Middle "seal" "mount_setattr({}, RDONLY)" "once its last writer is closed",
    BindOpen Middle "bind" "open_tree({}, CLONE)" "asked for by the caller",
    BindFlags Middle "bind-flags" "mount_setattr({}, MS_PRIVATE, recursive)" "submounts too: a read-only bind is otherwise writable below them; and what the host mounts later stays outside",
    ReceiveJob Middle "receive-job" "recvmsg(SCM_RIGHTS)" "only a box made ahead: it waits here for a payload that is not the likely one, and P before its exec, both with everything in force",
    PayloadAgain Middle "payload-again" "open(payload, O_WRONLY|O_TRUNC)" "likewise: through its own mount, into the file that the first look has seen",
    JobFrame Middle "job-frame" "write(control)" "likewise: the payload is in its place, and nobody writes to it any more",

    // Pid 1 of the box.
    InitDeathsig Init "init-deathsig" "prctl(PR_SET_PDEATHSIG, SIGKILL)" "nothing outlives the supervisor",
    InitSession Init "init-session" "setsid" "a terminal is an injection channel",
    InitSigchld Init "init-sigchld" "rt_sigaction(SIGCHLD, SIG_IGN)" "orphans are released by the kernel itself",
    InitNamespaces Init "init-namespaces" "unshare(NEWNET|NEWIPC)" "beside M, which builds the root: a network namespace takes longer than all others together",
    LoopbackUp Init "loopback" "ioctl(SIOCSIFFLAGS, lo, IFF_UP)" "only where the policy asks for it",
    InitJoined Init "init-joined" "futex(WAIT)" "taking its ids would make the memory non-dumpable once more",
    InitIds Init "init-ids" "setgroups, setresgid, setresuid" "pid 1 is part of the attack surface",
    InitDeathsigAgain Init "init-deathsig-again" "prctl(PR_SET_PDEATHSIG, SIGKILL)" "setresuid has cleared it",
    InitCaps Init "init-capabilities" "prctl, capset" "pid 1 needs none",
    InitNnp Init "init-no-new-privs" "prctl(PR_SET_NO_NEW_PRIVS)" "needed for its filter",
    InitClose Init "init-close" "close_range" "two descriptors are all it needs",
    InitName Init "init-name" "prctl(PR_SET_NAME)" "a neutral name",
    InitFilter Init "init-filter" "seccomp(init)" "a handful of calls, the rest is fatal",
    InitFrame Init "init-frame" "write(control)" "the supervisor looks at pid 1 as well",
    InitWait Init "init-wait" "read(control)" "the supervisor's acknowledgement passes through here, so that pid 1 is hardened first",
    InitDumpable Init "init-dumpable" "prctl(PR_SET_DUMPABLE, 0)" "after the last look of the supervisor: the memory is shared with P until its exec, which gives P a fresh one",
    InitGate Init "init-gate" "write(gate)" "P may go",
    InitDone Init "init-done" "write(control)" "only a box made ahead, in place of the step before: there the supervisor itself lets P go, when the job has come",

    // The payload process.
    Deathsig Payload "deathsig" "prctl(PR_SET_PDEATHSIG, SIGKILL)" "nothing outlives the supervisor",
    ParentGone Payload "parent-gone" "poll(control)" "it may have died before the line above",
    Session Payload "session" "setsid" "a terminal is an injection channel",
    ProcOpen Payload "proc" "fsopen(proc), hidepid=invisible, subset=pid" "only a member of the pid namespace may make it, and only while the host's is still visible",
    ProcMount Payload "proc-mount" "fsmount(proc)" "a masked host /proc refuses it: then there is none at all",
    ProcAttach Payload "proc-attach" "move_mount(proc)" "onto the box's root",
    WaitBuilt Payload "wait-built" "futex(WAIT)" "until M has built the rest",
    EnterRoot Payload "enter-root" "fchdir(root)" "the new root is the working directory",
    Pivot Payload "pivot" "pivot_root(., .)" "no window with two roots",
    Detach Payload "detach" "umount2(., MNT_DETACH)" "the old root is gone",
    Cwd Payload "cwd" "chdir {}" "a working directory outside the root would be a way out",
    TakeLeaf Payload "take-leaf" "recvmsg(SCM_RIGHTS)" "only on v1: the supervisor has made the leaf meanwhile; before pid 1 is joined, which then reads from the same socket",
    EnterLeaf Payload "enter-leaf" "write 0 to {}" "after the mounts: setting up is not billed to the payload",
    Join Payload "join" "setns(init, NEWNET|NEWIPC)" "pid 1 has made them meanwhile; not sooner than they are needed",
    CgroupNs Payload "cgroup-namespace" "unshare(NEWCGROUP)" "after entry, so that the leaf is its root",
    Groups Payload "groups" "setgroups(0)" "the caller's groups open files; as an ordinary user they cannot be dropped",
    Gid Payload "gid" "setresgid {}" "an unprivileged id",
    Uid Payload "uid" "setresuid {}" "after the old root is gone, before anything of the payload's",
    Dumpable Payload "dumpable" "prctl(PR_SET_DUMPABLE, 1)" "setresuid has cleared it; the supervisor could not attest. After pid 1 has taken its ids: the memory, and with it this attribute, is shared",
    DeathsigAgain Payload "deathsig-again" "prctl(PR_SET_PDEATHSIG, SIGKILL)" "setresuid has cleared it",
    Signals Payload "signals" "rt_sigaction {}" "what the caller ignored would stay ignored",
    Personality Payload "personality" "personality(0)" "no quirk of the caller's, address randomisation on",
    Umask Payload "umask" "umask(022)" "not the caller's",
    InnerUserNs Payload "inner-user-namespace" "unshare(NEWUSER)" "a second one, which owns nothing: a capability regained inside has no mount, network or process namespace to act on, and mount flags are locked",
    InnerMaps Payload "inner-maps" "write {}" "ids map to themselves: the host's ids do not show",
    NoMoreUserNs Payload "no-user-namespace" "unshare(NEWUSER)" "must fail, whatever the errno: verified by trying",
    Rlimit Payload "rlimit" "prlimit64 {}" "soft and hard alike: a soft limit is advice; after the inner namespace, which counts processes of its own",
    Securebits Payload "securebits" "prctl(PR_SET_SECUREBITS)" "id 0 would mean nothing, and it is locked so",
    Ambient Payload "ambient" "prctl(PR_CAP_AMBIENT_CLEAR_ALL)" "would survive an exec",
    Bounding Payload "bounding" "prctl(PR_CAPBSET_DROP, {})" "up to the kernel's last capability, not the headers'",
    Capset Payload "capset" "capset(0)" "effective, permitted, inheritable",
    NoNewPrivs Payload "no-new-privs" "prctl(PR_SET_NO_NEW_PRIVS)" "no program gains anything; needed for the two that follow",
    FrameB Payload "frame-b" "write(control)" "the supervisor reads namespaces, mounts and cgroup meanwhile",
    LandlockProbe Payload "landlock-control" "open(host /proc)" "must still work: the positive control of the trial below",
    LandlockRuleset Payload "landlock-ruleset" "landlock_create_ruleset" "every right and scope of this kernel's ABI",
    LandlockOpen Payload "landlock-open" "open({}, O_PATH)" "opened here, on the box's own inodes; a missing path is an error",
    LandlockRule Payload "landlock-rule" "landlock_add_rule {}" "what the policy grants",
    LandlockEnforce Payload "landlock-enforce" "landlock_restrict_self" "after the last mount",
    LandlockTrial Payload "landlock-trial" "open(host /proc)" "must fail with EACCES now: Landlock shows in no file, so it is tried",
    SeccompListener Payload "seccomp-listener" "seccomp(NEW_LISTENER)" "violations are answered by the supervisor; loaded first, so that the next step needs no allowed call",
    SendListener Payload "send-listener" "sendmsg(SCM_RIGHTS)" "works whatever ptrace is restricted to",
    CloseInternal Payload "close-internal" "close_range" "what the set-up needed and the payload must not have",
    OwnUsage Payload "own-usage" "getrusage" "the baseline of the payload's own usage",
    Unblock Payload "unblock" "rt_sigprocmask" "the mask is inherited through exec",
    SeccompMain Payload "seccomp" "seccomp(main)" "last, so that it need not allow the calls above",
    FrameA Payload "frame-a" "write(control)" "the supervisor compares everything with the plan",
    WaitGate Payload "wait-gate" "read(gate)" "no exec before the acknowledgement",
    Exec Payload "exec" "execve {}" "with the nonce in its unused arguments, without which the filter refuses",

    // The supervisor again.
    Attest Supervisor "attest" "read {}" "a report claims only what was read from the kernel",
    HandJob Supervisor "hand-job" "sendmsg(SCM_RIGHTS)" "only a box made ahead that has not the job's payload yet: the file, to M, which holds nothing of the box that P could change",
    PinCpu Supervisor "pin-cpu" "sched_setaffinity(payload, {})" "only where it is asked for, before the payload's first instruction",
    Acknowledge Supervisor "acknowledge" "write(control)" "the clock starts",
    HandWords Supervisor "hand-words" "write(gate)" "only a box made ahead, whose pid 1 has had its acknowledgement before: the job's words, and the clock starts; M is dead by then",
}

/// One call of the supervisor's. In a test build it can be made to fail, like those of the children.
///
/// # Errors
/// What the call answers.
#[cfg_attr(not(feature = "fault-injection"), allow(unused_variables))]
pub fn own_step<T>(
    step: Step,
    index: usize,
    make: impl FnOnce() -> std::io::Result<T>,
) -> std::io::Result<T> {
    #[cfg(feature = "fault-injection")]
    if let Some(errno) = super::inject::own(step, index) {
        return Err(errno.into());
    }
    make()
}

impl Step {
    /// The step's line.
    #[must_use]
    pub fn line(self) -> &'static Line {
        &ORDER[self as usize]
    }

    /// The step with this number, as sent in a frame.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        ORDER.get(usize::from(number)).map(|l| l.step)
    }

    /// The step with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        ORDER.iter().find(|l| l.name == name).map(|l| l.step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_number_and_name_lead_back_to_the_step() {
        for (i, line) in ORDER.iter().enumerate() {
            assert_eq!(line.step as usize, i);
            assert_eq!(Step::from_number(u16::try_from(i).unwrap()), Some(line.step));
            assert_eq!(Step::from_name(line.name), Some(line.step));
        }
        assert_eq!(Step::from_number(u16::try_from(ORDER.len()).unwrap()), None);
        assert_eq!(Step::from_name("nothing"), None);
    }
}
