//! Files and directories of the host that are shown inside.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;

use common::{Caller, is_root, payload, run, skip};

fn probe() -> PathBuf {
    payload("probe.c", &["-static"])
}

/// A directory of the caller's with one file in it, and the modes given.
fn place(caller: Caller, name: &str, dir_mode: u32, file_mode: u32) -> PathBuf {
    let dir = caller.home().join(name);
    fs::create_dir_all(dir.join("below")).unwrap();
    fs::write(dir.join("file"), "content\n").unwrap();
    if caller == Caller::User && is_root() {
        for path in [dir.clone(), dir.join("file"), dir.join("below")] {
            std::os::unix::fs::chown(path, Some(common::SOMEBODY), Some(common::SOMEBODY)).unwrap();
        }
    }
    fs::set_permissions(dir.join("file"), fs::Permissions::from_mode(file_mode)).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(dir_mode)).unwrap();
    dir
}

#[test]
fn ro_directory_is_seen_and_cannot_be_written() {
    for caller in Caller::all() {
        let dir = place(caller, "ro-dir", 0o755, 0o644);
        let spec = format!("{}:/data", dir.display());
        let ran = run(caller, probe()).options(["--ro", &spec]).args(["cat", "/data/file"]).go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "content\n"), "{}", ran.all());
        let ran = run(caller, probe()).options(["--ro", &spec]).args(["write", "/data/new"]).go();
        assert_eq!(ran.text(), "open EROFS\n", "{caller:?}");
        let ran = run(caller, probe()).options(["--ro", &spec]).args(["write", "/data/file"]).go();
        assert!(["open EROFS\n", "open EACCES\n"].contains(&ran.text().as_str()), "{}", ran.all());
        assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), "content\n");
    }
}

#[test]
fn ro_without_a_box_path_is_seen_at_its_own() {
    for caller in Caller::all() {
        let dir = place(caller, "ro-same", 0o755, 0o644);
        let file = dir.join("file");
        let ran = run(caller, probe())
            .options(["--ro", file.to_str().unwrap()])
            .args(["cat", file.to_str().unwrap()])
            .go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "content\n"), "{}", ran.all());
    }
}

#[test]
fn binds_may_lie_below_box_tmp_and_dev() {
    for caller in Caller::all() {
        let dir = place(caller, "ro-nested", 0o755, 0o644);
        for at in ["/box/in.txt", "/tmp/a/b/c", "/dev/file", "/deep/er/still"] {
            let spec = format!("{}/file:{at}", dir.display());
            let ran = run(caller, probe()).options(["--ro", &spec]).args(["cat", at]).go();
            assert_eq!((ran.status, ran.text().as_str()), (0, "content\n"), "{at} {}", ran.all());
        }
    }
}

#[test]
fn rw_directory_takes_files_but_no_programs_links_or_devices() {
    let maker = common::payload_of(
        "rw-maker",
        r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static void say(const char *what, long r) { printf("%s %s\n", what, r < 0 ? strerrorname_np(errno) : "ok"); }
int main(void) {
    int fd = open("/out/made", O_RDWR | O_CREAT, 0755);
    say("create", fd);
    say("write", write(fd, "x", 1));
    say("map-exec", mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
    say("mkdir", mkdir("/out/dir", 0755));
    say("setuid-create", open("/out/suid", O_WRONLY | O_CREAT, 04755));
    say("rename", rename("/out/made", "/out/dir/made"));
    say("symlink", syscall(SYS_symlink, "/etc", "/out/link"));
    say("mknod", syscall(SYS_mknod, "/out/node", 010644, 0));
    say("chmod-setuid", syscall(SYS_chmod, "/out/dir/made", 04755));
    say("fchmod-setgid", syscall(SYS_fchmod, fd, 02755));
    say("fchmodat-setuid", syscall(SYS_fchmodat, AT_FDCWD, "/out/dir/made", 04755));
    say("fchmodat2-setuid", syscall(452, AT_FDCWD, "/out/dir/made", 04755, 0));
    say("chmod", syscall(SYS_chmod, "/out/dir/made", 0705));
    say("fchmod", syscall(SYS_fchmod, fd, 0711));
    say("link", syscall(SYS_link, "/out/dir/made", "/out/hard"));
}"#,
        &[],
    );
    for caller in Caller::all() {
        let dir = place(caller, "rw-dir", 0o777, 0o644);
        let spec = format!("{}:/out", dir.display());
        let ran = run(caller, &maker).options(["--rw", &spec]).go();
        let expected = "create ok\nwrite ok\nmap-exec EPERM\nmkdir ok\nsetuid-create EPERM\nrename ok\n\
                        symlink ENOSYS\nmknod ENOSYS\nchmod-setuid EPERM\nfchmod-setgid EPERM\n\
                        fchmodat-setuid EPERM\nfchmodat2-setuid EPERM\nchmod ok\nfchmod ok\nlink ENOSYS\n";
        assert_eq!(ran.text(), expected, "{}", ran.all());
        let made = fs::metadata(dir.join("dir/made")).unwrap();
        assert_eq!(made.mode() & 0o7777, 0o711);
        assert_ne!(made.uid(), 0, "a file of root's was made from inside");
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[test]
fn rw_that_the_box_user_cannot_write_is_refused_before_the_launch() {
    if !is_root() {
        return skip("needs root");
    }
    let dir = place(Caller::Root, "rw-closed", 0o755, 0o644);
    let spec = format!("{}:/out", dir.display());
    let ran = run(Caller::Root, probe()).options(["--rw", &spec]).args(["exit", "0"]).go();
    assert_eq!(ran.status, 125, "{}", ran.all());
    assert!(ran.stderr.contains("cannot write it") && ran.stderr.contains("chmod o+rwx"), "{}", ran.stderr);
}

#[test]
fn private_files_of_root_can_be_shown_but_not_given() {
    if !is_root() {
        return skip("needs root");
    }
    let dir = place(Caller::Root, "ro-private", 0o700, 0o600);
    let spec = format!("{}:/data", dir.display());
    let ran = run(Caller::Root, probe()).options(["--ro", &spec]).args(["cat", "/data/file"]).go();
    if ran.status == 125 && ran.stderr.contains("cannot be shown as another's") {
        return skip("this file system cannot show files as another's");
    }
    assert_eq!((ran.status, ran.text().as_str()), (0, "content\n"), "{}", ran.all());
    let ran = run(Caller::Root, probe()).options(["--rw", &spec]).args(["cat", "/data/file"]).go();
    assert_eq!(ran.status, 125, "{}", ran.all());
}

#[test]
fn submount_of_a_ro_bind_is_read_only_too() {
    if !is_root() {
        return skip("needs root");
    }
    let dir = place(Caller::Root, "ro-sub", 0o755, 0o644);
    fs::set_permissions(dir.join("below"), fs::Permissions::from_mode(0o777)).unwrap();
    let (mut command, _) = run(Caller::Root, probe())
        .options(["--ro", &format!("{}:/data", dir.display())])
        .args(["write", "/data/below/x"])
        .command();
    let program = command.get_program().to_owned();
    let args: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
    command = Caller::Root.command(std::path::Path::new("/usr/bin/unshare"));
    let script = format!("mount -t tmpfs -o mode=777 t {}/below && exec \"$@\"", dir.display());
    let out = command.args(["-m", "sh", "-c", &script, "sh"]).arg(program).args(args).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&out.stdout),
        "open EROFS\n",
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn bad_binds_are_refused_with_their_reason() {
    let caller = Caller::all()[0];
    let dir = place(caller, "bad-binds", 0o755, 0o644);
    let dir = dir.display();
    for (spec, words) in [
        ("/nowhere:/x".to_owned(), "ENOENT"),
        (format!("{dir}:relative"), "must be absolute"),
        (format!("{dir}:/a/../b"), "must be absolute"),
        (format!("{dir}:/proc/x"), "lies below /proc"),
        (format!("{dir}:/tmp"), "asked for twice"),
        ("/dev/null:/x".to_owned(), "neither a regular file nor a directory"),
    ] {
        let ran = run(caller, probe()).options(["--ro", &spec]).args(["exit", "0"]).go();
        assert_eq!(ran.status, 125, "{spec} {}", ran.all());
        assert!(ran.stderr.contains(words), "{spec}: {}", ran.stderr);
    }
}

#[test]
fn report_below_a_writable_bind_is_refused() {
    let caller = Caller::all()[0];
    let dir = place(caller, "report-rw", 0o777, 0o644);
    let report = dir.join("report.json");
    let spec = format!("{}:/out", dir.display());
    let mut command = caller.command(common::stockade());
    command.args(["run", "--report", report.to_str().unwrap(), "--rw", &spec]);
    let out = command.arg(probe()).args(["exit", "0"]).output().unwrap();
    assert_eq!(out.status.code(), Some(125));
    assert!(String::from_utf8_lossy(&out.stderr).contains("could write its own report"));
}

#[test]
fn bind_of_a_shared_mount_is_cut_off_from_the_host() {
    if !is_root() {
        return skip("only root can make a mount shared");
    }
    let dir = place(Caller::Root, "shared", 0o755, 0o644);
    // As on most hosts, where init makes everything shared.
    let script = format!("mount --bind {0} {0} && mount --make-shared {0} && exec \"$@\"", dir.display());
    let spec = format!("{}:/data", dir.display());
    for option in ["--ro", "--rw"] {
        if option == "--rw" {
            fs::set_permissions(&dir, fs::Permissions::from_mode(0o777)).unwrap();
        }
        let ran = run(Caller::Root, probe())
            .through(&format!("exec unshare --mount --propagation private sh -c '{script}' sh \"$@\""))
            .options([option, &spec])
            .args(["cat", "/data/file"])
            .go();
        assert_eq!((ran.status, ran.text().as_str()), (0, "content\n"), "{option} {}", ran.all());
    }
}

#[test]
fn link_that_somebody_else_may_have_made_is_not_shown() {
    for caller in Caller::all() {
        let dir = place(caller, "foreign-links", 0o777, 0o644);
        let link = dir.join("link");
        if !link.is_symlink() {
            std::os::unix::fs::symlink("file", &link).unwrap();
        }
        let spec = format!("{}:/data", link.display());
        let show = || run(caller, probe()).options(["--ro", &spec]).args(["cat", "/data"]).go();
        let ran = show();
        assert_eq!(ran.status, 125, "{}", ran.all());
        assert!(ran.stderr.contains("is a link that somebody else may have made"), "{}", ran.stderr);
        // In a directory that only its owner may write, it is as good as any name.
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        if caller == Caller::User && is_root() {
            let id = Some(common::SOMEBODY);
            std::os::unix::fs::lchown(&link, id, id).unwrap();
        }
        let ran = show();
        assert_eq!((ran.status, ran.text().as_str()), (0, "content\n"), "{}", ran.all());
    }
}

#[test]
fn rw_is_refused_where_it_holds_the_policy_or_the_store() {
    for caller in Caller::all() {
        let dir = place(caller, "in-reach", 0o777, 0o644);
        let policy = dir.join("policy.json");
        fs::write(&policy, r#"{"version": 1, "name": "p", "comment": "a test", "extends": "native"}"#)
            .unwrap();
        let (spec, policy) = (format!("{}:/data", dir.display()), policy.display().to_string());
        let exit =
            |options: &[&str]| run(caller, probe()).options(options.iter().copied()).args(["exit", "3"]).go();
        let ran = exit(&["-p", &policy, "--ro", &spec]);
        assert_eq!(ran.status, 3, "{}", ran.all());
        let ran = exit(&["-p", &policy, "--rw", &spec]);
        assert_eq!(ran.status, 125, "{}", ran.all());
        assert!(ran.stderr.contains("the program could write the policy of its next run"), "{}", ran.stderr);

        let store = dir.join("store").display().to_string();
        let ran = exit(&["--store", &store, "--ro", &spec]);
        assert_eq!(ran.status, 3, "{}", ran.all());
        let ran = exit(&["--store", &store, "--rw", &spec]);
        assert_eq!(ran.status, 125, "{}", ran.all());
        assert!(ran.stderr.contains("it could change the roots of later boxes"), "{}", ran.stderr);
        drop(fs::remove_dir_all(&store));
    }
}

#[test]
fn name_in_a_message_does_not_act_on_a_terminal() {
    let caller = Caller::all()[0];
    let hostile = caller.home().join("none\x1b]0;owned\x07");
    let ran = run(caller, &hostile).go();
    assert_eq!(ran.status, 127, "{}", ran.all());
    assert!(!ran.stderr.contains(['\x1b', '\x07']), "{:?}", ran.stderr);
    assert!(ran.stderr.contains("\\u{1b}]0;owned"), "{:?}", ran.stderr);
}
