// AdversarialLoss on the tape (methods.md §6): regressors go down the loss, embeddings go up.
#include "losses/adversarial.h"

#include "tests/losses/tape_case.h"
#include "tests/reference/adversarial.h"

namespace swath {
namespace {

constexpr std::int64_t kRows = 6, kUsed = 5, kHidden = 7;
const std::vector<std::int64_t> kWidths{3, 4, 2};
constexpr std::int64_t kCols = 9;
const std::vector<AdversarialDirection> kDirections{{0, 1, 2.0f}, {0, 2, 0.5f}, {2, 1, 3.0f}};

std::vector<double> part_of(const std::vector<double>& rows, std::size_t part) {
  std::int64_t begin = 0;
  for (std::size_t p = 0; p < part; ++p) begin += kWidths[p];
  std::vector<double> columns;
  for (std::int64_t i = 0; i < kRows; ++i)
    columns.insert(columns.end(), rows.begin() + i * kCols + begin, rows.begin() + i * kCols + begin + kWidths[part]);
  return reference::unit_rows(columns, kRows, kWidths[part]);
}

double reference_loss(const test::Values& v) {
  double loss = 0;
  for (const AdversarialDirection& d : kDirections) {
    const std::string stem = fmt::format("adversarial.{}_{}", d.source, d.target);
    const auto source = static_cast<std::size_t>(d.source), target = static_cast<std::size_t>(d.target);
    const reference::Regressor<double> g{.in = kWidths[source],
                                         .hidden = kHidden,
                                         .out = kWidths[target],
                                         .w1 = v.at(stem + ".w1"),
                                         .b1 = v.at(stem + ".b1"),
                                         .w2 = v.at(stem + ".w2"),
                                         .b2 = v.at(stem + ".b2")};
    const std::vector<double> prediction = reference::regress(g, part_of(v.at("rows"), source), kRows);
    loss += reference::adversarial_loss(part_of(v.at("rows"), target), prediction, kUsed, kWidths[target],
                                        static_cast<double>(d.weight));
  }
  return loss;
}

TEST(AdversarialLoss, ValueAndGradientsAgainstTheFormula) {
  const auto device = Device::open("cpu");
  ParameterBlock block;
  AdversarialLoss loss(block, kWidths, kDirections, kHidden, 4);
  block.allocate(*device);
  LossInput input;
  input.row_count = Tensor::from_host(*device, {1}, std::vector<std::int32_t>{kUsed});
  test::expect_slopes(*device, block, loss, input, test::random_values(kRows * kCols, 41), kCols, reference_loss,
                      {{"rows", -1.0}}, 2e-4);
}

TEST(AdversarialLoss, DirectionsBetweenPartsThatAreNotThere) {
  for (const AdversarialDirection& d : {AdversarialDirection{0, 3, 1}, {-1, 0, 1}, {1, 1, 1}}) {
    ParameterBlock block;
    EXPECT_THROW(AdversarialLoss(block, kWidths, {d}, kHidden, 4), UserError);
  }
  ParameterBlock block;
  EXPECT_THROW(AdversarialLoss(block, kWidths, {}, kHidden, 4), UserError);
}

}  // namespace
}  // namespace swath
