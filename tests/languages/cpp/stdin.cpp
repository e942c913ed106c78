#include <bits/stdc++.h>
using namespace std;
// @ stdin: megabytes
int main() { ios::sync_with_stdio(false); cin.tie(nullptr); string l; map<string, long> m; long t = 0; while (getline(cin, l)) { istringstream s(l); long n; string w; s >> n; t += n; while (s >> w); m[w]++; } cout << t; for (auto &[k, c] : m) cout << " " << k << ":" << c; cout << "\n"; }
