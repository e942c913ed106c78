//! What makes times of equal runs differ: read from sysfs, and never more than a
//! note.

use std::fs;
use std::path::Path;

use super::{BOOST, Check, GOVERNOR, HUGE_PAGES, PREEMPTION, SMT};

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|t| t.trim().to_owned())
}

/// All of them.
pub fn checks() -> Vec<Check> {
    vec![governor(), boost(), smt(), huge_pages(), preemption()]
}

fn governor() -> Check {
    let cpus = fs::read_dir("/sys/devices/system/cpu").into_iter().flatten().flatten();
    let mut governors: Vec<String> =
        cpus.filter_map(|cpu| read(cpu.path().join("cpufreq/scaling_governor").to_str()?)).collect();
    governors.sort();
    governors.dedup();
    match governors.as_slice() {
        [] => Check::pass(
            GOVERNOR,
            "the kernel does not choose frequencies here (a virtual machine, or the firmware does)",
        ),
        [one] if one == "performance" => Check::pass(GOVERNOR, "performance"),
        some => Check::note(GOVERNOR, format!("{}: times differ while the frequency rises", some.join(", ")))
            .fix("as root: cpupower frequency-set -g performance"),
    }
}

fn boost() -> Check {
    let general = read("/sys/devices/system/cpu/cpufreq/boost");
    let intel = read("/sys/devices/system/cpu/intel_pstate/no_turbo");
    match (general.as_deref(), intel.as_deref()) {
        (_, Some("0")) => {
            Check::note(BOOST, "on: times depend on how warm and how loaded the other cores are")
                .fix("as root: echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo")
        }
        (Some("1"), _) => {
            Check::note(BOOST, "on: times depend on how warm and how loaded the other cores are")
                .fix("as root: echo 0 > /sys/devices/system/cpu/cpufreq/boost")
        }
        (None, None) => Check::pass(BOOST, "nothing that the kernel could switch"),
        _ => Check::pass(BOOST, "off"),
    }
}

fn smt() -> Check {
    match read("/sys/devices/system/cpu/smt/active").as_deref() {
        Some("1") => Check::note(SMT, "on: two runs at a time may share a core and its caches")
            .fix("as root: echo off > /sys/devices/system/cpu/smt/control"),
        Some("0") => Check::pass(SMT, "off"),
        _ => Check::pass(SMT, "the kernel says nothing of sibling threads"),
    }
}

fn huge_pages() -> Check {
    let text = read("/sys/kernel/mm/transparent_hugepage/enabled").unwrap_or_default();
    let chosen = text.split(['[', ']']).nth(1).unwrap_or_default();
    match chosen {
        "" => Check::pass(HUGE_PAGES, "this kernel has none"),
        "never" => Check::pass(HUGE_PAGES, "never"),
        "madvise" => Check::pass(HUGE_PAGES, "only for programs that ask (madvise)"),
        other => {
            Check::note(HUGE_PAGES, format!("{other}: memory use depends on whether a huge page is free"))
                .fix("as root: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled")
        }
    }
}

/// One option of the kernel's build, where it can be read.
fn option(config: &str, name: &str) -> Option<String> {
    config.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
}

fn preemption() -> Check {
    let version = nix::sys::utsname::uname().map(|u| u.version().to_string_lossy().into_owned());
    let version = version.unwrap_or_default();
    let release = crate::sandbox::host::Host::get().kernel.clone();
    let config = read(&format!("/boot/config-{release}")).unwrap_or_default();
    let hz = option(&config, "CONFIG_HZ");
    let tick = hz.as_ref().map_or_else(String::new, |hz| format!(", tick {hz} Hz"));
    let dynamic = read("/sys/kernel/debug/sched/preempt").unwrap_or_default();
    let chosen = dynamic.split(['(', ')']).nth(1);
    let preempts = version.contains("PREEMPT");
    if chosen == Some("none") || !preempts {
        return Check::note(PREEMPTION, format!("none{tick}: a kill at a time limit may come a tick late"))
            .fix(if Path::new("/sys/kernel/debug/sched/preempt").exists() || preempts {
                "boot with preempt=full"
            } else {
                "use a kernel with CONFIG_PREEMPT_DYNAMIC, and boot it with preempt=full"
            });
    }
    let how = chosen.map_or_else(|| "on".to_owned(), str::to_owned);
    if hz.as_deref() == Some("100") {
        return Check::note(PREEMPTION, format!("{how}{tick}: a kill at a time limit may come a tick late"));
    }
    Check::pass(PREEMPTION, format!("{how}{tick}"))
}

#[cfg(test)]
mod tests {
    use super::super::Status;
    use super::*;

    #[test]
    fn option_of_a_build_is_found_by_its_whole_name() {
        let config = "CONFIG_HZ_250=y\nCONFIG_HZ=250\n# CONFIG_HZ_1000 is not set\n";
        assert_eq!(option(config, "CONFIG_HZ").as_deref(), Some("250"));
        assert_eq!(option(config, "CONFIG_NO_HZ"), None);
    }

    #[test]
    fn timing_is_never_more_than_a_note() {
        for check in checks() {
            assert!(check.status <= Status::Note, "{check:?}");
            assert_eq!(check.status == Status::Pass, check.fix.is_none() && check.status == Status::Pass);
        }
    }
}
