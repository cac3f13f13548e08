#include "bench/measure.h"

#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "kernels/parallel.h"

namespace swath::bench {

namespace {

double seconds_on(Clock clock) {
  timespec now{};
  clock_gettime(clock == Clock::wall ? CLOCK_MONOTONIC : CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

class HostTimer : public Timer {
 public:
  explicit HostTimer(Clock clock) : clock_(clock) {}

  double time(const std::function<void()>& call, std::int64_t calls) override {
    const double start = seconds_on(clock_);
    for (std::int64_t i = 0; i < calls; ++i) call();
    return seconds_on(clock_) - start;
  }

  void flush() override {
    if (evictor_.empty()) evictor_.resize(evictor_bytes() / sizeof(std::uint64_t));
    kernels::parallel_chunks(static_cast<std::int64_t>(evictor_.size()), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) ++evictor_[static_cast<std::size_t>(i)];
    });
  }

 private:
  /// Twice the last-level cache, 64 MiB where the system does not tell its size.
  static std::size_t evictor_bytes() {
    const long cache = sysconf(_SC_LEVEL3_CACHE_SIZE);
    return cache > 0 ? 2 * static_cast<std::size_t>(cache) : std::size_t{64} << 20;
  }
  Clock clock_;
  std::vector<std::uint64_t> evictor_;
};

/// The largest k for which the k-th smallest and the k-th largest of n samples hold the median between them with 95 %
/// confidence; 0 when n is too small: then the interval is all that was seen.
std::int64_t interval_rank(std::int64_t n) {
  if (n > 200) return static_cast<std::int64_t>(std::floor((static_cast<double>(n) - 1.96 * std::sqrt(n)) / 2));
  double tail = 0;
  std::int64_t rank = 0;
  for (std::int64_t below = 0; below < n / 2; ++below) {
    const auto log_factorial = [](std::int64_t k) { return std::lgamma(static_cast<double>(k) + 1); };
    tail += std::exp(log_factorial(n) - log_factorial(below) - log_factorial(n - below) - static_cast<double>(n) * std::log(2));
    if (tail > 0.025) break;
    rank = below + 1;
  }
  return rank;
}

}  // namespace

std::unique_ptr<Timer> make_timer(Device& device, Clock clock) {
#if SWATH_WITH_CUDA
  if (device.is_cuda()) return make_cuda_timer(device);
#endif
  SWATH_CHECK(!device.is_cuda());
  return std::make_unique<HostTimer>(clock);
}

Times times_of(std::vector<double> seconds) {
  Times times;
  const std::size_t n = seconds.size();
  if (n == 0) return times;
  std::sort(seconds.begin(), seconds.end());
  times.samples = static_cast<std::int64_t>(n);
  times.median = (seconds[(n - 1) / 2] + seconds[n / 2]) / 2;
  const auto edge = static_cast<std::size_t>(std::max<std::int64_t>(interval_rank(times.samples), 1) - 1);
  times.low = seconds[edge];
  times.high = seconds[n - 1 - edge];
  times.noise = times.median > 0 ? 50 * (times.high - times.low) / times.median : 0;
  for (const double s : seconds) times.total += s;
  times.mean = times.total / static_cast<double>(n);
  double squares = 0;
  for (const double s : seconds) squares += (s - times.mean) * (s - times.mean);
  if (n > 1 && times.mean > 0) times.deviation = 100 * std::sqrt(squares / static_cast<double>(n - 1)) / times.mean;
  times.fastest = seconds.front();
  return times;
}

std::string seconds_text(double seconds) {
  if (seconds < 1e-6) return fmt::format("{:.1f} ns", seconds * 1e9);
  if (seconds < 1e-3) return fmt::format("{:.2f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3f} ms", seconds * 1e3);
  return fmt::format("{:.3f} s", seconds);
}

Times measure(Timer& timer, const Job& job, Mode mode, const Limits& limits) {
  constexpr double kBatchSeconds = 1e-3;
  timer.time(job.run, 1);
  std::int64_t batch = 1;
  if (mode == Mode::batched) {
    double seconds = timer.time(job.run, 1);
    while (seconds < kBatchSeconds && batch < 1 << 20) {
      batch =
          std::max(2 * batch, static_cast<std::int64_t>(kBatchSeconds / std::max(seconds, 1e-9) * static_cast<double>(batch)));
      batch = std::min<std::int64_t>(batch, 1 << 20);
      seconds = timer.time(job.run, batch);
    }
  }
  const double start = seconds_on(Clock::wall);
  std::vector<double> seconds;
  double total = 0;
  std::size_t looked = 0;
  while (true) {
    if (mode == Mode::cold) timer.flush();
    const double sample = timer.time(job.run, batch);
    total += sample;
    seconds.push_back(sample / static_cast<double>(batch));
    const bool timed_out = seconds_on(Clock::wall) - start > limits.timeout;
    const bool enough = static_cast<std::int64_t>(seconds.size()) >= limits.min_samples && total >= limits.min_time;
    // Sorting after every sample would take longer than the samples.
    if (!timed_out && (!enough || seconds.size() < looked + looked / 8)) continue;
    looked = seconds.size();
    Times times = times_of(seconds);
    if (!timed_out && times.noise > limits.max_noise) continue;
    times.total = total;
    times.batch = batch;
    times.timed_out = !enough || times.noise > limits.max_noise;
    return times;
  }
}

}  // namespace swath::bench
