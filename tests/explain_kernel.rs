//! `run --explain` about what the filter lets pass and the kernel refuses all the same: sockets, links and other
//! special files, mount points; and what of that a loopback of the box's own gives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may stop anywhere")]

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use common::{Caller, Ran, payload_of, run, work};
use serde_json::{Value, json};

/// What the payload of [`MAKER`] may call, besides what `native` allows.
const CALLS: &str = r#"
    { "calls": ["socket"], "if": [{ "arg": "domain", "in": ["AF_UNIX", "AF_INET"] }], "comment": "socket" },
    { "calls": ["bind", "listen", "getsockname", "connect", "accept", "sendto", "recvfrom"], "comment": "bind, connect, sendto" },
    { "calls": ["symlink"], "comment": "symlink" },
    { "calls": ["mknodat"], "unless": [{ "arg": "mode", "any_bit": "06000" }], "comment": "mknodat" }
"#;

/// A policy that has them.
fn with_calls(name: &str, more: &str) -> PathBuf {
    let path = work().join(format!("{name}.json"));
    let text = format!(
        r#"{{ "version": 1, "name": "{name}", "comment": "a test", "extends": "native", {more}
              "syscalls+": {{ "allow": [{CALLS}] }} }}"#
    );
    std::fs::write(&path, text).unwrap();
    path
}

fn maker() -> PathBuf {
    payload_of("special-maker", MAKER, &[])
}

fn explained(caller: Caller, policy: Option<&PathBuf>, args: &[&str], options: &[&str]) -> Ran {
    let run = run(caller, maker()).options(["--explain"]).options(options.iter().copied());
    match policy {
        Some(policy) => run.options(["-p", policy.to_str().unwrap()]),
        None => run,
    }
    .args(args.iter().copied())
    .go()
}

/// The only explanation of a call that is not of something that programs do without.
fn cause<'a>(ran: &'a Ran, syscall: &str) -> &'a Value {
    let all = ran.report["explanations"].as_array().unwrap_or_else(|| panic!("{}", ran.all()));
    let found: Vec<&Value> =
        all.iter().filter(|e| e["expected"].is_null() && e["syscall"] == syscall).collect();
    let [cause] = found.as_slice() else { panic!("{}", ran.all()) };
    cause
}

#[test]
fn server_and_client_in_one_box_need_its_loopback_and_are_told_so() {
    let none = with_calls("net-none", "");
    let loopback = with_calls("net-loopback", r#""network": { "mode": "loopback", "comment": "a test" },"#);
    for caller in Caller::all() {
        let ran = explained(caller, Some(&none), &["tcp"], &[]);
        assert_eq!(ran.status, 1, "{}", ran.all());
        let cause = cause(&ran, "bind");
        assert_eq!(cause["what"], "bind(sockfd=3, addrlen=16) finds no network for 127.0.0.1:0");
        assert_eq!(cause["allow"]["patch"][0]["path"], "/network");
        assert_eq!(cause["allow"]["extends"]["network"]["mode"], "loopback");

        let ran = explained(caller, Some(&loopback), &["tcp"], &[]);
        assert_eq!((ran.status, ran.text().as_str()), (0, "done\n"), "{}", ran.all());
        let missing = &ran.report["layers"]["landlock"]["kernel"]["missing"];
        assert!(missing.as_array().unwrap().contains(&json!("tcp")), "{missing}");
    }
}

#[test]
fn client_of_another_machine_is_told_that_there_is_no_way() {
    for mode in ["none", "loopback"] {
        let policy = with_calls(
            &format!("away-{mode}"),
            &format!(r#""network": {{ "mode": "{mode}", "comment": "a test" }},"#),
        );
        for caller in Caller::all() {
            let ran = explained(caller, Some(&policy), &["away"], &[]);
            assert_eq!(ran.status, 1, "{}", ran.all());
            let cause = cause(&ran, "connect");
            assert!(cause["what"].as_str().unwrap().ends_with("192.0.2.1:80"), "{cause:#}");
            assert_eq!(cause["allow"], Value::Null);
            assert!(cause["never"].as_str().unwrap().contains("no way to other machines"), "{cause:#}");
        }
    }
}

#[test]
fn special_files_that_landlock_refuses_are_told_whether_the_filter_lets_them_pass_or_not() {
    let policy = with_calls("special", "");
    let cases = [
        ("link", "symlink", "may not make a link there", "work tree"),
        ("fifo", "mknodat", "may not make a fifo there", "no name and can be had"),
        ("node", "mknodat", "may not make a socket there", "no name and can be had"),
        ("unix", "bind", "may not make a socket there", "no name and can be had"),
    ];
    for caller in Caller::all() {
        for (what, syscall, told, why) in cases {
            let ran = explained(caller, Some(&policy), &[what], &[]);
            assert_eq!(ran.status, 1, "{}", ran.all());
            let cause = cause(&ran, syscall);
            assert_eq!(
                (&cause["kind"], &cause["path"]),
                (&json!("path"), &json!("/tmp/special")),
                "{cause:#}"
            );
            assert!(cause["what"].as_str().unwrap().ends_with(told), "{cause:#}");
            assert!(cause["never"].as_str().unwrap().contains(why), "{cause:#}");
        }
        // No rule is proposed that would lead nowhere.
        for (what, syscall) in
            [("link", "symlink"), ("fifo", "mknodat"), ("queue", "mq_open"), ("groups", "setgroups")]
        {
            let ran = explained(caller, None, &[what], &[]);
            let cause = cause(&ran, syscall);
            assert_eq!((&cause["answer"], &cause["allow"]), (&json!("ENOSYS"), &Value::Null), "{cause:#}");
        }
    }
}

#[test]
fn what_is_proposed_for_a_given_file_is_a_request_that_is_taken() {
    for caller in Caller::all() {
        let file = caller.home().join("given.txt");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o444)).unwrap();
        let give = format!("{}:/box/given.txt", file.display());

        // The box's user may not write it: no --rw is proposed that would be refused.
        let ran = explained(caller, None, &["write", "given.txt"], &["--ro", &give]);
        let told = cause(&ran, "openat");
        assert_eq!(told["allow"], Value::Null, "{told:#}");
        let fix = match (caller, common::is_root()) {
            (Caller::Root, _) => ": chmod o+rw ",
            (Caller::User, true) => ": have its owner say: chmod o+rw ",
            (Caller::User, false) => ": chmod u+rw ",
        };
        assert!(told["never"].as_str().unwrap().contains(fix), "{told:#}");

        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        let ran = explained(caller, None, &["write", "given.txt"], &["--ro", &give]);
        assert_eq!(cause(&ran, "openat")["allow"]["options"], json!(["--rw", give]), "{}", ran.all());
        let ran = explained(caller, None, &["write", "given.txt"], &["--rw", &give]);
        assert_eq!(ran.status, 0, "{}", ran.all());

        // A mount point stays where it is, whatever is given.
        for args in [["replace", "given.txt"], ["remove", "given.txt"]] {
            let given = give.replace(":/box/", ":/tmp/");
            let path = format!("/tmp/{}", args[1]);
            let ran = explained(caller, None, &[args[0], &path], &["--rw", &given]);
            assert_eq!(ran.status, 1, "{}", ran.all());
            let told = cause(&ran, if args[0] == "replace" { "rename" } else { "unlink" });
            assert_eq!((&told["answer"], &told["path"]), (&json!("EBUSY"), &json!(path)), "{told:#}");
            assert!(told["never"].as_str().unwrap().contains("cannot be removed, renamed or replaced"));
        }
    }
}

#[test]
fn stream_by_its_name_is_said_to_have_none() {
    for caller in Caller::all() {
        for (what, path) in [("read", "/dev/stdin"), ("write", "/dev/stdout"), ("read", "/dev/fd/0")] {
            let ran = explained(caller, None, &[what, path], &[]);
            let told = cause(&ran, "openat");
            assert_eq!((&told["path"], &told["allow"]), (&json!(path), &Value::Null), "{told:#}");
            assert!(told["never"].as_str().unwrap().contains("descriptors 0, 1 and 2"), "{told:#}");
        }
    }
}

#[test]
fn path_that_a_program_has_made_absolute_is_taken_for_one_beside_it() {
    for caller in Caller::all() {
        let file = caller.home().join("beside.txt");
        std::fs::write(&file, "x").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
        for (what, option) in [("read", "--ro"), ("write", "--rw"), ("make", "--rw")] {
            let ran = explained(caller, None, &[what, "/box/beside.txt"], &[]);
            let options = &cause(&ran, "openat")["allow"]["options"];
            assert_eq!(options, &json!([option, "beside.txt:/box/beside.txt"]), "{}", ran.all());
            let given = [option, "beside.txt:/box/beside.txt"];
            let ran = explained(caller, None, &[what, "/box/beside.txt"], &given);
            assert_eq!(ran.status, 0, "{}", ran.all());
        }
        // Nothing to be given: a directory that can be written.
        let ran = explained(caller, None, &["make", "/box/fresh.txt"], &[]);
        assert_eq!(cause(&ran, "openat")["allow"]["extends"], json!({ "cwd": "/tmp" }), "{}", ran.all());
        // The home directory is not another one then.
        let ran = explained(caller, None, &["make", "/box/.cache"], &[]);
        assert_eq!(cause(&ran, "openat")["allow"], Value::Null, "{}", ran.all());
    }
}

#[test]
fn file_in_the_directory_above_can_be_given_as_it_is_proposed() {
    for caller in Caller::all() {
        let above = caller.home().parent().unwrap().join("above.txt");
        std::fs::write(&above, "x").unwrap();
        std::fs::set_permissions(&above, std::fs::Permissions::from_mode(0o644)).unwrap();
        let ran = explained(caller, None, &["read", "../above.txt"], &[]);
        let options = &cause(&ran, "openat")["allow"]["options"];
        assert_eq!(options, &json!(["--ro", "../above.txt:/above.txt"]), "{}", ran.all());
        let ran = explained(caller, None, &["read", "../above.txt"], &["--ro", "../above.txt:/above.txt"]);
        assert_eq!(ran.status, 0, "{}", ran.all());
        std::fs::remove_file(&above).unwrap();
    }
}

const MAKER: &str = r#"
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
static int tcp(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof a;
    char c = 0;
    int s = socket(AF_INET, SOCK_STREAM, 0), k = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(s, (void *)&a, size) || listen(s, 1) || getsockname(s, (void *)&a, &size)) return -1;
    if (connect(k, (void *)&a, size)) return -1;
    int peer = accept(s, 0, 0);
    return send(k, "x", 1, 0) == 1 && recv(peer, &c, 1, 0) == 1 && c == 'x' ? 0 : -1;
}
static int away(void) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = inet_addr("192.0.2.1")};
    return connect(socket(AF_INET, SOCK_STREAM, 0), (void *)&a, sizeof a);
}
static int local(void) {
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "/tmp/special"};
    return bind(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&a, sizeof a);
}
static int wants(const char *w, const char *path) {
    if (!strcmp(w, "tcp")) return tcp();
    if (!strcmp(w, "away")) return away();
    if (!strcmp(w, "unix")) return local();
    if (!strcmp(w, "link")) return symlink("x", "/tmp/special");
    if (!strcmp(w, "fifo")) return mknodat(AT_FDCWD, "/tmp/special", S_IFIFO | 0600, 0);
    if (!strcmp(w, "node")) return mknodat(AT_FDCWD, "/tmp/special", S_IFSOCK | 0600, 0);
    if (!strcmp(w, "queue")) return syscall(SYS_mq_open, "q", O_CREAT | O_RDWR, 0600, 0);
    if (!strcmp(w, "groups")) return syscall(SYS_setgroups, 0, 0);
    if (!strcmp(w, "read")) return open(path, O_RDONLY);
    if (!strcmp(w, "write")) return open(path, O_WRONLY);
    if (!strcmp(w, "make")) return open(path, O_RDWR | O_CREAT, 0600);
    if (!strcmp(w, "remove")) return unlink(path);
    if (!strcmp(w, "replace")) return close(open("/tmp/new", O_CREAT | O_WRONLY, 0600)) ? -2 : rename("/tmp/new", path);
    return -2;
}
int main(int n, char **v) {
    if (wants(v[1], n > 2 ? v[2] : 0) < 0) { perror(v[1]); return 1; }
    return puts("done") < 0;
}
"#;
