// Convolutions: one plan for each geometry and pass.
#include "engine/device/cuda/conv.h"

#include <optional>

#include "engine/core/tensor.h"
#include "engine/device/cuda/error.h"
#include "engine/device/weight_gradient.h"

namespace swath::cuda {

namespace {

// Shapes of a network times its passes, plus the last, smaller batch of an evaluation.
constexpr std::size_t kPlans = 1024;

PlanKey<14> key_of(const ConvProblem& p) {
  const ConvGeometry& g = p.geometry;
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
          static_cast<int>(p.pass),
          static_cast<int>(p.math),
          static_cast<int>(p.fusion),
          p.skip ? 1 : 0};
}

void put(ConvArrays& arrays, ConvArray array, void* address) { arrays[static_cast<std::int64_t>(array)] = address; }
void put(ConvArrays& arrays, ConvArray array, const Tensor& tensor) {
  if (tensor.defined()) put(arrays, array, tensor.raw());
}

ConvArrays arrays_of(void* x, void* w, void* y) {
  ConvArrays arrays;
  put(arrays, ConvArray::x, x);
  put(arrays, ConvArray::w, w);
  put(arrays, ConvArray::y, y);
  return arrays;
}

void put(ConvArrays& arrays, const InputNorm& norm) {
  put(arrays, ConvArray::scale, norm.scale);
  put(arrays, ConvArray::bias, norm.bias);
  put(arrays, ConvArray::residual, norm.residual);
  put(arrays, ConvArray::residual_scale, norm.residual_scale);
  put(arrays, ConvArray::residual_bias, norm.residual_bias);
  put(arrays, ConvArray::activation, norm.activation);
}

void put(ConvArrays& arrays, ConvArray first, const GatheredNorm& norm) {
  if (!norm.x.defined()) return;
  auto number = static_cast<std::int64_t>(first);
  for (const Tensor& of : {norm.x, norm.mean, norm.invstd, norm.gamma, norm.beta}) arrays[number++] = of.raw();
  for (std::int64_t row = 0; row < GatheredNorm::kSums; ++row)
    arrays[number++] = norm.sums.data<float>() + row * norm.sums.size(1);
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

ConvPlan Convolutions::make_plan(const ConvProblem& problem, const ConvArrays& arrays) {
  if (!choices_.enabled()) return ConvPlan::for_handle(problem, handle_);
  const std::string name = describe(problem);
  if (const std::string engine = choices_.engine(name); !engine.empty()) {
    if (std::optional<ConvPlan> plan = ConvPlan::of_engine(problem, handle_, engine)) return std::move(*plan);
  }
  const bool capturing = kept_ != nullptr;
  if (capturing) return ConvPlan::for_handle(problem, handle_);
  ConvPlan plan = ConvPlan::every_engine(problem, handle_);
  const Storage workspace(pool_, static_cast<std::size_t>(plan.workspace_bytes()), Tag::workspace);
  plan.choose_fastest(handle_, arrays, workspace.data());
  choices_.keep(name, plan.engine());
  return plan;
}

void Convolutions::execute(ConvProblem problem, const ConvArrays& arrays) {
  problem.math = math_;
  const std::shared_ptr<const ConvPlan> plan =
      plans_.get(key_of(problem), [&] { return std::make_shared<const ConvPlan>(make_plan(problem, arrays)); });
  if (kept_) kept_->push_back(plan);
  // Freed on return although the work is only queued: later users of the block are queued behind it on the same stream.
  const Storage workspace(pool_, static_cast<std::size_t>(plan->workspace_bytes()), Tag::workspace);
  plan->execute(handle_, arrays, workspace.data());
  context_->after_call(name_of(problem.pass));
}

void Convolutions::forward(const ConvGeometry& geometry, void* x, void* w, void* y) {
  execute({.geometry = geometry, .pass = ConvPass::forward}, arrays_of(x, w, y));
}

void Convolutions::forward_normal(const ConvGeometry& geometry, void* x, const InputNorm& norm, void* w, void* y, float* sums) {
  ConvArrays arrays = arrays_of(x, w, y);
  put(arrays, norm);
  put(arrays, ConvArray::sum, sums);
  put(arrays, ConvArray::squares, sums + geometry.k);
  execute({.geometry = geometry, .pass = ConvPass::forward, .fusion = fusion_of(norm, ConvFusion::sums)}, arrays);
}

void Convolutions::backward_data(const ConvGeometry& geometry, void* dy, void* w, void* dx) {
  execute({.geometry = geometry, .pass = ConvPass::backward_data}, arrays_of(dx, w, dy));
}

void Convolutions::backward_data_masked(const ConvGeometry& geometry, void* dy, void* w, const OutputMask& mask, void* dx) {
  ConvArrays arrays = arrays_of(dx, w, dy);
  put(arrays, ConvArray::main, mask.main);
  put(arrays, ConvArray::shortcut, mask.shortcut);
  put(arrays, ConvArray::residual, mask.residual);
  put(arrays, ConvArray::skip, mask.skip);
  execute({.geometry = geometry, .pass = ConvPass::backward_data, .fusion = fusion_of(mask), .skip = mask.skip.defined()},
          arrays);
}

void Convolutions::backward_weight(const ConvGeometry& geometry, void* x, const InputNorm& norm, void* dy, const Tensor& dw,
                                   GradMode mode) {
  weight_gradient(geometry.dtype, dw, mode, pool_, kernels::CudaStream{context_->stream()}, [&](void* to) {
    ConvArrays arrays = arrays_of(x, to, dy);
    put(arrays, norm);
    execute({.geometry = geometry, .pass = ConvPass::backward_weight, .fusion = fusion_of(norm, ConvFusion::none)}, arrays);
  });
}

}  // namespace swath::cuda
