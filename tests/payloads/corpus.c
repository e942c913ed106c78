// Ways to use things up, to end and not to end: one a run, named by the first argument.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MIB (1ul << 20)

static double cpu(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

// What went before, the set-up of the box included, is not part of it.
static void burn(double seconds) {
    double begin = cpu();
    while (cpu() - begin < seconds) {}
}

static void forever(void) { for (;;) {} }
static void *spinner(void *arg) { (void)arg; forever(); return NULL; }
static void *waiter(void *arg) { (void)arg; for (;;) pause(); return NULL; }
static void nothing(int s) { (void)s; }

static void nap(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t)) {}
}

static void touch(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) _exit(90);
    for (size_t i = 0; i < bytes; i += 4096) p[i] = 1;
}

static void *toucher(void *arg) { touch((size_t)arg); for (;;) pause(); return NULL; }

static void share(size_t bytes) {
    char *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) _exit(90);
    for (size_t i = 0; i < bytes; i += 4096) p[i] = 1;
}

// One page of tables for each 2 MiB that is only ever read, or a page of data as well.
static void tables(size_t ranges, int write) {
    int prot = PROT_READ | (write ? PROT_WRITE : 0);
    char *p = mmap(NULL, ranges * 2 * MIB, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) _exit(90);
    madvise(p, ranges * 2 * MIB, MADV_NOHUGEPAGE);
    volatile char sum = 0;
    for (size_t i = 0; i < ranges; i++) {
        if (write) p[i * 2 * MIB] = 1; else sum += p[i * 2 * MIB];
    }
}

static __attribute__((noinline)) long deep(long n) {
    volatile char frame[4096];
    frame[n & 4095] = 1;
    return n ? deep(n - 1) + frame[0] : 0;
}

static int fill(const char *path, size_t bytes) {
    static char buf[1 << 16];
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0) return errno;
    for (size_t done = 0; done < bytes;) {
        ssize_t n = write(fd, buf, bytes - done < sizeof buf ? bytes - done : sizeof buf);
        if (n < 0) { int e = errno; close(fd); return e; }
        done += n;
    }
    close(fd);
    return 0;
}

// Status of the only child, as a shell tells it.
static int child(void) {
    int status;
    while (wait(&status) < 0 && errno == EINTR) {}
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void ladder(int steps) {
    // A parent of vfork runs again when its child has gone.
    if (steps == 0) forever();
    if (vfork() == 0) { ladder(steps - 1); _exit(0); }
}

static void out(int fd, size_t piece, uint64_t bytes) {
    static char buf[1 << 16];
    memset(buf, 'x', sizeof buf);
    while (bytes) {
        ssize_t n = write(fd, buf, piece < bytes ? piece : bytes);
        if (n < 0) _exit(errno == EPIPE ? 91 : 92);
        bytes -= n;
    }
}

static void ignore_all(void) {
    for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
    sigset_t all;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
}

// Signals and codes.
static int ends(const char *what, const char *a, const char *b) {
    (void)b;
    if (!strcmp(what, "exit")) return atoi(a);
    if (!strcmp(what, "raise")) {
        signal(atoi(a), SIG_DFL);
        syscall(SYS_kill, getpid(), atoi(a));
        nap(0.05);
        return 99;
    }
    if (!strcmp(what, "null")) { *(volatile int *)8 = 1; return 99; }
    if (!strcmp(what, "divide")) { volatile int n = 7, zero = 0; return n / zero; }
    if (!strcmp(what, "illegal")) { __asm__ volatile("ud2"); return 99; }
    if (!strcmp(what, "abort")) abort();
    if (!strcmp(what, "trap")) { __asm__ volatile("int3"); return 99; }
    if (!strcmp(what, "bus")) {
        // Beyond the end of a file that is mapped.
        int fd = open("/tmp/short", O_RDWR | O_CREAT, 0600);
        char *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
        return *(volatile char *)p;
    }
    if (!strcmp(what, "alarm")) { alarm(1); ualarm(50000, 0); for (;;) pause(); }
    if (!strcmp(what, "itimer")) {
        struct itimerval t = {{0, 0}, {0, 50000}};
        setitimer(!strcmp(a, "prof") ? ITIMER_PROF : ITIMER_VIRTUAL, &t, NULL);
        forever();
    }
    if (!strcmp(what, "thread-exit")) {
        pthread_t t;
        pthread_create(&t, NULL, waiter, NULL);
        return 7;
    }
    if (!strcmp(what, "leader-gone")) {
        // The first thread ends; the last one gives the status.
        pthread_t t;
        pthread_create(&t, NULL, spinner, NULL);
        pthread_exit(NULL);
    }
    if (!strcmp(what, "child-killed")) {
        if (!fork()) { signal(atoi(a), SIG_DFL); kill(getpid(), atoi(a)); _exit(0); }
        return child() == 128 + atoi(a) ? 0 : 98;
    }
    if (!strcmp(what, "group-killed")) { if (!fork()) { kill(0, SIGKILL); } for (;;) pause(); }
    if (!strcmp(what, "killed-by-child")) { if (!fork()) { kill(getppid(), SIGKILL); forever(); } for (;;) pause(); }
    if (!strcmp(what, "orphan")) {
        if (!fork()) { setsid(); if (!fork()) for (;;) pause(); _exit(0); }
        nap(0.02);
        return 5;
    }
    if (!strcmp(what, "daemons")) {
        // Each in a session of its own, ignoring everything, and spinning.
        for (int i = 0; i < atoi(a); i++) if (!fork()) { setsid(); ignore_all(); if (!fork()) forever(); _exit(0); }
        nap(0.05);
        return 0;
    }
    if (!strcmp(what, "stopped-child")) {
        pid_t pid = fork();
        if (!pid) for (;;) pause();
        kill(pid, SIGSTOP);
        return 3;
    }
    return -1;
}

// Time.
static int times_up(const char *what, const char *a, const char *b) {
    if (!strcmp(what, "spin")) { if (*a) { burn(atof(a)); return atoi(b); } forever(); }
    if (!strcmp(what, "spin-ignoring")) { ignore_all(); forever(); }
    if (!strcmp(what, "spin-xcpu")) { signal(SIGXCPU, nothing); forever(); }
    if (!strcmp(what, "spin-system")) for (;;) syscall(SYS_getppid);
    if (!strcmp(what, "spin-naps")) for (;;) { burn(0.003); nap(0.001); }
    if (!strcmp(what, "spin-threads")) {
        pthread_t t;
        for (int i = 1; i < atoi(a); i++) pthread_create(&t, NULL, spinner, NULL);
        forever();
    }
    if (!strcmp(what, "spin-children")) {
        for (int i = 0; i < atoi(a); i++) if (!fork()) forever();
        while (wait(NULL) > 0) {}
    }
    if (!strcmp(what, "spin-grandchild")) {
        if (!fork()) { setsid(); if (!fork()) forever(); _exit(0); }
        for (;;) pause();
    }
    if (!strcmp(what, "spin-many")) {
        // Children that each use little, and are waited for.
        for (;;) { if (!fork()) { burn(0.002); _exit(0); } wait(NULL); }
    }
    if (!strcmp(what, "child-time")) {
        // The parent has used nothing, and ends well.
        if (!fork()) { burn(atof(a)); _exit(0); }
        return child();
    }
    if (!strcmp(what, "pause")) for (;;) pause();
    if (!strcmp(what, "pause-ignoring")) { ignore_all(); for (;;) pause(); }
    if (!strcmp(what, "futex")) { int word = 0; for (;;) syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, NULL); }
    if (!strcmp(what, "deadlock")) {
        pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
        pthread_mutex_lock(&m);
        pthread_mutex_lock(&m);
    }
    if (!strcmp(what, "poll")) for (;;) poll(NULL, 0, -1);
    if (!strcmp(what, "sigsuspend")) { sigset_t all; sigfillset(&all); for (;;) sigsuspend(&all); }
    if (!strcmp(what, "read")) { char c; while (read(0, &c, 1) > 0) {} return 0; }
    if (!strcmp(what, "pipe")) { int p[2]; char c; pipe(p); read(p[0], &c, 1); }
    if (!strcmp(what, "vfork-pause")) { if (!vfork()) for (;;) pause(); }
    if (!strcmp(what, "wait-child")) { if (!fork()) for (;;) pause(); return child(); }
    if (!strcmp(what, "stop")) for (;;) raise(SIGSTOP);
    if (!strcmp(what, "stop-child")) { pid_t p = fork(); if (!p) for (;;) pause(); kill(p, SIGSTOP); return child(); }
    if (!strcmp(what, "stop-group")) { fork(); for (;;) kill(0, SIGSTOP); }
    if (!strcmp(what, "zombies")) { for (int i = 0; i < atoi(a); i++) if (!fork()) _exit(0); for (;;) pause(); }
    if (!strcmp(what, "nap")) { nap(atof(a)); return atoi(b); }
    return -1;
}

// Memory, files, descriptors.
static int space(const char *what, const char *a, const char *b) {
    size_t mib = strtoul(a, NULL, 0) * MIB;
    if (!strcmp(what, "touch")) { touch(mib); return 0; }
    if (!strcmp(what, "reserve")) {
        return mmap(NULL, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
    }
    if (!strcmp(what, "touch-child")) { if (!fork()) { touch(mib); _exit(0); } child(); return 0; }
    if (!strcmp(what, "touch-unwaited")) { if (!fork()) { touch(mib); _exit(0); } nap(2); return 0; }
    if (!strcmp(what, "touch-grandchild")) {
        if (!fork()) { if (!fork()) { touch(mib); _exit(0); } child(); _exit(0); }
        child();
        return 0;
    }
    if (!strcmp(what, "touch-again")) for (;;) { if (!fork()) { touch(mib); _exit(0); } child(); }
    if (!strcmp(what, "touch-many")) {
        for (int i = 0; i < atoi(b); i++) if (!fork()) { touch(mib); for (;;) pause(); }
        for (;;) pause();
    }
    if (!strcmp(what, "touch-thread")) {
        pthread_t t;
        pthread_create(&t, NULL, toucher, (void *)mib);
        pthread_join(t, NULL);
    }
    if (!strcmp(what, "grow")) { for (size_t n = 0; n < mib; n += MIB) { char *p = malloc(MIB); if (!p) return 1; memset(p, 1, MIB); } return 0; }
    if (!strcmp(what, "populate")) {
        mmap(NULL, mib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        for (;;) pause();
    }
    if (!strcmp(what, "share")) { share(mib); return 0; }
    if (!strcmp(what, "tables")) { tables(mib / 4096, 0); return 0; }
    if (!strcmp(what, "sparse")) { tables(mib / 8192, 1); return 0; }
    if (!strcmp(what, "stack")) { deep(mib / 4096); return 0; }
    if (!strcmp(what, "fill")) return fill("/tmp/fill", mib);
    if (!strcmp(what, "fill-and-go")) { int e = fill("/tmp/fill", mib); unlink("/tmp/fill"); return e; }
    if (!strcmp(what, "fill-child")) { if (!fork()) _exit(fill("/tmp/fill", mib)); child(); return 0; }
    if (!strcmp(what, "pipes")) {
        // What lies in a pipe is memory of the kernel's.
        static char buf[1 << 16];
        for (;;) { int p[2]; if (pipe(p)) break; fcntl(p[1], F_SETFL, O_NONBLOCK); while (write(p[1], buf, 4096) > 0) {} }
        return errno;
    }
    if (!strcmp(what, "inodes")) {
        for (long n = 0;; n++) {
            char path[64];
            snprintf(path, sizeof path, "/tmp/%ld", n);
            int fd = open(path, O_WRONLY | O_CREAT, 0600);
            if (fd < 0) return errno;
            close(fd);
        }
    }
    if (!strcmp(what, "big")) { if (*b) signal(SIGXFSZ, SIG_IGN); return fill("/tmp/big", mib); }
    if (!strcmp(what, "truncate")) {
        signal(SIGXFSZ, SIG_IGN);
        int fd = open("/tmp/big", O_WRONLY | O_CREAT, 0600);
        return ftruncate(fd, mib) ? errno : 0;
    }
    if (!strcmp(what, "big-child")) { if (!fork()) _exit(fill("/tmp/big", mib)); return child() == 128 + SIGXFSZ ? 0 : 98; }
    if (!strcmp(what, "files")) {
        int n = 0;
        while (open("/dev/null", O_RDONLY) >= 0) n++;
        int e = errno;
        if (!strcmp(a, "stay")) for (;;) pause();
        return e == EMFILE ? n : 0;
    }
    return -1;
}

// Processes.
static int crowd(const char *what, const char *a, const char *b) {
    (void)b;
    if (!strcmp(what, "forks")) {
        for (int i = 0; i < atoi(a); i++) {
            pid_t pid = fork();
            if (pid == 0) for (;;) pause();
            if (pid < 0) return errno;
        }
        return 0;
    }
    if (!strcmp(what, "bomb")) for (;;) fork();
    if (!strcmp(what, "bomb-quiet")) { for (;;) if (fork() < 0) pause(); }
    if (!strcmp(what, "bomb-sessions")) { ignore_all(); for (;;) { if (!fork()) { setsid(); if (fork()) _exit(0); } } }
    if (!strcmp(what, "bomb-flee")) for (;;) if (fork() > 0) _exit(0);
    if (!strcmp(what, "bomb-vfork")) { ladder(atoi(a)); for (;;) pause(); }
    if (!strcmp(what, "bomb-threads")) { pthread_t t; for (;;) pthread_create(&t, NULL, spinner, NULL); }
    if (!strcmp(what, "bomb-sleepers")) {
        pthread_t t;
        int e = 0;
        while (!e) e = pthread_create(&t, NULL, waiter, NULL);
        return e;
    }
    return -1;
}

// Output.
static int floods(const char *what, const char *a, const char *b) {
    if (!strcmp(what, "out")) { out(atoi(a), 1 << 16, strtoull(b, NULL, 0)); return 0; }
    if (!strcmp(what, "bytes")) { out(atoi(a), 1, strtoull(b, NULL, 0)); return 0; }
    if (!strcmp(what, "both")) for (;;) { out(1, 100, 100); out(2, 100, 100); }
    if (!strcmp(what, "flood-children")) {
        for (int i = 0; i < atoi(a); i++) if (!fork()) out(1 + i % 2, 1 << 16, UINT64_MAX);
        for (;;) pause();
    }
    if (!strcmp(what, "flood-ignoring")) { ignore_all(); for (;;) write(1, "0123456789", 10); }
    return -1;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const char *a = argc > 2 ? argv[2] : "";
    const char *b = argc > 3 ? argv[3] : "";
    int (*const families[])(const char *, const char *, const char *) = {ends, times_up, space, crowd, floods};
    for (int i = 0; i < 5; i++) {
        int answer = families[i](what, a, b);
        if (answer >= 0) return answer;
    }
    fprintf(stderr, "unknown action '%s'\n", what);
    return 96;
}
