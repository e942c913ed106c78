#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void) { unsigned __int128 f = 1; for (int i = 1; i <= 33; i++) f *= i; printf("%llx%016llx\n", (unsigned long long)(f >> 64), (unsigned long long)f); long long o; printf("%d %lld\n", __builtin_mul_overflow(1LL << 62, 4, &o), o); return 0; }
