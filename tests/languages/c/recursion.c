#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static long ack(long m, long n) { return m == 0 ? n + 1 : n == 0 ? ack(m - 1, 1) : ack(m - 1, ack(m, n - 1)); }
int main(void) { printf("%ld\n", ack(2, 500)); return 0; }
