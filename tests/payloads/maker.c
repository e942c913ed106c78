// Makes, in argv[1], what the other arguments say.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, mode_t mode, const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, mode);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) { perror(path); exit(1); }
    close(fd);
}

int main(int argc, char **argv) {
    if (chdir(argv[1])) { perror("chdir"); return 1; }
    for (int i = 2; i < argc; i++) {
        const char *what = argv[i];
        if (!strcmp(what, "plain")) {
            put("plain", 0644, "plain\n"); put("program", 0777, "#!"); mkdir("dir", 0777); put("dir/below", 0600, "below");
        } else if (!strcmp(what, "again")) put("plain", 0644, "again\n");
        else if (!strcmp(what, "names")) {
            put("a\nb", 0644, "x"); put("\xff\xfe", 0644, "x"); put("\x1b[2J", 0644, "x"); put("good name", 0644, "x");
        } else if (!strcmp(what, "deep")) {
            for (int d = 0; d < 300; d++) { if (mkdir("d", 0777) || chdir("d")) { perror("d"); return 1; } }
            put("bottom", 0644, "x");
        } else if (!strcmp(what, "sparse")) {
            put("real", 0644, "r");
            int fd = open("sparse", O_WRONLY | O_CREAT, 0644);
            if (fd < 0 || ftruncate(fd, 1LL << 30)) { perror("sparse"); return 1; }
        } else if (!strcmp(what, "many")) {
            char name[32];
            for (int n = 0; n < 100000; n++) {
                sprintf(name, "%06d", n);
                int fd = open(name, O_WRONLY | O_CREAT, 0644);
                if (fd < 0) { perror(name); return 1; }
                close(fd);
            }
        } else if (!strcmp(what, "special")) {
            int s = symlink("/etc/passwd", "symlink") ? errno : 0, l = link("plain", "hard") ? errno : 0;
            int f = mkfifo("fifo", 0666) ? errno : 0;
            printf("%d %d %d\n", s, l, f);
        } else if (!strcmp(what, "spin")) for (;;) {}
        else if (!strcmp(what, "wait")) pause();
        else return atoi(what);
    }
    return 0;
}
