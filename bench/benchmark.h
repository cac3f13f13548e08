// What `swath bench` and the test of the simulator's counts measure: a kernel, or several that belong together, at any shape
// on any device. One list (bench/registry.cpp), one file per kernel file (bench/kernels/).
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/core/tensor.h"
#include "engine/device/device.h"

namespace swath::bench {

/// A size that a benchmark can be asked to take.
struct Axis {
  std::string name;
  std::vector<std::int64_t> values;  // measured unless others are asked for
  std::int64_t counted = 0;          // the value at which the simulator counts
  std::int64_t low = 1;
  std::int64_t high = 1 << 24;
  std::vector<std::int64_t> only{};  // the values allowed; empty: all from low to high
};

Axis rows_axis(std::vector<std::int64_t> values = {112, 512, 2048}, std::int64_t counted = 96);
Axis cols_axis(std::vector<std::int64_t> values = {128, 512}, std::int64_t counted = 128);
Axis elements_axis();
/// Bits of an element: 16 (bf16) or 32 (f32).
Axis bits_axis(std::int64_t counted = 32);
/// Of activations: rows are the pixels of a batch, 32 images of 56 × 56. Counted in the type that batch norm's cells are made
/// for.
std::vector<Axis> activation_axes();

/// A value for every axis.
class Sizes {
 public:
  void set(const std::string& axis, std::int64_t value) { sizes_.emplace_back(axis, value); }
  std::int64_t operator[](std::string_view axis) const;
  /// The element type of the axis "bits".
  DType dtype() const;
  /// "rows=112 cols=512"
  std::string text() const;
  const std::vector<std::pair<std::string, std::int64_t>>& sizes() const { return sizes_; }

 private:
  std::vector<std::pair<std::string, std::int64_t>> sizes_;
};

/// The work of one call: what the kernel states in a dry run (kernels/dry_run.h).
struct Cost {
  double bytes = 0;    // read from and written to memory, once for each pass over an array
  double flops = 0;    // additions and multiplications
  double sectors = 0;  // 32-byte sectors that the CUDA code asks for by its tiling, the cache's hits among them; 0: not stated
};

/// The sum of what the kernels state that `work` calls, work(executor).
template <class F>
Cost stated_cost(const F& work) {
  struct Sum final : kernels::Ledger {
    Cost cost;
    void record(const char*, const std::string&, const kernels::Cost& one) override {
      cost.bytes += one.bytes();
      cost.flops += one.flops;
      cost.sectors += one.sectors;
    }
  } sum;
  work(kernels::DryRun{&sum});
  return sum.cost;
}

/// A call with its inputs in place.
struct Job {
  Cost cost;
  std::function<void()> run;
};

/// Owns the arrays of one job on its device. Contents are fixed: the same numbers on every device and in every run.
class Arena {
 public:
  explicit Arena(Device& device) : device_(device) {}
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  Device& device() const { return device_; }
  /// Bytes of outputs and workspaces, what a call needs beside its inputs.
  std::size_t scratch_bytes() const { return scratch_bytes_; }

  template <class T>
  T* put(const std::vector<T>& values) {
    return keep(Tensor::from_host(device_, {size_of(values)}, values, Tag::input)).template data<T>();
  }
  template <class T>
  T* put_one(T value) {
    return put(std::vector<T>{value});
  }
  /// Uniform in [low, high).
  float* uniform(std::int64_t count, float low = -1, float high = 1);
  /// The same as elements of `type`, f32 or bf16.
  void* uniform(std::int64_t count, DType type);
  /// Rows of length 1, in random directions.
  float* unit_rows(std::int64_t rows, std::int64_t cols);
  /// Rows of several parts side by side, each of length 1.
  float* unit_parts(std::int64_t rows, const std::vector<std::int64_t>& widths);
  /// Integers in [0, below).
  std::int32_t* integers(std::int64_t count, std::int64_t below);
  /// Rows of classes 0, 1, …, in order and equally many of each, as pair rows have them.
  std::int32_t* row_classes(std::int64_t rows, std::int64_t rows_per_class = 2);
  /// Multi-hot rows as bit masks (kernels/label_mask.h): 1 to 2 · mean − 1 distinct classes a row.
  std::uint64_t* label_masks(std::int64_t rows, std::int64_t classes, std::int64_t mean = 3);

  /// Outputs and workspaces; zero at first.
  template <class T>
  T* output(std::int64_t count) {
    return static_cast<T*>(output_bytes(static_cast<std::size_t>(count) * sizeof(T)));
  }
  void* output(std::int64_t count, DType type) {
    return output_bytes(static_cast<std::size_t>(count) * kernels::size_of(type));
  }
  void* workspace(std::size_t bytes) { return output_bytes(bytes); }

  /// A job that calls f(executor) on the device, at the cost that its kernels state.
  template <class F>
  Job job(F f) {
    return {stated_cost(f), [device = &device_, f] { device->run(f); }};
  }

 private:
  template <class T>
  static std::int64_t size_of(const std::vector<T>& values) {
    return static_cast<std::int64_t>(values.size());
  }
  const Tensor& keep(Tensor tensor);
  void* output_bytes(std::size_t bytes);
  std::vector<float> uniform_values(std::int64_t count, float low, float high);

  Device& device_;
  std::vector<Tensor> tensors_;
  std::size_t scratch_bytes_ = 0;
  std::uint64_t seed_ = 0;
};

struct Benchmark {
  std::string name;  // the kernel's file, with .<function> where the file holds several
  std::string what;  // one line for --list
  std::vector<Axis> axes;
  std::function<Job(Arena&, const Sizes&)> prepare;
  /// Made of several kernels, each of which has a benchmark of its own; the simulator's counts leave it out.
  bool composite = false;
};

}  // namespace swath::bench
