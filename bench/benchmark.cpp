#include "bench/benchmark.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/label_mask.h"
#include "kernels/parallel.h"
#include "kernels/philox.h"

namespace swath::bench {

namespace {

using kernels::philox;
using kernels::RandomStream;
using kernels::uniform01;
using kernels::uniform_below;

/// One array of a benchmark is at most 1 TiB: what is more is a slip of the pen.
void refuse_beyond(std::size_t bytes) {
  if (bytes > std::size_t{1} << 40)
    throw UserError("these sizes make an array of more than 1 TiB; give smaller values to --axis");
}

}  // namespace

Axis rows_axis(std::vector<std::int64_t> values, std::int64_t counted) {
  return {.name = "rows", .values = std::move(values), .counted = counted};
}
Axis cols_axis(std::vector<std::int64_t> values, std::int64_t counted) {
  return {.name = "cols", .values = std::move(values), .counted = counted, .high = 1 << 20};
}
Axis elements_axis() { return {.name = "elements", .values = {25'000'000}, .counted = 8192, .high = std::int64_t{1} << 31}; }
Axis bits_axis(std::int64_t counted) {
  return {.name = "bits", .values = {32}, .counted = counted, .low = 16, .high = 32, .only = {16, 32}};
}
std::vector<Axis> activation_axes() {
  return {
      rows_axis({100'352}, 16384), {.name = "channels", .values = {64, 256}, .counted = 64, .high = 1 << 16}, bits_axis(16)};
}

std::int64_t Sizes::operator[](std::string_view axis) const {
  for (const auto& [name, value] : sizes_)
    if (name == axis) return value;
  throw InternalError(fmt::format("the benchmark has no axis {}", axis));
}

DType Sizes::dtype() const { return (*this)["bits"] == 16 ? DType::bf16 : DType::f32; }

std::string Sizes::text() const {
  std::string joined;
  for (const auto& [name, value] : sizes_) joined += fmt::format("{}{}={}", joined.empty() ? "" : " ", name, value);
  return joined;
}

const Tensor& Arena::keep(Tensor tensor) {
  tensors_.push_back(std::move(tensor));
  return tensors_.back();
}

void* Arena::output_bytes(std::size_t bytes) {
  refuse_beyond(bytes);
  scratch_bytes_ += bytes;
  const auto words = static_cast<std::int64_t>(std::max<std::size_t>(1, (bytes + 3) / 4));
  return keep(Tensor::zeros(device_, {words}, DType::f32, Tag::workspace)).raw();
}

std::vector<float> Arena::uniform_values(std::int64_t count, float low, float high) {
  refuse_beyond(static_cast<std::size_t>(count) * sizeof(float));
  std::vector<float> values(static_cast<std::size_t>(count));
  const std::uint64_t seed = ++seed_;
  kernels::parallel_chunks(count, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; i += 4) {
      const kernels::Philox4 draw = philox(seed, 0, RandomStream::scenes, static_cast<std::uint64_t>(i));
      for (std::int64_t k = i; k < std::min(i + 4, end); ++k)
        values[static_cast<std::size_t>(k)] = low + (high - low) * uniform01(draw.v[k - i]);
    }
  });
  return values;
}

float* Arena::uniform(std::int64_t count, float low, float high) { return put(uniform_values(count, low, high)); }

void* Arena::uniform(std::int64_t count, DType type) {
  const std::vector<float> values = uniform_values(count, -1, 1);
  if (type == DType::f32) return put(values);
  std::vector<kernels::bf16> narrow(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(), kernels::from_float<kernels::bf16>);
  return put(narrow);
}

float* Arena::unit_rows(std::int64_t rows, std::int64_t cols) { return unit_parts(rows, {cols}); }

float* Arena::unit_parts(std::int64_t rows, const std::vector<std::int64_t>& widths) {
  const std::int64_t cols = std::accumulate(widths.begin(), widths.end(), std::int64_t{0});
  // Sums of four uniform numbers are close enough to normal ones for directions without a preferred axis.
  std::vector<float> values = uniform_values(rows * cols, -1, 1);
  for (int more = 0; more < 3; ++more) {
    const std::vector<float> added = uniform_values(rows * cols, -1, 1);
    std::transform(values.begin(), values.end(), added.begin(), values.begin(), std::plus<>());
  }
  kernels::parallel_for(rows, [&](std::int64_t r) {
    float* part = values.data() + r * cols;
    for (const std::int64_t width : widths) {
      double squares = 0;
      for (std::int64_t k = 0; k < width; ++k) squares += static_cast<double>(part[k]) * static_cast<double>(part[k]);
      const float factor = static_cast<float>(1 / std::sqrt(std::max(squares, 1e-30)));
      for (std::int64_t k = 0; k < width; ++k) part[k] *= factor;
      part += width;
    }
  });
  return put(values);
}

std::int32_t* Arena::integers(std::int64_t count, std::int64_t below) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  const std::uint64_t seed = ++seed_;
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::int32_t>(
        uniform_below(philox(seed, 0, RandomStream::scenes, i).v[0], static_cast<std::uint32_t>(below)));
  return put(values);
}

std::int32_t* Arena::row_classes(std::int64_t rows, std::int64_t rows_per_class) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(rows));
  for (std::size_t i = 0; i < values.size(); ++i)
    values[i] = static_cast<std::int32_t>(i / static_cast<std::size_t>(rows_per_class));
  return put(values);
}

std::uint64_t* Arena::label_masks(std::int64_t rows, std::int64_t classes, std::int64_t mean) {
  const std::int64_t words = kernels::label_words(classes);
  std::vector<std::uint64_t> masks(static_cast<std::size_t>(rows * words));
  const std::uint64_t seed = ++seed_;
  kernels::parallel_for(rows, [&](std::int64_t r) {
    const auto draw = [&](std::uint32_t which, std::int64_t below) {
      const auto bits = philox(seed, 0, RandomStream::scenes, static_cast<std::uint64_t>(r), which).v[0];
      return static_cast<std::int64_t>(uniform_below(bits, static_cast<std::uint32_t>(below)));
    };
    const std::int64_t wanted = std::min(classes, 1 + draw(0, 2 * mean - 1));
    std::uint32_t which = 1;
    for (std::int64_t found = 0; found < wanted;) {
      const std::int64_t c = draw(which++, classes);
      std::uint64_t& word = masks[static_cast<std::size_t>(r * words + c / 64)];
      found += (word >> (c % 64) & 1) ? 0 : 1;
      word |= std::uint64_t{1} << (c % 64);
    }
  });
  return put(masks);
}

}  // namespace swath::bench
