#include <iostream>
#include <stdexcept>
#include <thread>
int main()
{
    int caught = 0;
    std::thread thread([&] {
        try { throw std::runtime_error("x"); } catch (const std::exception &) { caught = 1; }
    });
    thread.join();
    std::cout << "caught " << caught << std::endl;
}
