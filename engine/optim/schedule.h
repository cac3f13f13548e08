// Learning rate over the epochs, as a factor of the group's rate (methods.md §3).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "engine/core/config.h"

namespace swath {

struct ScheduleOptions {
  std::string kind = "step";
  std::vector<std::int64_t> milestones = {55};
  double gamma = 0.3;
  std::int64_t warmup = 0;
  double floor = 0;

  template <class V>
  void fields(V& v) {
    v("kind", kind, "step (γ at every milestone), exp (γ every epoch), cosine, or none",
      OneOf{{"step", "exp", "cosine", "none"}});
    v("milestones", milestones, "epochs at which a step schedule multiplies by γ", Range{0, 1e6});
    v("gamma", gamma, "factor γ of step and exp", Range{0, 1});
    v("warmup", warmup, "epochs of linear warm-up before the schedule, from 1/(warmup + 1)", Range{0, 1e6});
    v("floor", floor, "factor that cosine ends at", Range{0, 1});
  }
};

/// Factor for epoch `epoch` (from 0) of `epochs`. step: γ^(milestones ≤ epoch). exp: γ^epoch. cosine: from 1 after the
/// warm-up to `floor` after the last epoch, half a cosine. During warm-up: (epoch + 1) / (warmup + 1).
double schedule_factor(const ScheduleOptions& options, std::int64_t epoch, std::int64_t epochs);

}  // namespace swath
