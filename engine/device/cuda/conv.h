// Convolutions through cuDNN: NHWC activations, K×R×S×C weights of their type, plans made once per geometry and pass.
#pragma once
#include <memory>
#include <vector>

#include "engine/core/storage.h"
#include "engine/device/cuda/context.h"
#include "engine/device/cuda/conv_plan.h"
#include "engine/device/cuda/plan_choices.h"
#include "engine/device/plan_cache.h"

namespace swath::cuda {

/// Workspace comes from `pool`. Pointers are the first elements of dense device arrays of the
/// geometry's shapes; the batch is at least one.
class Convolutions {
 public:
  Convolutions(std::shared_ptr<const Context> context, std::shared_ptr<StoragePool> pool, const DeviceOptions& options);
  ~Convolutions();
  Convolutions(const Convolutions&) = delete;
  Convolutions& operator=(const Convolutions&) = delete;

  void forward(const ConvGeometry& geometry, void* x, void* w, void* y);
  void forward_normal(const ConvGeometry& geometry, void* x, const InputNorm& norm, void* w, void* y, float* sums);
  void backward_data(const ConvGeometry& geometry, void* dy, void* w, void* dx);
  void backward_data_masked(const ConvGeometry& geometry, void* dy, void* w, const OutputMask& mask, void* dx);
  /// `dw` is float32 or of the activations' type. Without a scale, `norm` takes x as it is.
  void backward_weight(const ConvGeometry& geometry, void* x, const InputNorm& norm, void* dy, const Tensor& dw, GradMode mode);

  /// From now on plans that are executed are appended to `list`, until it is null: captured work needs the code of its plans.
  void keep_plans(std::vector<std::shared_ptr<const void>>* list) { kept_ = list; }

 private:
  void execute(ConvProblem problem, const ConvArrays& arrays);
  /// Where engines are timed, the result is overwritten; never while work is captured.
  ConvPlan make_plan(const ConvProblem& problem, const ConvArrays& arrays);

  std::shared_ptr<const Context> context_;
  std::shared_ptr<StoragePool> pool_;
  Float32Math math_;
  PlanChoices choices_;
  cudnnHandle_t handle_ = nullptr;
  PlanCache<14, std::shared_ptr<const ConvPlan>> plans_;
  std::vector<std::shared_ptr<const void>>* kept_ = nullptr;
};

}  // namespace swath::cuda
