#include "engine/device/cuda/conv_graph.h"

namespace swath::cuda {

namespace fe = cudnn_frontend;

namespace {

using Handle = std::shared_ptr<fe::graph::Tensor_attributes>;
using Mode = fe::PointwiseMode_t;

fe::DataType_t data_type(DType type) {
  switch (type) {
    case DType::f32:
      return fe::DataType_t::FLOAT;
    case DType::bf16:
      return fe::DataType_t::BFLOAT16;
    case DType::f16:
      return fe::DataType_t::HALF;
    default:
      throw UserError(fmt::format("convolutions take f32, bf16 and f16 activations, not {}", kernels::name_of(type)));
  }
}

// cuDNN names extents in the order N, C, H, W; the strides say that channels lie innermost.
fe::graph::Tensor_attributes tensor(const char* name, ConvArray array, const Shape& shape, fe::DataType_t type) {
  const std::int64_t a = shape[0], h = shape[1], w = shape[2], c = shape[3];
  return fe::graph::Tensor_attributes()
      .set_name(name)
      .set_uid(static_cast<std::int64_t>(array))
      .set_dim({a, c, h, w})
      .set_stride({h * w * c, 1, w * c, c})
      .set_data_type(type);
}

template <class Attributes>
Attributes convolution(const ConvGeometry& g) {
  return Attributes()
      .set_pre_padding({g.pad, g.pad})
      .set_post_padding({g.pad, g.pad})
      .set_stride({g.stride, g.stride})
      .set_dilation({1, 1});
}

/// Builds the operations of one problem.
class Builder {
 public:
  Builder(fe::graph::Graph& graph, const ConvProblem& problem)
      : graph_(graph), problem_(problem), g_(problem.geometry), type_(data_type(g_.dtype)) {}

  void forward() {
    const Handle x = normalised(input("x", ConvArray::x, g_.input_shape()));
    const Handle y =
        graph_.conv_fprop(x, input("w", ConvArray::w, g_.weight_shape()), convolution<fe::graph::Conv_fprop_attributes>(g_));
    finish(y, ConvArray::y, g_.output_shape(), type_);
    if (problem_.fusion == ConvFusion::none) return;
    const auto [sum, squares] = graph_.genstats(y, fe::graph::Genstats_attributes());
    finish(sum, ConvArray::sum, per_channel(g_.k), fe::DataType_t::FLOAT);
    finish(squares, ConvArray::squares, per_channel(g_.k), fe::DataType_t::FLOAT);
  }

  void backward_weight() {
    const Handle x = normalised(input("x", ConvArray::x, g_.input_shape()));
    const Handle dw =
        graph_.conv_wgrad(input("dy", ConvArray::y, g_.output_shape()), x, convolution<fe::graph::Conv_wgrad_attributes>(g_));
    finish(dw, ConvArray::w, g_.weight_shape(), type_);
  }

  void backward_data() {
    Handle dx = graph_.conv_dgrad(input("dy", ConvArray::y, g_.output_shape()), input("w", ConvArray::w, g_.weight_shape()),
                                  convolution<fe::graph::Conv_dgrad_attributes>(g_));
    if (problem_.fusion == ConvFusion::none) return finish(dx, ConvArray::x, g_.input_shape(), type_);
    const fe::graph::Tensor_attributes shape = tensor("dx", ConvArray::x, g_.input_shape(), type_);
    dx->set_dim(shape.get_dim()).set_stride(shape.get_stride());
    if (problem_.skip) dx = pointwise(Mode::ADD, dx, input("skip", ConvArray::skip, g_.input_shape()));
    const Norm main = norm(kMain);
    Handle relu_input = main.value;
    if (problem_.fusion == ConvFusion::residual)
      relu_input = pointwise(Mode::ADD, relu_input, input("residual", ConvArray::residual, g_.input_shape()));
    const bool pair = problem_.fusion == ConvFusion::shortcut;
    const Norm shortcut = pair ? norm(kShortcut) : Norm{};
    if (pair) relu_input = pointwise(Mode::ADD, relu_input, shortcut.value);
    const Handle masked = pointwise(Mode::RELU_BWD, dx, relu_input);
    finish(masked, ConvArray::x, g_.input_shape(), type_);
    sums(masked, main, kMain);
    if (pair) sums(masked, shortcut, kShortcut);
  }

 private:
  /// Where the arrays of one normalisation begin, in the order of ConvArray.
  static constexpr ConvArray kMain = ConvArray::main, kShortcut = ConvArray::shortcut;
  struct Norm {
    Handle x, mean, invstd, gamma, value;
  };

  static Shape per_channel(std::int64_t channels) { return {1, 1, 1, channels}; }
  static ConvArray after(ConvArray first, int offset) {
    return static_cast<ConvArray>(static_cast<std::int64_t>(first) + offset);
  }

  Handle input(const char* name, ConvArray array, const Shape& shape) { return input(name, array, shape, type_); }
  Handle input(const char* name, ConvArray array, const Shape& shape, fe::DataType_t type) {
    return graph_.tensor(tensor(name, array, shape, type));
  }
  Handle pointwise(Mode mode, const Handle& a, const Handle& b) {
    return graph_.pointwise(a, b, fe::graph::Pointwise_attributes().set_mode(mode));
  }
  void finish(const Handle& result, ConvArray array, const Shape& shape, fe::DataType_t type) {
    *result = tensor("result", array, shape, type).set_output(true);
  }

  Handle scaled(const Handle& x, ConvArray scale, ConvArray bias) {
    const Handle product = pointwise(Mode::MUL, x, input("scale", scale, per_channel(g_.c)));
    return pointwise(Mode::ADD, product, input("bias", bias, per_channel(g_.c)));
  }

  /// What the convolution takes instead of x; cuDNN wants scales and biases in the activations' type.
  Handle normalised(const Handle& x) {
    if (problem_.fusion == ConvFusion::none || problem_.fusion == ConvFusion::sums) return x;
    Handle value = scaled(x, ConvArray::scale, ConvArray::bias);
    const bool joined = problem_.fusion != ConvFusion::normal;
    if (joined) {
      Handle residual = input("residual", ConvArray::residual, g_.input_shape());
      if (problem_.fusion == ConvFusion::shortcut)
        residual = scaled(residual, ConvArray::residual_scale, ConvArray::residual_bias);
      value = pointwise(Mode::ADD, value, residual);
    }
    value = graph_.pointwise(value, fe::graph::Pointwise_attributes().set_mode(Mode::RELU_FWD));
    if (joined) finish(value, ConvArray::activation, g_.input_shape(), type_);
    return value;
  }

  Norm norm(ConvArray first) {
    const auto channel = [&](const char* name, int offset) {
      return input(name, after(first, offset), per_channel(g_.c), fe::DataType_t::FLOAT);
    };
    Norm n{input("normalised", first, g_.input_shape()), channel("mean", 1), channel("invstd", 2), channel("gamma", 3), {}};
    // The engine knows the difference by this form only.
    const Handle deviation = pointwise(Mode::MUL, pointwise(Mode::SUB, n.x, n.mean), n.invstd);
    n.value = pointwise(Mode::ADD, pointwise(Mode::MUL, deviation, n.gamma), channel("beta", 4));
    return n;
  }

  void sums(const Handle& gradient, const Norm& of, ConvArray first) {
    const auto results = graph_.dbn_weight(gradient, of.x, of.mean, of.invstd, of.gamma, fe::graph::DBN_weight_attributes());
    int offset = 5;
    for (const Handle& result : results) finish(result, after(first, offset++), per_channel(g_.c), fe::DataType_t::FLOAT);
  }

  fe::graph::Graph& graph_;
  const ConvProblem& problem_;
  const ConvGeometry& g_;
  fe::DataType_t type_;
};

}  // namespace

void describe_graph(fe::graph::Graph& graph, const ConvProblem& problem) {
  graph.set_io_data_type(data_type(problem.geometry.dtype))
      .set_intermediate_data_type(fe::DataType_t::FLOAT)
      .set_compute_data_type(fe::DataType_t::FLOAT);
  Builder build(graph, problem);
  switch (problem.pass) {
    case ConvPass::forward:
      return build.forward();
    case ConvPass::backward_data:
      return build.backward_data();
    case ConvPass::backward_weight:
      return build.backward_weight();
  }
}

}  // namespace swath::cuda
