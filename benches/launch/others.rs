//! Other sandboxes, as near to the same isolation as their options allow: every
//! namespace, a read-only root, an empty `/tmp`, no capability, no_new_privs, a filter
//! of about sixty calls. None of them reads back what the kernel did.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MsFlags, mount, umount};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;

use crate::contenders::{Caller, Contender, FRESH, Words, home};
use crate::place::Place;

/// Ids of containers on the host, which nobody has.
const IDS: u32 = 0x7100_0000;

/// Calls that the runtimes make under their own filter, and a static program makes.
const CALLS: &str = "access arch_prctl brk capget capset chdir clock_nanosleep clone close close_range connect \
    dup dup3 epoll_create1 epoll_ctl epoll_pwait eventfd2 execve exit exit_group faccessat2 fchdir fcntl fstat \
    fstatfs futex getdents64 getegid geteuid getgid getpid getppid getrandom gettid getuid ioctl keyctl lseek \
    madvise mkdirat mmap mprotect munmap nanosleep newfstatat openat pipe2 prctl pread64 prlimit64 read readlink \
    readlinkat recvfrom recvmsg rseq rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield \
    seccomp sendmsg sendto set_robust_list set_tid_address setgid setgroups setresgid setresuid setsid setuid \
    sigaltstack socket stat statfs statx tgkill umask uname unlinkat wait4 waitid write writev";

/// Those that are installed.
pub fn all(place: &Place, caller: Caller, program: &Path) -> Vec<Contender> {
    let mut all = Vec::new();
    if is_there("bwrap") {
        all.push(bwrap(place, caller, program));
    }
    for runtime in ["crun", "runc"].into_iter().filter(|name| is_there(name)) {
        all.push(oci(place, caller, program, runtime));
    }
    if is_there("firejail") {
        all.push(firejail(place, caller, program));
    }
    all
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

fn words(place: &Place, caller: Caller, words: &[&str]) -> Words {
    let words = words.iter().map(|w| (*w).to_owned()).collect();
    Words { words, caller, home: home(place, caller), stdin: None, only_v1: false }
}

/// A root with nothing but the program and places for mounts.
fn root(place: &Place, program: &Path) -> PathBuf {
    let root = place.path("bundle-root");
    for below in ["proc", "dev", "tmp"] {
        fs::create_dir_all(root.join(below)).unwrap();
    }
    fs::copy(program, root.join("p")).unwrap();
    root
}

fn bwrap(place: &Place, caller: Caller, program: &Path) -> Contender {
    let filter = place.path("filter.bpf");
    fs::write(&filter, filter_program()).unwrap();
    let root = root(place, program).display().to_string();
    let all = [
        &["bwrap", "--unshare-all", "--uid", "1000", "--gid", "1000", "--hostname", "box"][..],
        &["--ro-bind", &root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"],
        &["--new-session", "--die-with-parent", "--cap-drop", "ALL", "--seccomp", "0", "--", "/p"],
    ];
    let words = words(place, caller, &all.concat());
    Contender::command("bwrap", Words { stdin: Some(filter), ..words })
}

/// Refuses sixty calls, allows the rest: as many instructions as the floor's.
fn filter_program() -> Vec<u8> {
    const LOAD: u16 = 0x20;
    const JEQ: u16 = 0x15;
    const RET: u16 = 0x06;
    const KILL: u32 = 0x8000_0000;
    const EPERM: u32 = 0x0005_0001;
    const ALLOW: u32 = 0x7fff_0000;
    const X86_64: u32 = 0xc000_003e;
    let mut code = vec![(LOAD, 0, 0, 4), (JEQ, 1, 0, X86_64), (RET, 0, 0, KILL), (LOAD, 0, 0, 0)];
    for call in 400..460 {
        code.extend([(JEQ, 0, 1, call), (RET, 0, 0, EPERM)]);
    }
    code.push((RET, 0, 0, ALLOW));
    let bytes = |(code, yes, no, k): (u16, u8, u8, u32)| {
        let [a, b] = code.to_ne_bytes();
        let [c, d, e, f] = k.to_ne_bytes();
        [a, b, yes, no, c, d, e, f]
    };
    code.into_iter().flat_map(bytes).collect()
}

fn oci(place: &Place, caller: Caller, program: &Path, runtime: &str) -> Contender {
    let bundle = place.path(&format!("bundle-{}", caller.name()));
    fs::create_dir_all(&bundle).unwrap();
    let root = root(place, program).display().to_string();
    fs::write(bundle.join("config.json"), config(caller, &root).to_string()).unwrap();
    let (bundle, state) =
        (bundle.display().to_string(), home(place, caller).join(runtime).display().to_string());
    let rootless: &[&str] = match (runtime, caller) {
        (_, Caller::Root) => &[],
        ("crun", Caller::User) => &["--rootless=true", "--cgroup-manager=disabled"],
        (_, Caller::User) => &["--rootless=true"],
    };
    let all = [&[runtime, "--root", &state], rootless, &["run", "--bundle", &bundle, FRESH]].concat();
    let only_v1 = runtime == "crun" && Path::new(UNIFIED).exists();
    Contender::command(runtime, Words { only_v1, ..words(place, caller, &all) })
}

/// A container of the runtime specification, with limits where the caller can have them.
fn config(caller: Caller, root: &str) -> serde_json::Value {
    let kinds = ["pid", "network", "ipc", "uts", "mount", "cgroup", "user"];
    let namespaces: Vec<_> = kinds.iter().map(|kind| json!({ "type": kind })).collect();
    let map = match caller {
        Caller::Root => json!([{ "containerID": 0, "hostID": IDS, "size": 2000 }]),
        Caller::User => {
            let id =
                if caller.is_other() { crate::contenders::USER } else { nix::unistd::geteuid().as_raw() };
            json!([{ "containerID": 0, "hostID": id, "size": 1 }])
        }
    };
    let id = if caller == Caller::Root { 1000 } else { 0 };
    let none = json!([]);
    let limits = json!({ "memory": { "limit": 256 << 20 }, "pids": { "limit": 64 } });
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": { "uid": id, "gid": id }, "args": ["/p"], "env": [], "cwd": "/", "noNewPrivileges": true,
            "capabilities": {
                "bounding": none, "effective": none, "permitted": none, "inheritable": none, "ambient": none,
            },
        },
        "root": { "path": root, "readonly": true },
        "hostname": "box",
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"] },
            { "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev", "size=16m"] },
        ],
        "linux": {
            "namespaces": namespaces, "uidMappings": map, "gidMappings": map,
            "resources": if caller == Caller::Root { limits } else { json!({}) },
            "seccomp": {
                "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
                "syscalls": [{
                    "names": CALLS.split_whitespace().collect::<Vec<_>>(), "action": "SCMP_ACT_ALLOW",
                }],
            },
        },
    })
}

/// Where the second hierarchy is where the first has the controllers.
const UNIFIED: &str = "/sys/fs/cgroup/unified";

/// For this thread and what it starts: crun refuses to run where both hierarchies are mounted.
pub fn hide_unified() {
    if nix::unistd::geteuid().is_root() {
        unshare(CloneFlags::CLONE_FS | CloneFlags::CLONE_NEWNS).unwrap();
        let none = None::<&str>;
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        umount(UNIFIED).unwrap();
    }
}

/// It has no root of its own without a configuration file of root's: the host's, read-only.
fn firejail(place: &Place, caller: Caller, program: &Path) -> Contender {
    let program = program.display().to_string();
    let all = [
        &["firejail", "--quiet", "--noprofile", "--net=none", "--nonewprivs", "--caps.drop=all"][..],
        &["--seccomp", "--ipc-namespace", "--hostname=box", "--private-dev", "--read-only=/", &program],
    ];
    Contender::command("firejail", words(place, caller, &all.concat()))
}
