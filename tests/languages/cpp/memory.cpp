#include <bits/stdc++.h>
using namespace std;
// @ box: --memory 64MiB
// @ verdict: memory_limit
int main() { vector<string> v; for (;;) v.emplace_back(1 << 20, char(v.size())); }
