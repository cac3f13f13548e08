// Times of a job: samples until they are enough, and what they say about the median.
#pragma once
#include <memory>
#include <vector>

#include "bench/benchmark.h"

namespace swath::bench {

/// cold: a sample is one call, the caches are flushed before it. batched: a sample is calls back to back for a millisecond or
/// more, divided by their number; what fits into the caches stays there.
enum class Mode : std::uint8_t { cold, batched };
constexpr const char* name_of(Mode mode) { return mode == Mode::cold ? "cold" : "batched"; }

/// When there are enough samples: all of min_samples, min_time and max_noise are met, or the timeout has passed.
struct Limits {
  std::int64_t min_samples = 10;
  double min_time = 0.5;   // seconds of measured calls
  double max_noise = 1.0;  // per cent
  double timeout = 15;     // seconds on the clock
};

/// Seconds of one call. The median with an interval that holds the true median with at least 95 % confidence (order
/// statistics; no distribution is assumed). noise: half of the interval's width, in per cent of the median.
struct Times {
  std::int64_t samples = 0;
  double median = 0, low = 0, high = 0, noise = 0;
  double mean = 0, deviation = 0;  // relative standard deviation, in per cent
  double fastest = 0;
  double total = 0;        // seconds of all samples
  std::int64_t batch = 1;  // calls per sample
  bool timed_out = false;  // a limit was not met
};
Times times_of(std::vector<double> seconds);
/// "12.34 us"
std::string seconds_text(double seconds);

/// A clock for the work of one device.
class Timer {
 public:
  virtual ~Timer() = default;
  /// Seconds that `calls` calls of the job take.
  virtual double time(const std::function<void()>& call, std::int64_t calls) = 0;
  /// Evicts the caches. The work may still be queued when this returns; the next calls wait for it.
  virtual void flush() = 0;
};
/// What the CPU's timer reads. processor: the time that all threads of the process spent computing, waiting loops of OpenMP
/// among it; with one thread it is what a call costs on a busy machine.
enum class Clock : std::uint8_t { wall, processor };

/// The clock on the CPU, events on CUDA.
std::unique_ptr<Timer> make_timer(Device& device, Clock clock = Clock::wall);
#if SWATH_WITH_CUDA
std::unique_ptr<Timer> make_cuda_timer(Device& device);
#endif

/// Measures after one call that is not timed.
Times measure(Timer& timer, const Job& job, Mode mode, const Limits& limits);

}  // namespace swath::bench
