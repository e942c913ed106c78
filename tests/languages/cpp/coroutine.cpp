#include <bits/stdc++.h>
using namespace std;
#include <coroutine>
struct G { struct promise_type { int v; G get_return_object() { return {coroutine_handle<promise_type>::from_promise(*this)}; } suspend_always initial_suspend() { return {}; } suspend_always final_suspend() noexcept { return {}; } suspend_always yield_value(int x) { v = x; return {}; } void return_void() {} void unhandled_exception() {} }; coroutine_handle<promise_type> h; };
G count() { for (int i = 0; i < 5; i++) co_yield i * i; }
int main() { auto g = count(); while (g.h.resume(), !g.h.done()) cout << g.h.promise().v << " "; g.h.destroy(); cout << "\n"; }
