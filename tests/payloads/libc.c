// A walk through libc: arguments, time, maths, scratch files, users, locale, random bytes.
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int by(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) printf("[%s]\n", argv[i]);
    printf("%.10f %.3e %g\n", sqrt(2), exp(20), pow(7, 0.3));
    setlocale(LC_ALL, "");
    printf("%s\n", setlocale(LC_ALL, NULL));
    time_t zero = 86400L * 365;
    char text[64];
    strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %Z", gmtime(&zero));
    puts(text);
    int numbers[1000];
    for (int i = 0; i < 1000; i++) numbers[i] = (i * 7919) % 1000;
    qsort(numbers, 1000, sizeof(int), by);
    printf("%d %d\n", numbers[0], numbers[999]);
    FILE *f = tmpfile();
    if (!f) { printf("tmpfile %s\n", strerror(errno)); return 2; }
    fprintf(f, "hello %d\n", 42);
    rewind(f);
    char line[64];
    printf("%s", fgets(line, sizeof line, f) ? line : "nothing\n");
    fclose(f);
    char name[] = "/tmp/scratch-XXXXXX";
    int fd = mkstemp(name);
    printf("%d %d\n", fd >= 0, unlink(name));
    char *big = malloc(8 << 20);
    memset(big, 7, 8 << 20);
    printf("%d\n", big[(8 << 20) - 1]);
    free(big);
    return 0;
}
