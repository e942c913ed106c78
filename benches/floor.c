/*
 * What a box costs at least, and does nothing else: not a sandbox, but what every one pays.
 *
 * `bare`: one process in seven new namespaces, the mounts of an ordinary box with the
 * program's copy, no capability, no_new_privs, Landlock and a filter, which executes a
 * program that does nothing.
 *
 * `whole`: the other layers of an ordinary box too: a pid 1 of its own, resource limits,
 * three streams that are read to their end and, in each directory PARENT of a v1
 * hierarchy, a cgroup that is limited, entered, read and removed. Still nothing that looks
 * for what it needs, tries, reads back, keeps time, hashes or reports.
 *
 *   floor DIR bare|whole [PARENT...]             reads a byte, launches once, writes the nanoseconds; and so on
 *   floor DIR bare|whole COUNT SIDE [PARENT...]  launches COUNT times, SIDE at a time; writes the nanoseconds in all
 *
 * DIR holds the program, an empty directory, and root with box, dev, proc and tmp.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *base;
static const char *devices[] = {"null", "zero", "full", "random", "urandom"};
static unsigned uid, gid;
static int gate[2];
static int whole;

/* What the whole floor has for one launch: the streams, and a cgroup below each of PARENT. */
#define MOST_PARENTS 8
static char **parents;
static int streams[3][2];
static char leaves[MOST_PARENTS][256];
static int tasks[MOST_PARENTS];

static void must(int ok, const char *what) {
    if (!ok) {
        fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
        _exit(99);
    }
}

static void put(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text), path);
    close(fd);
}

/* As many instructions as the filter of an ordinary policy runs through and has: a list of calls. */
static void filter(void) {
    struct sock_filter code[140];
    int n = 0;
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 1, 0);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    code[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (int call = 400; call < 460; call++) {
        code[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
        code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM);
    }
    code[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog program = {.len = n, .filter = code};
    must(!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program), "seccomp");
}

static void landlock(void) {
    struct landlock_ruleset_attr attr = {.handled_access_fs = (1 << 13) - 1};
    int set = syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
    if (set < 0 && (errno == ENOSYS || errno == EOPNOTSUPP))
        return;
    must(set >= 0, "landlock_create_ruleset");
    struct landlock_path_beneath_attr rule = {
        .allowed_access = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR,
        .parent_fd = open("/", O_PATH | O_CLOEXEC),
    };
    must(!syscall(SYS_landlock_add_rule, set, LANDLOCK_RULE_PATH_BENEATH, &rule, 0), "landlock_add_rule");
    must(!syscall(SYS_landlock_restrict_self, set, 0), "landlock_restrict_self");
    close(rule.parent_fd);
    close(set);
}

static void copy(const char *from, const char *to) {
    int in = open(from, O_RDONLY | O_CLOEXEC), out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0555);
    must(in >= 0 && out >= 0, from);
    for (ssize_t n; (n = sendfile(out, in, NULL, 1 << 30));)
        must(n > 0, "sendfile");
    close(in);
    close(out);
}

/* In another directory of the same hierarchy. */
static const char *in(const char *leaf, const char *file) {
    static char path[300];
    snprintf(path, sizeof path, "%s/%s", leaf, file);
    return path;
}

static void limited(const char *leaf, const char *file, const char *value) {
    if (!access(in(leaf, file), F_OK))
        put(in(leaf, file), value);
}

static void make_leaves(void) {
    static int made;
    made++;
    for (int i = 0; parents[i]; i++) {
        snprintf(leaves[i], sizeof leaves[i], "%s/floor-%d-%d", parents[i], getpid(), made);
        must(!mkdir(leaves[i], 0755), leaves[i]);
        limited(leaves[i], "memory.limit_in_bytes", "268435456");
        limited(leaves[i], "memory.memsw.limit_in_bytes", "268435456");
        limited(leaves[i], "pids.max", "64");
        tasks[i] = open(in(leaves[i], "tasks"), O_WRONLY | O_CLOEXEC);
        must(tasks[i] >= 0, "tasks");
    }
}

static void remove_leaves(void) {
    static const char *counters[] = {"memory.max_usage_in_bytes", "memory.oom_control", "pids.events",
        "cpuacct.usage", "cpuacct.stat"};
    for (int i = 0; parents[i]; i++) {
        for (int j = 0; j < 5; j++) {
            char text[256];
            int fd = open(in(leaves[i], counters[j]), O_RDONLY | O_CLOEXEC);
            must(fd < 0 || read(fd, text, sizeof text) > 0, counters[j]);
            close(fd);
        }
        close(tasks[i]);
        must(!rmdir(leaves[i]), leaves[i]);
    }
}

static void open_streams(void) {
    for (int i = 0; i < 3; i++)
        must(!pipe2(streams[i], O_CLOEXEC), "pipe");
}

/* Nothing is written to the program; what it writes is read until nobody can write any more. */
static void drain_streams(void) {
    char text[4096];
    close(streams[0][0]);
    close(streams[0][1]);
    for (int i = 1; i < 3; i++) {
        close(streams[i][1]);
        while (read(streams[i][0], text, sizeof text) > 0)
            ;
        close(streams[i][0]);
    }
}

static void take_streams(void) {
    for (int i = 0; i < 3; i++)
        must(dup2(streams[i][i != 0], i) == i, "dup2");
}

static void limit_resources(void) {
    static const struct { int which; rlim_t most; } limits[] = {
        {RLIMIT_CORE, 1}, {RLIMIT_CPU, 12}, {RLIMIT_FSIZE, 16 << 20}, {RLIMIT_NOFILE, 64},
        {RLIMIT_STACK, 8 << 20}, {RLIMIT_NPROC, 64}, {RLIMIT_MEMLOCK, 0}, {RLIMIT_MSGQUEUE, 0},
        {RLIMIT_SIGPENDING, 64}, {RLIMIT_NICE, 0}, {RLIMIT_RTPRIO, 0}};
    for (int i = 0; i < 11; i++) {
        struct rlimit limit = {limits[i].most, limits[i].most};
        must(!setrlimit(limits[i].which, &limit), "setrlimit");
    }
}

/* The caller becomes pid 1, and what is executed its child. */
static void become_init(void) {
    pid_t pid = fork();
    must(pid >= 0, "fork");
    if (!pid)
        return;
    must(!close_range(0, ~0U, 0), "close_range");
    int status;
    while (wait(&status) != pid)
        ;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
}

static void child(void) {
    char byte;
    if (whole) {
        for (int i = 0; parents[i]; i++)
            must(write(tasks[i], "0", 1) == 1, "tasks");
        must(!unshare(CLONE_NEWCGROUP), "cgroup namespace");
        take_streams();
    }
    must(read(gate[0], &byte, 1) == 1, "read");
    must(!mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), "private");
    must(!setresgid(1000, 1000, 1000) && !setresuid(1000, 1000, 1000), "ids");
    must(!chdir(base), "chdir");
    const char *below = "lowerdir=root:empty,userxattr";
    must(!mount("overlay", "root", "overlay", MS_RDONLY | MS_NOSUID | MS_NODEV, below), "overlay");
    must(!mount("tmpfs", "root/tmp", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,nr_inodes=1024"), "/tmp");
    must(!mount("tmpfs", "root/box", "tmpfs", MS_NOSUID | MS_NODEV, "size=16m,nr_inodes=4,huge=within_size"), "/box");
    copy("program", "root/box/p");
    must(!mount(NULL, "root/box", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL), "/box");
    must(!mount("proc", "root/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "hidepid=2,subset=pid"), "/proc");
    must(!mount("tmpfs", "root/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "size=64k,nr_inodes=64"), "/dev");
    for (int i = 0; i < 5; i++) {
        char here[64], there[64];
        snprintf(here, sizeof here, "/dev/%s", devices[i]);
        snprintf(there, sizeof there, "root/dev/%s", devices[i]);
        close(open(there, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        must(!mount(here, there, NULL, MS_BIND, NULL), here);
    }
    must(!chdir("root"), "chdir");
    must(!syscall(SYS_pivot_root, ".", "."), "pivot_root");
    must(!umount2(".", MNT_DETACH), "detach");
    must(!chdir("/"), "chdir");
    must(!sethostname("box", 3), "sethostname");
    must(!close_range(3, ~0U, 0), "close_range");
    if (whole)
        limit_resources();
    for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
        must(!prctl(PR_CAPBSET_DROP, cap), "bounding");
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[2] = {{0}};
    must(!syscall(SYS_capset, &header, none), "capset");
    must(!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    if (whole)
        become_init();
    landlock();
    filter();
    char *argv[] = {"p", NULL}, *envp[] = {NULL};
    execve("/box/p", argv, envp);
    must(0, "execve");
}

static void launch(void) {
    must(!pipe2(gate, O_CLOEXEC), "pipe");
    if (whole) {
        make_leaves();
        open_streams();
    }
    int pidfd = -1;
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS
            | (whole ? 0 : CLONE_NEWCGROUP) | CLONE_PIDFD,
        .pidfd = (uintptr_t)&pidfd,
        .exit_signal = SIGCHLD,
    };
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    must(pid >= 0, "clone3");
    if (!pid)
        child();
    char path[64], map[64];
    snprintf(path, sizeof path, "/proc/%d/setgroups", pid);
    put(path, "deny");
    snprintf(map, sizeof map, "1000 %u 1", uid);
    snprintf(path, sizeof path, "/proc/%d/uid_map", pid);
    put(path, map);
    snprintf(map, sizeof map, "1000 %u 1", gid);
    snprintf(path, sizeof path, "/proc/%d/gid_map", pid);
    put(path, map);
    must(write(gate[1], "g", 1) == 1, "write");
    if (whole)
        drain_streams();
    int status;
    must(waitpid(pid, &status, 0) == pid, "waitpid");
    errno = 0;
    must(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the program");
    close(gate[0]);
    close(gate[1]);
    close(pidfd);
    if (whole)
        remove_leaves();
}

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

int main(int argc, char **argv) {
    must(argc >= 3, "usage");
    base = argv[1];
    whole = !strcmp(argv[2], "whole");
    int counts = argc > 4 && argv[3][0] != '/';
    parents = argv + (counts ? 5 : 3);
    must(argv + argc - parents <= MOST_PARENTS, "usage");
    uid = geteuid() ? geteuid() : 64242;
    gid = geteuid() ? getegid() : 64242;
    if (!counts) {
        for (char byte; read(0, &byte, 1) == 1;) {
            uint64_t begin = now();
            launch();
            printf("%llu\n", (unsigned long long)(now() - begin));
            fflush(stdout);
        }
        return 0;
    }
    int count = atoi(argv[3]), side = atoi(argv[4]);
    uint64_t begin = now();
    for (int i = 0; i < side; i++) {
        pid_t pid = fork();
        must(pid >= 0, "fork");
        if (!pid) {
            for (int j = i; j < count; j += side)
                launch();
            _exit(0);
        }
    }
    for (int status; wait(&status) > 0;)
        must(status == 0, "a launcher");
    printf("%llu\n", (unsigned long long)(now() - begin));
    return 0;
}
