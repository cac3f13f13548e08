#include "engine/device/cpu/conv.h"

#include <dnnl.hpp>

#include "engine/core/error.h"
#include "engine/device/plan_cache.h"

namespace swath::cpu {

namespace {

using dnnl::memory;
using dnnl::prop_kind;

enum class Direction : std::uint8_t { forward, backward_data, backward_weight };

// ResNet-50 asks for about 70 plans a batch size, and a sampler may draw batches of any size.
constexpr std::size_t kPlans = 1024;

PlanKey<11> key_of(Direction direction, const ConvGeometry& g) {
  return {static_cast<int>(direction), static_cast<int>(g.dtype), g.n, g.h, g.w, g.c, g.k, g.r, g.s, g.stride, g.pad};
}

// A primitive and how its weights come from (or go to) the K×R×S×C float32 array.
struct Plan {
  dnnl::primitive primitive;
  memory::desc source, destination;                          // activations on the input and the output side
  int x_argument = DNNL_ARG_SRC, y_argument = DNNL_ARG_DST;  // of the forward pass
  memory::desc weights, user_weights;
  bool reordered = false;
  dnnl::reorder reorder, reorder_add;
  std::size_t scratch_bytes = 0;
  memory::desc scratch, reorder_scratch, reorder_add_scratch;
};

std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

dnnl::primitive_attr attributes(bool add = false) {
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (add) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attr.set_post_ops(sum);
  }
  return attr;
}

struct Descriptions {
  memory::desc source, weights, destination;
  memory::dims stride, pad;

  explicit Descriptions(const ConvGeometry& g, memory::data_type weight_type)
      : source({g.n, g.c, g.h, g.w}, type(g), memory::format_tag::nhwc),
        weights({g.k, g.c, g.r, g.s}, weight_type, memory::format_tag::any),
        destination({g.n, g.k, g.out_h(), g.out_w()}, type(g), memory::format_tag::nhwc),
        stride{g.stride, g.stride},
        pad{g.pad, g.pad} {}

  static memory::data_type type(const ConvGeometry& g) {
    return g.dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
  }
};

// oneDNN 3 takes engine, sizes and attributes in one constructor; oneDNN 2 wraps the sizes in an operation descriptor.
dnnl::convolution_forward::primitive_desc forward_desc(const Descriptions& d, const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine,
          prop_kind::forward_training,
          dnnl::algorithm::convolution_direct,
          d.source,
          d.weights,
          d.destination,
          d.stride,
          d.pad,
          d.pad,
          attributes()};
#else
  return {{prop_kind::forward_training, dnnl::algorithm::convolution_direct, d.source, d.weights, d.destination, d.stride,
           d.pad, d.pad},
          attributes(),
          engine};
#endif
}

// The gradient of the data or of the weights, whose descriptors take the same arguments.
template <class PrimitiveDesc>
PrimitiveDesc backward_desc(const Descriptions& d, const dnnl::convolution_forward::primitive_desc& forward,
                            const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine,      dnnl::algorithm::convolution_direct, d.source, d.weights, d.destination, d.stride, d.pad, d.pad, forward,
          attributes()};
#else
  return {{dnnl::algorithm::convolution_direct, d.source, d.weights, d.destination, d.stride, d.pad, d.pad},
          attributes(),
          engine,
          forward};
#endif
}

// What the backward directions need as a hint: a forward convolution whose weights have the activations' type.
dnnl::convolution_forward::primitive_desc hint(const ConvGeometry& g, const dnnl::engine& engine) {
  return forward_desc(Descriptions(g, Descriptions::type(g)), engine);
}

void check(const ConvGeometry& g) {
  if (g.dtype != DType::f32 && g.dtype != DType::bf16)
    throw UserError(fmt::format("cpu: convolutions take f32 or bf16 activations, not {}", kernels::name_of(g.dtype)));
  if (g.dtype == DType::bf16 && !has_bf16())
    throw UserError("cpu: bf16 needs a processor with AVX512-BF16; use precision f32 here");
  if (g.c < 1 || g.k < 1 || g.r < 1 || g.s < 1 || g.stride < 1 || g.pad < 0 || g.h + 2 * g.pad < g.r || g.w + 2 * g.pad < g.s)
    throw UserError(fmt::format("a {}x{} convolution with padding {} does not fit an image of {}x{}; use a larger image", g.r,
                                g.s, g.pad, g.h, g.w));
}

}  // namespace

bool has_large_matrix(const ConvGeometry& g) {
  return g.r == 1 && g.s == 1 && g.stride == 1 && g.pad == 0 && g.k * g.c >= std::int64_t{1} << 18;
}

bool has_bf16() {
  // Each instruction set is the bits of those that it includes; newer sets than this one are known to newer versions only.
  const auto bits = [](dnnl::cpu_isa isa) { return static_cast<unsigned>(isa); };
  const unsigned wanted = bits(dnnl::cpu_isa::avx512_core_bf16);
  return (bits(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

struct Convolutions::Impl {
  explicit Impl(std::shared_ptr<StoragePool> from)
      : pool(std::move(from)), engine(dnnl::engine::kind::cpu, 0), stream(engine) {}

  const Plan& plan(Direction direction, const ConvGeometry& geometry);
  Plan make_plan(Direction direction, const ConvGeometry& geometry) const;
  template <class PrimitiveDesc>
  void take_primitive(Plan& plan, const PrimitiveDesc& desc) const {
    plan.scratch = desc.scratchpad_desc();
    plan.scratch_bytes += padded(plan.scratch.get_size());
  }
  void make_transposed_forward(Plan& plan, const ConvGeometry& geometry) const;
  void add_reorders(Plan& plan, Direction direction) const;

  std::shared_ptr<StoragePool> pool;
  dnnl::engine engine;
  dnnl::stream stream;
  PlanCache<11, Plan> plans{kPlans};
};

void Convolutions::Impl::add_reorders(Plan& plan, Direction direction) const {
  plan.reordered = plan.weights != plan.user_weights;
  if (!plan.reordered && direction != Direction::backward_weight) return;
  const bool to_user = direction == Direction::backward_weight;
  const memory::desc& from = to_user ? plan.weights : plan.user_weights;
  const memory::desc& to = to_user ? plan.user_weights : plan.weights;
  const dnnl::reorder::primitive_desc plain(engine, from, engine, to, attributes());
  plan.reorder = dnnl::reorder(plain);
  plan.reorder_scratch = plain.scratchpad_desc();
  std::size_t scratch = padded(plan.reorder_scratch.get_size());
  if (to_user) {
    const dnnl::reorder::primitive_desc add(engine, from, engine, to, attributes(true));
    plan.reorder_add = dnnl::reorder(add);
    plan.reorder_add_scratch = add.scratchpad_desc();
    scratch = std::max(scratch, padded(plan.reorder_add_scratch.get_size()));
  }
  plan.scratch_bytes = std::max(plan.scratch_bytes, scratch) + padded(plan.weights.get_size());
}

// The data gradient of the convolution from K to C channels with the transposed matrix.
void Convolutions::Impl::make_transposed_forward(Plan& plan, const ConvGeometry& g) const {
  ConvGeometry reversed = g;
  std::swap(reversed.c, reversed.k);
  const Descriptions d(reversed, Descriptions::type(g));
  const auto desc = backward_desc<dnnl::convolution_backward_data::primitive_desc>(d, hint(reversed, engine), engine);
  plan.user_weights = memory::desc({g.c, g.k, g.r, g.s}, memory::data_type::f32, memory::format_tag::iohw);
  plan.weights = desc.weights_desc();
  plan.primitive = dnnl::convolution_backward_data(desc);
  plan.x_argument = DNNL_ARG_DIFF_DST;
  plan.y_argument = DNNL_ARG_DIFF_SRC;
  take_primitive(plan, desc);
}

Plan Convolutions::Impl::make_plan(Direction direction, const ConvGeometry& g) const {
  check(g);
  Plan plan;
  plan.user_weights = memory::desc({g.k, g.c, g.r, g.s}, memory::data_type::f32, memory::format_tag::ohwi);
  // The gradient of the weights is float32 whatever the activations are.
  const bool for_weights = direction == Direction::backward_weight;
  const Descriptions d(g, for_weights ? memory::data_type::f32 : Descriptions::type(g));
  plan.source = d.source;
  plan.destination = d.destination;
  if (direction == Direction::forward && has_large_matrix(g)) {
    make_transposed_forward(plan, g);
  } else if (direction == Direction::forward) {
    const auto desc = forward_desc(d, engine);
    plan.weights = desc.weights_desc();
    plan.primitive = dnnl::convolution_forward(desc);
    take_primitive(plan, desc);
  } else if (direction == Direction::backward_data) {
    const auto desc = backward_desc<dnnl::convolution_backward_data::primitive_desc>(d, hint(g, engine), engine);
    plan.weights = desc.weights_desc();
    plan.primitive = dnnl::convolution_backward_data(desc);
    take_primitive(plan, desc);
  } else {
    const auto desc = backward_desc<dnnl::convolution_backward_weights::primitive_desc>(d, hint(g, engine), engine);
    plan.weights = desc.diff_weights_desc();
    plan.primitive = dnnl::convolution_backward_weights(desc);
    take_primitive(plan, desc);
  }
  add_reorders(plan, direction);
  return plan;
}

const Plan& Convolutions::Impl::plan(Direction direction, const ConvGeometry& geometry) {
  return plans.get(key_of(direction, geometry), [&] { return make_plan(direction, geometry); });
}

namespace {

// Scratch of one call: the reordered weights, then what the primitives ask for (one at a time).
class Workspace {
 public:
  Workspace(const std::shared_ptr<StoragePool>& pool, const Plan& plan, const dnnl::engine& engine) : engine_(engine) {
    if (plan.scratch_bytes) storage_ = std::make_unique<Storage>(pool, plan.scratch_bytes, Tag::workspace);
    own_weights_ = plan.reorder ? padded(plan.weights.get_size()) : 0;
  }
  void* weights() const { return storage_->data(); }
  memory scratch(const memory::desc& desc) const {
    return memory(desc, engine_, storage_ ? static_cast<std::byte*>(storage_->data()) + own_weights_ : nullptr);
  }

 private:
  const dnnl::engine& engine_;
  std::unique_ptr<Storage> storage_;
  std::size_t own_weights_ = 0;
};

[[noreturn]] void failed(const dnnl::error& error) {
  throw InternalError(fmt::format("oneDNN: {} (status {})", error.what(), static_cast<int>(error.status)));
}

}  // namespace

Convolutions::Convolutions(std::shared_ptr<StoragePool> pool) try : impl_(std::make_unique<Impl>(std::move(pool))) {
} catch (const dnnl::error& error) {
  failed(error);
}

Convolutions::~Convolutions() = default;

void Convolutions::forward(const ConvGeometry& geometry, const void* x, const float* w, void* y) try {
  const Plan& plan = impl_->plan(Direction::forward, geometry);
  const Workspace workspace(impl_->pool, plan, impl_->engine);
  memory weights(plan.user_weights, impl_->engine, const_cast<float*>(w));
  if (plan.reordered) {
    memory own(plan.weights, impl_->engine, workspace.weights());
    plan.reorder.execute(
        impl_->stream,
        {{DNNL_ARG_FROM, weights}, {DNNL_ARG_TO, own}, {DNNL_ARG_SCRATCHPAD, workspace.scratch(plan.reorder_scratch)}});
    weights = own;
  }
  plan.primitive.execute(impl_->stream, {{plan.x_argument, memory(plan.source, impl_->engine, const_cast<void*>(x))},
                                         {DNNL_ARG_WEIGHTS, weights},
                                         {plan.y_argument, memory(plan.destination, impl_->engine, y)},
                                         {DNNL_ARG_SCRATCHPAD, workspace.scratch(plan.scratch)}});
  impl_->stream.wait();
} catch (const dnnl::error& error) {
  failed(error);
}

void Convolutions::backward_data(const ConvGeometry& geometry, const void* dy, const float* w, void* dx) try {
  const Plan& plan = impl_->plan(Direction::backward_data, geometry);
  const Workspace workspace(impl_->pool, plan, impl_->engine);
  memory weights(plan.user_weights, impl_->engine, const_cast<float*>(w));
  if (plan.reordered) {
    memory own(plan.weights, impl_->engine, workspace.weights());
    plan.reorder.execute(
        impl_->stream,
        {{DNNL_ARG_FROM, weights}, {DNNL_ARG_TO, own}, {DNNL_ARG_SCRATCHPAD, workspace.scratch(plan.reorder_scratch)}});
    weights = own;
  }
  plan.primitive.execute(impl_->stream, {{DNNL_ARG_DIFF_DST, memory(plan.destination, impl_->engine, const_cast<void*>(dy))},
                                         {DNNL_ARG_WEIGHTS, weights},
                                         {DNNL_ARG_DIFF_SRC, memory(plan.source, impl_->engine, dx)},
                                         {DNNL_ARG_SCRATCHPAD, workspace.scratch(plan.scratch)}});
  impl_->stream.wait();
} catch (const dnnl::error& error) {
  failed(error);
}

void Convolutions::backward_weight(const ConvGeometry& geometry, const void* x, const void* dy, float* dw, GradMode mode) try {
  if (mode == GradMode::skip) return;
  const Plan& plan = impl_->plan(Direction::backward_weight, geometry);
  const Workspace workspace(impl_->pool, plan, impl_->engine);
  const bool add = mode == GradMode::accumulate;
  const bool direct = !plan.reordered && !add;
  const memory gradient(plan.user_weights, impl_->engine, dw);
  const memory own = direct ? gradient : memory(plan.weights, impl_->engine, workspace.weights());
  plan.primitive.execute(impl_->stream, {{plan.x_argument, memory(plan.source, impl_->engine, const_cast<void*>(x))},
                                         {DNNL_ARG_DIFF_DST, memory(plan.destination, impl_->engine, const_cast<void*>(dy))},
                                         {DNNL_ARG_DIFF_WEIGHTS, own},
                                         {DNNL_ARG_SCRATCHPAD, workspace.scratch(plan.scratch)}});
  if (!direct) {
    const dnnl::reorder& reorder = add ? plan.reorder_add : plan.reorder;
    reorder.execute(impl_->stream,
                    {{DNNL_ARG_FROM, own},
                     {DNNL_ARG_TO, gradient},
                     {DNNL_ARG_SCRATCHPAD, workspace.scratch(add ? plan.reorder_add_scratch : plan.reorder_scratch)}});
  }
  impl_->stream.wait();
} catch (const dnnl::error& error) {
  failed(error);
}

}  // namespace swath::cpu
