// MarginLoss on the tape against central differences of the double reference (methods.md §6).
#include "losses/margin.h"

#include <gtest/gtest.h>

#include "kernels/elementwise.h"
#include "kernels/philox.h"
#include "tests/reference/rows.h"

namespace swath {
namespace {

constexpr std::int64_t kRows = 9, kCols = 5, kClasses = 3, kCapacity = 8;

/// Unit rows, classes and triplets (padded with −1 up to the capacity).
struct Problem {
  std::vector<float> x;
  std::vector<std::int32_t> row_class;
  std::vector<std::vector<std::int32_t>> triplets{{0, 3, 1}, {1, 4, 2}, {2, 5, 0}, {3, 6, 8}, {7, 4, 3}, {0, 6, 5}};

  Problem() {
    for (std::uint64_t i = 0; i < kRows * kCols; ++i)
      x.push_back(2 * kernels::uniform01(kernels::philox(21, 0, kernels::RandomStream::init, i).v[0]) - 1);
    x = reference::unit_rows(x, kRows, kCols);
    for (std::int32_t r = 0; r < kRows; ++r) row_class.push_back(r % static_cast<std::int32_t>(kClasses));
  }

  reference::Margin reference(const MarginOptions& options) const {
    reference::Margin m;
    m.cols = kCols;
    m.triplets = triplets;
    m.margin = static_cast<double>(options.margin);
    m.nu = static_cast<double>(options.nu);
    m.beta_fixed = !options.beta_trainable;
    if (options.class_specific) m.row_class.assign(row_class.begin(), row_class.end());
    return m;
  }
};

/// Central differences of the reference by element `index` of the rows or of β.
enum class Of { rows, beta };
double slope(const reference::Margin& m, std::vector<double> x, std::vector<double> beta, Of of, std::size_t index) {
  constexpr double kStep = 1e-6;
  double& value = of == Of::rows ? x[index] : beta[index];
  const double middle = value;
  value = middle + kStep;
  const double above = reference::margin_loss(m, x, beta);
  value = middle - kStep;
  return (above - reference::margin_loss(m, x, beta)) / (2 * kStep);
}

class MarginLossTest : public testing::Test {
 protected:
  LossInput input(Tape& tape) {
    std::vector<std::int32_t> flat;
    for (const auto& t : problem_.triplets) flat.insert(flat.end(), t.begin(), t.end());
    flat.resize(3 * kCapacity, -1);
    const std::vector<std::int32_t> used{static_cast<std::int32_t>(problem_.triplets.size())}, rows{kRows};
    rows_ = tape.input(Tensor::from_host(*device_, {kRows, kCols}, problem_.x));
    return {.rows = rows_,
            .row_class = Tensor::from_host(*device_, {kRows}, problem_.row_class),
            .row_count = Tensor::from_host(*device_, {1}, rows),
            .triplets = {Tensor::from_host(*device_, {kCapacity, 3}, flat), Tensor::from_host(*device_, {1}, used)}};
  }
  void set_beta(Parameter& beta) {
    std::vector<float> values;
    for (std::int64_t c = 0; c < beta.shape[0]; ++c) values.push_back(1.05f + 0.1f * static_cast<float>(c));
    beta.value.copy_from_host(values.data());
  }
  Tensor factor(float value) { return Tensor::from_host(*device_, {1}, std::vector<float>{value}); }
  static std::vector<double> wide(const std::vector<float>& values) { return {values.begin(), values.end()}; }

  /// `calls` forward passes on one tape, each with the upstream factor, and their gradients against the reference.
  void check(const MarginOptions& options, float upstream, int calls) {
    ParameterBlock block;
    MarginLoss margin(block, options, kClasses);
    block.allocate(*device_);
    Parameter& beta = *block.find("margin.beta");
    ASSERT_EQ(beta.shape[0], options.class_specific ? kClasses : 1);
    set_beta(beta);
    const reference::Margin m = problem_.reference(options);
    const std::vector<double> x = wide(problem_.x), b = wide(beta.value.to_host<float>());
    int active = 0;
    const double wanted = reference::margin_loss(m, x, b, &active);
    ASSERT_GT(active, 2);
    block.begin_step();
    for (int call = 0; call < calls; ++call) {
      Tape tape(*device_, Phase::train);
      const LossOutput output = margin.forward(tape, input(tape));
      EXPECT_NEAR(output.loss.value().to_host<float>()[0], wanted, 1e-6);
      EXPECT_EQ(output.active.to_host<float>()[0], static_cast<float>(active));
      tape.backward(output.loss, factor(upstream));
      const std::vector<float> d_rows = tape.gradient(rows_).to_host<float>();
      for (std::size_t i = 0; i < d_rows.size(); ++i)
        EXPECT_NEAR(d_rows[i], static_cast<double>(upstream) * slope(m, x, b, Of::rows, i), 2e-6) << "row element " << i;
    }
    block.end_backward();
    const std::vector<float> d_beta = beta.grad.to_host<float>();
    for (std::size_t c = 0; c < d_beta.size(); ++c) {
      const double each = options.beta_trainable ? slope(m, x, b, Of::beta, c) : 0;
      if (options.beta_trainable) {
        EXPECT_GT(std::abs(each), 1e-3) << "the case says nothing about β " << c;
      }
      EXPECT_NEAR(d_beta[c], static_cast<double>(upstream) * calls * each, 4e-6) << "β " << c;
    }
  }

  std::unique_ptr<Device> device_ = Device::open("cpu");
  Problem problem_;
  Var rows_;
};

TEST_F(MarginLossTest, ScalarBeta) { check({}, 1, 1); }
TEST_F(MarginLossTest, ClassSpecificBeta) { check({.class_specific = true}, 1, 1); }
TEST_F(MarginLossTest, UpstreamFactor) {
  check({.nu = 0.7f}, -2.5f, 1);
  check({.class_specific = true, .nu = 0.7f}, 0.25f, 1);
}
TEST_F(MarginLossTest, TwoCallsAccumulateIntoBeta) {
  check({}, 3, 2);
  check({.class_specific = true}, 3, 2);
}
TEST_F(MarginLossTest, FixedBetaHasNoGradientAndNoPenalty) {
  check({.beta_trainable = false}, 2, 2);
  check({.beta_trainable = false, .class_specific = true}, 2, 1);
}

TEST_F(MarginLossTest, NoTripletsMeanZeroAndNoGradient) {
  problem_.triplets.clear();
  ParameterBlock block;
  MarginLoss margin(block, {}, kClasses);
  block.allocate(*device_);
  block.begin_step();
  Tape tape(*device_, Phase::train);
  const LossOutput output = margin.forward(tape, input(tape));
  tape.backward(output.loss);
  block.end_backward();
  EXPECT_EQ(output.loss.value().to_host<float>()[0], 0);
  EXPECT_EQ(output.active.to_host<float>()[0], 0);
  for (const float d : tape.gradient(rows_).to_host<float>()) EXPECT_EQ(d, 0);
  EXPECT_EQ(block.find("margin.beta")->grad.to_host<float>()[0], 0);
}

TEST_F(MarginLossTest, BetaIsDeclaredInItsGroupWithItsInitialValue) {
  ParameterBlock block;
  MarginLoss one(block, {.beta = 1.1f, .class_specific = true}, kClasses, "first");
  MarginLoss two(block, {.beta_trainable = false}, kClasses, "second");
  block.allocate(*device_);
  const Parameter *first = block.find("first.beta"), *second = block.find("second.beta");
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->group, ParameterGroup::beta);
  EXPECT_EQ(first->value.to_host<float>(), std::vector<float>(kClasses, 1.1f));
  EXPECT_EQ(second->trainable, Trainable::no);
}

TEST(MarginOptions, JsonRoundTripAndRefusals) {
  const MarginOptions options{.margin = 0.3f, .beta = 1.4f, .beta_trainable = false, .class_specific = true, .nu = 0.05f};
  const Json json = config_to_json(options);
  EXPECT_EQ(json.dump(), R"({"margin":0.3,"beta":1.4,"beta_trainable":false,"class_specific":true,"nu":0.05})");
  MarginOptions read;
  config_from_json(read, json);
  EXPECT_EQ(config_to_json(read), json);
  EXPECT_EQ(read.margin, 0.3f);
  for (const char* wrong :
       {R"({"margin":-1})", R"({"beta":3})", R"({"nu":"much"})", R"({"betta":1})", R"({"class_specific":1})"})
    EXPECT_THROW(config_from_json(read, Json::parse(wrong), "margin"), UserError) << wrong;
}

}  // namespace
}  // namespace swath
