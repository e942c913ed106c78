#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <semaphore.h>
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; static pthread_barrier_t barrier; static sem_t sem; static long total; static __thread int own;
static void *work(void *a) { own = (int)(long)a; pthread_barrier_wait(&barrier); for (int i = 0; i < 10000; i++) { pthread_mutex_lock(&lock); total += own; pthread_mutex_unlock(&lock); } sem_post(&sem); return a; }
int main(void) {
    pthread_t t[8]; pthread_barrier_init(&barrier, NULL, 8); sem_init(&sem, 0, 0);
    for (long i = 0; i < 8; i++) if (pthread_create(&t[i], NULL, work, (void *)i)) return 1;
    for (int i = 0; i < 8; i++) { sem_wait(&sem); pthread_join(t[i], NULL); }
    printf("%ld\n", total); return 0;
}
