// iostream, maps, sorting, regular expressions, floating point.
#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <unordered_map>
#include <vector>

int main() {
    std::ios::sync_with_stdio(false);
    std::unordered_map<std::string, long> count;
    std::map<long, long> by_length;
    std::string word;
    while (std::cin >> word) { count[word]++; by_length[(long)word.size()]++; }
    std::vector<std::pair<long, std::string>> all;
    for (auto &[w, n] : count) all.push_back({-n, w});
    std::sort(all.begin(), all.end());
    for (size_t i = 0; i < all.size() && i < 1000; i++) std::cout << all[i].second << ' ' << -all[i].first << '\n';
    double sum = 0;
    for (auto &[l, n] : by_length) sum += l / 3.0 * n;
    std::cout << std::setprecision(12) << sum << std::endl;
    std::regex re("([0-9]+)-([a-z]+)");
    std::smatch m;
    std::string s = "x 42-abc y";
    if (std::regex_search(s, m, re)) std::cout << m[1] << m[2] << '\n';
    std::cerr << std::flush;
}
