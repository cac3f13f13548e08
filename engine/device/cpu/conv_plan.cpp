#include "engine/device/cpu/conv_plan.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "engine/core/error.h"
#include "engine/device/cpu/conv.h"

namespace swath::cpu {

namespace {

using dnnl::algorithm;
using dnnl::memory;
using dnnl::prop_kind;
using ForwardDesc = dnnl::convolution_forward::primitive_desc;
using DataDesc = dnnl::convolution_backward_data::primitive_desc;
using WeightDesc = dnnl::convolution_backward_weights::primitive_desc;

constexpr std::int64_t kLargeMatrix = std::int64_t{1} << 18;  // elements of K × C

std::size_t padded(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

memory::data_type type_of(const ConvGeometry& g) {
  return g.dtype == DType::bf16 ? memory::data_type::bf16 : memory::data_type::f32;
}

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

// What a primitive is asked for.
struct Request {
  algorithm kind;
  memory::desc x, w, y;
  memory::dims stride, pad;

  // The layout of the weights is oneDNN's to choose, and for Winograd that of the activations as well.
  Request(const ConvGeometry& g, algorithm chosen, memory::data_type weights)
      : kind(chosen),
        x({g.n, g.c, g.h, g.w}, type_of(g), layout(chosen)),
        w({g.k, g.c, g.r, g.s}, weights, memory::format_tag::any),
        y({g.n, g.k, g.out_h(), g.out_w()}, type_of(g), layout(chosen)),
        stride{g.stride, g.stride},
        pad{g.pad, g.pad} {}

  static memory::format_tag layout(algorithm chosen) {
    return chosen == algorithm::convolution_winograd ? memory::format_tag::any : memory::format_tag::nhwc;
  }
};

// oneDNN 3 takes engine, sizes and attributes in one constructor; oneDNN 2 wraps the sizes in an operation descriptor. An empty
// description says that oneDNN does not have the algorithm for these sizes.
constexpr bool kMayBeEmpty = true;

ForwardDesc forward_desc(const Request& r, const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, prop_kind::forward_training, r.kind, r.x, r.w, r.y, r.stride, r.pad, r.pad, attributes(), kMayBeEmpty};
#else
  return {{prop_kind::forward_training, r.kind, r.x, r.w, r.y, r.stride, r.pad, r.pad}, attributes(), engine, kMayBeEmpty};
#endif
}

// The gradient of the data or of the weights, whose descriptors take the same arguments.
template <class PrimitiveDesc>
PrimitiveDesc backward_desc(const Request& r, const ForwardDesc& forward, const dnnl::engine& engine) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, r.kind, r.x, r.w, r.y, r.stride, r.pad, r.pad, forward, attributes(), kMayBeEmpty};
#else
  return {{r.kind, r.x, r.w, r.y, r.stride, r.pad, r.pad}, attributes(), engine, forward, kMayBeEmpty};
#endif
}

void check(const ConvGeometry& g) {
  if (g.dtype != DType::f32 && g.dtype != DType::bf16)
    throw UserError(fmt::format("cpu: convolutions take f32 or bf16 activations, not {}", kernels::name_of(g.dtype)));
  if (g.dtype == DType::bf16 && !has_bf16())
    throw UserError("cpu: bf16 needs a processor with AVX512-BF16; use precision f32 here");
  expect_fits(g);
}

// Primitive, layouts and scratch of a pass; false where oneDNN lacks the algorithm. The user's layouts are set before.
class PlanMaker {
 public:
  PlanMaker(ConvPlan& plan, const dnnl::engine& engine) : plan_(plan), engine_(engine) {}

  bool forward(const ConvGeometry& g, algorithm kind) {
    const ForwardDesc desc = forward_desc(Request(g, kind, type_of(g)), engine_);
    if (!desc) return false;
    take(plan_.x, DNNL_ARG_SRC, desc.src_desc());
    take(plan_.w, DNNL_ARG_WEIGHTS, desc.weights_desc());
    take(plan_.y, DNNL_ARG_DST, desc.dst_desc());
    take(dnnl::convolution_forward(desc), desc.scratchpad_desc());
    return true;
  }

  bool backward_data(const ConvGeometry& g, algorithm kind) {
    const Request request(g, kind, type_of(g));
    const ForwardDesc hint = forward_desc(request, engine_);
    if (!hint) return false;
    const auto desc = backward_desc<DataDesc>(request, hint, engine_);
    if (!desc) return false;
    take(plan_.x, DNNL_ARG_DIFF_SRC, desc.diff_src_desc());
    take(plan_.w, DNNL_ARG_WEIGHTS, desc.weights_desc());
    take(plan_.y, DNNL_ARG_DIFF_DST, desc.diff_dst_desc());
    take(dnnl::convolution_backward_data(desc), desc.scratchpad_desc());
    return true;
  }

  // The gradient of the weights is float32 whatever the activations are; the forward convolution that oneDNN wants as a hint
  // has weights of their type.
  bool backward_weight(const ConvGeometry& g, algorithm kind) {
    const ForwardDesc hint = forward_desc(Request(g, kind, type_of(g)), engine_);
    if (!hint) return false;
    const auto desc = backward_desc<WeightDesc>(Request(g, kind, memory::data_type::f32), hint, engine_);
    if (!desc) return false;
    take(plan_.x, DNNL_ARG_SRC, desc.src_desc());
    take(plan_.w, DNNL_ARG_DIFF_WEIGHTS, desc.diff_weights_desc());
    take(plan_.y, DNNL_ARG_DIFF_DST, desc.diff_dst_desc());
    take(dnnl::convolution_backward_weights(desc), desc.scratchpad_desc());
    return true;
  }

  // As the data gradient of the convolution from K to C channels with the transposed matrix.
  bool transposed_forward(const ConvGeometry& g) {
    ConvGeometry reversed = g;
    std::swap(reversed.c, reversed.k);
    plan_.w.user = memory::desc({g.c, g.k, g.r, g.s}, memory::data_type::f32, memory::format_tag::iohw);
    std::swap(plan_.x, plan_.y);
    const bool made = backward_data(reversed, algorithm::convolution_direct);
    std::swap(plan_.x, plan_.y);
    return made;
  }

  bool pass(ConvPass pass, const ConvGeometry& g, algorithm kind) {
    switch (pass) {
      case ConvPass::forward:
        return forward(g, kind);
      case ConvPass::backward_data:
        return backward_data(g, kind);
      case ConvPass::backward_weight:
        return backward_weight(g, kind);
    }
    return false;
  }

 private:
  static void take(ConvOperand& operand, int argument, const memory::desc& own) {
    operand.argument = argument;
    operand.own = own;
  }
  void take(dnnl::primitive primitive, const memory::desc& scratch) {
    plan_.primitive = std::move(primitive);
    plan_.scratch = scratch;
  }

  ConvPlan& plan_;
  const dnnl::engine& engine_;
};

// The reorders, and where in the workspace each array lies; what primitives and reorders ask for shares the space behind them.
void add_reorders(ConvPlan& plan, ConvPass pass, const dnnl::engine& engine) {
  std::size_t scratch = plan.scratch.get_size();
  const auto reorder = [&](const memory::desc& from, const memory::desc& to, bool add, memory::desc& own_scratch) {
    const dnnl::reorder::primitive_desc desc(engine, from, engine, to, attributes(add));
    own_scratch = desc.scratchpad_desc();
    scratch = std::max(scratch, own_scratch.get_size());
    return dnnl::reorder(desc);
  };
  const ConvOperand* const result = pass == ConvPass::forward ? &plan.y : pass == ConvPass::backward_data ? &plan.x : &plan.w;
  for (ConvOperand* operand : {&plan.x, &plan.w, &plan.y}) {
    const bool adds = pass == ConvPass::backward_weight && operand == &plan.w;
    if (adds) plan.add = reorder(operand->own, operand->user, true, plan.add_scratch);
    if (operand->reordered()) {
      const bool comes = operand != result;
      operand->reorder =
          reorder(comes ? operand->user : operand->own, comes ? operand->own : operand->user, false, operand->reorder_scratch);
    }
    if (!adds && !operand->reordered()) continue;
    operand->offset = plan.scratch_offset;
    plan.scratch_offset += padded(operand->own.get_size());
  }
  plan.workspace_bytes = plan.scratch_offset + padded(scratch);
}

/// Winograd's convolutions round more, and otherwise for another number of images; SWATH_DIRECT_CONV=1 does without them.
bool direct_only() {
  static const bool said = [] {
    const char* value = std::getenv("SWATH_DIRECT_CONV");
    return value && std::string_view(value) == "1";
  }();
  return said;
}

// The gradient of a large matrix would take 130 MB of scratch memory, twice what any other pass does, to save 1 % of a step.
bool is_minimal(ConvPass pass, const ConvGeometry& g) {
  const bool large = g.k * g.c >= kLargeMatrix;
  return !direct_only() && g.dtype == DType::f32 && g.r == 3 && g.s == 3 && g.stride == 1 &&
         !(large && pass == ConvPass::backward_weight);
}

}  // namespace

bool has_large_matrix(const ConvGeometry& g) {
  return g.r == 1 && g.s == 1 && g.stride == 1 && g.pad == 0 && g.k * g.c >= kLargeMatrix;
}

bool has_bf16() {
  // Each instruction set is the bits of those that it includes; newer sets than this one are known to newer versions only.
  const auto bits = [](dnnl::cpu_isa isa) { return static_cast<unsigned>(isa); };
  const unsigned wanted = bits(dnnl::cpu_isa::avx512_core_bf16);
  return (bits(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

ConvPlan make_conv_plan(ConvPass pass, const ConvGeometry& g, const dnnl::engine& engine) {
  check(g);
  ConvPlan plan;
  plan.x.user = memory::desc({g.n, g.c, g.h, g.w}, type_of(g), memory::format_tag::nhwc);
  plan.w.user = memory::desc({g.k, g.c, g.r, g.s}, memory::data_type::f32, memory::format_tag::ohwi);
  plan.y.user = memory::desc({g.n, g.k, g.out_h(), g.out_w()}, type_of(g), memory::format_tag::nhwc);
  PlanMaker make(plan, engine);
  const bool made = (is_minimal(pass, g) && make.pass(pass, g, algorithm::convolution_winograd)) ||
                    (pass == ConvPass::forward && has_large_matrix(g) ? make.transposed_forward(g)
                                                                      : make.pass(pass, g, algorithm::convolution_direct));
  if (!made) throw InternalError(fmt::format("oneDNN has no {}x{} convolution of {}", g.r, g.s, g.input_shape().str()));
  add_reorders(plan, pass, engine);
  return plan;
}

}  // namespace swath::cpu
