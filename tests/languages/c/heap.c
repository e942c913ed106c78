#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) {
    long n = 128L << 20, sum = 0; unsigned char *p = malloc(n);
    for (long i = 0; i < n; i += 4096) p[i] = i >> 12;
    for (long i = 0; i < n; i += 4096) sum += p[i];
    p = realloc(p, n / 2); void *q = calloc(1000, 1000); free(p); printf("%ld %d\n", sum, q != NULL); free(q); return 0;
}
