// What tests of several ranks share: the methods, a network that magnifies rounding little, and steps on slices of a batch.
#pragma once
#include <algorithm>
#include <iostream>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/dist/ranks.h"
#include "tests/recipes/recipe_case.h"

namespace swath::testing {

/// The ranks that start() joined.
inline Communicator* ranks = nullptr;

/// What main() of a program that mpirun starts does first; the ranks last as long as the result.
inline std::unique_ptr<Communicator> start(int& argc, char** argv, double timeout = 120) {
  ::testing::InitGoogleTest(&argc, argv);
  std::unique_ptr<Communicator> joined = join_ranks({.timeout = timeout});
  ranks = joined.get();
  return joined;
}

/// Whether each rank can have a GPU of its own; says so if not.
inline bool enough_gpus() {
  if (cuda_device_count() >= ranks->size()) return true;
  std::cout << "fewer GPUs than ranks\n";
  return false;
}

struct Method {
  std::string name, recipe, miner = "semihard";
  std::int64_t epoch = 0;
  std::string loss = "margin";
  bool sharded = false;  // the memory bank
  std::string precision = "fp32";
};

inline std::vector<Method> methods() {
  return {{"baseline_semihard", "baseline", "semihard"},
          {"baseline_distance", "baseline", "distance"},
          {"baseline_multilabel_semihard", "baseline", "multilabel_semihard"},
          {"baseline_nca", "baseline", "semihard", 0, "nca"},
          {"dac_divided", "dac"},
          {"dac_whole", "dac", "semihard", 8},
          {"bier", "bier"},
          {"diva", "diva"},
          {"sndl", "sndl"},
          {"sndl_sharded", "sndl", "semihard", 0, "margin", true},
          {"baseline_nca_sharded", "baseline", "semihard", 0, "nca", true}};
}

inline void PrintTo(const Method& method, std::ostream* out) { *out << method.name; }

using Tensors = std::map<std::string, std::vector<float>>;

class RankedScenes : public SceneTest {
 protected:
  static TrainOptions options_of(const Method& method) {
    TrainOptions made = small_options();
    made.recipe = method.recipe;
    made.precision = method.precision;
    made.miner.name = method.miner;
    made.loss.name = method.loss;
    made.model.dropout = 0.3f;
    made.dac.kmeans.clusters = 2;
    made.dac.finetune_epoch = 19;
    made.moco.n_key_batches = 2;
    made.ranks.sync_batch_norm = true;
    made.sampler.batch_size = 30;
    made.seed = 1;
    // By default these multiply a similarity by 50 and by 14 before its exponent is taken, and its rounding with it.
    made.binomial.cost = 2;
    made.bier.widths = {10, 10, 12};
    made.moco.tau = 0.3f;
    made.nca.sharded = method.sharded;
    return made;
  }

  /// The first `rows` images as `share` of the ranks holds them.
  static Batch batch_of(const PackedSplit& split, std::int64_t rows, const Communicator& share) {
    static std::vector<std::int64_t> numbers(64);
    std::iota(numbers.begin(), numbers.end(), 0);
    Batch batch;
    batch.pixels = split.row(share.slice(rows).begin);
    batch.rows = numbers.data();
    batch.labels = split.labels().data();
    batch.n = rows;
    return batch;
  }

  /// A point where rounding stays small: residual branches add little, as in a trained network, where a fresh one magnifies
  /// each rounding from block to block; and features are sparse, so that embeddings lie apart and their differences keep their
  /// digits.
  static void calm(ParameterBlock& block) {
    const auto set = [&](const std::string& name, float value) {
      const Tensor& to = block.find(name)->value;
      to.copy_from_host(std::vector<float>(static_cast<std::size_t>(to.numel()), value).data());
    };
    for (const Parameter& p : block.parameters())
      if (p.name.ends_with(".bn2.weight")) set(p.name, 0.2f);
    set("backbone.layer4.1.bn2.weight", 1);
    set("backbone.layer4.1.bn2.bias", -1);
  }

  struct Outcome {
    std::vector<Tensors> steps;  // gradients and running statistics after each
    std::vector<std::vector<float>> statistics;
    std::map<std::string, std::vector<std::byte>> state;  // after the last
  };

  static Outcome outcome(const TrainOptions& options, const Method& method, std::int64_t rows, int steps, float rate,
                         Communicator& share, const std::string& device = "cpu") {
    RecipeBench<Recipe> bench(options, device, share);
    bench.set_learning_rate(rate);
    calm(bench.block);
    bench.recipe.begin_epoch(method.epoch);
    Outcome result;
    for (int step = 0; step < steps; ++step) {
      bench.scalars->set_step(static_cast<std::uint64_t>(step));
      result.statistics.push_back(bench.run(batch_of(bench.data.train, rows, share)));
      bench.add_tensors(result.steps.emplace_back());
    }
    result.state = bench.state();
    return result;
  }

  /// Gradients, running statistics and logged ones of every step, but for rounding.
  static void expect_same_steps(const Outcome& shared, const Outcome& alone, double tolerance = 1e-5) {
    for (std::size_t step = 0; step < alone.steps.size(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      expect_close(shared.steps[step], alone.steps[step], tolerance);
      for (std::size_t i = 0; i < alone.statistics[step].size(); ++i)
        EXPECT_NEAR(shared.statistics[step][i], alone.statistics[step][i],
                    tolerance * std::abs(alone.statistics[step][i]) + 1e-7);
    }
  }
};

}  // namespace swath::testing
