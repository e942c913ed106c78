/* Leaves everything behind that a program can leave, or looks for what another has left. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* What came of one step, on a line of its own: "what: errno" or "what: ok". */
static void say(const char *what, int failed) {
    if (failed)
        printf("%s: %s\n", what, strerrorname_np(errno));
    else
        printf("%s: ok\n", what);
}

static int abstract(int (*use)(int, const struct sockaddr *, socklen_t)) {
    struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0stockade-neighbour"};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0)
        return -1;
    return use(fd, (struct sockaddr *)&name, sizeof name);
}

static void leave(void) {
    int file = open("/tmp/mark", O_RDWR | O_CREAT, 0666);
    say("file", file < 0 || write(file, "mark", 4) != 4);
    say("shm", shmget(0x57, 4096, IPC_CREAT | 0666) < 0);
    say("socket", abstract(bind));
    int lib = open("/box", O_RDONLY | O_DIRECTORY);
    say("lock", flock(lib, LOCK_EX | LOCK_NB));
    say("name", sethostname("marked", 6));
    fflush(stdout);
}

static void look(void) {
    say("file", access("/tmp/mark", F_OK));
    say("shm", shmget(0x57, 4096, 0) < 0);
    say("socket", abstract(connect));
    int lib = open("/box", O_RDONLY | O_DIRECTORY);
    say("lock", flock(lib, LOCK_EX | LOCK_NB));
    close(lib);
    char name[65] = "";
    gethostname(name, sizeof name);
    printf("host: %s\n", name);
    int seen = 0, others = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        int pid = atoi(entry->d_name);
        seen += pid > 0;
        others += pid > 0 && pid != getpid();
    }
    closedir(proc);
    printf("processes: %d, others: %d, own: %d\n", seen, others, getpid());
    say("kill", kill(-1, 0));
    char path[32], target[64];
    for (int fd = 0; fd < 1024; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(path, target, sizeof target - 1);
        if (n > 0 && strncmp(target, "pipe:", 5) && strncmp(target, "/proc/", 6))
            printf("descriptor: %.*s\n", (int)n, target);
    }
}

int main(int argc, char **argv) {
    if (argc > 1 && !strcmp(argv[1], "leave")) {
        leave();
        if (argc > 2)
            nanosleep(&(struct timespec){.tv_sec = atoi(argv[2])}, NULL);
        return 0;
    }
    look();
    return 0;
}
