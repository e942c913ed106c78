// Threads, a mutex, a condition variable, thread-local storage, and pthread_cancel, which needs libgcc_s.
#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <pthread.h>
#include <thread>
#include <unistd.h>
#include <vector>

static thread_local int own = 0;
static std::mutex lock;
static std::condition_variable ready;
static int turn = 0;

static void *forever(void *) {
    struct Cleanup { ~Cleanup() { std::puts("unwound"); std::fflush(stdout); } } c;
    for (;;) pause();
    return nullptr;
}

int main(int argc, char **argv) {
    int n = argc > 1 ? std::atoi(argv[1]) : 4;
    std::atomic<long> sum{0};
    std::vector<std::thread> all;
    for (int i = 0; i < n; i++)
        all.emplace_back([&, i] {
            for (int k = 0; k < 100000; k++) { own++; sum++; }
            std::unique_lock<std::mutex> l(lock);
            ready.wait(l, [&] { return turn == i; });
            std::printf("thread %d %d\n", i, own);
            turn++;
            ready.notify_all();
        });
    for (auto &t : all) t.join();
    std::printf("%ld\n", sum.load());
    pthread_t t;
    if (pthread_create(&t, nullptr, forever, nullptr)) return 3;
    usleep(20000);
    pthread_cancel(t);
    void *result = nullptr;
    pthread_join(t, &result);
    std::puts(result == PTHREAD_CANCELED ? "cancelled" : "not cancelled");
    return 4;
}
