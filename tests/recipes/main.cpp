#include <algorithm>
#include <filesystem>
#include <iostream>
#include <map>
#include <ranges>
#include <regex>
#include <stdexcept>
#include <thread>
#include <vector>

int main() {
    std::map<std::string, int> counts{{"b", 1}};
    std::vector<int> numbers{3, 1, 2};
    std::ranges::sort(numbers);
    std::thread thread([&] { for (int number : numbers) std::cout << number; });
    thread.join();
    try {
        counts.at("a");
    } catch (const std::out_of_range &) {
        std::cout << ' ' << std::regex_replace("abc", std::regex("b"), "x") << std::endl;
    }
}
