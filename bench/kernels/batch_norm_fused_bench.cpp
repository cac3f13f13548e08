#include "kernels/batch_norm_fused.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

NormInput term(Arena& arena, const Sizes& sizes) {
  const std::int64_t channels = sizes["channels"], elements = sizes["rows"] * channels;
  return {.term = {.x = arena.uniform(elements, sizes.dtype()),
                   .gamma = arena.uniform(channels),
                   .beta = nullptr,
                   .mean = arena.uniform(channels),
                   .spread = arena.uniform(channels, 0.5f, 2)},
          .sums = arena.uniform(2 * channels),
          .gradient = {.d_x = arena.output(elements, sizes.dtype()),
                       .d_gamma = arena.output<float>(channels),
                       .d_beta = arena.output<float>(channels)}};
}

BatchNormInputArgs input_args(Arena& arena, const Sizes& sizes) {
  return {.rows = sizes["rows"],
          .channels = sizes["channels"],
          .dtype = sizes.dtype(),
          .d_y = arena.uniform(sizes["rows"] * sizes["channels"], sizes.dtype()),
          .main = term(arena, sizes),
          .shortcut = {}};
}

Job input(Arena& arena, const Sizes& sizes) {
  const BatchNormInputArgs args = input_args(arena, sizes);
  return arena.job([args](auto exec) { batch_norm_input(args, exec); });
}

Job input_shortcut(Arena& arena, const Sizes& sizes) {
  BatchNormInputArgs args = input_args(arena, sizes);
  args.shortcut = term(arena, sizes);
  return arena.job([args](auto exec) { batch_norm_input(args, exec); });
}

}  // namespace

std::vector<Benchmark> batch_norm_fused_benchmarks() {
  return {{"batch_norm_fused.input", "gradient of what was normalised, from known sums", activation_axes(), input},
          {"batch_norm_fused.input_shortcut", "gradients of two normalised terms, from known sums", activation_axes(),
           input_shortcut}};
}

}  // namespace swath::bench
