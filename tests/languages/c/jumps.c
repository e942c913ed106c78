#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <signal.h>
static jmp_buf back; static sigjmp_buf sback;
static void on(int s) { siglongjmp(sback, s); }
int main(void) {
    int n = setjmp(back); printf("%d\n", n); if (n < 3) longjmp(back, n + 1);
    signal(SIGFPE, on); signal(SIGUSR1, on);
    int s = sigsetjmp(sback, 1); if (s == 0) raise(SIGUSR1); printf("signal %d\n", s == SIGUSR1);
    raise(SIGTERM); return 0;
}
