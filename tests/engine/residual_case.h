// Residual blocks as a device computes them in float16, and the same in double from the formulas (methods.md §2): values and
// gradients of input and parameters.
#pragma once
#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "engine/autograd/conv_block.h"
#include "engine/nn/init.h"
#include "tests/engine/backend_case.h"
#include "tests/half_arrays.h"
#include "tests/reference/batch_norm.h"

namespace swath::testing {

using reference::Doubles;

/// One residual block: its convolutions (kernel, stride of each) and whether its input goes through one of its own.
struct BlockShape {
  std::vector<std::pair<std::int64_t, std::int64_t>> kernels;
  bool shortcut = false;
};

struct ChainCase {
  const char* name;
  std::int64_t n, h, w, channels, width;
  std::vector<BlockShape> blocks;
  /// Sums before ReLU lie far from zero, by channels above and below it, so that no rounding changes a mask.
  bool decided = false;
};

inline std::vector<float> chain_numbers(std::int64_t count, const std::string& name) {
  return numbers_from(count, name_hash(name) | 1);
}

/// As float16 stores them.
inline std::vector<float> halved(const std::vector<float>& values) { return widened(narrowed<kernels::f16>(values)); }
inline Doubles to_doubles(const std::vector<float>& values) { return Doubles(values.begin(), values.end()); }

/// Parameters of a chain of blocks on one device, and steps of it.
class Chain {
 public:
  struct Block {
    std::vector<ConvNorm> convs;
    std::optional<ConvNorm> shortcut;
  };

  Chain(Device& device, const ChainCase& of) : device_(device), case_(of) {
    std::int64_t channels = of.channels;
    for (std::size_t b = 0; b < of.blocks.size(); ++b) {
      const BlockShape& shape = of.blocks[b];
      Block block;
      const std::int64_t in = channels;
      std::int64_t stride = 1;
      for (std::size_t i = 0; i < shape.kernels.size(); ++i) {
        const bool last = i + 1 == shape.kernels.size();
        const std::int64_t out = !last ? of.width : shape.shortcut ? 2 * of.channels : in;
        block.convs.push_back(declare(name(b, "conv", i), out, shape.kernels[i].first, channels, shape.kernels[i].second));
        stride *= shape.kernels[i].second;
        channels = out;
      }
      if (shape.shortcut) block.shortcut = declare(name(b, "shortcut", 0), channels, 1, in, stride);
      blocks.push_back(block);
    }
    parameters.allocate(device);
    for (const Parameter& p : parameters.parameters()) {
      const bool weight = p.shape.rank() == 4, scale = p.name.ends_with("norm.weight");
      std::vector<float> values = chain_numbers(p.shape.numel(), p.name);
      for (float& v : values) v = weight ? v * 0.4f : scale ? 1 + 0.4f * v : 0.5f * v;
      if (of.decided && !weight && !scale)
        for (std::size_t i = 0; i < values.size(); ++i) values[i] += i % 2 == 0 ? kDecided : -kDecided;
      p.value.copy_from_host((weight ? halved(values) : values).data());
    }
    input = halved(chain_numbers(of.n * of.h * of.w * of.channels, "input"));
  }

  Var forward(Tape& tape, Var x) const {
    for (const Block& block : blocks) {
      const Var in = x;
      for (std::size_t i = 0; i + 1 < block.convs.size(); ++i) x = conv_norm(tape, x, block.convs[i], Activation::relu);
      x = block.shortcut ? conv_norm_add(tape, x, block.convs.back(), in, *block.shortcut)
                         : conv_norm_add(tape, x, block.convs.back(), in);
    }
    return x;
  }

  /// The result ("y"), the gradient of the input ("x") and of every parameter, in float16 arithmetic; `prepare` sets up the
  /// tape.
  template <class Prepare>
  std::map<std::string, Doubles> step(const Prepare& prepare) {
    Tape tape(device_, Phase::train);
    prepare(tape);
    parameters.begin_step();
    const Var x =
        tape.input(Tensor::from_host(device_, {case_.n, case_.h, case_.w, case_.channels}, narrowed<kernels::f16>(input)));
    const Var y = forward(tape, x);
    std::map<std::string, Doubles> found{{"y", to_doubles(widened(y.value().to_host<kernels::f16>()))}};
    tape.backward(y, Tensor::from_host(device_, y.shape(), narrowed<kernels::f16>(chain_numbers(y.shape().numel(), "d_y"))));
    parameters.end_backward();
    found["x"] = to_doubles(widened(tape.gradient(x).to_host<kernels::f16>()));
    for (const Parameter& p : parameters.parameters()) found[p.name] = to_doubles(p.grad.to_host<float>());
    for (const Buffer& b : parameters.buffers()) found[b.name] = to_doubles(b.value.to_host<float>());
    return found;
  }

  ParameterBlock parameters;
  std::vector<Block> blocks;
  std::vector<float> input;

 private:
  static constexpr float kDecided = 6;
  static std::string name(std::size_t block, const char* what, std::size_t i) {
    return std::to_string(block) + "." + what + std::to_string(i);
  }
  ConvNorm declare(const std::string& of, std::int64_t out, std::int64_t kernel, std::int64_t in, std::int64_t stride) {
    Parameter& weight = parameters.declare(of, {out, kernel, kernel, in}, ParameterGroup::backbone, constant_init(0));
    return {&weight,
            BatchNorm::declare(parameters, of + ".norm", out, ParameterGroup::backbone),
            {.stride = stride, .pad = kernel / 2}};
  }

  Device& device_;
  const ChainCase& case_;
};

/// The same in double. Parameters come from `chain`.
class ChainReference {
 public:
  ChainReference(const Chain& chain, const ChainCase& of) : case_(of) {
    Doubles x = to_doubles(chain.input);
    std::int64_t h = of.h, w = of.w;
    for (const Chain::Block& block : chain.blocks) {
      const Doubles in = x;
      const std::int64_t in_h = h, in_w = w;
      blocks_.emplace_back();
      for (std::size_t i = 0; i < block.convs.size(); ++i) {
        Layer& layer = blocks_.back().layers.emplace_back(made(block.convs[i], x, h, w));
        h = layer.geometry.out_h(), w = layer.geometry.out_w();
        if (i + 1 == block.convs.size()) {
          if (block.shortcut) {
            blocks_.back().shortcut = made(*block.shortcut, in, in_h, in_w);
            layer.norm.shortcut_x = blocks_.back().shortcut->norm.x;
            layer.norm.shortcut_gamma = blocks_.back().shortcut->norm.gamma;
            layer.norm.shortcut_beta = blocks_.back().shortcut->norm.beta;
          } else {
            layer.norm.residual = in;
          }
        }
        x = batch_norm_forward(layer.norm);
        uncertain = std::max(uncertain, uncertain_share(layer.norm));
      }
    }
    found["y"] = x;
    backward();
  }

  std::map<std::string, Doubles> found;
  /// The largest share, in one layer, of sums before ReLU that lie closer to zero than float16 arithmetic is exact: their masks
  /// may be others.
  double uncertain = 0;

 private:
  static double uncertain_share(reference::BatchNormProblem<double> norm) {
    norm.relu = false;
    const Doubles sums = batch_norm_forward(norm);
    const auto near = std::count_if(sums.begin(), sums.end(), [](double v) { return std::abs(v) < 0x1p-9; });
    return static_cast<double>(near) / static_cast<double>(sums.size());
  }
  struct Layer {
    std::string name, norm_name;
    ConvGeometry geometry;
    Doubles x, w;
    reference::BatchNormProblem<double> norm;
  };
  struct Block {
    std::vector<Layer> layers;
    std::optional<Layer> shortcut;
  };

  Layer made(const ConvNorm& of, const Doubles& x, std::int64_t h, std::int64_t w) const {
    const Shape& shape = of.weight->shape;
    Layer layer{.name = of.weight->name,
                .norm_name = of.weight->name + ".norm",
                .geometry = {.n = case_.n,
                             .h = h,
                             .w = w,
                             .c = shape[3],
                             .k = shape[0],
                             .r = shape[1],
                             .s = shape[2],
                             .stride = of.options.stride,
                             .pad = of.options.pad},
                .x = x,
                .w = to_doubles(of.weight->value.to_host<float>()),
                .norm = {}};
    layer.norm.x = reference::conv(layer.geometry, x, layer.w);
    layer.norm.rows = static_cast<std::int64_t>(layer.norm.x.size()) / shape[0];
    layer.norm.channels = shape[0];
    layer.norm.gamma = to_doubles(of.norm.weight->value.to_host<float>());
    layer.norm.beta = to_doubles(of.norm.bias->value.to_host<float>());
    layer.norm.relu = true;
    return layer;
  }

  Doubles convolution_backward(const Layer& layer, const Doubles& d_y) {
    found[layer.name] = reference::conv_weight_gradient(layer.geometry, layer.x, d_y);
    return reference::conv_data_gradient(layer.geometry, d_y, layer.w);
  }

  void backward() {
    Doubles d = to_doubles(halved(chain_numbers(static_cast<std::int64_t>(found["y"].size()), "d_y")));
    for (auto block = blocks_.rbegin(); block != blocks_.rend(); ++block) {
      Doubles to_input;
      for (auto layer = block->layers.rbegin(); layer != block->layers.rend(); ++layer) {
        const auto g = batch_norm_gradients(layer->norm, d);
        found[layer->norm_name + ".weight"] = g.gamma;
        found[layer->norm_name + ".bias"] = g.beta;
        if (layer == block->layers.rbegin()) {
          to_input = g.residual;
          if (block->shortcut) {
            found[block->shortcut->norm_name + ".weight"] = g.shortcut_gamma;
            found[block->shortcut->norm_name + ".bias"] = g.shortcut_beta;
            to_input = convolution_backward(*block->shortcut, g.shortcut_x);
          }
        }
        d = convolution_backward(*layer, g.x);
      }
      for (std::size_t i = 0; i < d.size(); ++i) d[i] += to_input[i];
    }
    found["x"] = d;
  }

  const ChainCase& case_;
  std::vector<Block> blocks_;
};

/// ‖got − wanted‖ / ‖wanted‖.
inline double relative_error(const Doubles& got, const Doubles& wanted) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i)
    error += (got.at(i) - wanted[i]) * (got.at(i) - wanted[i]), norm += wanted[i] * wanted[i];
  return std::sqrt(error / norm);
}

}  // namespace swath::testing
