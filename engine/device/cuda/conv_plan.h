// cuDNN execution plans of convolutions. The graphs are those of conv_graph.h.
#pragma once
#include <cudnn.h>

#include <memory>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/device/conv_problem.h"

namespace swath::cuda {

/// The arrays of a plan. `main` and `shortcut` are the first of ten: what was normalised, mean, invstd, gamma, beta, and the
/// five rows of GatheredNorm::sums.
enum class ConvArray : std::int64_t {
  x = 1,
  w,
  y,
  scale,
  bias,
  residual,
  residual_scale,
  residual_bias,
  activation,
  sum,
  squares,
  skip,
  main = 20,
  shortcut = 30
};
/// Addresses by the numbers of ConvArray.
using ConvArrays = std::unordered_map<std::int64_t, void*>;

/// Sums are float32 and deterministic: engines that cuDNN marks as nondeterministic or as reducing precision are left
/// out, and with Float32Math::full those that use tensor cores or round inputs as well. No engine is compiled at run time.
class ConvPlan {
 public:
  static constexpr std::int64_t kTuningWorkspace = std::int64_t{256} << 20;

  /// For the device of `handle`. Throws UserError for a type other than f32, bf16 and f16, DeviceError when cuDNN offers no
  /// engine.
  static ConvPlan for_handle(const ConvProblem& problem, cudnnHandle_t handle);
  /// The engine of that name, as engine() gives it; nothing when cuDNN does not offer it for this problem.
  static std::optional<ConvPlan> of_engine(const ConvProblem& problem, cudnnHandle_t handle, const std::string& engine);
  /// All that cuDNN offers within kTuningWorkspace bytes, for choose_fastest().
  static ConvPlan every_engine(const ConvProblem& problem, cudnnHandle_t handle);
  /// For a device described by cuDNN's JSON of device properties; needs no device, and cannot be executed.
  static ConvPlan for_description(const ConvProblem& problem, const std::string& device_json);

  ConvPlan(ConvPlan&&) noexcept;
  ConvPlan& operator=(ConvPlan&&) noexcept;
  ~ConvPlan();

  /// Of every_engine(): for the largest of them, until one is chosen.
  std::int64_t workspace_bytes() const;
  /// cuDNN's name of the chosen engine.
  std::string engine() const;

  /// Times each engine of every_engine() on these arrays, waiting for the device, and keeps the fastest.
  void choose_fastest(cudnnHandle_t handle, const ConvArrays& arrays, void* workspace);

  /// Queues the work on the stream of `handle`. x: input, w: weights, y: output, or their gradients; the one that the
  /// pass computes is overwritten.
  void execute(cudnnHandle_t handle, const ConvArrays& arrays, void* workspace) const;

 private:
  struct Impl;
  explicit ConvPlan(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath::cuda
