// Every path but those of /proc, with type and mode.
#define _XOPEN_SOURCE 700
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int show(const char *path, const struct stat *st, int flag, struct FTW *ftw) {
    (void)flag; (void)ftw;
    if (!strncmp(path, "/proc/", 6)) return 0;
    char kind = S_ISDIR(st->st_mode) ? 'd' : S_ISREG(st->st_mode) ? 'f' : S_ISLNK(st->st_mode) ? 'l' : 'c';
    printf("%c %04o %s\n", kind, st->st_mode & 07777, path);
    return 0;
}

int main(void) { return nftw("/", show, 64, FTW_PHYS) ? 1 : 0; }
