// Splits: iterative stratification against a plain reference and PyPI's iterative-stratification; given files; class filter.
#include "data/split.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "kernels/philox.h"
#include "tests/data/fixtures.h"

namespace swath::test {

namespace {

constexpr std::array<double, 3> kShares{0.4, 0.1, 0.5};

/// Labels with rare and frequent classes that go together: class c of image i with a share falling in c.
LabelMasks skewed_labels(std::int64_t n, std::int64_t classes, std::uint64_t seed) {
  LabelMasks labels(n, classes);
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t c = 0; c < classes; ++c) {
      const auto r = kernels::philox(seed, 1, kernels::RandomStream::init, static_cast<std::uint64_t>(i * classes + c));
      const float share = 0.6f / static_cast<float>(1 + c) + (c > 0 && labels.has(i, c - 1) ? 0.15f : 0.0f);
      if (kernels::uniform01(r.v[0]) < share) labels.set(i, c);
    }
  return labels;
}

std::uint64_t draw(std::uint64_t seed, std::uint64_t step, std::int64_t i) {
  const auto r = kernels::philox(seed, step, kernels::RandomStream::split, static_cast<std::uint64_t>(i));
  return (std::uint64_t{r.v[0]} << 32) | r.v[1];
}

/// Algorithm 1 of the paper, recounting everything in every round.
std::vector<int> reference_split(const LabelMasks& labels, std::uint64_t seed) {
  const std::int64_t n = labels.rows(), classes = labels.classes();
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return draw(seed, 0, a) < draw(seed, 0, b); });
  std::vector<int> part(static_cast<std::size_t>(n), -1);
  const auto total = [&](std::int64_t c) {
    std::int64_t count = 0;
    for (std::int64_t i = 0; i < n; ++i) count += c < 0 || labels.has(i, c);
    return static_cast<double>(count);
  };
  const auto given = [&](int p, std::int64_t c) {
    double count = 0;
    for (std::int64_t i = 0; i < n; ++i) count += part[static_cast<std::size_t>(i)] == p && (c < 0 || labels.has(i, c));
    return count;
  };
  const auto assign = [&](std::int64_t i, std::int64_t c) {
    std::vector<int> best{0, 1, 2};
    for (const std::int64_t by : {c, std::int64_t{-1}}) {
      double most = -1e30;
      for (const int p : best) most = std::max(most, kShares[static_cast<std::size_t>(p)] * total(by) - given(p, by));
      std::erase_if(best, [&](int p) { return kShares[static_cast<std::size_t>(p)] * total(by) - given(p, by) < most - 1e-9; });
    }
    part[static_cast<std::size_t>(i)] = best[draw(seed, 1, i) % best.size()];
  };
  for (;;) {
    std::int64_t rarest = -1, fewest = n + 1;
    for (std::int64_t c = 0; c < classes; ++c) {
      std::int64_t left = 0;
      for (std::int64_t i = 0; i < n; ++i) left += part[static_cast<std::size_t>(i)] < 0 && labels.has(i, c);
      if (left > 0 && left < fewest) {
        fewest = left;
        rarest = c;
      }
    }
    if (rarest < 0) break;
    for (const std::int64_t i : order)
      if (part[static_cast<std::size_t>(i)] < 0 && labels.has(i, rarest)) assign(i, rarest);
  }
  for (const std::int64_t i : order)
    if (part[static_cast<std::size_t>(i)] < 0) assign(i, -1);
  return part;
}

std::vector<int> parts_of(const Splits& splits, std::int64_t n) {
  std::vector<int> part(static_cast<std::size_t>(n), -1);
  for (const Part p : kParts)
    for (const std::int64_t i : splits[p]) {
      EXPECT_EQ(part[static_cast<std::size_t>(i)], -1) << "image in two parts";
      part[static_cast<std::size_t>(i)] = static_cast<int>(p);
    }
  return part;
}

/// Largest difference between a class's share of images in a part and the part's own share.
double worst_deviation(const LabelMasks& labels, const std::vector<int>& part) {
  double worst = 0;
  const auto all = labels.images_per_class();
  for (std::int64_t c = 0; c < labels.classes(); ++c)
    for (int p = 0; p < 3; ++p) {
      double count = 0;
      for (std::int64_t i = 0; i < labels.rows(); ++i) count += part[static_cast<std::size_t>(i)] == p && labels.has(i, c);
      worst = std::max(worst, std::abs(count / static_cast<double>(all[static_cast<std::size_t>(c)]) -
                                       kShares[static_cast<std::size_t>(p)]));
    }
  return worst;
}

}  // namespace

TEST(Stratify, EqualsTheReference) {
  for (const auto& [n, classes, seed] : {std::tuple{1, 1, 0}, {2, 3, 1}, {60, 4, 2}, {150, 9, 3}, {150, 70, 4}}) {
    const LabelMasks labels = skewed_labels(n, classes, static_cast<std::uint64_t>(seed));
    const auto splits = make_splits(labels, kShares, static_cast<std::uint64_t>(seed));
    EXPECT_EQ(parts_of(splits, n), reference_split(labels, static_cast<std::uint64_t>(seed)))
        << n << " images, " << classes << " classes";
  }
}

TEST(Stratify, KeepsSharesAndDependsOnTheSeedOnly) {
  const LabelMasks labels = skewed_labels(5000, 30, 7);
  const auto a = make_splits(labels, kShares, 1), b = make_splits(labels, kShares, 1), c = make_splits(labels, kShares, 2);
  EXPECT_EQ(a.rows, b.rows);
  EXPECT_NE(a.rows, c.rows);
  EXPECT_NEAR(static_cast<double>(a[Part::train].size()), 2000, 25);
  EXPECT_NEAR(static_cast<double>(a[Part::val].size()), 500, 25);
  EXPECT_LT(worst_deviation(labels, parts_of(a, 5000)), 0.02);
}

TEST(Stratify, IsAsEvenAsThePackagedImplementation) {
  const TempFolder folder;
  const LabelMasks labels = skewed_labels(2000, 20, 9);
  std::string text;
  for (std::int64_t i = 0; i < labels.rows(); ++i)
    for (std::int64_t c = 0; c < 20; ++c) text += labels.has(i, c) ? '1' : '0';
  write_text(folder / "labels", text);
  const char* script = R"(
import sys, numpy as np
from iterstrat.ml_stratifiers import MultilabelStratifiedShuffleSplit as Split
y = np.frombuffer(open(sys.argv[1] + '/labels', 'rb').read(), np.uint8).reshape(2000, 20) - 48
train, rest = next(Split(1, test_size=0.6, random_state=0).split(y, y))
val, test = next(Split(1, test_size=5 / 6, random_state=0).split(y[rest], y[rest]))
part = np.zeros(2000, int); part[rest[val]] = 1; part[rest[test]] = 2
open(sys.argv[1] + '/parts', 'w').write(''.join(map(str, part)))
)";
  if (!run_peer(script, {folder.path()})) GTEST_SKIP() << "SWATH_PEERS_PYTHON is not set";
  std::vector<int> peer;
  for (const char c : read_whole(folder / "parts")) peer.push_back(c - '0');
  ASSERT_EQ(peer.size(), 2000u);
  const double own = worst_deviation(labels, parts_of(make_splits(labels, kShares, 0), 2000));
  EXPECT_LE(own, worst_deviation(labels, peer) + 0.01);
}

TEST(Stratify, RefusesSharesThatAreNone) {
  const LabelMasks labels = patterned_labels(10, 2);
  expect_user_error([&] { make_splits(labels, {0.5, 0.5, 0.5}, 0); }, {"data.split", "must be 1"});
  expect_user_error([&] { make_splits(labels, {1.5, -0.5, 0}, 0); }, {"must be 1"});
  expect_user_error([&] { make_splits(labels, {std::nan(""), 0.5, 0.5}, 0); }, {"must be 1"});
  const auto all = make_splits(labels, {1, 0, 0}, 0);
  EXPECT_EQ(all[Part::train].size(), 10u);
  expect_data_error([] { resolve_splits(FakeDataset(patterned_labels(10, 2)), {.train = 1, .val = 0, .test = 0}); },
                    {"val", "empty"});
}

TEST(SplitFiles, RoundTrip) {
  const TempFolder folder;
  const FakeDataset dataset(patterned_labels(40, 3));
  const auto splits = make_splits(dataset.labels(), kShares, 3);
  write_splits(dataset, splits, folder.path());
  EXPECT_EQ(read_splits(dataset, folder.path()).rows, splits.rows);
  EXPECT_TRUE(read_whole(folder / "train.csv").starts_with("image,class0,class1,class2\nimage1"));
  EXPECT_FALSE(std::filesystem::exists(folder / "train.csv.tmp"));
}

TEST(SplitFiles, ReadsNamesWithoutHeader) {
  const TempFolder folder;
  const FakeDataset dataset(patterned_labels(6, 2));
  write_text(folder / "train.csv", "image100001\r\nimage100000\r\n");
  write_text(folder / "val.csv", "patch,x\nimage100002,1\n");
  write_text(folder / "test.csv", "image100005");
  const auto splits = read_splits(dataset, folder.path());
  EXPECT_EQ(splits[Part::train], (std::vector<std::int64_t>{0, 1}));
  EXPECT_EQ(splits[Part::test], (std::vector<std::int64_t>{5}));
}

TEST(SplitFiles, NamesWhatIsWrong) {
  const TempFolder folder;
  const FakeDataset dataset(patterned_labels(6, 2));
  const auto with = [&](const std::string& test) {
    write_text(folder / "train.csv", "image100000\n");
    write_text(folder / "val.csv", "image100001\n");
    write_text(folder / "test.csv", test);
    return [&] { read_splits(dataset, folder.path()); };
  };
  expect_data_error([&] { read_splits(dataset, folder / "none"); }, {"train.csv", "missing"});
  expect_data_error(with(""), {"test.csv", "names no image"});
  expect_data_error(with("image\n"), {"test.csv", "names no image"});
  expect_data_error(with("image100000\n"), {"test.csv line 1", "already in train.csv"});
  expect_data_error(with("image100003\nimage100003\n"), {"test.csv line 2", "already in test.csv"});
  expect_data_error(with("image7\n"), {"test.csv line 1", "no image image7"});
  expect_data_error(with("../image100003\n"), {"test.csv line 1", "leaves its folder"});
  expect_data_error(with(std::string(2 << 20, 'x')), {"test.csv line 1", "longer than"});
}

TEST(ClassFilterTest, KeepsClassesOfAllPartsOnly) {
  LabelMasks labels(6, 4);
  for (std::int64_t i = 0; i < 5; ++i) labels.set(i, 1);
  labels.set(0, 0);  // class 0 only in train
  labels.set(4, 3);  // class 3 in val and test, not in train
  labels.set(5, 3);
  const FakeDataset dataset(labels);
  Splits splits;
  splits[Part::train] = {0, 1};
  splits[Part::val] = {2, 4};
  splits[Part::test] = {3, 5};
  const auto filter = filter_classes(dataset, splits);
  EXPECT_EQ(filter.kept, (std::vector<std::int64_t>{1}));
  EXPECT_EQ(filter.dropped_names, (std::vector<std::string>{"class0", "class2", "class3"}));
  EXPECT_EQ(drop_classless(dataset, filter, splits), 1);  // image 5 carried class 3 alone
  EXPECT_EQ(splits[Part::test], (std::vector<std::int64_t>{3}));
  splits[Part::test] = {5};
  expect_data_error([&] { filter_classes(dataset, splits); }, {"no class", "occurs in all of train, val and test"});
}

TEST(Labels, SelectAndStatistics) {
  LabelMasks labels(3, 130);
  labels.set(0, 0);
  labels.set(0, 129);
  labels.set(2, 64);
  EXPECT_EQ(labels.words(), 3);
  EXPECT_EQ(labels.count(0), 2);
  const LabelMasks some = labels.select({2, 0}, {129, 64});
  EXPECT_TRUE(some.has(0, 1) && some.has(1, 0) && !some.has(0, 0) && !some.has(1, 1));
  const auto s = label_statistics(labels);
  EXPECT_EQ(s.label_counts, (std::vector<std::int64_t>{1, 1, 1}));
  EXPECT_DOUBLE_EQ(s.mean_labels, 1.0);
  EXPECT_DOUBLE_EQ(s.share[129], 1.0 / 3);
}

TEST(Labels, StatisticsAgainstLoops) {
  LabelMasks labels(200, 70);
  for (int i = 0; i < 200; ++i)
    for (int c = 0; c < 70; ++c)
      if ((i * 7 + c * 13 + i * c) % 9 == 0) labels.set(i, c);
  const auto s = label_statistics(labels);
  double sum = 0;
  std::vector<std::int64_t> counts(71);
  for (int i = 0; i < 200; ++i) {
    int k = 0;
    for (int c = 0; c < 70; ++c) k += labels.has(i, c);
    sum += k;
    ++counts[k];
  }
  EXPECT_NEAR(s.mean_labels, sum / 200, 1e-12);
  for (std::size_t k = 0; k < counts.size(); ++k) EXPECT_EQ(k < s.label_counts.size() ? s.label_counts[k] : 0, counts[k]) << k;
  for (int a = 0; a < 70; ++a) {
    for (int b = 0; b < 70; ++b) {
      std::int64_t both = 0;
      for (int i = 0; i < 200; ++i) both += labels.has(i, a) && labels.has(i, b);
      EXPECT_EQ(s.together[a * 70 + b], both) << a << ", " << b;
      EXPECT_TRUE(a != b || s.images[a] == both) << a;
    }
  }
}

}  // namespace swath::test
