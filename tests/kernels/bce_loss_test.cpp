// Cases of bce_loss. methods.md §6 "BCE with logits".
#include "kernels/bce_loss.h"

#include "kernels/label_mask.h"
#include "tests/kernels/kernel_case.h"
#include "tests/reference/bce.h"

namespace swath::kernels::test {
namespace {

class BceLossTest : public KernelTest {};

struct BceCase {
  std::int64_t rows = 0, classes = 0;
  float span = 4.0f;  // logits in ± span
  float loss_scale = 1.0f;
  GradMode mode = GradMode::overwrite;
  std::size_t misalign = 0;
};

struct BceOutput {
  float loss = 0;
  std::vector<float> d_logits;
};

std::vector<int> make_labels(const BceCase& c) {
  std::vector<int> labels;
  for (const std::int32_t v : random_ints(c.rows * c.classes, 72, 3)) labels.push_back(v == 0 ? 1 : 0);
  return labels;
}

/// Bits from `classes` on are set, and must not count.
std::vector<std::uint64_t> make_masks(const BceCase& c, const std::vector<int>& labels) {
  const std::int64_t words = label_words(c.classes);
  std::vector<std::uint64_t> masks(static_cast<std::size_t>(c.rows * words), ~std::uint64_t{0});
  for (std::int64_t i = 0; i < c.rows; ++i) {
    for (std::int64_t k = 0; k < c.classes; ++k)
      if (!labels[i * c.classes + k]) masks[i * words + k / 64] &= ~(std::uint64_t{1} << (k % 64));
  }
  return masks;
}

BceOutput run(Place place, const BceCase& c, const std::vector<float>& logits, const std::vector<int>& labels,
              const std::vector<float>& start) {
  CaseMemory memory(place);
  float* loss = memory.make_output<float>(1);
  float* d_logits = memory.put(start, c.misalign);
  BceLossArgs args{.logits = memory.put(logits, c.misalign),
                   .labels = memory.put(make_masks(c, labels)),
                   .loss_scale = c.loss_scale == 1.0f ? nullptr : memory.put_one(c.loss_scale),
                   .loss = loss,
                   .d_logits = d_logits,
                   .rows = c.rows,
                   .classes = c.classes,
                   .words = label_words(c.classes),
                   .d_logits_mode = c.mode};
  args.workspace = memory.make_workspace(bce_loss_workspace(args));
  memory.run([&](auto exec) { bce_loss(args, exec); });
  return {memory.get_one(loss), memory.get(d_logits, c.rows * c.classes)};
}

void check(Place place, const BceCase& c, std::vector<float> logits) {
  SCOPED_TRACE(::testing::Message() << c.rows << " x " << c.classes);
  const std::vector<int> labels = make_labels(c);
  const std::vector<float> start =
      c.mode == GradMode::accumulate ? random_floats(c.rows * c.classes, 73) : std::vector<float>(logits.size(), NAN);
  const BceOutput got = run(place, c, logits, labels, start);
  expect_close({got.loss}, {reference::bce_loss(to_double(logits), labels)}, {reference::bce_loss(logits, labels)});
  if (c.mode == GradMode::skip) {
    for (const float d : got.d_logits) EXPECT_TRUE(std::isnan(d));
    return;
  }
  std::vector<double> expected = reference::bce_gradient(to_double(logits), labels);
  std::vector<float> naive = reference::bce_gradient(logits, labels);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    expected[i] *= static_cast<double>(c.loss_scale), naive[i] *= c.loss_scale;
    if (c.mode == GradMode::accumulate) expected[i] += static_cast<double>(start[i]), naive[i] += start[i];
  }
  expect_close(got.d_logits, expected, naive);
}

void check(Place place, const BceCase& c) { check(place, c, random_floats(c.rows * c.classes, 71, -c.span, c.span)); }

TEST_P(BceLossTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 31, 33, 129}) {
    for (const std::int64_t classes : {1, 17, 43, 60, 64, 65, 256}) check(GetParam(), {.rows = rows, .classes = classes});
  }
  check(GetParam(), {.rows = 700, .classes = 60});
}

TEST_P(BceLossTest, ModesScaleAndMisalignedMatrices) {
  for (const GradMode mode : {GradMode::skip, GradMode::overwrite, GradMode::accumulate}) {
    for (const std::size_t misalign : {0, 1})
      check(GetParam(), {.rows = 40, .classes = 20, .loss_scale = -2.5f, .mode = mode, .misalign = misalign});
  }
}

TEST_P(BceLossTest, SaturatedLogits) {
  check(GetParam(), {.rows = 33, .classes = 19, .span = 80});
  check(GetParam(), {.rows = 33, .classes = 19, .span = 1e4});
  // Right with certainty: the loss is as small as the float's e^−|x|.
  const BceCase c{.rows = 2, .classes = 3};
  const std::vector<int> labels = make_labels(c);
  std::vector<float> logits;
  for (const int y : labels) logits.push_back(y ? 20.0f : -20.0f);
  check(GetParam(), c, logits);
}

TEST_P(BceLossTest, NanShows) {
  const BceCase c{.rows = 3, .classes = 5};
  std::vector<float> logits(15, 0.5f);
  logits[7] = NAN;
  EXPECT_TRUE(std::isnan(run(GetParam(), c, logits, make_labels(c), logits).loss));
}

TEST(BceReference, GradientIsThatOfTheLoss) {
  const BceCase c{.rows = 4, .classes = 6};
  const std::vector<double> x = to_double(random_floats(24, 74, -3, 3));
  const std::vector<int> labels = make_labels(c);
  const auto slope = central_differences(x, [&](const std::vector<double>& v) { return reference::bce_loss(v, labels); });
  EXPECT_LT(largest_error(slope, reference::bce_gradient(x, labels)), 1e-9);
}

SWATH_KERNEL_PLACES(BceLossTest);

}  // namespace
}  // namespace swath::kernels::test
