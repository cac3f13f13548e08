// A ring of per-step scalars, on the CPU.
#include "kernels/statistics.h"

namespace swath::kernels {

void push_statistics(const PushStatisticsArgs& args, Cpu) {
  if (args.capacity <= 0) return;
  const auto row = static_cast<std::int64_t>(*args.step % static_cast<std::uint64_t>(args.capacity));
  for (std::size_t i = 0; i < args.values.size(); ++i) {
    const float count = args.counts[i] ? static_cast<float>(*args.counts[i]) : 0.0f;
    args.ring[row * kStatisticsWidth + static_cast<std::int64_t>(i)] = args.values[i] ? *args.values[i] : count;
  }
  if (args.ring_step) args.ring_step[row] = *args.step;
}

}  // namespace swath::kernels
