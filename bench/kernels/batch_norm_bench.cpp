#include "kernels/batch_norm.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// Rows are the pixels of a batch: 32 images of 56 × 56.
std::vector<Axis> activation_axes() {
  return {rows_axis({100'352}, 4096), {.name = "channels", .values = {64, 256}, .counted = 64, .high = 1 << 16}, bits_axis()};
}

double bytes_of(const Sizes& sizes, int passes) {
  return static_cast<double>(passes) * static_cast<double>(sizes["rows"] * sizes["channels"] * sizes["bits"] / 8);
}

Job training(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], channels = sizes["channels"];
  BatchNormTrainingArgs args{.rows = rows,
                             .channels = channels,
                             .dtype = sizes.dtype(),
                             .x = arena.uniform(rows * channels, sizes.dtype()),
                             .gamma = arena.uniform(channels),
                             .beta = arena.uniform(channels),
                             .running_mean = arena.output<float>(channels),
                             .running_var = arena.output<float>(channels),
                             .saved_mean = arena.output<float>(channels),
                             .saved_invstd = arena.output<float>(channels),
                             .y = arena.output(rows * channels, sizes.dtype()),
                             .activation = Activation::relu};
  args.workspace = arena.workspace(batch_norm_training_workspace(args));
  return arena.job(streaming(bytes_of(sizes, 3), 6 * static_cast<double>(rows * channels)),
                   [args](auto exec) { batch_norm_training(args, exec); });
}

Job inference(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], channels = sizes["channels"];
  const BatchNormInferenceArgs args{.rows = rows,
                                    .channels = channels,
                                    .dtype = sizes.dtype(),
                                    .x = arena.uniform(rows * channels, sizes.dtype()),
                                    .residual = arena.uniform(rows * channels, sizes.dtype()),
                                    .gamma = arena.uniform(channels),
                                    .beta = arena.uniform(channels),
                                    .running_mean = arena.uniform(channels),
                                    .running_var = arena.uniform(channels, 0.5f, 2),
                                    .y = arena.output(rows * channels, sizes.dtype()),
                                    .activation = Activation::relu};
  return arena.job(streaming(bytes_of(sizes, 3), 4 * static_cast<double>(rows * channels)),
                   [args](auto exec) { batch_norm_inference(args, exec); });
}

Job backward(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], channels = sizes["channels"];
  BatchNormBackwardArgs args{.rows = rows,
                             .channels = channels,
                             .dtype = sizes.dtype(),
                             .d_y = arena.uniform(rows * channels, sizes.dtype()),
                             .x = arena.uniform(rows * channels, sizes.dtype()),
                             .gamma = arena.uniform(channels),
                             .beta = arena.uniform(channels),
                             .saved_mean = arena.uniform(channels),
                             .saved_invstd = arena.uniform(channels, 0.5f, 2),
                             .d_x = arena.output(rows * channels, sizes.dtype()),
                             .d_gamma = arena.output<float>(channels),
                             .d_beta = arena.output<float>(channels),
                             .activation = Activation::relu};
  args.workspace = arena.workspace(batch_norm_backward_workspace(args));
  return arena.job(streaming(bytes_of(sizes, 5), 12 * static_cast<double>(rows * channels)),
                   [args](auto exec) { batch_norm_backward(args, exec); });
}

}  // namespace

std::vector<Benchmark> batch_norm_benchmarks() {
  return {{"batch_norm.training", "batch normalisation with ReLU and running statistics", activation_axes(), training},
          {"batch_norm.inference", "batch normalisation with residual and ReLU", activation_axes(), inference},
          {"batch_norm.backward", "gradients of batch normalisation with ReLU", activation_axes(), backward}};
}

}  // namespace swath::bench
