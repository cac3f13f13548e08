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

  void forward(const ConvGeometry& geometry, void* x, void* w, void* y) { execute(geometry, ConvPass::forward, x, w, y); }
  void backward_data(const ConvGeometry& geometry, void* dy, void* w, void* dx) {
    execute(geometry, ConvPass::backward_data, dx, w, dy);
  }
  /// `dw` is float32, whatever the activations are.
  void backward_weight(const ConvGeometry& geometry, void* x, void* dy, float* dw, GradMode mode);

  /// From now on plans that are executed are appended to `list`, until it is null: captured work needs the code of its plans.
  void keep_plans(std::vector<std::shared_ptr<const void>>* list) { kept_ = list; }

 private:
  void execute(const ConvGeometry& geometry, ConvPass pass, void* x, void* w, void* y);
  /// Where engines are timed, the result is overwritten; never while work is captured.
  ConvPlan make_plan(const ConvProblem& problem, void* x, void* w, void* y);

  std::shared_ptr<const Context> context_;
  std::shared_ptr<StoragePool> pool_;
  Float32Math math_;
  PlanChoices choices_;
  cudnnHandle_t handle_ = nullptr;
  PlanCache<12, std::shared_ptr<const ConvPlan>> plans_;
  std::vector<std::shared_ptr<const void>>* kept_ = nullptr;
};

}  // namespace swath::cuda
