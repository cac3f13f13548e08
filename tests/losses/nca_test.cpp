// NcaLoss on the tape against slopes of the double reference, its bank over several steps, the momentum over the epochs, and
// what a checkpoint holds of it (methods.md §6 "NCA with memory bank").
#include "losses/nca.h"

#include <gtest/gtest.h>

#include "tests/losses/tape_case.h"
#include "tests/reference/nca.h"
#include "tests/reference/rows.h"

namespace swath {
namespace {

constexpr std::int64_t kBatch = 6, kCols = 5, kRows = 24, kClasses = 3;

class NcaLossTest : public testing::Test {
 protected:
  NcaLossTest() {
    for (std::int64_t j = 0; j < kRows; ++j) {
      const std::uint64_t mask = 1 + static_cast<std::uint64_t>(j) * 5 % 7;
      masks_.push_back(mask);
      labels_.push_back({static_cast<int>(mask & 1), static_cast<int>(mask >> 1 & 1), static_cast<int>(mask >> 2 & 1)});
    }
  }

  std::unique_ptr<NcaLoss> make(const NcaOptions& options) {
    return std::make_unique<NcaLoss>(*device_, options, masks_.data(), kRows, kClasses, kCols, 3);
  }
  static Tensor bank_of(NcaLoss& loss) {
    test::StateTensors keeper;
    loss.visit_state(keeper);
    return keeper.tensors.at("nca.bank");
  }
  static std::vector<float> values_of(const Tensor& bank) {
    if (bank.dtype() == DType::f32) return bank.to_host<float>();
    std::vector<float> wide;
    for (const kernels::bf16 v : bank.to_host<kernels::bf16>()) wide.push_back(kernels::to_float(v));
    return wide;
  }
  static std::vector<float> unit_rows(std::uint64_t seed) {
    return reference::unit_rows(test::random_values(kBatch * kCols, seed), kBatch, kCols);
  }
  reference::Nca reference_of(const NcaOptions& options, const std::vector<std::int32_t>& index) const {
    return {
        kRows, kCols, kClasses, index, labels_, static_cast<double>(options.temperature), static_cast<double>(options.margin)};
  }
  Tensor index_of(const std::vector<std::int32_t>& index) { return Tensor::from_host(*device_, {kBatch}, index); }

  /// A forward with gradient against the reference on the bank as it is, then the step, against the reference's.
  void expect_step(NcaLoss& loss, const NcaOptions& options, const std::vector<std::int32_t>& index, std::uint64_t seed,
                   double momentum, double tolerance) {
    const std::vector<float> rows = unit_rows(seed), before = values_of(bank_of(loss));
    const std::vector<double> bank(before.begin(), before.end()), wide(rows.begin(), rows.end());
    const reference::Nca nca = reference_of(options, index);
    test::expect_slopes(*device_, block_, loss, {.index = index_of(index)}, rows, kCols,
                        [&](const test::Values& v) { return reference::nca_loss(nca, v.at("rows"), bank); });
    loss.after_step();
    const std::vector<double> wanted = reference::nca_bank_update(nca, wide, bank, momentum);
    const std::vector<float> after = values_of(bank_of(loss));
    for (std::size_t k = 0; k < wanted.size(); ++k) EXPECT_NEAR(after[k], wanted[k], tolerance) << k;
    EXPECT_NE(after, before);
  }

  std::unique_ptr<Device> device_ = Device::open("cpu");
  ParameterBlock block_;
  std::vector<std::uint64_t> masks_;
  std::vector<std::vector<int>> labels_;
};

TEST_F(NcaLossTest, LossGradientAndBankOverSteps) {
  block_.allocate(*device_);
  for (const char* bank : {"f32", "bf16"}) {
    NcaOptions options;
    options.bank = bank;
    options.margin = 0.05f;
    const auto loss = make(options);
    const double tolerance = options.bank == "f32" ? 1e-6 : 4e-3;
    expect_step(*loss, options, {0, 3, 23, 7, -1, 11}, 1, 0.5, tolerance);
    expect_step(*loss, options, {1, 3, 2, 7, 5, 7}, 2, 0.5, tolerance);
    loss->begin_epoch(80);
    expect_step(*loss, options, {0, 3, 9, 4, 10, -1}, 3, 0.8, tolerance);
    loss->begin_epoch(200);
    expect_step(*loss, options, {0, 3, 9, 4, 10, 12}, 4, 0.9, tolerance);
  }
}

TEST_F(NcaLossTest, TheBankStartsWithRowsOfTheSeed) {
  const auto one = make({}), same = make({});
  const std::vector<float> rows = values_of(bank_of(*one));
  EXPECT_EQ(rows, values_of(bank_of(*same)));
  NcaLoss other(*device_, {}, masks_.data(), kRows, kClasses, kCols, 4);
  EXPECT_NE(rows, values_of(bank_of(other)));
  const float limit = static_cast<float>(1 / std::sqrt(static_cast<double>(kCols) / 3));
  for (const float v : rows) EXPECT_LE(std::abs(v), limit);
}

TEST_F(NcaLossTest, ACheckpointBringsTheBankBack) {
  const auto one = make({});
  NcaLoss two(*device_, {}, masks_.data(), kRows, kClasses, kCols, 99);
  const LossInput input{.rows = Var(Tensor::from_host(*device_, {kBatch, kCols}, unit_rows(5))),
                        .index = index_of({1, 2, 3, 4, 5, 6})};
  const auto value = [&](NcaLoss& loss) {
    Tape tape(*device_, Phase::train);
    return loss.forward(tape, input).loss.value().to_host<float>()[0];
  };
  value(*one);
  one->after_step();
  EXPECT_NE(value(*one), value(two));
  bank_of(two).copy_from(bank_of(*one));
  EXPECT_EQ(value(*one), value(two));
}

TEST_F(NcaLossTest, MomentumFollowsTheEpochs) {
  const NcaOptions options;
  const std::vector<std::pair<std::int64_t, float>> wanted{{0, 0.5f},   {79, 0.5f},  {80, 0.8f},
                                                           {119, 0.8f}, {120, 0.9f}, {999, 0.9f}};
  for (const auto& [epoch, momentum] : wanted) EXPECT_EQ(bank_momentum(options, epoch), momentum) << epoch;
  NcaOptions constant{.momentum = 0.3f};
  constant.momentum_milestones.clear();
  constant.momentum_values.clear();
  EXPECT_EQ(bank_momentum(constant, 500), 0.3f);
  NcaOptions unequal;
  unequal.momentum_values = {0.8};
  EXPECT_THROW(make(unequal), UserError);
  NcaOptions descending;
  descending.momentum_milestones = {120, 80};
  EXPECT_THROW(make(descending), UserError);
}

TEST_F(NcaLossTest, WhatDoesNotFitIsRefused) {
  const auto loss = make({});
  EXPECT_THROW(loss->after_step(), InternalError);
  Tape tape(*device_, Phase::train);
  const LossInput wide{.rows = Var(Tensor::zeros(*device_, {kBatch, kCols + 1})), .index = index_of({0, 1, 2, 3, 4, 5})};
  EXPECT_THROW(loss->forward(tape, wide), InternalError);
  const std::vector<std::uint64_t> five(5 * kRows);
  EXPECT_THROW(NcaLoss(*device_, {}, five.data(), kRows, 257, kCols, 0), UserError);
}

TEST(NcaOptions, JsonRoundTripAndRefusals) {
  NcaOptions options;
  EXPECT_EQ(config_to_json(options).dump(),
            R"({"temperature":0.05,"margin":0.0,"momentum":0.5,"momentum_milestones":[80,120],"momentum_values":[0.8,0.9],)"
            R"("bank":"f32","sharded":false,"math":"full"})");
  config_from_json(options,
                   Json::parse(R"({"temperature":0.1,"bank":"bf16","momentum_milestones":[3],"momentum_values":[1]})"));
  EXPECT_EQ(options.bank, "bf16");
  EXPECT_EQ(bank_momentum(options, 3), 1.0f);
  for (const char* wrong : {R"({"temperature":0})", R"({"margin":1})", R"({"bank":"f16"})", R"({"momentum_values":[2]})",
                            R"({"math":"bf16"})", R"({"momentum":-0.1})"})
    EXPECT_THROW(config_from_json(options, Json::parse(wrong), "nca"), UserError) << wrong;
}

}  // namespace
}  // namespace swath
