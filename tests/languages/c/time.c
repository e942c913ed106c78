#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <time.h>
int main(void) { time_t t = 1709208000; struct tm *g = gmtime(&t); char b[64]; strftime(b, sizeof b, "%Y-%m-%d %H:%M:%S %j %A", g); puts(b); setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1); tzset(); t += 150 * 86400; strftime(b, sizeof b, "%H %Z %z", localtime(&t)); puts(b);
    struct timespec a, c; clock_gettime(CLOCK_MONOTONIC, &a); nanosleep(&(struct timespec){0, 2000000}, NULL); clock_gettime(CLOCK_MONOTONIC, &c); printf("%d\n", (c.tv_sec - a.tv_sec) * 1000000000L + c.tv_nsec - a.tv_nsec >= 2000000); return 0; }
