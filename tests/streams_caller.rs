//! The caller's side of the three streams: however slow, gone, full or odd it is,
//! it is neither changed nor able to hold up a kill.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Caller, is_root, patience, pause, payload, run, skip, work};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn corpus() -> PathBuf {
    payload("corpus.c", &["-static", "-pthread"])
}

fn probe() -> PathBuf {
    payload("probe.c", &["-static", "-pthread"])
}

fn pipe() -> (OwnedFd, OwnedFd) {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap()
}

fn flags(fd: impl AsFd) -> OFlag {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap())
}

fn read_report(path: &PathBuf) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn send(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

/// Waits for its end, but not for ever.
fn end_of(child: &mut Child, usual: Duration) -> i32 {
    let until = Instant::now() + patience(usual);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code().expect("it exits");
        }
        assert!(Instant::now() < until, "it does not end");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Processes that this one is the parent of.
fn children(pid: u32) -> Vec<String> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|t| fs::read_to_string(t.path().join("children")).ok());
    lists.flat_map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn flags_of_the_callers_pipes_are_the_same_before_during_and_after() {
    for caller in Caller::all() {
        for odd in [OFlag::empty(), OFlag::O_NONBLOCK] {
            let (in_read, in_write) = pipe();
            let (out_read, out_write) = pipe();
            for fd in [&in_read, &in_write, &out_read, &out_write] {
                fcntl(fd, FcntlArg::F_SETFL(odd)).unwrap();
            }
            let ends = [&in_read, &in_write, &out_read, &out_write];
            let before: Vec<OFlag> = ends.iter().map(flags).collect();
            assert!(before.iter().all(|f| f.contains(OFlag::O_NONBLOCK) == odd.contains(OFlag::O_NONBLOCK)));
            let (mut command, _) = run(caller, probe()).args(["copy"]).command();
            let mut child = command
                .stdin(in_read.try_clone().unwrap())
                .stdout(out_write.try_clone().unwrap())
                .stderr(out_write.try_clone().unwrap())
                .spawn()
                .unwrap();
            drop(command);
            let mut to = File::from(in_write.try_clone().unwrap());
            let mut from = File::from(out_read.try_clone().unwrap());
            for round in 0..20 {
                let line = format!("line {round}\n");
                to.write_all(line.as_bytes()).unwrap();
                let mut back = vec![0; line.len()];
                let mut done = 0;
                while done < back.len() {
                    match from.read(&mut back[done..]) {
                        Ok(n) => done += n,
                        Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => pause(1),
                        Err(e) => panic!("{e}"),
                    }
                }
                assert_eq!(back, line.as_bytes());
                let during: Vec<OFlag> = ends.iter().map(flags).collect();
                assert_eq!(during, before);
            }
            drop((to, in_write));
            assert_eq!(end_of(&mut child, Duration::from_secs(10)), 0);
            let after: Vec<OFlag> = [&in_read, &out_read, &out_write].iter().map(flags).collect();
            assert_eq!(after, [before[0], before[2], before[3]]);
        }
    }
}

#[test]
fn output_is_cut_exactly_at_any_limit() {
    let policy = work().join("cut.json");
    let cutting = json!({
        "version": 1, "name": "cut", "comment": "a test", "extends": "native", "limits": { "on_output": "cut" },
    });
    fs::write(&policy, cutting.to_string()).unwrap();
    for caller in Caller::all() {
        for limit in [1u64, 15, 4095, 4096, 4097, 32_768, 65_535, 65_536, 65_537, 300_000] {
            for (policy, verdict, status) in
                [("native", "output_limit", 124), (policy.to_str().unwrap(), "ok", 0)]
            {
                for stream in ["1", "2"] {
                    let bytes = format!("{limit}B");
                    let ran = run(caller, probe())
                        .options(["-p", policy, "--output", &bytes])
                        .args(["flood", stream, &(limit + 500_000).to_string()])
                        .go();
                    assert_eq!((ran.status, ran.verdict()), (status, verdict), "{limit} {}", ran.all());
                    let expected: Vec<u8> = b"0123456789abcdef"
                        .iter()
                        .copied()
                        .cycle()
                        .take(usize::try_from(limit).unwrap())
                        .collect();
                    let got = if stream == "1" { ran.stdout } else { ran.stderr.into_bytes() };
                    assert_eq!(got.len(), expected.len(), "{limit} {policy} {stream}");
                    assert!(got == expected, "{limit} {policy} {stream}");
                    let name = if stream == "1" { "stdout" } else { "stderr" };
                    assert_eq!(ran.report["usage"][format!("{name}_bytes")], limit);
                    assert_eq!(ran.report["usage"][format!("{name}_truncated")], true);
                    assert_eq!(ran.report["limits_hit"], json!(["output"]));
                }
            }
        }
    }
}

#[test]
fn reader_that_has_gone_is_sigpipe_inside() {
    for caller in Caller::all() {
        for (args, status, verdict) in [
            (["out", "1", "0x40000000"], 128 + 13, "signaled"),
            (["flood-ignoring", "", ""], 124, "cpu_limit"),
        ] {
            let (read, write) = pipe();
            let (mut command, report) =
                run(caller, corpus()).options(["--cpu-time", "1s", "--output", "1GiB"]).args(args).command();
            let mut child = command.stdin(Stdio::null()).stdout(write).stderr(Stdio::null()).spawn().unwrap();
            drop(command);
            let mut some = [0; 1000];
            File::from(read).read_exact(&mut some).unwrap();
            // The reader has gone now.
            assert_eq!(end_of(&mut child, Duration::from_secs(20)), status, "{caller:?} {args:?}");
            let report = read_report(&report);
            assert_eq!(report["verdict"], verdict, "{report:#}");
            if verdict == "signaled" {
                assert_eq!(report["signal"], "SIGPIPE");
            }
        }
    }
}

#[test]
fn reader_that_never_reads_holds_up_no_kill() {
    for caller in Caller::all() {
        // The end of the wait: the reader goes, or the caller wants an end.
        for cancelled in [false, true] {
            let (read, write) = pipe();
            let (mut command, report) = run(caller, corpus())
                .options(["--wall-time", "300ms", "--output", "1GiB"])
                .args(["out", "1", "0x40000000"])
                .command();
            let mut child = command.stdin(Stdio::null()).stdout(write).stderr(Stdio::null()).spawn().unwrap();
            drop(command);
            let pid = child.id();
            let until = Instant::now() + patience(Duration::from_secs(5));
            while children(pid).is_empty() {
                assert!(Instant::now() < until, "the box does not start");
            }
            pause(1000);
            // Its box is dead, it is not: there is still something to hand on.
            assert_eq!(children(pid), Vec::<String>::new(), "{caller:?}: the box lives");
            assert_eq!(child.try_wait().unwrap(), None, "{caller:?}: bytes were thrown away");
            let mut reader = Some(read);
            let expected = if cancelled {
                send(&child, Signal::SIGTERM);
                (128 + 15, "cancelled")
            } else {
                reader.take();
                (124, "wall_limit")
            };
            assert_eq!(end_of(&mut child, Duration::from_secs(3)), expected.0, "{reader:?}");
            let report = read_report(&report);
            assert_eq!(report["verdict"], expected.1, "{report:#}");
            assert_eq!(report["limits_hit"], json!(["wall_time"]));
            let limit = report["limits"]["wall_ns"].as_u64().unwrap();
            let late = report["usage"]["wall_ns"].as_u64().unwrap() - limit;
            assert!(Duration::from_nanos(late) < patience(Duration::from_millis(150)), "{late} ns late");
            assert_eq!(report["cleanup"]["ok"], true);
        }
    }
}

#[test]
fn writer_that_never_writes_holds_up_no_kill() {
    for caller in Caller::all() {
        let (read, write) = pipe();
        let (mut command, report) =
            run(caller, corpus()).options(["--wall-time", "300ms"]).args(["read"]).command();
        let mut child = command.stdin(read).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        drop(command);
        assert_eq!(end_of(&mut child, Duration::from_secs(5)), 124);
        assert_eq!(read_report(&report)["verdict"], "wall_limit");
        drop(write);
    }
}

#[test]
fn slow_reader_gets_every_byte() {
    for caller in Caller::all() {
        let (read, write) = pipe();
        let (mut command, report) = run(caller, probe()).args(["flood", "1", "400000"]).command();
        let mut child = command.stdin(Stdio::null()).stdout(write).stderr(Stdio::null()).spawn().unwrap();
        drop(command);
        let (mut from, mut all, mut some) = (File::from(read), Vec::new(), [0; 9000]);
        loop {
            pause(5);
            match from.read(&mut some).unwrap() {
                0 => break,
                n => all.extend_from_slice(&some[..n]),
            }
        }
        assert_eq!(end_of(&mut child, Duration::from_secs(3)), 0);
        let expected: Vec<u8> = b"0123456789abcdef".iter().copied().cycle().take(400_000).collect();
        assert!(all == expected, "{} bytes", all.len());
        assert_eq!(read_report(&report)["usage"]["stdout_bytes"], 400_000);
    }
}

#[test]
fn input_is_read_ahead_by_no_more_than_64_kib() {
    const GIVEN: usize = 512 * 1024;
    // Reads so much of its input.
    let reader = common::payload_of(
        "reader",
        "#include <stdlib.h>\n#include <unistd.h>\nint main(int c, char **v) { long n = atol(v[1]); char b[4096]; \
         while (n > 0) { long r = read(0, b, n < 4096 ? n : 4096); if (r <= 0) return 9; n -= r; } usleep(200000); return 0; }",
        &["-static"],
    );
    for caller in Caller::all() {
        for taken in [0usize, 1, 100_000] {
            let (read, write) = pipe();
            fcntl(&write, FcntlArg::F_SETPIPE_SZ(1 << 20)).unwrap();
            File::from(write).write_all(&vec![7; GIVEN]).unwrap();
            let (mut command, report) = run(caller, &reader).args([taken.to_string().as_str()]).command();
            let mut child = command
                .stdin(read.try_clone().unwrap())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            drop(command);
            assert_eq!(end_of(&mut child, Duration::from_secs(10)), 0);
            let mut rest = Vec::new();
            File::from(read).read_to_end(&mut rest).unwrap();
            let consumed = GIVEN - rest.len();
            assert!(
                consumed >= taken && consumed <= taken + 65_536,
                "{caller:?} {taken}: {consumed} consumed"
            );
            let counted = read_report(&report)["usage"]["stdin_bytes"].as_u64().unwrap();
            assert!(counted <= consumed as u64 && counted >= taken as u64, "{counted} of {consumed}");
        }
    }
}

#[test]
fn input_may_be_anything_or_nothing() {
    let file = work().join("input");
    fs::write(&file, "from a file\n").unwrap();
    let input = |redirect: &str| format!("exec \"$@\" {redirect}");
    let from_file = input(&format!("< {}", file.display()));
    let at_its_end = format!("exec 0< {}; read -r line; exec \"$@\"", file.display());
    for caller in Caller::all() {
        let ran =
            |script: &str| run(caller, probe()).stdin("from a pipe\n").args(["copy"]).through(script).go();
        for (script, text) in [
            (input(""), "from a pipe\n"),
            (from_file.clone(), "from a file\n"),
            (input("< /dev/null"), ""),
            (input("<&-"), ""),
        ] {
            let ran = ran(&script);
            assert_eq!((ran.status, ran.text().as_str()), (0, text), "{script} {}", ran.all());
            assert_eq!(ran.report["notes"], json!([]), "{script}");
        }
        // What a shell has read of a file is not read again.
        let rest = ran(&at_its_end);
        assert_eq!((rest.status, rest.text().as_str()), (0, ""), "{}", rest.all());
        for (script, errno) in [(input("< /"), "EISDIR"), (input("0> /dev/null"), "")] {
            let ran = ran(&script);
            assert_eq!((ran.status, ran.text().as_str()), (0, ""), "{script} {}", ran.all());
            let notes = ran.report["notes"].to_string();
            assert!(notes.contains(errno), "{script} {notes}");
            assert_eq!(notes == "[]", errno.is_empty(), "{script} {notes}");
        }
    }
}

#[test]
fn output_that_cannot_be_written_is_told_and_never_passes_for_a_good_run() {
    for caller in Caller::all() {
        for (redirect, which) in [("> /dev/full", "output"), ("2> /dev/full", "error")] {
            let stream = if which == "output" { "1" } else { "2" };
            let ran = run(caller, probe())
                .args(["flood", stream, "100000"])
                .through(&format!("exec \"$@\" {redirect}"))
                .go();
            assert_eq!((ran.status, ran.verdict()), (125, "sandbox_failure"), "{redirect} {}", ran.all());
            let reason =
                format!("cannot write the payload's standard {which}: ENOSPC, no space left on device");
            assert_eq!(ran.report["reason"], reason.as_str());
            if which == "output" {
                assert_eq!(ran.stderr, format!("stockade: sandbox_failure: {reason}\n"));
            }
            // Who writes nothing loses nothing.
            let silent =
                run(caller, probe()).args(["exit", "3"]).through(&format!("exec \"$@\" {redirect}")).go();
            assert_eq!((silent.status, silent.verdict()), (3, "nonzero_exit"), "{redirect} {}", silent.all());
        }
        // A closed stream is nobody's: as with /dev/null, nothing is lost that anybody wanted.
        let ran = run(caller, probe()).args(["flood", "1", "100000"]).through("exec \"$@\" >&-").go();
        assert_eq!((ran.status, ran.verdict(), ran.stdout.len()), (0, "ok", 0), "{}", ran.all());
    }
}

#[test]
fn disk_that_is_full_is_told() {
    if !is_root() {
        return skip("only root can mount a small file system");
    }
    // In a mount namespace of its own: gone with its last process.
    let script = |into: &str| {
        format!(
            "exec unshare -m --propagation private /bin/sh -c 'd=$1; shift; mount -t tmpfs -o size=64k none \"$d\" \
             && {into} && exec \"$@\" > \"$d/out\"' sh {} \"$@\"",
            work().join("disk").display()
        )
    };
    fs::create_dir_all(work().join("disk")).unwrap();
    let caller = Caller::Root;
    {
        let room = run(caller, probe()).args(["flood", "1", "30000"]).through(&script("true")).go();
        assert_eq!((room.status, room.verdict()), (0, "ok"), "{}", room.all());
        let full = run(caller, probe()).args(["flood", "1", "300000"]).through(&script("true")).go();
        assert_eq!((full.status, full.verdict()), (125, "sandbox_failure"), "{}", full.all());
        assert!(full.stderr.contains("ENOSPC"), "{}", full.stderr);
        // A report that does not fit is told as well, and no half of one is left.
        let (command, _) = run(caller, probe()).args(["exit", "0"]).command();
        let mut shell = std::process::Command::new("/bin/sh");
        let inner = "mount -t tmpfs -o size=4k none \"$1\" && head -c 4096 /dev/zero > \"$1/fill\"; \
                     STOCKADE_STORE=\"$2\" \"$3\" run --report \"$1/r.json\" -- \"$4\" exit 0; echo $?; ls -A \"$1\"";
        shell.args([
            "-c",
            &format!("exec unshare -m --propagation private /bin/sh -c '{inner}' sh \"$@\""),
            "sh",
        ]);
        shell
            .arg(work().join("disk"))
            .arg(Caller::Root.home().join("store"))
            .arg(common::stockade())
            .arg(probe());
        drop(command);
        let out = shell.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stdout), "125\nfill\n", "{out:?}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("cannot write the report: ENOSPC"), "{out:?}");
    }
}
