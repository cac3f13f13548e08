#include "kernels/batch_norm.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

std::uint32_t* counters(Arena& arena, std::int64_t channels) {
  return arena.output<std::uint32_t>(batch_norm_counters(channels));
}

NormTerm term(Arena& arena, const Sizes& sizes) {
  const std::int64_t channels = sizes["channels"];
  return {.x = arena.uniform(sizes["rows"] * channels, sizes.dtype()),
          .gamma = arena.uniform(channels),
          .beta = arena.uniform(channels),
          .mean = arena.uniform(channels),
          .spread = arena.uniform(channels, 0.5f, 2)};
}

NormGradient gradient(Arena& arena, const Sizes& sizes) {
  const std::int64_t channels = sizes["channels"];
  return {.d_x = arena.output(sizes["rows"] * channels, sizes.dtype()),
          .d_gamma = arena.output<float>(channels),
          .d_beta = arena.output<float>(channels)};
}

Job statistics(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], channels = sizes["channels"];
  const BatchNormStatisticsArgs args{.rows = rows,
                                     .channels = channels,
                                     .dtype = sizes.dtype(),
                                     .x = arena.uniform(rows * channels, sizes.dtype()),
                                     .running_mean = arena.output<float>(channels),
                                     .running_var = arena.output<float>(channels),
                                     .mean = arena.output<float>(channels),
                                     .invstd = arena.output<float>(channels),
                                     .workspace = arena.workspace(batch_norm_workspace(rows, channels)),
                                     .counters = counters(arena, channels)};
  return arena.job([args](auto exec) { batch_norm_statistics(args, exec); });
}

BatchNormApplyArgs apply_args(Arena& arena, const Sizes& sizes) {
  return {.rows = sizes["rows"],
          .channels = sizes["channels"],
          .dtype = sizes.dtype(),
          .main = term(arena, sizes),
          .y = arena.output(sizes["rows"] * sizes["channels"], sizes.dtype()),
          .activation = Activation::relu};
}

Job apply(Arena& arena, const Sizes& sizes) {
  const BatchNormApplyArgs args = apply_args(arena, sizes);
  return arena.job([args](auto exec) { batch_norm_apply(args, exec); });
}

Job apply_residual(Arena& arena, const Sizes& sizes) {
  BatchNormApplyArgs args = apply_args(arena, sizes);
  args.residual = arena.uniform(args.rows * args.channels, args.dtype);
  args.mask = arena.output<std::uint8_t>(args.rows * (args.channels / 8));
  return arena.job([args](auto exec) { batch_norm_apply(args, exec); });
}

BatchNormBackwardArgs backward_args(Arena& arena, const Sizes& sizes) {
  return {.rows = sizes["rows"],
          .channels = sizes["channels"],
          .dtype = sizes.dtype(),
          .d_y = arena.uniform(sizes["rows"] * sizes["channels"], sizes.dtype()),
          .main = term(arena, sizes),
          .d_main = gradient(arena, sizes),
          .activation = Activation::relu,
          .workspace = arena.workspace(batch_norm_workspace(sizes["rows"], sizes["channels"])),
          .counters = counters(arena, sizes["channels"])};
}

Job backward(Arena& arena, const Sizes& sizes) {
  const BatchNormBackwardArgs args = backward_args(arena, sizes);
  return arena.job([args](auto exec) { batch_norm_backward(args, exec); });
}

/// Two incoming gradients, the mask as bits, a second normalised term.
Job backward_shortcut(Arena& arena, const Sizes& sizes) {
  BatchNormBackwardArgs args = backward_args(arena, sizes);
  const std::int64_t elements = args.rows * args.channels;
  args.d_y_second = arena.uniform(elements, args.dtype);
  args.mask = arena.output<std::uint8_t>(args.rows * (args.channels / 8));
  args.shortcut = term(arena, sizes);
  args.d_shortcut = gradient(arena, sizes);
  args.d_residual = arena.output(elements, args.dtype);
  return arena.job([args](auto exec) { batch_norm_backward(args, exec); });
}

}  // namespace

std::vector<Benchmark> batch_norm_benchmarks() {
  return {{"batch_norm.statistics", "statistics of a batch, the running ones with them", activation_axes(), statistics},
          {"batch_norm.apply", "normalisation with ReLU", activation_axes(), apply},
          {"batch_norm.apply_residual", "normalisation with residual, ReLU and its mask", activation_axes(), apply_residual},
          {"batch_norm.backward", "gradients of batch normalisation with ReLU", activation_axes(), backward},
          {"batch_norm.backward_shortcut", "gradients of two normalised terms with a common ReLU, from two gradients",
           activation_axes(), backward_shortcut}};
}

}  // namespace swath::bench
