#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// @ box: --stack 8MiB
static int down(int n) { volatile char pad[512]; pad[0] = (char)n; return down(n + 1) + pad[0]; }
int main(void) { puts("start"); fflush(stdout); return down(0); }
