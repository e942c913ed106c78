#include <bits/stdc++.h>
using namespace std;
int main() { atomic<long> n{0}; mutex m; condition_variable c; bool go = false; vector<thread> t; for (int i = 0; i < 8; i++) t.emplace_back([&, i] { unique_lock l(m); c.wait(l, [&] { return go; }); l.unlock(); for (int k = 0; k < 10000; k++) n += i; }); { lock_guard l(m); go = true; } c.notify_all(); for (auto &x : t) x.join(); auto f = async(launch::async, [] { return 42; }); promise<int> p; auto q = p.get_future(); jthread j([&] { p.set_value(7); }); cout << n << " " << f.get() << " " << q.get() << "\n"; }
