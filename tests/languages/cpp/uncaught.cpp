#include <bits/stdc++.h>
using namespace std;
int main() { cout << "start" << endl; throw runtime_error("nobody"); }
