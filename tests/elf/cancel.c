/* Needs libc only, and still dies without libgcc_s.so.1 beside it. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>
static void *wait_for_ever(void *unused)
{
    for (;;) pause();
    return unused;
}
int main(void)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, 0, wait_for_ever, 0);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    puts(result == PTHREAD_CANCELED ? "cancelled" : "lost");
    return 0;
}
