// Miners by name, through the interface against the listing references and the kernels (methods.md §5).
#include "losses/miner.h"

#include <gtest/gtest.h>

#include "kernels/distance_weighted.h"
#include "kernels/pairwise_distance.h"
#include "tests/kernels/chi_square.h"
#include "tests/reference/distance_weighted.h"
#include "tests/reference/intra_random.h"
#include "tests/reference/multilabel_semihard.h"
#include "tests/reference/permute_labels.h"
#include "tests/reference/rows.h"
#include "tests/reference/semihard.h"

namespace swath {
namespace {

using Listed = std::vector<std::array<std::int32_t, 3>>;

struct Rows {
  std::int64_t count, cols = 6;
  std::vector<float> x;
  std::vector<std::int32_t> row_class;

  Rows(std::int64_t rows, std::uint32_t classes) : count(rows) {
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(rows * cols); ++i)
      x.push_back(2 * kernels::uniform01(kernels::philox(4, 0, kernels::RandomStream::init, i).v[0]) - 1);
    x = reference::unit_rows(x, rows, cols);
    for (std::int64_t r = 0; r < rows; ++r)
      row_class.push_back(static_cast<std::int32_t>(static_cast<std::uint32_t>(r) % classes));
  }

  /// Triplets of the miner, whose unused rows must hold −1.
  Listed mine(Miner& miner, std::int64_t used, std::uint64_t seed, std::uint64_t step) const {
    const auto device = Device::open("cpu");
    const Triplets found =
        miner.mine({.rows = Tensor::from_host(*device, {count, cols}, x),
                    .row_class = Tensor::from_host(*device, {count}, row_class),
                    .row_count = Tensor::from_host(*device, {1}, std::vector{static_cast<std::int32_t>(used)}),
                    .random = {seed, &step}});
    const std::vector<std::int32_t> flat = found.indices.to_host<std::int32_t>();
    const auto mined = static_cast<std::size_t>(found.count.to_host<std::int32_t>()[0]);
    Listed listed;
    for (std::size_t t = 0; 3 * t < flat.size(); ++t) {
      const std::array<std::int32_t, 3> triplet{flat[3 * t], flat[3 * t + 1], flat[3 * t + 2]};
      if (t < mined)
        listed.push_back(triplet);
      else
        EXPECT_EQ(triplet, (std::array<std::int32_t, 3>{-1, -1, -1}));
    }
    return listed;
  }

  std::vector<float> distances() const {
    std::vector<float> distance(static_cast<std::size_t>(count * count));
    kernels::pairwise_distance({.x = x.data(), .distance = distance.data(), .rows = count, .cols = cols, .x_ld = cols},
                               kernels::Cpu{});
    return distance;
  }

  Listed semihard(std::int64_t used, std::uint64_t seed, std::uint64_t step) const {
    return reference::semihard(distances(), count, row_class, used, seed, step);
  }

  /// What the kernel draws with these labels (its own test compares it with a reference).
  Listed by_distance(const std::vector<std::int32_t>& labels, std::int64_t used, std::uint64_t seed, std::uint64_t step,
                     const MinerOptions& options, kernels::RandomStream stream) const {
    const std::vector<float> distance = distances();
    const auto row_count = static_cast<std::int32_t>(used);
    std::int32_t found = 0;
    Listed listed(static_cast<std::size_t>(count));
    std::vector<std::int64_t> workspace(static_cast<std::size_t>(count));
    kernels::distance_weighted({.distance = distance.data(),
                                .row_class = labels.data(),
                                .row_count = &row_count,
                                .step = &step,
                                .triplets = listed.data()->data(),
                                .triplet_count = &found,
                                .rows = count,
                                .width = cols,
                                .lower_cutoff = options.lower_cutoff,
                                .upper_cutoff = options.upper_cutoff,
                                .seed = seed,
                                .stream = stream,
                                .workspace = workspace.data()},
                               kernels::Cpu{});
    listed.resize(static_cast<std::size_t>(found));
    return listed;
  }
};

TEST(SemihardMiner, EqualsTheReference) {
  const auto miner = make_miner({.name = "semihard"});
  for (const std::int64_t count : {2, 40, 120}) {
    Rows rows(count, 7);
    for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{9'000'000'000}}) {
      EXPECT_EQ(rows.mine(*miner, count, 11, step), rows.semihard(count, 11, step)) << count;
      rows.row_class[1] = -1;
      EXPECT_EQ(rows.mine(*miner, count / 2, 12, step), rows.semihard(count / 2, 12, step)) << count << ", half in use";
    }
  }
}

TEST(DistanceMiner, EqualsTheKernelWithItsOptions) {
  const Rows rows(90, 7);
  Listed previous;
  for (const MinerOptions& options : {MinerOptions{.name = "distance"}, MinerOptions{.name = "distance", .lower_cutoff = 1.9f},
                                      MinerOptions{.name = "distance", .upper_cutoff = 1.0f}}) {
    const Listed mined = rows.mine(*make_miner(options), 80, 5, 6);
    EXPECT_EQ(mined, rows.by_distance(rows.row_class, 80, 5, 6, options, kernels::RandomStream::miner));
    EXPECT_EQ(mined.size(), 80u);
    EXPECT_NE(mined, previous);
    previous = mined;
  }
}

TEST(RandomDistanceMiner, MinesByDistanceWithPermutedLabels) {
  Rows rows(90, 7);
  rows.row_class[4] = -1;
  const MinerOptions options{.name = "random_distance", .lower_cutoff = 0.6f};
  const Listed mined = rows.mine(*make_miner(options), 80, 5, 6);
  const std::vector<std::int32_t> permuted = reference::permute_labels(rows.row_class, 80, 5, 6);
  EXPECT_NE(permuted, rows.row_class);
  EXPECT_EQ(mined, rows.by_distance(permuted, 80, 5, 6, options, kernels::RandomStream::random_distance));
  EXPECT_EQ(mined.size(), 79u);
}

/// Probability of each pair (positive, negative) of an anchor, the mean over all orders of the labels.
std::vector<double> random_distance_probabilities(const Rows& rows, std::int64_t anchor,
                                                  const reference::DensityOptions& options) {
  std::vector<double> probability(static_cast<std::size_t>(rows.count * rows.count), 0);
  std::vector<std::int32_t> labels = rows.row_class;
  std::sort(labels.begin(), labels.end());
  const std::vector<float> distance = rows.distances();
  double orders = 0;
  do {
    ++orders;
    const auto c = reference::weighted_candidates<double>(distance, rows.count, labels, rows.count, anchor, options);
    for (const std::int32_t p : c.positives)
      for (std::size_t n = 0; n < c.negatives.size(); ++n)
        probability[static_cast<std::size_t>(p * rows.count + c.negatives[n])] +=
            c.probability[n] / static_cast<double>(c.positives.size());
  } while (std::next_permutation(labels.begin(), labels.end()));
  for (double& p : probability) p /= orders;
  return probability;
}

/// Over 100,000 steps every anchor's pairs occur as often as the orders of the labels and the density say.
TEST(RandomDistanceMiner, DrawsFollowTheDensityOverAllOrdersOfTheLabels) {
  const Rows rows(7, 3);  // classes of 3, 2 and 2 rows
  const MinerOptions options{.name = "random_distance", .lower_cutoff = 0.6f};
  const auto device = Device::open("cpu");
  const auto miner = make_miner(options);
  std::uint64_t step = 0;
  const MineInput input{.rows = Tensor::from_host(*device, {rows.count, rows.cols}, rows.x),
                        .row_class = Tensor::from_host(*device, {rows.count}, rows.row_class),
                        .row_count = Tensor::from_host(*device, {1}, std::vector{static_cast<std::int32_t>(rows.count)}),
                        .random = {17, &step}};
  const auto n = static_cast<std::size_t>(rows.count);
  std::vector<std::vector<std::int64_t>> counts(n, std::vector<std::int64_t>(n * n, 0));
  for (; step < 100'000; ++step) {
    const Triplets found = miner->mine(input);
    ASSERT_EQ(found.count.data<std::int32_t>()[0], rows.count);
    const std::int32_t* triplet = found.indices.data<std::int32_t>();
    for (std::size_t t = 0; t < n; ++t, triplet += 3)
      ++counts[static_cast<std::size_t>(triplet[0])][static_cast<std::size_t>(triplet[1] * rows.count + triplet[2])];
  }
  for (std::int64_t anchor = 0; anchor < rows.count; ++anchor) {
    SCOPED_TRACE(anchor);
    kernels::test::expect_distribution(
        counts[static_cast<std::size_t>(anchor)],
        random_distance_probabilities(rows, anchor, {.width = rows.cols, .lower_cutoff = options.lower_cutoff}));
  }
}

TEST(IntraRandomMiner, EqualsTheReference) {
  Rows rows(90, 7);
  rows.row_class[4] = -1;
  const auto miner = make_miner({.name = "intra_random"});
  EXPECT_EQ(rows.mine(*miner, 80, 5, 6), reference::intra_random(rows.row_class, 80, 5, 6));
}

/// Images of up to three of 70 classes, and a few without any.
struct Images {
  std::int64_t count, cols = 6;
  std::vector<float> x;
  reference::LabelSets labels;
  std::vector<std::uint64_t> masks;  // count × 2

  explicit Images(std::int64_t images) : count(images), x(Rows(images, 7).x) {
    for (std::int32_t i = 0; i < images; ++i) {
      labels.emplace_back();
      for (const std::int32_t c : {i % 5, 60 + i % 7, (i * i) % 11})
        if (i % 9 != 4) labels.back().insert(c);
      masks.resize(masks.size() + 2, 0);
      for (const std::int32_t c : labels.back()) masks[masks.size() - 2 + c / 64] |= std::uint64_t{1} << (c % 64);
    }
  }

  Triplets mine(Device& device, const MinerOptions& options, std::int64_t used, std::uint64_t seed, std::uint64_t step) const {
    MineInput input{.rows = Tensor::from_host(device, {count, cols}, x),
                    .labels = Tensor::from_host(device, {count, 2}, masks),
                    .random = {seed, &step}};
    if (used < count) input.row_count = Tensor::from_host(device, {1}, std::vector{static_cast<std::int32_t>(used)});
    const auto miner = make_miner(options);
    EXPECT_TRUE(miner->multi_hot());
    return miner->mine(input);
  }

  std::vector<float> distances() const {
    std::vector<float> distance(static_cast<std::size_t>(count * count));
    kernels::pairwise_distance({.x = x.data(), .distance = distance.data(), .rows = count, .cols = cols, .x_ld = cols},
                               kernels::Cpu{});
    return distance;
  }
};

TEST(MultilabelSemihardMiner, EqualsTheReferenceWithItsOptions) {
  const auto device = Device::open("cpu");
  for (const std::int64_t count : {1, 2, 60, 120}) {
    const Images images(count);
    for (const MinerOptions& options :
         {MinerOptions{.name = "multilabel_semihard"},
          MinerOptions{.name = "multilabel_semihard", .max_negatives_per_pos = 2, .max_trips_per_anchor = 9},
          MinerOptions{.name = "multilabel_semihard", .capacity = 50}}) {
      for (const std::int64_t used : {count, count / 2}) {
        const Listed wanted = reference::multilabel_semihard({.stride = count,
                                                              .used = used,
                                                              .negatives = options.max_negatives_per_pos,
                                                              .enough = options.max_trips_per_anchor,
                                                              .seed = 5,
                                                              .step = 6},
                                                             images.distances(), images.labels);
        const Triplets mined = images.mine(*device, options, used, 5, 6);
        const std::int64_t capacity = options.capacity > 0 ? options.capacity : count * count;
        ASSERT_EQ(mined.indices.size(0), capacity);
        const auto kept = std::min<std::int64_t>(static_cast<std::int64_t>(wanted.size()), capacity);
        Listed flat(static_cast<std::size_t>(capacity), {-1, -1, -1});
        std::copy_n(wanted.begin(), kept, flat.begin());
        const std::vector<std::int32_t> got = mined.indices.to_host<std::int32_t>();
        for (std::size_t t = 0; t < flat.size(); ++t)
          ASSERT_EQ((std::array<std::int32_t, 3>{got[3 * t], got[3 * t + 1], got[3 * t + 2]}), flat[t]) << count << ", " << t;
        EXPECT_EQ(mined.count.to_host<std::int32_t>()[0], kept);
        EXPECT_EQ(mined.dropped.to_host<std::int32_t>()[0], static_cast<std::int64_t>(wanted.size()) - kept);
      }
    }
  }
}

TEST(MultilabelSemihardMiner, RoomGrowsWithTheRowsUpTo512PerAnchor) {
  const auto device = Device::open("cpu");
  EXPECT_EQ(Images(600).mine(*device, {.name = "multilabel_semihard"}, 10, 1, 1).indices.size(0), 600 * 512);
}

TEST(RandomMiners, DrawsDependOnSeedAndStep) {
  const Rows rows(120, 7);
  for (const char* name : {"semihard", "distance", "random_distance", "intra_random"}) {
    SCOPED_TRACE(name);
    const auto miner = make_miner({.name = name});
    const Listed first = rows.mine(*miner, 120, 1, 1);
    EXPECT_EQ(first.size(), 120u);
    EXPECT_EQ(first, rows.mine(*miner, 120, 1, 1));
    EXPECT_NE(first, rows.mine(*miner, 120, 1, 2));
    EXPECT_NE(first, rows.mine(*miner, 120, 2, 1));
  }
}

TEST(MakeMiner, AnUnknownNameListsThoseThatExist) {
  try {
    make_miner({.name = "semihrad"});
    FAIL();
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("semihrad"), std::string::npos);
    for (const std::string& name : MinerOptions::miner_names())
      EXPECT_NE(std::string(error.what()).find(name, std::string(error.what()).find("there are")), std::string::npos) << name;
  }
  for (const std::string& name : MinerOptions::miner_names()) EXPECT_TRUE(make_miner({.name = name}));
}

TEST(MinerOptions, JsonRoundTripAndRefusals) {
  MinerOptions options{.name = "other"};
  config_from_json(options, Json::parse(R"({"name":"semihard"})"));
  EXPECT_EQ(options.name, "semihard");
  EXPECT_EQ(config_to_json(options)["name"].get<std::string>(), "semihard");
  config_from_json(options, Json::parse(R"({"lower_cutoff":0.7,"upper_cutoff":1.4})"));
  EXPECT_EQ(options.lower_cutoff, 0.7f);
  EXPECT_EQ(options.upper_cutoff, 1.4f);
  config_from_json(options, Json::parse(R"({"max_negatives_per_pos":5,"max_trips_per_anchor":7,"capacity":4000})"));
  EXPECT_EQ(options.max_negatives_per_pos, 5);
  EXPECT_EQ(options.max_trips_per_anchor, 7);
  EXPECT_EQ(options.capacity, 4000);
  EXPECT_THROW(config_from_json(options, Json::parse(R"({"lower_cutoff":0})"), "miner"), UserError);
  EXPECT_THROW(config_from_json(options, Json::parse(R"({"max_negatives_per_pos":0})"), "miner"), UserError);
  EXPECT_THROW(config_from_json(options, Json::parse(R"({"name":"hardest"})"), "miner"), UserError);
  EXPECT_THROW(config_from_json(options, Json::parse(R"({"nmae":"semihard"})"), "miner"), UserError);
}

}  // namespace
}  // namespace swath
