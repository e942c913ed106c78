#include <bits/stdc++.h>
using namespace std;
// @ box: --stack 8MiB
int down(int n) { volatile char p[512]; p[0] = n; return down(n + 1) + p[0]; }
int main() { cout << "start" << endl; return down(0); }
