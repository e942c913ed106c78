// Wants one thing that native does not give, named by its argument; "done" when it got it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int is(const char *a, const char *b) { return !strcmp(a, b); }

static void *forever(void *p) { pause(); return p; }

static int threads(int n) {
    for (int i = 0; i < n; i++) {
        pthread_t t;
        pthread_attr_t a;
        pthread_attr_init(&a);
        pthread_attr_setstacksize(&a, 64 << 10);
        if ((errno = pthread_create(&t, &a, forever, 0))) return -1;
    }
    return 0;
}

static char block[1 << 16];

static int fill(const char *path, long mib) {
    int f = open(path, O_CREAT | O_WRONLY, 0600);
    if (f < 0) return -1;
    for (long i = 0; i < mib * 16; i++)
        if (write(f, block, sizeof block) != sizeof block) return -1;
    return close(f);
}

static int scratch(int n) {
    char name[64];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "/tmp/part-%d", i);
        if (fill(name, 16)) return -1;
    }
    return 0;
}

static int many_files(int n) {
    char name[64];
    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "/tmp/file-%d", i);
        int f = open(name, O_CREAT | O_WRONLY, 0600);
        if (f < 0 || close(f)) return -1;
    }
    return 0;
}

static int spin(long ms) {
    struct timespec t;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
    return 0;
}

static int talk(int mib) {
    for (int i = 0; i < mib * 16; i++)
        if (write(1, block, sizeof block) < 0) return -1;
    return 0;
}

static long deep(long n) { volatile char room[4096]; room[0] = n; return n ? deep(n - 1) + room[0] : 0; }

// Never called by itself: all of it at once.
static __attribute__((noinline)) int frame(void) { volatile char room[300 << 20]; room[0] = room[sizeof room - 1] = 1; return room[0] - 1; }

static int try(const char *w, char **v) {
    long n = v[0] ? atol(v[0]) : 0;
    int pair[2];
    unsigned long how[3] = {0, 0, 0};
    cpu_set_t cpus;
    if (is(w, "socketpair")) return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair);
    if (is(w, "memfd")) return memfd_create("x", 0);
    if (is(w, "jit")) return mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0;
    if (is(w, "flock")) return flock(open("/tmp/lock", O_CREAT | O_RDWR, 0600), LOCK_EX);
    if (is(w, "locks")) { for (int i = 0; i < n; i++) flock(i, LOCK_SH); return -1; }
    if (is(w, "affinity")) return sched_getaffinity(0, sizeof cpus, &cpus) < 0 ? -1 : sched_setaffinity(0, sizeof cpus, &cpus);
    if (is(w, "dumpable")) return prctl(PR_SET_DUMPABLE, 0);
    if (is(w, "utime")) return close(open("/tmp/f", O_CREAT | O_WRONLY, 0600)) < 0 ? -1 : syscall(SYS_utime, "/tmp/f", NULL);
    if (is(w, "read")) return open(v[0], O_RDONLY);
    if (is(w, "look")) { struct stat s; int bad = 0; for (; v[0]; v++) bad |= stat(v[0], &s); return bad; }
    if (is(w, "write")) { int f = open(v[0], O_WRONLY | O_CREAT, 0644); return f < 0 ? -1 : write(f, "x", 1) - 1; }
    if (is(w, "append")) { int f = open(v[0], O_WRONLY | O_APPEND); return f < 0 ? -1 : write(f, "x", 1) - 1; }
    if (is(w, "fresh")) { int f = open(v[0], O_WRONLY | O_CREAT | O_EXCL, 0600); return f < 0 || write(f, "x", 1) != 1 ? -1 : unlink(v[0]); }
    if (is(w, "remove")) return unlink(v[0]);
    if (is(w, "tree")) { mkdir("a", 0700); mkdir("a/b", 0700); return open("a/b/c", O_WRONLY | O_CREAT, 0600); }
    if (is(w, "mkdir")) return mkdir(v[0], 0700);
    if (is(w, "memory")) { volatile char *p = malloc(n << 20); if (!p) return -1; for (long i = 0; i < n << 20; i += 4096) p[i] = 1; usleep(300000); return 0; }
    if (is(w, "threads")) return threads(n);
    if (is(w, "descriptors")) { for (int i = 0; i < n; i++) if (open("/dev/null", O_RDONLY) < 0) return -1; return 0; }
    if (is(w, "dups")) { for (int i = 0; i < n; i++) if (dup(0) < 0) return -1; return 0; }
    if (is(w, "output")) return talk(n);
    if (is(w, "scratch")) return scratch(n);
    if (is(w, "long-file")) { signal(SIGXFSZ, SIG_IGN); return fill("/tmp/long", n); }
    if (is(w, "extend")) { signal(SIGXFSZ, SIG_IGN); return ftruncate(open("/tmp/long", O_CREAT | O_RDWR, 0600), n << 20); }
    if (is(w, "many-files")) return many_files(n);
    if (is(w, "stack")) { deep(n * 256); return 0; }
    if (is(w, "frame")) return frame();
    if (is(w, "mlock")) return mlock(block, 4096);
    if (is(w, "mlockall")) return mlockall(MCL_CURRENT);
    if (is(w, "hostname")) return sethostname("other", 5);
    if (is(w, "crash")) { *(volatile int *)8 = 1; return 0; }
    if (is(w, "x32")) return syscall(0x40000000 | SYS_getpid);
    if (is(w, "spin")) return spin(n);
    if (is(w, "sleep")) { usleep(n * 1000); return 0; }
    if (is(w, "self")) { if (v[0]) return 0; char *a[] = {"wants", "self", "again", 0}; return execv("/proc/self/exe", a); }
    if (is(w, "exec")) return execv(v[0], v);
    if (is(w, "openat2")) return syscall(SYS_openat2, AT_FDCWD, "/dev/null", how, sizeof how);
    if (is(w, "unshare")) return unshare(CLONE_NEWUSER);
    if (is(w, "vsock")) return socket(40, SOCK_STREAM, 0);
    if (is(w, "nothing")) return 0;
    fprintf(stderr, "wants: what is %s?\n", w);
    exit(77);
}

int main(int argc, char **argv) {
    if (argc < 2) return 77;
    if (try(argv[1], argv + 2) < 0) { perror(argv[1]); return 1; }
    puts("done");
    return 0;
}
