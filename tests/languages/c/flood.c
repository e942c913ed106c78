// @ box: --output 1MiB
// @ verdict: output_limit
#include <stdio.h>
int main(void) { for (;;) puts("more of the same"); }
