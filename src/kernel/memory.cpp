// Memory, whatever the instruction set.
#include <pthread.h>

#include <cstdlib>
#include <mutex>
#include <new>
#include <unordered_map>

#include "plan.hpp"

namespace qdllm {

namespace {

#ifdef QDLLM_SANITIZE
constexpr uint64_t pool_limit = 0;  // memory given back is not to be touched
#else
constexpr uint64_t pool_limit = uint64_t(64) << 20;
#endif

struct Pool {
    std::mutex mutex;
    std::unordered_multimap<uint64_t, void *> unused;
    uint64_t bytes = 0;
};

// Never destroyed: Python may drop a run after static destructors. A process forked while another thread is here gets
// its copy when that one is done.
Pool &pool() {
    static Pool *const instance = [] {
        pthread_atfork([] { pool().mutex.lock(); }, [] { pool().mutex.unlock(); }, [] { pool().mutex.unlock(); });
        return new Pool;
    }();
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

}  // namespace qdllm
