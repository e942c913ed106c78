#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// @ stdin: megabytes
int main(void) { char *line = NULL; size_t cap = 0; long lines = 0, total = 0; while (getline(&line, &cap, stdin) > 0) { lines++; total += atol(line); } printf("%ld %ld\n", lines, total); return 0; }
