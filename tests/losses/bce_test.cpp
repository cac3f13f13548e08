// BceLoss on the tape (methods.md §6).
#include "losses/bce.h"

#include "tests/losses/tape_case.h"
#include "tests/reference/bce.h"

namespace swath {
namespace {

TEST(BceLoss, ValueAndGradientsAgainstTheFormula) {
  constexpr std::int64_t kRows = 5, kCols = 4, kClasses = 70;
  const auto device = Device::open("cpu");
  ParameterBlock block;
  BceLoss loss(block, kCols, kClasses, 3);
  block.allocate(*device);
  EXPECT_EQ(block.find("bce.weight")->group, ParameterGroup::regressor);
  std::vector<std::uint64_t> masks(kRows * 2);
  std::vector<int> labels(kRows * kClasses);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    labels[i] = i % 7 == 0;
    if (labels[i]) masks[i / kClasses * 2 + i % kClasses / 64] |= std::uint64_t{1} << (i % kClasses % 64);
  }
  const auto reference = [&](const test::Values& v) {
    std::vector<double> logits;
    for (std::int64_t i = 0; i < kRows; ++i) {
      for (std::int64_t c = 0; c < kClasses; ++c) {
        double sum = v.at("bce.bias")[c];
        for (std::int64_t k = 0; k < kCols; ++k) sum += v.at("rows")[i * kCols + k] * v.at("bce.weight")[c * kCols + k];
        logits.push_back(sum);
      }
    }
    return reference::bce_loss(logits, labels);
  };
  LossInput input;
  input.labels = Tensor::from_host(*device, {kRows, 2}, masks);
  test::expect_slopes(*device, block, loss, input, test::random_values(kRows * kCols, 31), kCols, reference);
}

}  // namespace
}  // namespace swath
