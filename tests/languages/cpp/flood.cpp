// @ box: --output 1MiB
// @ verdict: output_limit
#include <iostream>
int main() { for (;;) std::cerr << "more of the same\n"; }
