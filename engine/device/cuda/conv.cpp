// Convolutions: one plan for each geometry and pass.
#include "engine/device/cuda/conv.h"

#include <optional>

#include "engine/device/cuda/error.h"
#include "engine/device/weight_gradient.h"

namespace swath::cuda {

namespace {

// Shapes of a network times its passes, plus the last, smaller batch of an evaluation.
constexpr std::size_t kPlans = 1024;

PlanKey<12> key_of(const ConvGeometry& g, ConvPass pass, Float32Math math) {
  return {g.n,
          g.h,
          g.w,
          g.c,
          g.k,
          g.r,
          g.s,
          g.stride,
          g.pad,
          static_cast<int>(g.dtype),
          static_cast<int>(pass),
          static_cast<int>(math)};
}

}  // namespace

Convolutions::Convolutions(std::shared_ptr<const Context> context, std::shared_ptr<StoragePool> pool,
                           const DeviceOptions& options)
    : context_(std::move(context)),
      pool_(std::move(pool)),
      math_(options.conv_math),
      choices_(options.autotune, *context_),
      plans_(kPlans) {
  context_->make_current();
  SWATH_CUDA_CALL(cudnnCreate(&handle_));
  SWATH_CUDA_CALL(cudnnSetStream(handle_, context_->stream()));
}

Convolutions::~Convolutions() { cudnnDestroy(handle_); }

ConvPlan Convolutions::make_plan(const ConvProblem& problem, void* x, void* w, void* y) {
  if (!choices_.enabled()) return ConvPlan::for_handle(problem, handle_);
  const std::string name = describe(problem);
  if (const std::string engine = choices_.engine(name); !engine.empty()) {
    if (std::optional<ConvPlan> plan = ConvPlan::of_engine(problem, handle_, engine)) return std::move(*plan);
  }
  const bool capturing = kept_ != nullptr;
  if (capturing) return ConvPlan::for_handle(problem, handle_);
  ConvPlan plan = ConvPlan::every_engine(problem, handle_);
  const Storage workspace(pool_, static_cast<std::size_t>(plan.workspace_bytes()), Tag::workspace);
  plan.choose_fastest(handle_, x, w, y, workspace.data());
  choices_.keep(name, plan.engine());
  return plan;
}

void Convolutions::execute(const ConvGeometry& geometry, ConvPass pass, void* x, void* w, void* y) {
  const std::shared_ptr<const ConvPlan> plan = plans_.get(key_of(geometry, pass, math_), [&] {
    return std::make_shared<const ConvPlan>(make_plan({.geometry = geometry, .pass = pass, .math = math_}, x, w, y));
  });
  if (kept_) kept_->push_back(plan);
  // Freed on return although the work is only queued: later users of the block are queued behind it on the same stream.
  const Storage workspace(pool_, static_cast<std::size_t>(plan->workspace_bytes()), Tag::workspace);
  plan->execute(handle_, x, w, y, workspace.data());
  context_->after_call(name_of(pass));
}

void Convolutions::backward_weight(const ConvGeometry& geometry, void* x, void* dy, float* dw, GradMode mode) {
  weight_gradient(geometry, dw, mode, pool_, kernels::CudaStream{context_->stream()},
                  [&](void* to) { execute(geometry, ConvPass::backward_weight, x, to, dy); });
}

}  // namespace swath::cuda
