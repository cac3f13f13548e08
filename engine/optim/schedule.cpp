#include "engine/optim/schedule.h"

#include <algorithm>
#include <cmath>

namespace swath {

double schedule_factor(const ScheduleOptions& options, std::int64_t epoch, std::int64_t epochs) {
  if (epoch < options.warmup) return static_cast<double>(epoch + 1) / static_cast<double>(options.warmup + 1);
  if (options.kind == "step") {
    const auto passed =
        std::count_if(options.milestones.begin(), options.milestones.end(), [epoch](std::int64_t m) { return m <= epoch; });
    return std::pow(options.gamma, static_cast<double>(passed));
  }
  if (options.kind == "exp") return std::pow(options.gamma, static_cast<double>(epoch));
  if (options.kind == "cosine") {
    const double length = static_cast<double>(std::max<std::int64_t>(1, epochs - options.warmup));
    const double share = std::min(1.0, static_cast<double>(epoch - options.warmup) / length);
    return options.floor + (1 - options.floor) * 0.5 * (1 + std::cos(M_PI * share));
  }
  return 1;
}

}  // namespace swath
