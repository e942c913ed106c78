#include <bits/stdc++.h>
using namespace std;
int main() { cout.imbue(locale::classic()); cout << locale().name() << " " << fixed << setprecision(2) << 1234567.891 << "\n"; u32string u = U"aé☺🙂"; string s = "aé☺🙂"; cout << u.size() << " " << s.size() << " " << s << "\n"; wstring_convert<codecvt_utf8<char32_t>, char32_t> c; cout << c.to_bytes(u) << " " << (c.from_bytes(s) == u) << "\n"; try { locale("xx_YY"); } catch (exception &e) { cout << "no locale\n"; } }
