//! Which calls a program makes: as the kernel's own tracing sees them after
//! the filter has let them through. Nothing in the box shows that somebody looks.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use stockade::policy::names;

use crate::common::{Caller, Run};

/// Nothing is seen before: without a process to look at, a trace is of all of them.
const ENABLE: &str = "events/raw_syscalls/sys_enter/enable";

/// The place of a recording that is going on.
static RECORDING: Mutex<Option<PathBuf>> = Mutex::new(None);

/// The shell that becomes the supervisor is traced with all it starts, and is called like it, so
/// that its own calls are left out.
pub fn around(run: Run) -> Run {
    match &*RECORDING.lock().unwrap() {
        Some(at) => run.through(&format!(
            "echo stockade > /proc/$$/comm; t={}; echo $$ > $t/set_event_pid; echo 1 > $t/{ENABLE}; exec \"$@\"",
            at.display()
        )),
        None => run,
    }
}

/// Traces of this and no other process, away when this is dropped.
struct Instance(PathBuf);

impl Instance {
    fn new() -> Self {
        let at = Path::new("/sys/kernel/tracing/instances").join(format!("stockade-{}", std::process::id()));
        fs::create_dir(&at).expect("root, on a host with tracefs");
        let made = Self(at);
        made.write("options/event-fork", "1");
        made.write("buffer_size_kb", "24576");
        // The supervisor with its copies and threads, and the box's first process.
        let outside = "!(comm ~ \"stockade*\") && comm != \"init\"";
        made.write("events/raw_syscalls/sys_enter/filter", outside);
        made
    }

    fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).unwrap_or_else(|e| panic!("{file}: {e}"));
    }

    /// Numbers of the calls seen.
    fn numbers(&self) -> BTreeSet<u32> {
        for cpu in fs::read_dir(self.0.join("per_cpu")).unwrap() {
            let stats = fs::read_to_string(cpu.unwrap().path().join("stats")).unwrap();
            assert!(stats.lines().any(|line| line == "overrun: 0"), "calls were lost:\n{stats}");
        }
        let text = fs::read_to_string(self.0.join("trace")).unwrap();
        let calls = text.lines().filter_map(|line| line.split_once("sys_enter: NR ")?.1.split_once(' '));
        calls.map(|(number, _)| number.parse().unwrap()).collect()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.0));
    }
}

/// The names of the calls that a program makes under a policy, and that it lets through.
pub fn calls(policy: &str, program: &str) -> BTreeSet<String> {
    let instance = Instance::new();
    *RECORDING.lock().unwrap() = Some(instance.0.clone());
    let (outcome, _) = super::outcome(Caller::Root, policy, program, "60s");
    *RECORDING.lock().unwrap() = None;
    instance.write(ENABLE, "0");
    assert!(outcome.is_own(), "{policy} {program}: {}", outcome.words());
    let numbers = instance.numbers();
    assert!(!numbers.is_empty(), "{policy} {program} made no call");
    numbers.into_iter().map(|nr| names::name(nr).unwrap_or_else(|| panic!("call {nr}")).to_owned()).collect()
}
