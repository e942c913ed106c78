// Does what its arguments say with a work tree, one line of output for each: the word, its first
// argument, and "ok" or the errno.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static char page[4096];

static int copy(const char *from, const char *to) {
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0755);
    ssize_t n = 0;
    if (in < 0 || out < 0) return -1;
    while ((n = read(in, page, sizeof page)) > 0)
        if (write(out, page, (size_t)n) != n) return -1;
    return n < 0 || close(in) || close(out) ? -1 : 0;
}

// Starts a copy of this program at that path; it says so itself.
static int start(const char *at) {
    int status;
    if (copy("/proc/self/exe", at)) return -1;
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execve(at, (char *[]){"copy", "say", (char *)at, NULL}, (char *[]){NULL});
        _exit(errno);
    }
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
    return errno ? -1 : 0;
}

static int fill(const char *path) {
    int out = open(path, O_WRONLY | O_CREAT, 0644);
    long pages = 0;
    if (out < 0) return -1;
    memset(page, 'x', sizeof page);
    while (write(out, page, sizeof page) == sizeof page) pages++;
    printf("pages %ld\n", pages);
    return -1;
}

static int crowd(const char *dir) {
    char name[4096];
    long files = 0;
    for (;; files++) {
        snprintf(name, sizeof name, "%s/crowd-%ld", dir, files);
        int out = open(name, O_WRONLY | O_CREAT | O_EXCL, 0644);
        if (out < 0) break;
        close(out);
    }
    int why = errno;
    printf("files %ld\n", files);
    errno = why;
    return -1;
}

static int show(const char *path) {
    struct stat is;
    int in = open(path, O_RDONLY);
    if (in < 0 || fstat(in, &is)) return -1;
    ssize_t n = read(in, page, sizeof page);
    if (n < 0) return -1;
    printf("%o %ld.%09ld %.*s\n", is.st_mode & 07777, (long)is.st_mtim.tv_sec, is.st_mtim.tv_nsec, (int)n, page);
    return close(in);
}

static int put(const char *path, const char *text) {
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (out < 0) return -1;
    return write(out, text, strlen(text)) < 0 ? -1 : close(out);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *a = i + 1 < argc ? argv[++i] : "", *b = "";
#define IS(w) (!strcmp(word, w))
        if (IS("put") || IS("rename") || IS("symlink") || IS("link") || IS("chmod")) b = argv[++i];
        int result = -1;
        errno = 0;
        if (IS("say")) { printf("running %s\n", a); return 0; }
        else if (IS("show")) result = show(a);
        else if (IS("put")) result = put(a, b);
        else if (IS("rename")) result = rename(a, b);
        else if (IS("symlink")) result = symlink(a, b);
        else if (IS("link")) result = link(a, b);
        else if (IS("chmod")) result = chmod(a, (mode_t)strtol(b, NULL, 8));
        else if (IS("unlink")) result = unlink(a);
        else if (IS("rmdir")) result = rmdir(a);
        else if (IS("mkdir")) result = mkdir(a, 0755);
        else if (IS("device")) result = mknod(a, S_IFCHR | 0666, makedev(1, 3));
        else if (IS("fifo")) result = mkfifo(a, 0666);
        else if (IS("user")) result = setxattr(a, "user.overlay.opaque", "y", 1, 0);
        else if (IS("security")) result = setxattr(a, "security.capability", page, 20, 0);
        else if (IS("start")) result = start(a);
        else if (IS("fill")) result = fill(a);
        else if (IS("crowd")) result = crowd(a);
        else if (IS("wait")) { puts("waiting"); fflush(stdout); result = read(0, page, 1) < 0 ? -1 : 0; }
        printf("%s %s %s\n", word, a, result ? strerrorname_np(errno) : "ok");
    }
    return 0;
}
