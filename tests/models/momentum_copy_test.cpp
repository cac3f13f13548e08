// The key network: a copy at first, then an average of its own past and the query network (methods.md §6 "Fast MoCo").
#include "models/momentum_copy.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/nn/init.h"

namespace swath {
namespace {

class MomentumCopyTest : public testing::Test {
 protected:
  static constexpr float kMomentum = 0.75f;

  MomentumCopyTest()
      : device_(Device::open("cpu")),
        query_(block_, options(), 3, heads(), 5),
        key_(*device_, options(), 3, heads(), kMomentum) {
    block_.declare("regressor.weight", {7, 3}, ParameterGroup::regressor, constant_init(9));
    block_.declare("margin.beta", {1}, ParameterGroup::beta, constant_init(1.2f));
    block_.allocate(*device_);
    std::vector<float> images(4 * 32 * 32 * 3);
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = std::sin(0.37f * static_cast<float>(i));
    images_ = Tensor::from_host(*device_, {4, 32, 32, 3}, images);
    key_.start(block_);
  }

  static ModelOptions options() {
    ModelOptions made;
    made.backbone = "resnet18";
    made.dropout = 0.25f;
    return made;
  }
  static std::vector<HeadSpec> heads() { return {{"one", 8}, {"two", 5}}; }

  RandomKey random() const { return {3, &step_}; }
  std::vector<std::vector<float>> query_parts() {
    Tape tape(*device_, Phase::train);
    std::vector<std::vector<float>> parts;
    for (const Var& part : query_.forward(tape, Var(images_), random())) parts.push_back(part.value().to_host<float>());
    return parts;
  }
  std::vector<std::vector<float>> key_parts() {
    Tape tape(*device_, Phase::train);
    std::vector<std::vector<float>> parts;
    for (const Tensor& part : key_.forward(tape, images_, random())) parts.push_back(part.to_host<float>());
    return parts;
  }

  /// What a checkpoint would hold.
  struct State : StateVisitor {
    void tensor(const std::string& name, Tensor& value) override { tensors[name] = value.to_host<float>(); }
    void scalar(const std::string&, std::int64_t&) override { FAIL(); }
    void scalar(const std::string&, std::uint64_t&) override { FAIL(); }
    void scalar(const std::string&, double&) override { FAIL(); }
    void scalar(const std::string&, std::string&) override { FAIL(); }
    std::map<std::string, std::vector<float>> tensors;
  };
  std::map<std::string, std::vector<float>> key_state() {
    State state;
    key_.visit_state(state);
    return state.tensors;
  }

  std::unique_ptr<Device> device_;
  ParameterBlock block_;
  Embedder query_;
  MomentumCopy key_;
  Tensor images_;
  std::uint64_t step_ = 11;
};

TEST_F(MomentumCopyTest, StartsAsACopyAndRunsInTrainingMode) {
  const auto state = key_state();
  EXPECT_EQ(state.size(), block_.parameters().size() - 2 + block_.buffers().size());
  for (const auto& [name, values] : state) {
    const std::string own = name.substr(4);
    const Parameter* p = block_.find(own);
    EXPECT_EQ(values, (p ? p->value : block_.find_buffer(own)->value).to_host<float>()) << name;
  }
  const auto keys = key_parts();  // the same dropout, the same batch statistics
  EXPECT_EQ(keys, query_parts());
  EXPECT_EQ(keys.size(), 2u);
  EXPECT_NE(key_state().at("key.backbone.bn1.running_mean"), state.at("key.backbone.bn1.running_mean"));
}

TEST_F(MomentumCopyTest, FollowsWithItsMomentumAndKeepsItsOwnRunningStatistics) {
  const auto before = key_state();
  for (Parameter& p : block_.parameters()) {
    std::vector<float> moved = p.value.to_host<float>();
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] += 0.5f + 0.01f * static_cast<float>(i % 9);
    p.value.copy_from_host(moved.data());
  }
  query_parts();  // moves the running statistics of the query network alone
  key_.follow(block_);
  for (const auto& [name, values] : key_state()) {
    const std::vector<float>& old = before.at(name);
    const Parameter* p = block_.find(name.substr(4));
    if (!p) {
      EXPECT_EQ(values, old) << name;
      continue;
    }
    const std::vector<float> query = p->value.to_host<float>();
    for (std::size_t i = 0; i < values.size(); ++i)
      ASSERT_NEAR(values[i], kMomentum * old[i] + (1 - kMomentum) * query[i], 1e-6) << name << " " << i;
  }
}

TEST_F(MomentumCopyTest, NoGradientReachesIt) {
  Tape tape(*device_, Phase::train);
  block_.begin_step();
  key_.forward(tape, images_, random());
  EXPECT_TRUE(tape.gradients_enabled());
  const Var rows = query_.forward(tape, Var(images_), random()).front();
  tape.backward(rows, Tensor::from_host(*device_, rows.shape(), std::vector<float>(32, 1.0f)));
  block_.end_backward();
  for (const float d : block_.find("regressor.weight")->grad.to_host<float>()) EXPECT_EQ(d, 0);
}

TEST_F(MomentumCopyTest, AnotherLayoutIsRefused) {
  ParameterBlock other;
  const Embedder narrow(other, options(), 3, {{"one", 4}, {"two", 5}}, 5);
  other.allocate(*device_);
  EXPECT_THROW(key_.start(other), InternalError);
  EXPECT_THROW(key_.follow(other), InternalError);
}

}  // namespace
}  // namespace swath
