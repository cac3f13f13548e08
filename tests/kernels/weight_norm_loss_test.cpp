// Cases of weight_norm_loss. methods.md §7 "BIER".
#include "kernels/weight_norm_loss.h"

#include "tests/kernels/kernel_case.h"
#include "tests/reference/weight_norm.h"

namespace swath::kernels::test {
namespace {

class WeightNormLossTest : public KernelTest {};

struct Layer {
  std::int64_t rows, cols;
  float bias_span;  // 0: no bias
  float factor;
  std::vector<float> weight = {}, bias = {};
};

/// Weights of length near 1, one zero row, one huge one; the biases' lengths are on either side of 1.
std::vector<Layer> make_layers(std::vector<Layer> layers) {
  std::uint64_t seed = 80;
  for (Layer& layer : layers) {
    const float span = layer.cols > 0 ? 2.0f / std::sqrt(static_cast<float>(layer.cols)) : 0.0f;
    layer.weight = random_floats(layer.rows * layer.cols, ++seed, -span, span);
    for (std::int64_t k = 0; layer.rows > 2 && k < layer.cols; ++k) {
      layer.weight[layer.cols + k] = 0.0f;
      layer.weight[2 * layer.cols + k] *= 30.0f;
    }
    if (layer.bias_span > 0) layer.bias = random_floats(layer.rows, ++seed, -layer.bias_span, layer.bias_span);
  }
  return layers;
}

struct Output {
  float loss = 0;
  std::vector<std::vector<float>> d_weight, d_bias;
};

Output run(Place place, const std::vector<Layer>& layers, float loss_scale, GradMode mode, float start) {
  CaseMemory memory(place);
  float* loss = memory.make_output<float>(1);
  WeightNormLossArgs args{
      .layer_count = static_cast<std::int64_t>(layers.size()), .loss_scale = memory.put_one(loss_scale), .loss = loss};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const Layer& layer = layers[l];
    args.layers[l] = {.weight = memory.put(layer.weight),
                      .bias = layer.bias.empty() ? nullptr : memory.put(layer.bias),
                      .d_weight = memory.put(std::vector<float>(layer.weight.size(), start)),
                      .d_bias = memory.put(std::vector<float>(layer.bias.size(), start)),
                      .rows = layer.rows,
                      .cols = layer.cols,
                      .factor = layer.factor,
                      .d_weight_mode = mode,
                      .d_bias_mode = mode};
  }
  args.workspace = memory.make_workspace(weight_norm_loss_workspace(args));
  memory.run([&](auto exec) { weight_norm_loss(args, exec); });
  Output out{memory.get_one(loss), {}, {}};
  for (std::size_t l = 0; l < layers.size(); ++l) {
    out.d_weight.push_back(memory.get(args.layers[l].d_weight, layers[l].rows * layers[l].cols));
    out.d_bias.push_back(memory.get(args.layers[l].d_bias, static_cast<std::int64_t>(layers[l].bias.size())));
  }
  return out;
}

template <class T, class Gradient>
std::vector<T> expected_gradient(float loss_scale, const Layer& layer, float start, const Gradient& gradient) {
  std::vector<T> d = gradient;
  for (T& v : d) v = T(loss_scale) * T(layer.factor) * v + T(start);
  return d;
}

void check(Place place, const std::vector<Layer>& layers, float loss_scale = 1.0f, GradMode mode = GradMode::overwrite) {
  const float start = mode == GradMode::accumulate ? 0.75f : 0.0f;
  const Output got = run(place, layers, loss_scale, mode, mode == GradMode::overwrite ? NAN : start);
  double loss = 0;
  float naive = 0;
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const Layer& layer = layers[l];
    loss += static_cast<double>(layer.factor) *
            reference::weight_norm_loss(to_double(layer.weight), layer.rows, layer.cols, to_double(layer.bias));
    naive += layer.factor * reference::weight_norm_loss(layer.weight, layer.rows, layer.cols, layer.bias);
    if (mode == GradMode::skip) {
      EXPECT_EQ(got.d_weight[l], std::vector<float>(layer.weight.size(), start));
      EXPECT_EQ(got.d_bias[l], std::vector<float>(layer.bias.size(), start));
      continue;
    }
    expect_close(got.d_weight[l],
                 expected_gradient<double>(loss_scale, layer, start,
                                           reference::weight_norm_gradient(to_double(layer.weight), layer.rows, layer.cols)),
                 expected_gradient<float>(loss_scale, layer, start,
                                          reference::weight_norm_gradient(layer.weight, layer.rows, layer.cols)));
    expect_close(got.d_bias[l],
                 expected_gradient<double>(loss_scale, layer, start, reference::bias_norm_gradient(to_double(layer.bias))),
                 expected_gradient<float>(loss_scale, layer, start, reference::bias_norm_gradient(layer.bias)));
  }
  expect_close({got.loss}, {loss}, {naive});
}

TEST_P(WeightNormLossTest, OneLayerOfEverySize) {
  for (const std::int64_t rows : {0, 1, 31, 32, 33, 130}) {
    for (const std::int64_t cols : {1, 3, 31, 32, 33, 128, 130})
      check(GetParam(), make_layers({{rows, cols, 0, 1.0f}, {rows, cols, 0.5f, 0.5f}}));
  }
}

TEST_P(WeightNormLossTest, ManyLayersWithModesAndScale) {
  const std::vector<Layer> layers = make_layers({{16, 96, 0.1f, 0.25f},
                                                 {40, 16, 0.9f, 0.25f},
                                                 {5, 64, 0, 1.0f},
                                                 {0, 8, 0, 1.0f},
                                                 {96, 20, 2.0f, 0.5f},
                                                 {1, 1, 3.0f, 1.0f}});
  for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate})
    check(GetParam(), layers, -3.5f, mode);
  check(GetParam(), std::vector<Layer>(kWeightNormLayers, layers[1]));
  check(GetParam(), {});
}

TEST(WeightNormReference, GradientIsThatOfTheLoss) {
  const Layer layer = make_layers({{4, 5, 1.5f, 1.0f}})[0];
  const std::vector<double> weight = to_double(layer.weight), bias = to_double(layer.bias);
  ASSERT_GT(reference::square(bias.data(), 4), 1.0);
  const auto by_weight =
      central_differences(weight, [&](const std::vector<double>& w) { return reference::weight_norm_loss(w, 4, 5, bias); });
  const auto by_bias =
      central_differences(bias, [&](const std::vector<double>& b) { return reference::weight_norm_loss(weight, 4, 5, b); });
  double scale = 0;
  for (const double d : by_weight) scale = std::max(scale, std::abs(d));
  EXPECT_LT(largest_error(by_weight, reference::weight_norm_gradient(weight, 4, 5)), 1e-7 * scale);
  EXPECT_LT(largest_error(by_bias, reference::bias_norm_gradient(bias)), 1e-4);
}

SWATH_KERNEL_PLACES(WeightNormLossTest);

}  // namespace
}  // namespace swath::kernels::test
