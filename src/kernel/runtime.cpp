// Memory and threads: what all instruction sets share.
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <unordered_map>
#include <vector>

#include "plan.hpp"

namespace qdllm {

namespace {

constexpr uint64_t pool_limit = uint64_t(64) << 20;

struct Pool {
    std::mutex mutex;
    std::unordered_multimap<uint64_t, void *> unused;
    uint64_t bytes = 0;
};

Pool &pool() {
    static Pool *instance = new Pool;  // never destroyed: Python may drop a run after static destructors
    return *instance;
}

uint64_t rounded(uint64_t bytes) { return (bytes + 64) / 64 * 64; }

}  // namespace

void *take(uint64_t bytes) {
    bytes = rounded(bytes);
    {
        const std::lock_guard<std::mutex> lock(pool().mutex);
        const auto found = pool().unused.find(bytes);
        if (found != pool().unused.end()) {
            void *memory = found->second;
            pool().unused.erase(found);
            pool().bytes -= bytes;
            return memory;
        }
    }
    void *memory = std::aligned_alloc(64, bytes);
    if (!memory) throw std::bad_alloc();
    return memory;
}

void give(void *memory, uint64_t bytes) {
    bytes = rounded(bytes);
    const std::lock_guard<std::mutex> lock(pool().mutex);
    if (pool().bytes + bytes > pool_limit) {
        std::free(memory);
        return;
    }
    pool().unused.emplace(bytes, memory);
    pool().bytes += bytes;
}

void parallel(uint64_t count, uint32_t workers, Body body, void *context) {
    std::vector<std::thread> threads;
    for (uint32_t worker = 1; worker < workers; ++worker)
        threads.emplace_back(body, context, worker, count * worker / workers, count * (worker + 1) / workers);
    body(context, 0, 0, count / (workers ? workers : 1));
    for (std::thread &thread : threads) thread.join();
}

}  // namespace qdllm
