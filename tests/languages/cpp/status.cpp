#include <bits/stdc++.h>
using namespace std;
struct D { ~D() { cout << "static gone\n"; } } d;
int main() { atexit([] { puts("at exit"); fflush(stdout); }); D l; cout << "before\n"; exit(42); }
