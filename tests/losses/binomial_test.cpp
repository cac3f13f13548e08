// BinomialLoss on the tape (methods.md §6).
#include "losses/binomial.h"

#include "tests/losses/tape_case.h"
#include "tests/reference/binomial.h"

namespace swath {
namespace {

constexpr std::int64_t kRows = 8, kUsed = 7, kCols = 9;
const std::vector<std::int64_t> kWidths{2, 3, 4};

reference::Binomial reference_of(const BinomialOptions& options) {
  reference::Binomial b;
  b.widths = kWidths;
  b.row_class = {0, 1, 0, 2, -1, 1, 2};
  b.alpha = static_cast<double>(options.alpha);
  b.cost = static_cast<double>(options.cost);
  b.nu = static_cast<double>(options.nu);
  b.eta_style = options.eta_style;
  b.beta_fixed = !options.beta_trainable;
  return b;
}

void check(const BinomialOptions& options) {
  const auto device = Device::open("cpu");
  ParameterBlock block;
  BinomialLoss loss(block, kWidths, options);
  block.allocate(*device);
  const reference::Binomial b = reference_of(options);
  std::vector<std::int32_t> row_class = b.row_class;
  row_class.resize(kRows, 0);
  LossInput input;
  input.row_class = Tensor::from_host(*device, {kRows}, row_class);
  input.row_count = Tensor::from_host(*device, {1}, std::vector<std::int32_t>{kUsed});
  const std::vector<float> rows = test::random_values(kRows * kCols, 51);
  const std::vector<double> start(rows.begin(), rows.begin() + kUsed * kCols);
  const auto beta = static_cast<double>(options.beta);
  const std::vector<double> boosting = reference::binomial_boosting(b, start, beta);
  test::expect_slopes(
      *device, block, loss, input, rows, kCols,
      [&](const test::Values& v) {
        const std::vector<double>& all = v.at("rows");
        // A fixed β has no gradient.
        const double now = options.beta_trainable ? v.at("binomial.beta")[0] : beta;
        return reference::binomial_loss<double>(b, {all.begin(), all.begin() + kUsed * kCols}, now, boosting);
      },
      {}, 2e-4);
}

TEST(BinomialLoss, ValueAndGradientsAgainstTheFormula) {
  check({.cost = 3.0f});
  check({.cost = 3.0f, .eta_style = false});
  check({.alpha = 1.5f, .beta = -0.2f, .cost = 2.0f, .nu = 0.7f});
}

TEST(BinomialLoss, FixedBetaHasNoGradientAndNoPenalty) { check({.beta_trainable = false, .cost = 3.0f}); }

TEST(BinomialLoss, BetaIsDeclaredInItsGroupAndLearnersAreCounted) {
  const auto device = Device::open("cpu");
  ParameterBlock block;
  const BinomialLoss trained(block, kWidths, {.beta = 0.25f}, "first"), fixed(block, {4}, {.beta_trainable = false}, "second");
  EXPECT_THROW(BinomialLoss(block, {}, {}, "none"), UserError);
  EXPECT_THROW(BinomialLoss(block, std::vector<std::int64_t>(9, 4), {}, "nine"), UserError);
  EXPECT_THROW(BinomialLoss(block, {4, 0}, {}, "empty"), UserError);
  block.allocate(*device);
  EXPECT_EQ(block.find("first.beta")->group, ParameterGroup::beta);
  EXPECT_EQ(block.find("first.beta")->value.to_host<float>(), std::vector<float>{0.25f});
  EXPECT_EQ(block.find("second.beta")->trainable, Trainable::no);
}

TEST(BinomialOptions, JsonRoundTripAndRefusals) {
  const BinomialOptions options{.alpha = 3, .beta = 0.4f, .beta_trainable = false, .cost = 10, .nu = 0.2f, .eta_style = false};
  const Json json = config_to_json(options);
  EXPECT_EQ(json.dump(), R"({"alpha":3.0,"beta":0.4,"beta_trainable":false,"cost":10.0,"nu":0.2,"eta_style":false})");
  BinomialOptions read;
  config_from_json(read, json);
  EXPECT_EQ(config_to_json(read), json);
  for (const char* wrong : {R"({"beta":2})", R"({"alpha":-1})", R"({"eta":true})", R"({"eta_style":1})"})
    EXPECT_THROW(config_from_json(read, Json::parse(wrong), "binomial"), UserError) << wrong;
}

}  // namespace
}  // namespace swath
