#include "bench/peaks.h"

#include <algorithm>
#include <chrono>
#include <fstream>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace swath::bench {

namespace {

using Clock = std::chrono::steady_clock;

/// The fastest of several runs, in seconds.
template <class F>
double fastest(int runs, const F& f) {
  double best = 1e30;
  for (int i = 0; i < runs; ++i) {
    const auto start = Clock::now();
    f();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

double triad_bandwidth() {
  constexpr std::int64_t n = 16 << 20;
  std::vector<float> a(n), b(n, 1.0f), c(n, 2.0f);
  float *to = a.data(), *x = b.data(), *y = c.data();
  const double seconds = fastest(10, [&] {
#pragma omp parallel for schedule(static)
    for (std::int64_t i = 0; i < n; ++i) to[i] = x[i] + 3.0f * y[i];
  });
  return 3.0 * n * sizeof(float) / seconds;
}

#if defined(__AVX512F__)
constexpr int kLanes = 16, kChains = 16;
#elif defined(__AVX2__)
constexpr int kLanes = 8, kChains = 12;
#else
constexpr int kLanes = 4, kChains = 12;
#endif
typedef float Lanes __attribute__((vector_size(kLanes * sizeof(float))));

/// Chains of multiply-adds that do not wait for each other; the sum keeps them alive.
float multiply_add(std::int64_t rounds) {
  Lanes chain[kChains];
  for (int k = 0; k < kChains; ++k) chain[k] = Lanes{} + static_cast<float>(k);
  const Lanes factor = Lanes{} + 0.999f, term = Lanes{} + 0.001f;
  for (std::int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int k = 0; k < kChains; ++k) chain[k] = chain[k] * factor + term;
  }
  float sum = 0;
  for (const Lanes& lanes : chain) sum += lanes[0];
  return sum;
}

double multiply_add_flops() {
  constexpr std::int64_t rounds = 4 << 20;
  volatile float sink = 0;
  const double seconds = fastest(5, [&] {
#pragma omp parallel
    {
      const float sum = multiply_add(rounds);
#pragma omp critical
      sink = sink + sum;
    }
  });
  return 2.0 * rounds * kLanes * kChains * cpu_threads() / seconds;
}

}  // namespace

int cpu_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

Peaks peaks_of(Device& device) {
#if SWATH_WITH_CUDA
  if (device.is_cuda()) return cuda_peaks(device);
#endif
  SWATH_CHECK(!device.is_cuda());
  return {.bandwidth = triad_bandwidth(),
          .flops = multiply_add_flops(),
          .bandwidth_source = "measured by a triad",
          .flops_source = "measured by fused multiply-adds"};
}

std::string device_title(Device& device) {
#if SWATH_WITH_CUDA
  if (device.is_cuda()) return cuda_device_title(device);
#endif
  SWATH_CHECK(!device.is_cuda());
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return device.name();
}

}  // namespace swath::bench
