// Threads that wait for the next run: to start one for each would cost as much as ten samples.
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "plan.hpp"

namespace qdllm {

namespace {

// Long enough to stay awake from a forward to its backward pass.
constexpr std::chrono::microseconds before_sleep{100};

// Wait for a condition, a little while, giving way to others.
template <class Condition>
void wait_awake(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + before_sleep;
    while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
}

struct Work {
    Body body;
    void *context;
    uint64_t count;
    uint32_t workers;

    void operator()(uint32_t worker) const {
        body(context, worker, count * worker / workers, count * (worker + 1) / workers);
    }
};

class Crew {
  public:
    std::mutex in_use;  // by the one call that it works for

    void run(const Work &given) {
        while (helpers_ + 1 < given.workers && hire()) {}
        const uint32_t helping = std::min(helpers_, given.workers - 1);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            work_ = given;
            left_ = helping;
            ++calls_;
        }
        called_.notify_all();
        given(0);
        for (uint32_t worker = helping + 1; worker < given.workers; ++worker) given(worker);
        wait_awake([&] { return left_ == 0; });
        std::unique_lock<std::mutex> lock(mutex_);
        done_.wait(lock, [&] { return left_ == 0; });
    }

  private:
    bool hire() {
        try {
            std::thread([this, worker = helpers_ + 1, seen = calls_.load()] { help(worker, seen); }).detach();
        } catch (const std::system_error &) {  // no more to be had: the caller does their part
            return false;
        }
        ++helpers_;
        return true;
    }

    void help(uint32_t worker, uint64_t seen) {
        for (;;) {
            wait_awake([&] { return calls_ != seen; });
            std::unique_lock<std::mutex> lock(mutex_);
            called_.wait(lock, [&] { return calls_ != seen; });
            seen = calls_;
            const Work work = work_;
            lock.unlock();
            if (worker >= work.workers) continue;
            work(worker);
            lock.lock();
            if (--left_ == 0) done_.notify_one();
        }
    }

    std::mutex mutex_;  // over what follows
    std::condition_variable called_, done_;
    std::atomic<uint64_t> calls_{0};
    std::atomic<uint32_t> left_{0};  // helpers still at work
    Work work_{};
    uint32_t helpers_ = 0;
};

// Never destroyed: its threads run until the process ends. A forked process has none of them, and starts anew.
Crew *crew = nullptr;

void start_crew() { crew = new Crew; }

}  // namespace

void parallel(uint64_t count, uint32_t workers, Body body, void *context) {
    static std::once_flag started;
    std::call_once(started, [] {
        start_crew();
        pthread_atfork(nullptr, nullptr, start_crew);
    });
    const Work work{body, context, count, workers};
    const std::unique_lock<std::mutex> lock(crew->in_use, std::try_to_lock);
    if (workers > 1 && lock) return crew->run(work);
    for (uint32_t worker = 0; worker < workers; ++worker) work(worker);
}

}  // namespace qdllm
