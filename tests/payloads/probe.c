// One action a run, named by the first argument; results are lines "what answer".
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *name_of(int e) { return e ? strerrorname_np(e) : "ok"; }

static void say(const char *what, long answer) {
    printf("%s %s\n", what, answer < 0 ? name_of(errno) : "ok");
    fflush(stdout);
}

static void cat(const char *path) {
    char buf[65536];
    int fd = open(path, O_RDONLY);
    if (fd < 0) { printf("%s %s\n", path, name_of(errno)); return; }
    ssize_t n;
    while ((n = read(fd, buf, sizeof buf)) > 0) fwrite(buf, 1, n, stdout);
    close(fd);
}

static int show(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)flag; (void)ftw;
    if (!strncmp(path, "/proc/", 6)) return 0;
    char kind = S_ISDIR(st->st_mode) ? 'd' : S_ISREG(st->st_mode) ? 'f' : S_ISLNK(st->st_mode) ? 'l' : 'c';
    printf("%c %04o %s\n", kind, st->st_mode & 07777, path);
    return 0;
}

static void spin(double seconds) {
    struct timespec a, b;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    do {
        for (volatile int i = 0; i < 100000; i++) {}
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    } while ((b.tv_sec - a.tv_sec) + (b.tv_nsec - a.tv_nsec) / 1e9 < seconds);
}

static void *spin_thread(void *arg) { (void)arg; for (;;) {} return NULL; }
static void on_xcpu(int s) { (void)s; }

static void touch(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) { say("mmap", -1); exit(3); }
    for (size_t i = 0; i < bytes; i += 4096) p[i] = 1;
}

static int flood(int fd, const char *text, uint64_t bytes) {
    size_t n = strlen(text);
    char *buf = malloc(1 << 16);
    for (size_t i = 0; i + n <= 1 << 16; i += n) memcpy(buf + i, text, n);
    while (bytes) {
        size_t want = bytes < (1 << 16) / n * n ? bytes : (1 << 16) / n * n;
        ssize_t w = write(fd, buf, want);
        if (w < 0) return -1;
        bytes -= w;
    }
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const char *a = argc > 2 ? argv[2] : "";
    const char *b = argc > 3 ? argv[3] : "";
#define IS(s) (!strcmp(what, s))
    if (IS("exit")) return atoi(a);
    if (IS("signal")) {
        // What is raised must be deliverable; stop signals do not end anybody.
        signal(atoi(a), SIG_DFL);
        syscall(SYS_kill, getpid(), atoi(a));
        usleep(10000);
        return 99;
    }
    if (IS("abort")) abort();
    if (IS("stop")) { raise(SIGSTOP); return 98; }
    if (IS("sleep")) { for (;;) pause(); }
    if (IS("read")) { char c; while (read(0, &c, 1) > 0) {} return 0; }
    if (IS("spin")) { if (*a) { spin(atof(a)); return 0; } for (;;) {} }
    if (IS("xcpu")) { signal(SIGXCPU, on_xcpu); for (;;) {} }
    if (IS("spin-threads")) {
        pthread_t t;
        for (int i = 1; i < atoi(a); i++) pthread_create(&t, NULL, spin_thread, NULL);
        spin_thread(NULL);
    }
    if (IS("spin-children")) {
        for (int i = 0; i < atoi(a); i++) if (!fork()) for (;;) {}
        while (wait(NULL) > 0) {}
        return 0;
    }
    if (IS("orphan")) {
        // Holds stdout, has a session of its own, outlives its parents.
        if (!fork()) { setsid(); if (!fork()) { for (;;) pause(); } _exit(0); }
        usleep(20000);
        puts("parent done");
        return 5;
    }
    if (IS("sibling")) {
        long pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
        if (pid == 0) _exit(0);
        say("clone-parent", pid);
        usleep(20000);
        return 42;
    }
    if (IS("status")) { cat("/proc/self/status"); return 0; }
    if (IS("cat")) { for (int i = 2; i < argc; i++) cat(argv[i]); return 0; }
    if (IS("tree")) { nftw("/", show, 64, FTW_PHYS); return 0; }
    if (IS("ns")) {
        const char *names[] = {"user", "mnt", "pid", "net", "ipc", "uts", "cgroup"};
        for (int i = 0; i < 7; i++) {
            char path[64], to[64] = "";
            snprintf(path, sizeof path, "/proc/self/ns/%s", names[i]);
            ssize_t n = readlink(path, to, sizeof to - 1);
            printf("%s\n", n > 0 ? to : "none");
        }
        return 0;
    }
    if (IS("fds")) {
        for (int fd = 0; fd < 4096; fd++) {
            char path[64], to[256] = "";
            if (fcntl(fd, F_GETFD) < 0) continue;
            snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
            if (readlink(path, to, sizeof to - 1) < 0) strcpy(to, "?");
            printf("%d %.4s\n", fd, to);
        }
        return 0;
    }
    if (IS("env")) { extern char **environ; for (char **e = environ; *e; e++) puts(*e); return 0; }
    if (IS("args")) { for (int i = 0; i < argc; i++) puts(argv[i]); return 0; }
    if (IS("limits")) {
        for (int i = 0; i < 16; i++) {
            struct rlimit r;
            getrlimit(i, &r);
            printf("%d %llu %llu\n", i, (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_max);
        }
        return 0;
    }
    if (IS("exec")) {
        char *const args[] = {(char *)a, "-c", "echo executed", NULL}, *const none[] = {NULL};
        say("execve", execve(a, args, none));
        say("execveat", syscall(SYS_execveat, AT_FDCWD, a, args, none, 0));
        say("vfork", 0);
        if (!vfork()) { execve(a, args, none); _exit(77); }
        int status; wait(&status);
        printf("child %d\n", WEXITSTATUS(status));
        return 0;
    }
    if (IS("sockets")) {
        for (int family = 0; family < 64; family++) {
            int fd = socket(family, SOCK_STREAM, 0);
            if (fd >= 0 || errno != ENOSYS) printf("%d %s\n", family, fd < 0 ? name_of(errno) : "ok");
        }
        int pair[2];
        say("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
        return 0;
    }
    if (IS("write")) {
        int fd = open(a, O_WRONLY | O_CREAT, 0644);
        say("open", fd);
        if (fd >= 0) { say("write", write(fd, "x", 1)); say("unlink", unlink(a)); }
        return 0;
    }
    if (IS("pid1")) {
        say("kill", kill(1, 9));
        say("ptrace", ptrace(PTRACE_ATTACH, 1, 0, 0));
        char path[64]; const char *files[] = {"environ", "mem", "maps", "root", "cmdline", "fd", "exe"};
        for (int i = 0; i < 7; i++) {
            snprintf(path, sizeof path, "/proc/1/%s", files[i]);
            say(files[i], open(path, O_RDONLY));
        }
        struct rlimit r;
        say("prlimit", prlimit(1, RLIMIT_NOFILE, NULL, &r));
        say("setpriority", setpriority(PRIO_PROCESS, 1, 5));
        return 0;
    }
    if (IS("calls")) {
        // Numbers, each with harmless arguments.
        for (int i = 2; i < argc; i++) {
            long nr = strtol(argv[i], NULL, 0);
            errno = 0;
            long r = syscall(nr, -1L, 0L, 0L, 0L, 0L, 0L);
            printf("%s %s\n", argv[i], r < 0 ? name_of(errno) : "ok");
        }
        return 0;
    }
    if (IS("violate")) {
        for (int i = 0; i < atoi(a); i++) syscall(SYS_ptrace, 0x4200 + (*b ? i : 0), 1L, 2L, 3L);
        puts("survived");
        return 0;
    }
    if (IS("x32")) { printf("%ld\n", syscall(SYS_getpid | 0x40000000)); return 0; }
    if (IS("int80")) { long r; __asm__ volatile("int $0x80" : "=a"(r) : "a"(20)); printf("%ld\n", r); return 0; }
    if (IS("userns")) {
        say("unshare", unshare(CLONE_NEWUSER));
        say("clone", syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
        uint64_t args[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
        say("clone3", syscall(SYS_clone3, args, sizeof args));
        return 0;
    }
    if (IS("alloc")) { touch((size_t)atol(a) << 20); puts("allocated"); return 0; }
    if (IS("alloc-child")) {
        if (!fork()) { touch((size_t)atol(a) << 20); _exit(0); }
        int status; wait(&status);
        printf("child %d\n", WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        return 0;
    }
    if (IS("tmpfill")) {
        char *buf = calloc(1, 1 << 16);
        int fd = open("/tmp/fill", O_WRONLY | O_CREAT, 0600);
        unsigned long long total = 0; ssize_t n;
        while ((n = write(fd, buf, 1 << 16)) > 0) total += n;
        printf("%llu %s\n", total, name_of(errno));
        return 0;
    }
    if (IS("tmpfiles")) {
        long n = 0; char path[64];
        for (;; n++) {
            snprintf(path, sizeof path, "/tmp/f%ld", n);
            int fd = open(path, O_WRONLY | O_CREAT, 0600);
            if (fd < 0) break;
            close(fd);
        }
        printf("%ld %s\n", n, name_of(errno));
        return 0;
    }
    if (IS("bigfile")) {
        if (*b) signal(SIGXFSZ, SIG_IGN);
        int fd = open("/tmp/big", O_WRONLY | O_CREAT, 0600);
        say("truncate", ftruncate(fd, atoll(a)));
        return 0;
    }
    if (IS("forks")) {
        long made = 0;
        for (; made < atol(a); made++) {
            pid_t pid = fork();
            if (pid == 0) for (;;) pause();
            if (pid < 0) break;
        }
        printf("%ld %s\n", made, made < atol(a) ? name_of(errno) : "ok");
        return 0;
    }
    if (IS("forkbomb")) { for (;;) fork(); }
    if (IS("threadbomb")) { pthread_t t; for (;;) pthread_create(&t, NULL, spin_thread, NULL); }
    if (IS("files")) {
        long n = 0;
        while (open("/dev/null", O_RDONLY) >= 0) n++;
        printf("%ld %s\n", n, name_of(errno));
        return 0;
    }
    if (IS("flood")) {
        if (flood(atoi(a), "0123456789abcdef", *b ? strtoull(b, NULL, 0) : UINT64_MAX) < 0) return errno == EPIPE ? 3 : 4;
        return 0;
    }
    if (IS("flood-both")) { for (;;) { flood(1, "out\n", 4096); flood(2, "err\n", 4096); } }
    if (IS("copy")) {
        char buf[8192]; ssize_t n;
        while ((n = read(0, buf, sizeof buf)) > 0) if (write(1, buf, n) != n) return 3;
        return 0;
    }
    if (IS("uname")) { cat("/proc/self/cgroup"); char h[80]; gethostname(h, sizeof h); puts(h); char d[80]; getdomainname(d, sizeof d); puts(d); return 0; }
    if (IS("ids")) {
        printf("%d %d %d %d %d %d\n", getpid(), getppid(), getuid(), geteuid(), getgid(), getegid());
        gid_t groups[64]; int n = getgroups(64, groups);
        printf("groups %d\n", n);
        return 0;
    }
    if (IS("inherited")) {
        sigset_t mask; sigprocmask(SIG_SETMASK, NULL, &mask);
        for (int s = 1; s < 65; s++) {
            struct sigaction old;
            if (sigismember(&mask, s) == 1) printf("blocked %d\n", s);
            if (s != 32 && s != 33 && !sigaction(s, NULL, &old) && old.sa_handler != SIG_DFL) printf("handled %d\n", s);
        }
        printf("umask %03o\n", umask(0));
        char cwd[4096]; puts(getcwd(cwd, sizeof cwd) ? cwd : "none");
        return 0;
    }
    fprintf(stderr, "unknown action '%s'\n", what);
    return 96;
}
