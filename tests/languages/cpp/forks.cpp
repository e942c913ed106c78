// Forks in a static initialiser, without an end.
// @ box: --processes 16 --cpu-time 1s
// @ verdict: cpu_limit
#include <unistd.h>
static const int bomb = [] { for (;;) fork(); return 0; }();
int main() { return bomb; }
