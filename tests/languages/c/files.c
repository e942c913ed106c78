#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int argc, char **argv) {
    struct stat st; FILE *own = fopen(access("/box/program", 0) ? argv[0] : "/box/program", "rb"); if (!own) { perror("own"); return 1; } unsigned char magic[4]; if (fread(magic, 1, 4, own) != 4) return 1; printf("%s\n", memcmp(magic, "\177ELF", 4) ? "no" : "ELF");
    char name[] = "/tmp/xXXXXXX"; int fd = mkstemp(name); if (write(fd, "hello", 5) != 5) return 1; ftruncate(fd, 8192); char *p = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0); p[5] = '!'; msync(p, 8192, MS_SYNC); fstat(fd, &st); printf("%.6s %ld\n", p, (long)st.st_size); unlink(name);
    char dir[] = "/tmp/dXXXXXX"; mkdtemp(dir); DIR *d = opendir(dir); int n = 0; while (readdir(d)) n++; closedir(d); rmdir(dir); printf("%d\n", n);
    FILE *t = tmpfile(); for (int i = 0; i < 100000; i++) fprintf(t, "%d\n", i); printf("%ld\n", ftell(t)); return 0;
}
