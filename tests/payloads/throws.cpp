// Exceptions through several frames, destructors, a rethrow, and an exit code.
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <vector>

struct Note {
    std::string name;
    ~Note() { std::printf("gone %s\n", name.c_str()); }
};

static int deep(int n) {
    Note note{"frame " + std::to_string(n)};
    if (n == 0) throw std::runtime_error("bottom");
    try {
        return deep(n - 1) + 1;
    } catch (const std::logic_error &) {
        return -1;
    }
}

int main(int argc, char **argv) {
    int n = argc > 1 ? std::atoi(argv[1]) : 3;
    try {
        std::printf("%d\n", deep(n));
    } catch (const std::exception &e) {
        std::printf("caught %s\n", e.what());
    }
    try {
        std::vector<int> v;
        v.at(3);
    } catch (const std::out_of_range &) {
        std::puts("range");
    }
    return 17;
}
