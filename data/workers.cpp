#include "data/workers.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace swath {

int worker_count(int workers) {
  return workers > 0 ? workers : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

namespace {

struct Crew {
  std::atomic<std::int64_t> next{0}, done{0};
  std::atomic<bool> stop{false};
  std::mutex mutex;
  std::condition_variable left;
  int running = 0;
  std::exception_ptr error;

  void fail(std::exception_ptr e) {
    stop = true;
    const std::lock_guard lock(mutex);
    if (!error) error = std::move(e);
  }

  void work(std::int64_t n, int worker, const std::function<void(std::int64_t, int)>& body) {
    try {
      for (std::int64_t i; !stop && (i = next.fetch_add(1)) < n;) {
        body(i, worker);
        done.fetch_add(1);
      }
    } catch (...) {
      fail(std::current_exception());
    }
    const std::lock_guard lock(mutex);
    --running;
    left.notify_all();
  }
};

}  // namespace

void run_workers(std::int64_t n, const WorkersOptions& options, const std::function<void(std::int64_t, int)>& body) {
  Crew crew;
  const int workers = static_cast<int>(std::min<std::int64_t>(worker_count(options.workers), std::max<std::int64_t>(n, 1)));
  crew.running = workers;
  std::vector<std::jthread> threads;
  threads.reserve(static_cast<std::size_t>(workers));
  for (int w = 0; w < workers; ++w) threads.emplace_back([&, w] { crew.work(n, w, body); });
  std::unique_lock lock(crew.mutex);
  for (bool working = true; working;) {
    // wait_until on the system clock: the thread sanitizer of GCC 12 does not know pthread_cond_clockwait.
    crew.left.wait_until(lock, std::chrono::system_clock::now() + std::chrono::milliseconds(options.interval_ms),
                         [&] { return crew.running == 0; });
    working = crew.running > 0;  // the last tick comes after the last item
    if (!options.tick || crew.stop) continue;
    lock.unlock();
    try {
      options.tick(crew.done);
    } catch (...) {
      crew.fail(std::current_exception());
    }
    lock.lock();
  }
  lock.unlock();
  threads.clear();
  if (crew.error) std::rethrow_exception(crew.error);
}

}  // namespace swath
