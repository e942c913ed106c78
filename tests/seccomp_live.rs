//! The filters under the running kernel. Every probe is a call that, let
//! through, fails without an effect; it runs once without a filter as control.
#![allow(clippy::unwrap_used, reason = "a test may stop anywhere")]
#![allow(clippy::print_stderr, reason = "says how much was compared")]

mod seccomp_support;

use seccomp_support::kernel::{
    End, Shared, call, call_32_getpid, die_after, in_child, load, load_listener, no_new_privs,
};
use seccomp_support::{Policy, all, argument, base, compile_cpp, exotic, interesting, java, nr};
use stockade::sandbox::seccomp::{
    ARCH_X86_64, Answer, Call, Filters, compile, compile_init, decide, sock_filter,
};

const NONCE: [u32; 3] = [0x1357_9bdf, 0x8000_0001, 0xfeed_beef];

/// What a notified call answers here, instead of waiting for a supervisor: an
/// error that no system call gives (`EHWPOISON`).
const NOTIFIED: u32 = 133;

/// Calls that have an effect whatever their arguments are, or do not return:
/// not tried where they would reach the kernel.
const EFFECT: [&str; 13] = [
    "rt_sigreturn",
    "pause",
    "fork",
    "vfork",
    "exit",
    "exit_group",
    "kill",
    "tkill",
    "vhangup",
    "sync",
    "munmap",
    "shutdown",
    "ptrace",
];

/// `uretprobe` and `uprobe`, which the kernel does not filter, see
/// `kernel_filters_all_but_its_own_probes`.
const PROBES: [u32; 2] = [335, 336];

struct Probe {
    nr: u32,
    args: [u64; 6],
}

impl Probe {
    fn call(&self) -> Call {
        Call { arch: ARCH_X86_64, nr: self.nr, args: self.args }
    }
}

fn filters(policy: &Policy) -> Filters {
    let mut filters = compile(&policy.rules()).unwrap().with_nonce(NONCE);
    for instruction in filters.listener.iter_mut().flatten() {
        if instruction.k == libc::SECCOMP_RET_USER_NOTIF {
            instruction.k = libc::SECCOMP_RET_ERRNO | NOTIFIED;
        }
    }
    filters
}

/// Child only: gets ready for a death by SIGSYS that leaves no core behind, and
/// loads the filters.
fn confine(programs: &[&[sock_filter]]) -> bool {
    // SAFETY: no pointers.
    let quiet = unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 };
    quiet && no_new_privs() && programs.iter().all(|code| load(code, NONCE))
}

/// The results of all probes, each made by the same child under these filters.
fn results(probes: &[Probe], programs: &[&[sock_filter]]) -> Vec<i64> {
    let shared = Shared::new(probes.len() + 1);
    let end = in_child(|| {
        if confine(programs) {
            for (index, probe) in probes.iter().enumerate() {
                shared.set(probes.len(), -i64::from(probe.nr));
                shared.set(index, call(probe.nr, probe.args));
            }
            shared.set(probes.len(), 1);
        }
    });
    let last = shared.get(probes.len());
    assert_eq!((end, last), (End::Exit(0), 1), "0: could not load the filters, below 0: died in that call");
    (0..probes.len()).map(|index| shared.get(index)).collect()
}

/// Compares the kernel with the reference; how many probes the filter changed.
fn compare(policy: &Policy, probes: Vec<Probe>) -> usize {
    let rules = policy.rules();
    let reaches_kernel = |probe: &Probe| decide(&rules, NONCE, &probe.call()) == Answer::Allow;
    let effect: Vec<u32> = EFFECT.iter().map(|name| nr(name)).collect();
    let probes: Vec<Probe> = probes
        .into_iter()
        .filter(|p| !(PROBES.contains(&p.nr) || effect.contains(&p.nr) && reaches_kernel(p)))
        .collect();
    let seen = results(&probes, &filters(policy).in_order());
    // As control, without a filter, except what would have an effect then.
    let (harmless, rest): (Vec<_>, Vec<_>) =
        (0..probes.len()).partition(|&index| !effect.contains(&probes[index].nr));
    let again: Vec<Probe> =
        harmless.iter().map(|&i| Probe { nr: probes[i].nr, args: probes[i].args }).collect();
    let mut control = vec![None; probes.len()];
    for (index, result) in harmless.into_iter().zip(results(&again, &[])) {
        control[index] = Some(result);
    }
    assert!(rest.len() <= effect.len() * 4, "too many probes without control");
    let mut changed = 0;
    for ((probe, seen), control) in probes.iter().zip(seen).zip(control) {
        let context = format!("{}: {} {:#x?}, control {control:?}", policy.name, probe.nr, probe.args);
        match decide(&rules, NONCE, &probe.call()) {
            Answer::Errno(errno) => assert_eq!(seen, -i64::from(errno), "{context}"),
            Answer::Notify => assert_eq!(seen, -i64::from(NOTIFIED), "{context}"),
            Answer::Kill => panic!("{context}: must not be among these"),
            Answer::Allow => {
                // Process ids and the like differ between two children.
                let same = control.is_some_and(|c| c == seen || c >= 0 && seen >= 0);
                assert!(same, "{context}: {seen}");
            }
        }
        changed += usize::from(control.is_some_and(|c| c != seen && (c < 0 || seen < 0)));
    }
    changed
}

/// Arguments with which the kernel refuses the call, if the filter does not.
fn harmless(nr: u32) -> [u64; 6] {
    match syscalls::Sysno::new(usize::try_from(nr).unwrap()).map(|s| s.name()) {
        // Nothing at an odd address.
        Some("mprotect" | "pkey_mprotect") => [1, 0, u64::MAX, 0, 0, 0],
        // A length of 0, and no descriptor.
        Some("mmap") => [0, 0, 0, u64::MAX, u64::MAX, 0],
        // No byte of memory.
        Some("madvise") => [0, 0, u64::MAX, 0, 0, 0],
        // No descriptor, no address, no flag that exists.
        _ => [u64::MAX; 6],
    }
}

/// Keeps the value's tested bits, and makes the kernel refuse it.
fn spoil(nr: u32, value: u64) -> u64 {
    match nr {
        // clone: a thread without shared signal handlers does not exist. Those
        // two flags are in no rule.
        56 => (value | 0x1_0000) & !0x800,
        _ => value,
    }
}

fn probes_of_conditions(policy: &Policy) -> Vec<Probe> {
    let mut probes = Vec::new();
    for (calls, condition) in policy.conditions() {
        for &nr in calls {
            let (index, _) = argument(nr, &condition.arg).unwrap();
            for value in interesting([&condition.test]) {
                let mut args = harmless(nr);
                args[usize::from(index)] = spoil(nr, value);
                probes.push(Probe { nr, args });
            }
        }
    }
    for nr in [9, 10] {
        for prot in (0..16).flat_map(|prot: u64| [prot, prot << 32 | prot, prot | 1 << 63]) {
            let mut args = harmless(nr);
            args[2] = prot;
            probes.push(Probe { nr, args });
        }
    }
    let [a, b, c] = NONCE.map(u64::from);
    for nr in [59, 317] {
        for [a, b, c] in [
            [a, b, c],
            [a | 1 << 32, b | 1 << 63, c | 0xffff << 48],
            [a, b, c ^ 1],
            [0, b, c],
            [a << 32, b, c],
        ] {
            probes.push(Probe { nr, args: [u64::MAX, u64::MAX, u64::MAX, a, b, c] });
        }
    }
    probes
}

#[test]
fn kernel_agrees_on_every_call_number() {
    for policy in all() {
        let probes = (0..1024).map(|nr| Probe { nr, args: harmless(nr) }).collect();
        let changed = compare(&policy, probes);
        eprintln!("{}: the filter changed {changed} of 1024 calls", policy.name);
        assert!(changed > 100, "{}: {changed}", policy.name);
    }
}

#[test]
fn kernel_agrees_on_conditions_and_their_high_bits() {
    for policy in [base(), compile_cpp(), java(), exotic()] {
        let probes = probes_of_conditions(&policy);
        let count = probes.len();
        let changed = compare(&policy, probes);
        eprintln!("{}: the filter changed {changed} of {count} calls", policy.name);
        assert!(count > 300 && changed > count / 8, "{}: {changed} of {count}", policy.name);
    }
}

#[test]
fn kernel_kills_foreign_numbers() {
    let filters = filters(&base());
    let getpid = nr("getpid");
    let numbers =
        [1 << 30, 1 << 30 | getpid, 1 << 30 | nr("ptrace"), 0x7fff_ffff, 1 << 31, 1 << 31 | getpid, u32::MAX];
    // With the listener, as in a box, and without, as in one that has no violations.
    for programs in [&filters.in_order()[..], &[&filters.main]] {
        for number in numbers {
            let dies = in_child(|| {
                if confine(programs) {
                    call(number, [0; 6]);
                }
            });
            assert_eq!(dies, End::Signal(libc::SIGSYS), "{number:#x}");
        }
        let lives = in_child(|| {
            if !confine(programs) || call(getpid, [0; 6]) <= 0 {
                // SAFETY: leaves without running anything of the parent's.
                unsafe { libc::_exit(1) };
            }
        });
        assert_eq!(lives, End::Exit(0));
    }
    for number in numbers {
        assert_eq!(in_child(|| attempt(number)), End::Exit(0), "{number:#x} without a filter");
    }
}

/// Since 6.14 the kernel lets these two past every filter
/// (`seccomp_uprobe_exception`), so that its own trampolines work in confined
/// processes. Called by hand they are fatal or fail, nothing else.
#[test]
fn kernel_filters_all_but_its_own_probes() {
    let filters = filters(&base());
    for nr in PROBES {
        let shared = Shared::new(1);
        let end = in_child(|| {
            if confine(&filters.in_order()) {
                shared.set(0, call(nr, [u64::MAX; 6]));
            }
        });
        eprintln!("{nr}: {end:?} {}", shared.get(0));
        let filtered = (End::Exit(0), -i64::from(libc::ENOSYS));
        let refused = [(End::Signal(libc::SIGILL), 0), (End::Exit(0), -i64::from(libc::ENXIO))];
        let seen = (end, shared.get(0));
        assert!(seen == filtered || refused.contains(&seen), "{nr}: {seen:?}");
    }
}

#[test]
fn kernel_kills_32_bit_entry() {
    let filters = filters(&base());
    let control = in_child(|| {
        call_32_getpid();
    });
    if control != End::Exit(0) {
        assert_eq!(
            std::env::var_os("STOCKADE_MUST_RUN"),
            None,
            "no 32-bit entry on this kernel: {control:?}"
        );
        eprintln!("skipped: this kernel has no 32-bit entry ({control:?})");
        return;
    }
    for programs in [&filters.in_order()[..], &[&filters.main]] {
        let dies = in_child(|| {
            if confine(programs) {
                call_32_getpid();
            }
        });
        assert_eq!(dies, End::Signal(libc::SIGSYS));
    }
}

#[test]
fn kernel_runs_init_program() {
    let calls = ["exit_group", "wait4", "getpid"].map(nr);
    let code = compile_init(&calls).unwrap();
    let good = in_child(|| {
        if !confine(&[&code]) || call(nr_getpid(), [0; 6]) <= 0 {
            // SAFETY: leaves without running anything of the parent's.
            unsafe { libc::_exit(1) };
        }
    });
    assert_eq!(good, End::Exit(0));
    for number in [102, 0, 60, 61 | 1 << 30, 1023, u32::MAX] {
        let dies = in_child(|| {
            if confine(&[&code]) {
                call(number, [u64::MAX; 6]);
            }
        });
        assert_eq!(dies, End::Signal(libc::SIGSYS), "{number:#x}");
    }
    assert_eq!(in_child(|| attempt(102)), End::Exit(0), "getuid without a filter");
}

/// Nobody reads the listener while its descriptor is handed over: a call that
/// it notifies then waits for ever.
#[test]
fn main_program_loads_under_the_listener_with_the_nonce_only() {
    let filters = compile(&base().rules()).unwrap().with_nonce(NONCE);
    let listener = filters.listener.as_ref().unwrap();
    let handed_over = |nonce: [u32; 3], shared: &Shared| {
        in_child(|| {
            die_after(300);
            let ready = no_new_privs();
            let descriptor = load_listener(listener);
            shared.set(0, i64::from(ready && descriptor >= 0));
            shared.set(1, i64::from(load(&filters.main, nonce)));
            // Without a listener, what it notifies does not exist.
            shared.set(2, call(3, [descriptor.cast_unsigned(), 0, 0, 0, 0, 0]));
            shared.set(3, call(101, [u64::MAX; 6]));
            shared.set(4, call(41, [u64::MAX; 6]));
        })
    };
    let shared = Shared::new(5);
    assert_eq!(handed_over(NONCE, &shared), End::Exit(0));
    let enosys = -i64::from(libc::ENOSYS);
    assert_eq!([0, 1, 2, 3, 4].map(|i| shared.get(i)), [1, 1, 0, enosys, enosys]);
    let shared = Shared::new(5);
    let other = [NONCE[0], NONCE[1], NONCE[2] ^ 1];
    assert_eq!(handed_over(other, &shared), End::Signal(libc::SIGALRM));
    assert_eq!([0, 1].map(|i| shared.get(i)), [1, 0]);
}

/// Child only: makes a call and goes on, whatever it returns.
fn attempt(nr: u32) {
    call(nr, [0; 6]);
}

/// The number of `getpid`, without the allocation of a look-up by name.
fn nr_getpid() -> u32 {
    39
}
