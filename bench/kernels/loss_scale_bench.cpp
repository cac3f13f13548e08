#include "kernels/loss_scale.h"

#include <cstring>

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> loss_scale_benchmarks() {
  return {{"loss_scale",
           "gradients looked through for what is not finite",
           {elements_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t n = sizes["elements"];
             std::vector<std::uint8_t> state(sizeof(LossScaleState));
             const LossScaleState first;
             std::memcpy(state.data(), &first, sizeof first);
             const LossScaleArgs args{.parts = {{{.grad = arena.uniform(n), .n = n}}},
                                      .state = reinterpret_cast<LossScaleState*>(arena.put(state)),
                                      .counters = arena.output<std::uint32_t>(loss_scale_counters())};
             return arena.job([args](auto exec) { loss_scale(args, exec); });
           }}};
}

}  // namespace swath::bench
