#include <bits/stdc++.h>
using namespace std;
struct M : runtime_error { using runtime_error::runtime_error; };
int main() { try { try { vector<int>().at(3); } catch (out_of_range &) { throw_with_nested(M("outer")); } } catch (M &e) { cout << e.what(); try { rethrow_if_nested(e); } catch (exception &i) { cout << " nested\n"; } } try { stoi("x"); } catch (invalid_argument &e) { cout << e.what() << "\n"; } try { any a = 1; any_cast<string>(a); } catch (bad_any_cast &) { cout << "cast\n"; } try { new int[1UL << 60]; } catch (bad_alloc &) { cout << "alloc\n"; } }
