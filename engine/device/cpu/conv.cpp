#include "engine/device/cpu/conv.h"

#include <dnnl.hpp>

#include <unordered_map>

#include "engine/core/error.h"
#include "engine/device/cpu/conv_plan.h"
#include "engine/device/plan_cache.h"

namespace swath::cpu {

namespace {

using dnnl::memory;

// ResNet-50 asks for about 70 plans a batch size, and a sampler may draw batches of any size.
constexpr std::size_t kPlans = 1024;

PlanKey<11> key_of(ConvPass pass, const ConvGeometry& g) {
  return {static_cast<int>(pass), static_cast<int>(g.dtype), g.n, g.h, g.w, g.c, g.k, g.r, g.s, g.stride, g.pad};
}

[[noreturn]] void failed(const dnnl::error& error) {
  throw InternalError(fmt::format("oneDNN: {} (status {})", error.what(), static_cast<int>(error.status)));
}

}  // namespace

struct Convolutions::Impl {
  explicit Impl(std::shared_ptr<StoragePool> from)
      : pool(std::move(from)), engine(dnnl::engine::kind::cpu, 0), stream(engine) {}

  const ConvPlan& plan(ConvPass pass, const ConvGeometry& geometry) {
    return plans.get(key_of(pass, geometry), [&] { return make_conv_plan(pass, geometry, engine); });
  }

  std::shared_ptr<StoragePool> pool;
  dnnl::engine engine;
  dnnl::stream stream;
  PlanCache<11, ConvPlan> plans{kPlans};
};

namespace {

/// One execution of a plan: the caller's arrays, and the workspace with those that the primitive takes in their place.
class Call {
 public:
  Call(const ConvPlan& plan, const std::shared_ptr<StoragePool>& pool, const dnnl::engine& engine, dnnl::stream& stream)
      : plan_(plan), engine_(engine), stream_(stream) {
    if (plan.workspace_bytes) workspace_ = std::make_unique<Storage>(pool, plan.workspace_bytes, Tag::workspace);
  }

  void input(const ConvOperand& operand, const void* data) {
    const memory user(operand.user, engine_, const_cast<void*>(data));
    if (operand.reordered()) move(operand.reorder, operand.reorder_scratch, user, own(operand));
    arguments_.insert({operand.argument, operand.reordered() ? own(operand) : user});
  }

  /// Runs the primitive, whose result overwrites the caller's array or adds to it.
  void output(const ConvOperand& operand, void* data, GradMode mode = GradMode::overwrite) {
    const bool add = mode == GradMode::accumulate;
    const memory user(operand.user, engine_, data);
    const memory result = add || operand.reordered() ? own(operand) : user;
    arguments_.insert({operand.argument, result});
    arguments_.insert({DNNL_ARG_SCRATCHPAD, scratch(plan_.scratch)});
    plan_.primitive.execute(stream_, arguments_);
    if (add) {
      move(plan_.add, plan_.add_scratch, result, user);
    } else if (operand.reordered()) {
      move(operand.reorder, operand.reorder_scratch, result, user);
    }
    stream_.wait();
  }

 private:
  void move(const dnnl::reorder& reorder, const memory::desc& needs, const memory& from, const memory& to) {
    reorder.execute(stream_, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}, {DNNL_ARG_SCRATCHPAD, scratch(needs)}});
  }
  memory own(const ConvOperand& operand) const { return memory(operand.own, engine_, at(operand.offset)); }
  memory scratch(const memory::desc& desc) const {
    return memory(desc, engine_, workspace_ ? at(plan_.scratch_offset) : nullptr);
  }
  void* at(std::size_t offset) const { return static_cast<std::byte*>(workspace_->data()) + offset; }

  const ConvPlan& plan_;
  const dnnl::engine& engine_;
  dnnl::stream& stream_;
  std::unique_ptr<Storage> workspace_;
  std::unordered_map<int, memory> arguments_;
};

}  // namespace

Convolutions::Convolutions(std::shared_ptr<StoragePool> pool) try : impl_(std::make_unique<Impl>(std::move(pool))) {
} catch (const dnnl::error& error) {
  failed(error);
}

Convolutions::~Convolutions() = default;

void Convolutions::forward(const ConvGeometry& geometry, const void* x, const float* w, void* y) try {
  const ConvPlan& plan = impl_->plan(ConvPass::forward, geometry);
  Call call(plan, impl_->pool, impl_->engine, impl_->stream);
  call.input(plan.x, x);
  call.input(plan.w, w);
  call.output(plan.y, y);
} catch (const dnnl::error& error) {
  failed(error);
}

void Convolutions::backward_data(const ConvGeometry& geometry, const void* dy, const float* w, void* dx) try {
  const ConvPlan& plan = impl_->plan(ConvPass::backward_data, geometry);
  Call call(plan, impl_->pool, impl_->engine, impl_->stream);
  call.input(plan.y, dy);
  call.input(plan.w, w);
  call.output(plan.x, dx);
} catch (const dnnl::error& error) {
  failed(error);
}

void Convolutions::backward_weight(const ConvGeometry& geometry, const void* x, const void* dy, float* dw, GradMode mode) try {
  if (mode == GradMode::skip) return;
  const ConvPlan& plan = impl_->plan(ConvPass::backward_weight, geometry);
  Call call(plan, impl_->pool, impl_->engine, impl_->stream);
  call.input(plan.x, x);
  call.input(plan.y, dy);
  call.output(plan.w, dw, mode);
} catch (const dnnl::error& error) {
  failed(error);
}

}  // namespace swath::cpu
