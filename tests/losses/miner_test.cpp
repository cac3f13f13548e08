// Miners by name; semihard through the interface against the listing reference (methods.md §5).
#include "losses/miner.h"

#include <gtest/gtest.h>

#include "kernels/pairwise_distance.h"
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

  Listed wanted(std::int64_t used, std::uint64_t seed, std::uint64_t step) const {
    std::vector<float> distance(static_cast<std::size_t>(count * count));
    kernels::pairwise_distance({.x = x.data(), .distance = distance.data(), .rows = count, .cols = cols, .x_ld = cols},
                               kernels::Cpu{});
    return reference::semihard(distance, count, row_class, used, seed, step);
  }
};

TEST(SemihardMiner, EqualsTheReference) {
  const auto miner = make_miner({.name = "semihard"});
  for (const std::int64_t count : {2, 40, 120}) {
    Rows rows(count, 7);
    for (const std::uint64_t step : {std::uint64_t{0}, std::uint64_t{9'000'000'000}}) {
      EXPECT_EQ(rows.mine(*miner, count, 11, step), rows.wanted(count, 11, step)) << count;
      rows.row_class[1] = -1;
      EXPECT_EQ(rows.mine(*miner, count / 2, 12, step), rows.wanted(count / 2, 12, step)) << count << ", half in use";
    }
  }
}

TEST(SemihardMiner, DrawsDependOnSeedAndStep) {
  const auto miner = make_miner({});
  const Rows rows(120, 7);
  const Listed first = rows.mine(*miner, 120, 1, 1);
  EXPECT_EQ(first.size(), 120u);
  EXPECT_EQ(first, rows.mine(*miner, 120, 1, 1));
  EXPECT_NE(first, rows.mine(*miner, 120, 1, 2));
  EXPECT_NE(first, rows.mine(*miner, 120, 2, 1));
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
  EXPECT_EQ(config_to_json(options).dump(), R"({"name":"semihard"})");
  EXPECT_THROW(config_from_json(options, Json::parse(R"({"name":"hardest"})"), "miner"), UserError);
  EXPECT_THROW(config_from_json(options, Json::parse(R"({"nmae":"semihard"})"), "miner"), UserError);
}

}  // namespace
}  // namespace swath
