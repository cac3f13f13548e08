// MocoLoss on the tape against slopes of the double reference, its queue over several steps, and what a checkpoint holds of it
// (methods.md §6 "Fast MoCo").
#include "losses/moco.h"

#include <gtest/gtest.h>

#include "tests/losses/tape_case.h"
#include "tests/reference/moco.h"
#include "tests/reference/rows.h"

namespace swath {
namespace {

constexpr std::int64_t kRows = 7, kUsed = 6, kCols = 5, kBatches = 3;

class MocoLossTest : public testing::Test {
 protected:
  MocoLossTest() : loss_(*device_, options(), kRows, kCols) { block_.allocate(*device_); }

  static MocoOptions options() {
    MocoOptions made;
    made.n_key_batches = kBatches;
    return made;
  }
  static std::vector<float> unit_rows(std::uint64_t seed) {
    return reference::unit_rows(test::random_values(kRows * kCols, seed), kRows, kCols);
  }
  Tensor rows_of(const std::vector<float>& values) { return Tensor::from_host(*device_, {kRows, kCols}, values); }
  Tensor count(std::int32_t used) { return Tensor::from_host(*device_, {1}, std::vector<std::int32_t>{used}); }
  /// The keys in the queue, in their places.
  std::vector<double> queue() {
    test::StateTensors keeper;
    loss_.visit_state(keeper);
    const std::vector<float> all = keeper.tensors.at("moco.queue").to_host<float>();
    const auto held = std::min<std::size_t>(keeper.tensors.at("moco.pushed").to_host<std::uint64_t>()[0], kBatches * kRows);
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(held * kCols)};
  }
  void expect_reference(const std::vector<float>& rows, const std::vector<float>& keys) {
    const std::vector<double> held = queue(), fixed(rows.begin(), rows.end()), k(keys.begin(), keys.end());
    const reference::Moco moco{kUsed, static_cast<std::int64_t>(held.size()) / kCols, kCols};
    const std::vector<double> weights = reference::moco_weights(moco, fixed, held);
    test::expect_slopes(*device_, block_, loss_, {.row_count = count(kUsed), .keys = rows_of(keys)}, rows, kCols,
                        [&](const test::Values& v) { return reference::moco_loss(moco, v.at("rows"), k, held, weights); });
  }

  std::unique_ptr<Device> device_ = Device::open("cpu");
  ParameterBlock block_;
  MocoLoss loss_;
};

TEST_F(MocoLossTest, LossAndGradientOverStepsWhileTheQueueFillsAndWraps) {
  expect_reference(unit_rows(1), unit_rows(2));
  EXPECT_TRUE(queue().empty());
  loss_.push(rows_of(unit_rows(3)), count(kRows));
  std::vector<float> last;
  for (std::uint64_t step = 0; step < 4; ++step) {
    last = unit_rows(20 + step);
    expect_reference(unit_rows(10 + step), last);
    loss_.after_step();
  }
  // 7 + 4 · 6 keys have gone into 21 places: the last lies before place 31 mod 21.
  const std::vector<double> held = queue();
  EXPECT_EQ(held.size(), static_cast<std::size_t>(kBatches * kRows * kCols));
  for (std::size_t k = 0; k < kCols; ++k) EXPECT_EQ(held[9 * kCols + k], static_cast<double>(last[(kUsed - 1) * kCols + k]));
}

TEST_F(MocoLossTest, ACheckpointBringsTheQueueBack) {
  loss_.push(rows_of(unit_rows(3)), count(kRows));
  loss_.push(rows_of(unit_rows(4)), count(5));
  MocoLoss other(*device_, options(), kRows, kCols);
  test::StateTensors from, to;
  loss_.visit_state(from);
  other.visit_state(to);
  for (auto& [name, value] : to.tensors) value.copy_from(from.tensors.at(name));
  const auto value = [&](MocoLoss& loss) {
    Tape tape(*device_, Phase::train);
    const LossInput input{.rows = Var(rows_of(unit_rows(5))), .row_count = count(kRows), .keys = rows_of(unit_rows(6))};
    return loss.forward(tape, input).loss.value().to_host<float>()[0];
  };
  EXPECT_EQ(value(loss_), value(other));
}

TEST_F(MocoLossTest, RowsOfAnotherWidthAndAStepWithoutForwardAreBugs) {
  EXPECT_THROW(loss_.after_step(), InternalError);
  EXPECT_THROW(loss_.push(Tensor::zeros(*device_, {2, kCols + 1}), count(2)), InternalError);
}

TEST(MocoOptions, JsonRoundTripAndRefusals) {
  MocoOptions options;
  EXPECT_EQ(config_to_json(options).dump(),
            R"({"tau":0.07,"lower_cutoff":0.5,"upper_cutoff":1.4,"n_key_batches":30,"momentum":0.9})");
  config_from_json(options, Json::parse(R"({"tau":0.2,"n_key_batches":4})"));
  EXPECT_EQ(options.n_key_batches, 4);
  for (const char* wrong : {R"({"tau":0})", R"({"n_key_batches":0})", R"({"lower_cutoff":0})", R"({"momentum":1.1})"})
    EXPECT_THROW(config_from_json(options, Json::parse(wrong), "moco"), UserError) << wrong;
}

}  // namespace
}  // namespace swath
