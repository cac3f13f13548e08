#include "kernels/elementwise.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

namespace {

Job add_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t n = sizes["elements"];
  const DType type = sizes.dtype();
  const AddArgs args{
      .n = n, .dtype = type, .a = arena.uniform(n, type), .b = arena.uniform(n, type), .out = arena.output(n, type)};
  return arena.job([args](auto exec) { add(args, exec); });
}

Job relu_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t n = sizes["elements"];
  const ReluArgs args{
      .n = n, .dtype = sizes.dtype(), .x = arena.uniform(n, sizes.dtype()), .y = arena.output(n, sizes.dtype())};
  return arena.job([args](auto exec) { relu(args, exec); });
}

Job relu_backward_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t n = sizes["elements"];
  const DType type = sizes.dtype();
  const ReluBackwardArgs args{
      .n = n, .dtype = type, .d_y = arena.uniform(n, type), .y = arena.uniform(n, type), .d_x = arena.output(n, type)};
  return arena.job([args](auto exec) { relu_backward(args, exec); });
}

Job scale_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t n = sizes["elements"];
  const ScaleArgs args{.n = n,
                       .dtype = sizes.dtype(),
                       .x = arena.uniform(n, sizes.dtype()),
                       .out = arena.output(n, sizes.dtype()),
                       .factor = 0.5f};
  return arena.job([args](auto exec) { scale(args, exec); });
}

Job cast_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t n = sizes["elements"];
  const CastArgs args{
      .n = n, .from = DType::f32, .to = DType::bf16, .x = arena.uniform(n), .out = arena.output(n, DType::bf16)};
  return arena.job([args](auto exec) { cast(args, exec); });
}

Job fill_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t n = sizes["elements"];
  const FillArgs args{.n = n, .dtype = sizes.dtype(), .out = arena.output(n, sizes.dtype()), .value = 1};
  return arena.job([args](auto exec) { fill(args, exec); });
}

Job column_sums_job(Arena& arena, const Sizes& sizes) {
  const std::int64_t rows = sizes["rows"], cols = sizes["cols"];
  const ColumnSumsArgs args{.rows = rows,
                            .columns = cols,
                            .dtype = sizes.dtype(),
                            .x = arena.uniform(rows * cols, sizes.dtype()),
                            .sums = arena.output<float>(cols)};
  return arena.job([args](auto exec) { column_sums(args, exec); });
}

}  // namespace

std::vector<Benchmark> elementwise_benchmarks() {
  return {{"elementwise.add", "sum of two arrays", {elements_axis(), bits_axis()}, add_job},
          {"elementwise.relu", "max(x, 0)", {elements_axis(), bits_axis()}, relu_job},
          {"elementwise.relu_backward", "gradient of max(x, 0)", {elements_axis(), bits_axis()}, relu_backward_job},
          {"elementwise.scale", "an array times a number", {elements_axis(), bits_axis()}, scale_job},
          {"elementwise.cast", "f32 to bf16", {elements_axis()}, cast_job},
          {"elementwise.fill", "one value everywhere", {elements_axis(), bits_axis()}, fill_job},
          {"elementwise.column_sums",
           "sums over the rows",
           {rows_axis({2048}, 128), cols_axis({512}, 128), bits_axis()},
           column_sums_job}};
}

}  // namespace swath::bench
