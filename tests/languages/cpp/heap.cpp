#include <bits/stdc++.h>
using namespace std;
int main() { vector<vector<int>> v(2000, vector<int>(10000, 1)); unordered_map<int, string> m; for (int i = 0; i < 200000; i++) m[i] = to_string(i); cout << v.size() * v[0].size() << " " << m.size() << " " << accumulate(v[7].begin(), v[7].end(), 0L) << "\n"; }
