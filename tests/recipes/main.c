#include <complex.h>
#include <crypt.h>
#include <immintrin.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>

static void *twice(void *number) {
    *(double *)number *= 2;
    return NULL;
}

int main(int argc, char **argv) {
    double number = sqrt((double)argc * 2);
    pthread_t thread;
    if (pthread_create(&thread, NULL, twice, &number) || pthread_join(thread, NULL))
        return 1;
    printf("%.4f %.4f %s\n", number, cabs(3 + 4 * I), argv[0] ? "ok" : "");
    return 0;
}
