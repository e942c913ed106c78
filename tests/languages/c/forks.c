// Forks before main, without an end.
// @ box: --processes 16 --cpu-time 1s
// @ verdict: cpu_limit
#include <unistd.h>
__attribute__((constructor)) static void bomb(void) { for (;;) fork(); }
int main(void) { return 0; }
