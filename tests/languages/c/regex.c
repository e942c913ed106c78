#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <regex.h>
#include <fnmatch.h>
int main(void) { regex_t r; regmatch_t m[3]; regcomp(&r, "([0-9]{4})-([0-9]{2})", REG_EXTENDED); const char *s = "on 2024-02-29"; printf("%d", regexec(&r, s, 3, m, 0)); printf(" %d %d %d\n", (int)m[0].rm_so, (int)m[2].rm_eo, fnmatch("*.[ch]", "a.c", 0)); return 0; }
