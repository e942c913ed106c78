// Prints how many thousand times a second this machine's time stamp counter ticks: the emulated ones are
// this one, and a guest that has to find out by itself on a loaded machine has a clock that is far off.
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC_RAW, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

// Both at the same time: the closest pair of many.
static void both(long long *ns, long long *ticks) {
    long long closest = -1;
    for (int i = 0; i < 20000; i++) {
        long long before = now(), between = __rdtsc(), after = now();
        if (closest < 0 || after - before < closest) {
            closest = after - before;
            *ns = before + closest / 2;
            *ticks = between;
        }
    }
}

int main(void) {
    long long ns[2], ticks[2];
    both(&ns[0], &ticks[0]);
    nanosleep(&(struct timespec){.tv_nsec = 300000000}, NULL);
    both(&ns[1], &ticks[1]);
    printf("%.0f\n", (double)(ticks[1] - ticks[0]) / (double)(ns[1] - ns[0]) * 1e6);
}
