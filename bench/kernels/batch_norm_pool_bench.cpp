#include "kernels/batch_norm_pool.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// Counted in the type that the kernels' cells are made for.
std::vector<Axis> image_axes() {
  return {{.name = "images", .values = {32}, .counted = 2, .high = 1 << 16},
          {.name = "size", .values = {112}, .counted = 32, .high = 1 << 12},
          {.name = "channels", .values = {64}, .counted = 64, .high = 1 << 16},
          bits_axis(16)};
}

struct Problem {
  PoolGeometry geometry;
  NormTerm main;
  std::int64_t in, out;  // elements
};

Problem problem(Arena& arena, const Sizes& sizes) {
  const std::int64_t channels = sizes["channels"];
  const PoolGeometry g{.n = sizes["images"], .height = sizes["size"], .width = sizes["size"], .channels = channels};
  const std::int64_t in = g.rows() * channels, out = g.n * g.out_height() * g.out_width() * channels;
  return {g,
          {.x = arena.uniform(in, sizes.dtype()),
           .gamma = arena.uniform(channels),
           .beta = arena.uniform(channels),
           .mean = arena.uniform(channels),
           .spread = arena.uniform(channels, 0.5f, 2)},
          in,
          out};
}

BatchNormPoolArgs forward_args(const Problem& p, Arena& arena, const Sizes& sizes) {
  return {.geometry = p.geometry, .dtype = sizes.dtype(), .main = p.main, .index = arena.output<std::uint8_t>(p.out)};
}

Job forward(Arena& arena, const Sizes& sizes) {
  const Problem p = problem(arena, sizes);
  BatchNormPoolArgs args = forward_args(p, arena, sizes);
  args.y = arena.output(p.out, sizes.dtype());
  return arena.job([args](auto exec) { batch_norm_pool(args, exec); });
}

/// For readers that normalise: the winners are stored as they were.
Job winners(Arena& arena, const Sizes& sizes) {
  const Problem p = problem(arena, sizes);
  BatchNormPoolArgs args = forward_args(p, arena, sizes);
  args.winner = arena.output(p.out, sizes.dtype());
  return arena.job([args](auto exec) { batch_norm_pool(args, exec); });
}

BatchNormPoolBackwardArgs backward_args(Arena& arena, const Sizes& sizes) {
  const Problem p = problem(arena, sizes);
  const std::int64_t channels = p.geometry.channels;
  return {.geometry = p.geometry,
          .dtype = sizes.dtype(),
          .d_y = arena.uniform(p.out, sizes.dtype()),
          .index = arena.output<std::uint8_t>(p.out),
          .main = p.main,
          .d_main = {.d_x = arena.output(p.in, sizes.dtype()),
                     .d_gamma = arena.output<float>(channels),
                     .d_beta = arena.output<float>(channels)},
          .workspace = arena.workspace(batch_norm_pool_workspace(p.geometry)),
          .counters = arena.output<std::uint32_t>(batch_norm_counters(channels))};
}

Job backward(Arena& arena, const Sizes& sizes) {
  const BatchNormPoolBackwardArgs args = backward_args(arena, sizes);
  return arena.job([args](auto exec) { batch_norm_pool_backward(args, exec); });
}

/// From sums that are known.
Job backward_input(Arena& arena, const Sizes& sizes) {
  BatchNormPoolBackwardArgs args = backward_args(arena, sizes);
  args.sums = arena.uniform(2 * sizes["channels"]);
  return arena.job([args](auto exec) { batch_norm_pool_backward(args, exec); });
}

}  // namespace

std::vector<Benchmark> batch_norm_pool_benchmarks() {
  return {{"batch_norm_pool.forward", "normalisation, ReLU and max pooling 3 x 3, stride 2", image_axes(), forward},
          {"batch_norm_pool.winners", "the same for readers that normalise", image_axes(), winners},
          {"batch_norm_pool.backward", "its gradients", image_axes(), backward},
          {"batch_norm_pool.backward_input", "its gradients from known sums", image_axes(), backward_input}};
}

}  // namespace swath::bench
