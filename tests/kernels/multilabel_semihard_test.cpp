// Cases of multilabel_semihard. methods.md §5 "Multi-label semihard".
#include "kernels/multilabel_semihard.h"

#include <optional>

#include "kernels/pairwise_distance.h"
#include "tests/kernels/chi_square.h"
#include "tests/kernels/label_rows.h"
#include "tests/reference/rows.h"

namespace swath::kernels::test {
namespace {

class MultilabelSemihardTest : public KernelTest {};

using Triplets = std::vector<std::array<std::int32_t, 3>>;

struct Input {
  std::vector<float> distance;  // rows × rows
  reference::LabelSets labels;
  std::optional<std::int32_t> row_count;
  std::int64_t negatives = 3, enough = 3;
  std::vector<float> x{};  // rows × cols with these distances, which the kernel then finds by itself
  std::int64_t cols = 0;
  std::int64_t rows() const { return static_cast<std::int64_t>(labels.size()); }
  std::int64_t used() const { return row_count ? std::clamp<std::int64_t>(*row_count, 0, rows()) : rows(); }

  Triplets reference(std::uint64_t seed, std::uint64_t step) const {
    return reference::multilabel_semihard(
        {.stride = rows(), .used = used(), .negatives = negatives, .enough = enough, .seed = seed, .step = step}, distance,
        labels);
  }
};

/// Distances of random rows of 3 columns on a coarse grid: many ties, some duplicates.
Input make_input(std::int64_t rows, std::int64_t classes, double chance, std::uint64_t seed) {
  std::vector<float> x;
  for (const std::int32_t v : random_ints(rows * 3, seed, 5)) x.push_back(static_cast<float>(v) * 0.25f);
  Input input{std::vector<float>(static_cast<std::size_t>(rows * rows)), random_labels(rows, classes, chance, seed + 1), {}};
  const PairwiseDistanceArgs args{.x = x.data(), .distance = input.distance.data(), .rows = rows, .cols = 3, .x_ld = 3};
  pairwise_distance(args, Cpu{});
  return input;
}

/// Moves every row that shares no label with the anchor farther away than all that do: every positive then has z = 0.
void separate(Input& input) {
  for (std::int64_t i = 0; i < input.rows(); ++i) {
    for (std::int64_t j = 0; j < input.rows(); ++j) {
      if (reference::shared_labels(input.labels[i], input.labels[j]) == 0) input.distance[i * input.rows() + j] += 10.0f;
    }
  }
}

/// Random labels, and rows that the kernel finds the distances of.
Input rows_input(std::vector<float> x, std::int64_t cols, std::int64_t classes, double chance, std::uint64_t seed) {
  const auto rows = static_cast<std::int64_t>(x.size()) / cols;
  Input input{std::vector<float>(static_cast<std::size_t>(rows * rows)), random_labels(rows, classes, chance, seed), {}};
  pairwise_distance({.x = x.data(), .distance = input.distance.data(), .rows = rows, .cols = cols, .x_ld = cols}, Cpu{});
  input.x = std::move(x);
  input.cols = cols;
  return input;
}

struct Mined {
  Triplets triplets;
  std::int32_t dropped;
};

Mined run(Place place, const Input& input, std::int64_t capacity, std::uint64_t seed, std::uint64_t step) {
  CaseMemory memory(place);
  const std::int64_t rows = input.rows();
  std::vector<std::uint16_t> similarity;
  std::vector<std::int32_t> label_count;
  for (const auto& a : input.labels) {
    label_count.push_back(static_cast<std::int32_t>(a.size()));
    for (const auto& b : input.labels) similarity.push_back(static_cast<std::uint16_t>(reference::shared_labels(a, b)));
  }
  auto* triplets = memory.make_output<std::int32_t>(capacity * 3);
  auto* count = memory.make_output<std::int32_t>(1);
  auto* dropped = memory.make_output<std::int32_t>(1);
  MultilabelSemihardArgs args{.distance = input.cols > 0 ? nullptr : memory.put(input.distance),
                              .x = input.cols > 0 ? memory.put(input.x) : nullptr,
                              .similarity = memory.put(similarity),
                              .label_count = memory.put(label_count),
                              .row_count = input.row_count ? memory.put_one(*input.row_count) : nullptr,
                              .step = memory.put_one(step),
                              .triplets = triplets,
                              .triplet_count = count,
                              .dropped = dropped,
                              .rows = rows,
                              .cols = input.cols,
                              .x_ld = input.cols,
                              .capacity = capacity,
                              .max_negatives_per_pos = input.negatives,
                              .max_trips_per_anchor = input.enough,
                              .seed = seed};
  args.workspace = memory.make_workspace(multilabel_semihard_workspace(args));
  memory.run([&](auto exec) { multilabel_semihard(args, exec); });
  const std::vector<std::int32_t> flat = memory.get(triplets, capacity * 3);
  Mined mined{{}, memory.get_one(dropped)};
  for (std::int64_t t = 0; t < capacity; ++t) {
    const std::array<std::int32_t, 3> triplet = {flat[3 * t], flat[3 * t + 1], flat[3 * t + 2]};
    if (t < memory.get_one(count)) {
      mined.triplets.push_back(triplet);
    } else {
      EXPECT_EQ(triplet, (std::array<std::int32_t, 3>{-1, -1, -1}));
    }
  }
  return mined;
}

/// All triplets where there is ample or just enough room for them, and the first ones where there is not.
void expect_reference(Place place, const Input& input, std::uint64_t step = 5'000'000'007) {
  const Triplets wanted = input.reference(17, step);
  const auto all = static_cast<std::int64_t>(wanted.size());
  for (const std::int64_t capacity : {all + input.rows() * input.rows(), all, all / 2}) {
    const Mined mined = run(place, input, capacity, 17, step);
    const std::int64_t kept = std::min(all, capacity);
    EXPECT_EQ(mined.triplets, Triplets(wanted.begin(), wanted.begin() + kept)) << "capacity " << capacity;
    EXPECT_EQ(mined.dropped, all - kept);
  }
}

TEST_P(MultilabelSemihardTest, MatchesReference) {
  for (const std::int64_t rows : {0, 1, 2, 31, 32, 33, 127, 128, 129}) {
    for (const std::int64_t classes : {1, 6, 43}) {
      SCOPED_TRACE(::testing::Message() << rows << " rows, " << classes << " classes");
      expect_reference(GetParam(), make_input(rows, classes, 2.5 / static_cast<double>(classes + 1), 71));
    }
  }
}

TEST_P(MultilabelSemihardTest, ManyRowsAndClasses) {
  expect_reference(GetParam(), make_input(300, 256, 0.02, 72));
  expect_reference(GetParam(), make_input(33, 256, 0.5, 73));
}

TEST_P(MultilabelSemihardTest, MoreAnchorsThanOneBlockSums) {
  Input input = make_input(600, 12, 0.2, 83);
  for (std::size_t i = 0; i < input.labels.size(); ++i) {
    if (i % 7 != 0) input.labels[i].clear();
  }
  expect_reference(GetParam(), input);
}

TEST_P(MultilabelSemihardTest, WalksAllPositivesWhenNoNearerRowHasSimilarityZero) {
  for (const std::int64_t rows : {5, 33, 70}) {
    Input input = make_input(rows, 6, 0.4, 74);
    separate(input);
    expect_reference(GetParam(), input);
  }
}

TEST_P(MultilabelSemihardTest, RowsInsteadOfDistances) {
  for (const auto& [rows, cols] : {std::pair<std::int64_t, std::int64_t>{1, 8}, {2, 1}, {33, 7}, {129, 64}, {300, 129}}) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << cols);
    const std::vector<float> x = reference::unit_rows(random_floats(rows * cols, 85), rows, cols);
    expect_reference(GetParam(), rows_input(x, cols, 12, 0.15, 86));
  }
}

TEST_P(MultilabelSemihardTest, RowsOfAnySize) {
  for (const float scale : {0.0f, 1e-30f, 1e-3f, 300.0f, 1e25f}) {
    SCOPED_TRACE(scale);
    std::vector<float> x = random_floats(70 * 20, 87);
    for (float& v : x) v *= scale;
    x[5] *= 1000;  // one element that outweighs its row
    expect_reference(GetParam(), rows_input(x, 20, 12, 0.15, 88));
  }
}

TEST_P(MultilabelSemihardTest, RowsTooAlikeToTellApart) {
  const std::vector<float> centre = reference::unit_rows(random_floats(4 * 24, 89), 4, 24), noise = random_floats(200 * 24, 90);
  for (const float spread : {0.0f, 1e-6f, 1e-3f}) {
    SCOPED_TRACE(spread);
    std::vector<float> x;
    for (std::size_t i = 0; i < noise.size(); ++i) x.push_back(centre[i % (4 * 24)] + spread * noise[i]);
    Input input = rows_input(x, 24, 12, 0.15, 91);
    expect_reference(GetParam(), input);
    // Rows that share a label with all others of their centre and with none else: every positive is walked.
    for (std::size_t i = 0; i < input.labels.size(); ++i) {
      input.labels[i] = {static_cast<std::int32_t>(i % 4)};
      if (i % 3 == 0) input.labels[i].insert(10 + static_cast<std::int32_t>(i % 4));
    }
    expect_reference(GetParam(), input);
  }
}

TEST_P(MultilabelSemihardTest, OtherLimits) {
  Input input = make_input(60, 8, 0.2, 75);
  for (const auto& [negatives, enough] : {std::pair{1, 1}, {1, 7}, {5, 3}, {40, 100}, {200, 1}}) {
    SCOPED_TRACE(::testing::Message() << negatives << " negatives, " << enough << " triplets");
    input.negatives = negatives;
    input.enough = enough;
    expect_reference(GetParam(), input);
  }
}

TEST_P(MultilabelSemihardTest, UnusedRowsAndRowsWithoutLabelTakeNoPart) {
  Input input = make_input(90, 5, 0.3, 76);
  for (std::size_t i = 0; i < input.labels.size(); i += 7) input.labels[i].clear();
  for (const std::int32_t count : {-3, 0, 1, 50, 90, 1000}) {
    input.row_count = count;
    expect_reference(GetParam(), input);
  }
  for (auto& labels : input.labels) labels.clear();
  EXPECT_TRUE(run(GetParam(), input, 10, 1, 1).triplets.empty());
}

TEST_P(MultilabelSemihardTest, AllRowsAtTheSameDistance) {
  Input input = make_input(40, 4, 0.4, 77);
  std::fill(input.distance.begin(), input.distance.end(), 0.0f);
  expect_reference(GetParam(), input);
}

TEST_P(MultilabelSemihardTest, AllRowsAlikeYieldNothing) {
  Input input = make_input(40, 4, 0.4, 78);
  for (auto& labels : input.labels) labels = {1, 3};
  EXPECT_TRUE(run(GetParam(), input, 10, 1, 1).triplets.empty());
}

TEST_P(MultilabelSemihardTest, NoRoomAtAll) {
  const Input input = make_input(40, 4, 0.4, 79);
  const Mined mined = run(GetParam(), input, 0, 17, 1);
  EXPECT_EQ(mined.dropped, static_cast<std::int32_t>(input.reference(17, 1).size()));
}

TEST_P(MultilabelSemihardTest, AFineTripletIsNearerAndLessSimilar) {
  // Anchor 0 shares {0,1,2} with row 1, {0} with rows 2 and 3; row 4 shares nothing. By distance: 2, 4, 1, 3.
  Input input = make_input(5, 1, 0, 80);
  input.labels = {{0, 1, 2}, {0, 1, 2}, {0, 5}, {0, 6}, {7}};
  std::fill(input.distance.begin(), input.distance.end(), 9.0f);
  const std::vector<float> from_anchor{0.0f, 0.3f, 0.1f, 0.4f, 0.2f};
  std::copy(from_anchor.begin(), from_anchor.end(), input.distance.begin());
  input.row_count = 5;
  Triplets mined = run(GetParam(), input, 60, 3, 4).triplets;
  mined.erase(std::remove_if(mined.begin(), mined.end(), [](const auto& t) { return t[0] != 0; }), mined.end());
  // Row 3 has one nearer row of similarity 0: one coarse triplet, which is not enough. Row 1 follows: fine with row 2, coarse
  // with row 4; with three triplets the anchor is finished, and row 2 is no positive any more.
  EXPECT_EQ(mined, (Triplets{{0, 3, 4}, {0, 1, 2}, {0, 1, 4}}));
}

TEST_P(MultilabelSemihardTest, LowerIndexIsNearerAtTheSameDistance) {
  Input input = make_input(4, 1, 0, 81);
  input.labels = {{0, 1}, {0}, {0, 1}, {0}};
  std::fill(input.distance.begin(), input.distance.end(), 0.5f);
  // From anchor 0: rows 1 and 3 are as far as row 2, but only row 1 comes before it.
  Triplets mined = run(GetParam(), input, 20, 3, 4).triplets;
  mined.erase(std::remove_if(mined.begin(), mined.end(), [](const auto& t) { return t[0] != 0; }), mined.end());
  EXPECT_EQ(mined, (Triplets{{0, 2, 1}}));
}

/// 100,000 coarse draws of one anchor are uniform over its nearer rows of similarity 0, and two draws of a step independent.
TEST(MultilabelSemihardDistribution, CoarseDrawsAreUniform) {
  constexpr std::int32_t kAnchor = 5;
  Input input = make_input(24, 8, 0.15, 82);
  for (auto& labels : input.labels) labels.insert(labels.empty() ? 0 : *labels.begin());
  std::vector<std::vector<std::int32_t>> zeros;
  const auto triplets =
      reference::multilabel_semihard_of({.stride = 24, .used = 24}, input.distance, input.labels, kAnchor, &zeros);
  ASSERT_FALSE(zeros.empty());
  const std::vector<std::int32_t>& candidates = zeros.front();
  ASSERT_GT(candidates.size(), 5u);
  const std::size_t n = candidates.size();
  const auto place_of = [&](std::int32_t row) {
    return static_cast<std::size_t>(std::find(candidates.begin(), candidates.end(), row) - candidates.begin());
  };
  std::vector<std::int64_t> counts(n, 0), pairs(n * n, 0);
  for (std::uint64_t step = 0; step < 33'334; ++step) {
    std::vector<std::size_t> drawn;
    for (const auto& t : run(Place::cpu, input, 600, 8, step).triplets) {
      if (t[0] == kAnchor && t[1] == triplets.front()[1] && place_of(t[2]) < n) drawn.push_back(place_of(t[2]));
    }
    ASSERT_EQ(drawn.size(), 3u);
    for (const std::size_t d : drawn) ++counts[d];
    ++pairs[drawn[0] * n + drawn[2]];
  }
  expect_uniform(counts);
  expect_uniform(pairs);
}

SWATH_KERNEL_PLACES(MultilabelSemihardTest);

}  // namespace
}  // namespace swath::kernels::test
