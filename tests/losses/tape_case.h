// A loss on the tape: its value, the gradient of its rows and of every parameter, against central differences of a reference in
// double.
#pragma once
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "kernels/philox.h"
#include "losses/loss.h"

namespace swath::test {

/// The tensors of a loss's state, which has nothing else.
struct StateTensors : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override { tensors.emplace(name, value); }
  void scalar(const std::string&, std::int64_t&) override { FAIL(); }
  void scalar(const std::string&, std::uint64_t&) override { FAIL(); }
  void scalar(const std::string&, double&) override { FAIL(); }
  void scalar(const std::string&, std::string&) override { FAIL(); }
  std::map<std::string, Tensor> tensors;
};

inline std::vector<float> random_values(std::int64_t count, std::uint64_t seed, float span = 1.0f) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < count; ++i)
    values.push_back(
        span *
        (2 * kernels::uniform01(kernels::philox(seed, 0, kernels::RandomStream::init, static_cast<std::uint64_t>(i)).v[0]) -
         1));
  return values;
}

/// Values in double by name: the rows as "rows", parameters by their names.
using Values = std::map<std::string, std::vector<double>>;

/// Runs forward and backward with d_loss = `upstream`, twice (so that parameters' gradients accumulate), and compares with
/// slopes of `reference`, each to `tolerance` times the largest slope of its tensor. `sign` is the factor between the slope and
/// what a gradient must be (−1 behind a gradient reversal).
inline void expect_slopes(Device& device, ParameterBlock& block, Loss& loss, LossInput input, const std::vector<float>& rows,
                          std::int64_t cols, const std::function<double(const Values&)>& reference,
                          const std::map<std::string, double>& sign = {}, double tolerance = 1e-4) {
  Values values;
  values["rows"].assign(rows.begin(), rows.end());
  for (const Parameter& p : block.parameters()) {
    const std::vector<float> host = p.value.to_host<float>();
    values[p.name].assign(host.begin(), host.end());
  }
  constexpr float kUpstream = -1.5f;
  std::vector<float> d_rows;
  block.begin_step();
  for (int call = 0; call < 2; ++call) {
    Tape tape(device, Phase::train);
    input.rows = tape.input(Tensor::from_host(device, {static_cast<std::int64_t>(rows.size()) / cols, cols}, rows));
    const LossOutput output = loss.forward(tape, input);
    const double wanted = reference(values);
    EXPECT_NEAR(output.loss.value().to_host<float>()[0], wanted, 1e-5 * std::max(1.0, std::abs(wanted)));
    tape.backward(output.loss, Tensor::from_host(device, {1}, std::vector<float>{kUpstream}));
    const Tensor gradient = tape.gradient(input.rows);
    d_rows = gradient.defined() ? gradient.to_host<float>() : std::vector<float>(rows.size(), 0.0f);
  }
  block.end_backward();
  const auto compare = [&](const std::string& name, const std::vector<float>& got, double factor) {
    const auto found = sign.find(name);
    if (found != sign.end()) factor *= found->second;
    std::vector<double> slopes;
    double largest = 0;
    for (double& v : values[name]) {
      const double kept = v, step = 1e-6;
      v = kept + step;
      const double above = reference(values);
      v = kept - step;
      slopes.push_back(factor * (above - reference(values)) / (2 * step));
      v = kept;
      largest = std::max(largest, std::abs(slopes.back()));
    }
    ASSERT_EQ(got.size(), slopes.size()) << name;
    for (std::size_t i = 0; i < slopes.size(); ++i)
      EXPECT_NEAR(got[i], slopes[i], tolerance * largest + 1e-9) << name << " " << i;
  };
  compare("rows", d_rows, static_cast<double>(kUpstream));
  for (const Parameter& p : block.parameters()) compare(p.name, p.grad.to_host<float>(), 2 * static_cast<double>(kUpstream));
}

}  // namespace swath::test
