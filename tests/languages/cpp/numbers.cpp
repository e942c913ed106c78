#include <bits/stdc++.h>
using namespace std;
int main() { __int128 f = 1; for (int i = 1; i < 30; i++) f *= i; string s; while (f) { s += char(48 + int(f % 10)); f /= 10; } reverse(s.begin(), s.end()); cout << s << "\n"; for (double x : {0.1, 1.0 / 3, 5e-324, 1e22, -0.0, numeric_limits<double>::infinity()}) cout << setprecision(17) << x << " " << hexfloat << x << defaultfloat << " " << scientific << setprecision(3) << x << defaultfloat << "\n"; mt19937_64 g(42); cout << g() << " " << uniform_int_distribution<>(1, 6)(g) << " " << sin(1e22) << "\n"; }
