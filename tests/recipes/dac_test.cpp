// D&C: its stages, what a batch trains, how images are clustered and clusters matched, and what it refuses (methods.md §7).
#include "recipes/dac.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <numeric>
#include <set>

#include "recipes/pair_rows.h"
#include "recipes/step.h"
#include "retrieval/cluster_match.h"
#include "tests/recipes/recipe_case.h"

namespace swath {
namespace {

namespace fs = std::filesystem;

using Numbers = std::vector<std::int64_t>;

constexpr std::int64_t kClusters = 5;

class DacTest : public testing::SceneTest {
 protected:
  static void SetUpTestSuite() { make_scenes("dac", 120); }
  static void TearDownTestSuite() { remove_scenes(); }

  static TrainOptions options() {
    TrainOptions made = small_options();
    made.recipe = "dac";
    made.model.embedding = 40;
    made.model.dropout = 0;
    made.dac.kmeans.clusters = kClusters;
    made.dac.every = 2;
    made.dac.finetune_epoch = 12;
    made.run.log_every = 1;
    return made;
  }
};

/// Writes into a recipe's state what is given, and keeps what is there.
struct State : StateVisitor {
  void tensor(const std::string& name, Tensor& value) override {
    ASSERT_EQ(name, "cluster.assignment");
    if (!assignment.empty()) value.copy_from_host(assignment.data());
    assignment = value.to_host<std::int64_t>();
  }
  void scalar(const std::string& name, std::int64_t& value) override {
    ASSERT_EQ(name, "cluster.epoch");
    epoch = value;
  }
  void scalar(const std::string&, std::uint64_t&) override { FAIL(); }
  void scalar(const std::string& name, double& value) override {
    ASSERT_EQ(name, "cluster.nmi");
    nmi = value;
  }
  void scalar(const std::string&, std::string&) override { FAIL(); }
  Numbers assignment;
  std::int64_t epoch = 0;
  double nmi = 0;
};

/// A recipe and steps of it that change no weight.
struct Workbench : testing::RecipeBench<Dac> {
  using RecipeBench::RecipeBench;
  State state() {
    State seen;
    recipe.visit_state(seen);
    return seen;
  }
  void set_assignment(const Numbers& assignment) {
    State wanted;
    wanted.assignment = assignment;
    recipe.visit_state(wanted);
  }
  /// A step on the first 8 images, as of the cluster; loss, then the statistics.
  std::vector<float> run(std::int64_t cluster) {
    Batch batch = first_images(8);
    batch.tag = cluster;
    return RecipeBench::run(batch);
  }
  bool has_gradient(const std::string& name) {
    const std::vector<float> grad = block.find(name)->grad.to_host<float>();
    return std::any_of(grad.begin(), grad.end(), [](float v) { return v != 0; });
  }
  std::vector<HeadSpec> heads() const {
    std::vector<HeadSpec> made;
    for (std::int64_t c = 0; c < kClusters; ++c) made.push_back({fmt::format("cluster{}", c), 8});
    return made;
  }
};

TEST(DacStages, BoundariesAreThoseOfTheFormula) {
  DacOptions options;
  EXPECT_EQ(options.stage(0), DacStage::divided);
  EXPECT_EQ(options.stage(46), DacStage::divided);  // 8/19 · 110 = 46.3
  EXPECT_EQ(options.stage(47), DacStage::whole);
  EXPECT_EQ(options.stage(109), DacStage::whole);
  EXPECT_EQ(options.stage(110), DacStage::conquered);
  EXPECT_EQ(options.stage(500), DacStage::conquered);
  options.finetune_epoch = 38;  // 8/19 · 38 = 16
  EXPECT_EQ(options.stage(15), DacStage::divided);
  EXPECT_EQ(options.stage(16), DacStage::whole);
  options.finetune_epoch = 1;
  EXPECT_EQ(options.stage(0), DacStage::divided);
  EXPECT_EQ(options.stage(1), DacStage::conquered);
  options.finetune_epoch = 0;
  EXPECT_EQ(options.stage(0), DacStage::conquered);
}

/// The margin loss of the batch that Workbench::run takes, in double, from the rows that the stage trains.
double reference_loss(Workbench& bench, std::int64_t cluster, DacStage stage) {
  const PackedSplit& train = bench.data.train;
  ParameterBlock block;
  const Embedder embedder(block, bench.options.model, 3, bench.heads(), bench.options.seed);
  block.allocate(*bench.device);
  const RandomKey random{bench.options.seed, bench.scalars->step_pointer()};
  Tape tape(*bench.device, Phase::train);
  const BatchViews views(*bench.device, train.image(), train.pixels(), 8, {.crop = 32});
  const std::vector<Var> parts = embedder.forward(tape, Var(views.make({}, random)), random);
  std::vector<std::vector<double>> images(8);
  for (std::size_t part = 0; part < parts.size(); ++part) {
    if (stage == DacStage::divided && static_cast<std::int64_t>(part) != cluster) continue;
    const std::vector<float> values = parts[part].value().to_host<float>();
    for (std::size_t i = 0; i < 64; ++i) images[i / 8].push_back(values[i]);
  }
  for (auto& image : images) {
    const double length = std::sqrt(std::inner_product(image.begin(), image.end(), image.begin(), 0.0));
    for (double& v : image) v /= length;
  }
  DeviceBatch batch;
  batch.labels = Tensor::from_host(*bench.device, {8, train.labels().words()}, train.labels().data());
  batch.random = random;
  const PairRows pairs = draw_pair_rows(batch, train.labels().classes(), 2);
  const std::vector<std::int32_t> image_of = pairs.image.to_host<std::int32_t>();
  const auto width = static_cast<std::int64_t>(images[0].size());
  std::vector<float> rows(image_of.size() * images[0].size());
  for (std::size_t r = 0; r < image_of.size(); ++r)
    if (image_of[r] >= 0)
      std::copy(images[image_of[r]].begin(), images[image_of[r]].end(), rows.begin() + static_cast<std::ptrdiff_t>(r) * width);
  const Tensor on_device = Tensor::from_host(*bench.device, {static_cast<std::int64_t>(image_of.size()), width}, rows);
  const Triplets triplets =
      make_miner(bench.options.miner)
          ->mine({.rows = on_device, .row_class = pairs.row_class, .row_count = pairs.count, .random = random});
  const std::vector<std::int32_t> index = triplets.indices.to_host<std::int32_t>();
  const auto distance = [&](std::int32_t a, std::int32_t b) {
    double squared = 0;
    for (std::int64_t k = 0; k < width; ++k) squared += std::pow(images[image_of[a]][k] - images[image_of[b]][k], 2);
    return std::sqrt(squared + 1e-8);
  };
  double sum = 0, active = 0;
  for (std::int32_t t = 0; t < triplets.count.to_host<std::int32_t>()[0]; ++t) {
    const double positive = std::max(0.0, distance(index[3 * t], index[3 * t + 1]) - 1.2 + 0.2);
    const double negative = std::max(0.0, 1.2 - distance(index[3 * t], index[3 * t + 2]) + 0.2);
    sum += positive + negative;
    active += positive > 0 || negative > 0 ? 1 : 0;
  }
  return (sum + 0.1 * 1.2) / active;
}

TEST_F(DacTest, ABatchTrainsTheSubEmbeddingOfItsClusterAndLaterTheWhole) {
  Workbench bench(options());
  ASSERT_EQ(bench.step->names(), (std::vector<std::string>{"loss", "active_triplets", "cluster", "nmi"}));
  struct Case {
    std::int64_t epoch, cluster;
    DacStage stage;
  };
  std::map<std::uint64_t, std::pair<DacStage, std::int64_t>> work;  // of each phase: the stage, and the clustering's epoch
  for (const Case& expected :
       {Case{0, 3, DacStage::divided}, {5, 1, DacStage::divided}, {6, 2, DacStage::whole}, {12, 0, DacStage::conquered}}) {
    bench.recipe.begin_epoch(expected.epoch);
    const std::pair now{expected.stage, bench.state().epoch};
    EXPECT_EQ(work.try_emplace(bench.recipe.phase(), now).first->second, now) << "a recorded step would be replayed";
    const std::vector<float> values = bench.run(expected.cluster);
    EXPECT_EQ(values[2], static_cast<float>(expected.cluster));
    const double wanted = reference_loss(bench, expected.cluster, expected.stage);
    EXPECT_NEAR(values[0], wanted, 2e-5 * wanted) << "epoch " << expected.epoch;
    EXPECT_TRUE(bench.has_gradient("backbone.conv1.weight"));
    for (std::int64_t c = 0; c < kClusters; ++c) {
      const bool own = c == expected.cluster;
      EXPECT_EQ(bench.has_gradient(fmt::format("head.cluster{}.weight", c)), own || expected.stage != DacStage::divided) << c;
      EXPECT_EQ(bench.has_gradient(fmt::format("margin.cluster{}.beta", c)), own) << c;
    }
  }
}

TEST_F(DacTest, ImagesAreClusteredByTheirPenultimateFeatures) {
  Workbench bench(options());
  bench.recipe.begin_epoch(0);
  const Numbers assignment = bench.state().assignment;
  const PackedSplit& train = bench.data.train;
  ASSERT_EQ(static_cast<std::int64_t>(assignment.size()), train.rows());
  EXPECT_EQ(std::set<std::int64_t>(assignment.begin(), assignment.end()).size(), static_cast<std::size_t>(kClusters));

  ParameterBlock block;
  ModelOptions model = bench.options.model;
  model.penultimate = true;
  const Embedder trunk(block, model, 3, {}, bench.options.seed);
  block.allocate(*bench.device);
  Tape tape(*bench.device, Phase::eval);
  const BatchViews views(*bench.device, train.image(), train.pixels(), train.rows(), {.crop = 32});
  const Var features = trunk.forward(tape, Var(views.make({.mode = AugmentMode::evaluate}, {})), {})[0];
  const std::vector<float> x = features.value().to_host<float>();
  const auto width = static_cast<std::size_t>(trunk.features());
  std::vector<std::vector<double>> mean(kClusters, std::vector<double>(width, 0));
  std::vector<double> size(kClusters, 0);
  for (std::size_t i = 0; i < assignment.size(); ++i) {
    ++size[assignment[i]];
    for (std::size_t k = 0; k < width; ++k) mean[assignment[i]][k] += x[i * width + k];
  }
  for (std::size_t i = 0; i < assignment.size(); ++i) {
    std::vector<double> squared(kClusters, 0);
    for (std::size_t c = 0; c < kClusters; ++c)
      for (std::size_t k = 0; k < width; ++k) squared[c] += std::pow(x[i * width + k] - mean[c][k] / size[c], 2);
    EXPECT_LE(squared[assignment[i]], *std::min_element(squared.begin(), squared.end()) + 1e-6) << i;
  }
  bench.recipe.sampler().begin_epoch(0);
  SampledBatch batch;
  ASSERT_TRUE(bench.recipe.sampler().next(batch));
  for (const std::int64_t row : batch.rows) EXPECT_EQ(assignment[row], batch.tag);
}

TEST_F(DacTest, ClusteringComesEverySoManyEpochsUntilAllIsOne) {
  Workbench bench(options());
  EXPECT_EQ(bench.state().epoch, -1);
  Numbers clustered;
  for (std::int64_t epoch = 0; epoch < 14; ++epoch) {
    bench.recipe.begin_epoch(epoch);
    clustered.push_back(bench.state().epoch);
    bench.recipe.begin_epoch(epoch);  // as a run that resumes within the epoch
    EXPECT_EQ(bench.state().epoch, clustered.back());
    if (epoch == 11) {
      bench.recipe.sampler().begin_epoch(epoch);
      std::set<std::int64_t> clusters;
      for (SampledBatch batch; bench.recipe.sampler().next(batch);) clusters.insert(batch.tag);
      EXPECT_GT(clusters.size(), 1u);
    }
  }
  EXPECT_EQ(clustered, (Numbers{0, 0, 2, 2, 4, 4, 6, 6, 8, 8, 10, 10, 10, 10}));
  bench.recipe.sampler().begin_epoch(13);
  EXPECT_EQ(bench.recipe.sampler().batches_per_epoch(), bench.data.train.rows() / 8);
  SampledBatch batch;
  while (bench.recipe.sampler().next(batch)) EXPECT_EQ(batch.tag, 0);
}

/// The same network clusters alike; only the numbers of the old clusters were moved on, by a cycle of five.
TEST_F(DacTest, NewClustersTakeTheNumbersOfTheOldOnes) {
  Workbench bench(options());
  bench.recipe.begin_epoch(0);
  EXPECT_EQ(bench.state().nmi, 0);
  Numbers cycled = bench.state().assignment;
  for (std::int64_t& cluster : cycled) cluster = (cluster + 1) % kClusters;
  bench.set_assignment(cycled);
  bench.recipe.begin_epoch(2);
  EXPECT_EQ(bench.state().assignment, cycled);
  EXPECT_NEAR(bench.state().nmi, 1, 1e-9);
  EXPECT_NEAR(bench.run(0)[3], 1, 1e-6);
}

TEST_F(DacTest, TheNmiIsThatOfConsecutiveClusterings) {
  Workbench bench(options());
  bench.recipe.begin_epoch(0);
  Numbers old = bench.state().assignment;
  const Numbers first = old;
  for (std::size_t i = 0; i < old.size(); i += 3) old[i] = static_cast<std::int64_t>(i) % kClusters;
  bench.set_assignment(old);
  bench.recipe.begin_epoch(2);
  const double wanted = normalized_mutual_information(old, first);
  ASSERT_GT(wanted, 0.1);
  ASSERT_LT(wanted, 0.95);
  EXPECT_NEAR(bench.state().nmi, wanted, 1e-12);
  EXPECT_NEAR(bench.run(0)[3], wanted, 1e-6);
}

TEST_F(DacTest, ClustersWithoutACommonClassAreNotTaken) {
  TrainOptions wanted = options();
  wanted.dac.kmeans.clusters = wanted.model.embedding = open_or_pack(wanted.data, wanted.pack).train.rows();
  Workbench bench(wanted);
  try {
    bench.recipe.begin_epoch(0);
    FAIL() << "every image is a cluster";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("dac.kmeans.clusters"), std::string::npos) << error.what();
  }
  const Numbers one(static_cast<std::size_t>(bench.data.train.rows()), 0);
  bench.set_assignment(one);  // of a run whose first clusters could be used
  bench.recipe.begin_epoch(2);
  EXPECT_EQ(bench.state().assignment, one);
  EXPECT_EQ(bench.state().epoch, 2);
  bench.recipe.sampler().begin_epoch(2);
  SampledBatch batch;
  ASSERT_TRUE(bench.recipe.sampler().next(batch));
  EXPECT_EQ(batch.rows.size(), 8u);
}

TEST_F(DacTest, TheEvaluatedEmbeddingIsTheWholeNormalised) {
  Workbench bench(options());
  std::vector<float> pixels(2 * 32 * 32 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = std::sin(0.11f * static_cast<float>(i));
  Tape tape(*bench.device, Phase::eval);
  const std::vector<float> rows =
      bench.recipe.embed(tape, Tensor::from_host(*bench.device, {2, 32, 32, 3}, pixels)).to_host<float>();
  ASSERT_EQ(rows.size(), 2u * 40);
  for (std::size_t part = 0; part < 2 * kClusters; ++part) {
    double squares = 0;
    for (std::size_t k = 0; k < 8; ++k) squares += std::pow(static_cast<double>(rows[part * 8 + k]), 2);
    EXPECT_NEAR(squares, 1.0 / kClusters, 1e-6) << part;
  }
}

TEST_F(DacTest, OptionsThatCannotWorkAreRefusedByName) {
  const auto refused = [](const TrainOptions& wanted, const std::vector<std::string>& words) {
    const auto device = Device::open("cpu");
    const PackedSet data = open_or_pack(wanted.data, wanted.pack);
    ParameterBlock block;
    try {
      const auto recipe = make_recipe({*device, block, wanted, data.train});
      FAIL() << words[0];
    } catch (const UserError& error) {
      for (const std::string& word : words)
        EXPECT_NE(std::string(error.what()).find(word), std::string::npos) << error.what() << " lacks " << word;
    }
  };
  TrainOptions wanted = options();
  wanted.model.embedding = 42;
  refused(wanted, {"model.embedding is 42", "dac.kmeans.clusters=5", "a multiple of 5"});
  wanted = options();
  wanted.dac.kmeans.clusters = wanted.model.embedding = 64;
  refused(wanted, {"dac.kmeans.clusters is 64", "images"});
  wanted = options();
  wanted.model.penultimate = true;
  refused(wanted, {"model.penultimate"});
  wanted = options();
  wanted.sampler.kind = "shuffled";
  refused(wanted, {"sampler.kind"});
  wanted = options();
  wanted.miner.name = "multilabel_semihard";
  wanted.margin.class_specific = true;
  refused(wanted, {"margin.class_specific"});
}

}  // namespace
}  // namespace swath
