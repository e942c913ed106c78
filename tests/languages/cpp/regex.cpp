#include <bits/stdc++.h>
using namespace std;
int main() { string s = "on 2024-02-29 and 1999-12-31"; regex r(R"((\d{4})-(\d\d)-(\d\d))"); for (sregex_iterator i(s.begin(), s.end(), r), e; i != e; ++i) cout << (*i)[1] << "/" << (*i)[3] << " "; cout << regex_replace(s, regex("[0-9]+"), "#") << "\n"; }
