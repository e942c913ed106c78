#include <bits/stdc++.h>
using namespace std;
long f(int n) { return n < 2 ? n : f(n - 1) + f(n - 2); }
int main() { cout << f(27) << "\n"; function<int(int)> g = [&](int n) { return n ? 1 + g(n - 1) : 0; }; cout << g(20000) << "\n"; }
