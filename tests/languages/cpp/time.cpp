#include <bits/stdc++.h>
using namespace std;
#include <chrono>
int main() { using namespace chrono; auto a = steady_clock::now(); this_thread::sleep_for(3ms); cout << (steady_clock::now() - a >= 3ms) << " " << duration_cast<hours>(sys_days{2024y / 3 / 1} - sys_days{2024y / 2 / 1}).count() << "\n"; time_t t = 1709208000; cout << put_time(gmtime(&t), "%c") << " " << put_time(localtime(&t), "%F %T %Z") << "\n"; }
