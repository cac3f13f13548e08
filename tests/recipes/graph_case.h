// The configurations whose steps bench/step_counts.json counts: what cuda_graph_test records on a device, step_plan_test plans.
#pragma once
#include <functional>
#include <vector>

#include "tests/recipes/recipe_case.h"

namespace swath::testing {

struct GraphCase {
  const char* name;
  std::function<void(TrainOptions&)> set;
};

/// The trunk's part of the step is the same for every miner.
inline std::function<void(TrainOptions&)> miner(const char* name) {
  return [name](TrainOptions& options) {
    options.miner.name = name;
    options.model.frozen = true;
  };
}

inline std::function<void(TrainOptions&)> loss(const char* name) {
  return [name](TrainOptions& options) {
    options.loss.name = name;
    options.model.frozen = true;
  };
}

inline std::function<void(TrainOptions&)> recipe(const char* name, const char* precision = "fp32") {
  return [name, precision](TrainOptions& options) {
    options.recipe = name;
    options.precision = precision;
  };
}

/// Two clusters, found by the index of the CPU: what is counted is the step.
inline std::function<void(TrainOptions&)> dac(const char* precision = "fp32") {
  return [precision](TrainOptions& options) {
    recipe("dac", precision)(options);
    options.dac.kmeans.clusters = 2;
    options.dac.kmeans.retriever.faiss = "cpu";
  };
}

/// A bank of 48 images and batches of 8.
inline std::function<void(TrainOptions&)> sndl(const char* precision = "fp32") {
  return [precision](TrainOptions& options) {
    recipe("sndl", precision)(options);
    options.sampler.batch_size = 8;
  };
}

inline const std::vector<GraphCase>& graph_cases() {
  static const std::vector<GraphCase> all{
      {"baseline", [](TrainOptions&) {}},
      {"baseline_semihard", miner("semihard")},
      {"baseline_distance", miner("distance")},
      {"baseline_random_distance", miner("random_distance")},
      {"baseline_intra_random", miner("intra_random")},
      {"baseline_multilabel_semihard", miner("multilabel_semihard")},
      {"baseline_binomial", loss("binomial")},
      {"baseline_nca", loss("nca")},
      {"baseline_bce", loss("bce")},
      {"baseline_bf16", [](TrainOptions& options) { options.precision = "bf16"; }},
      {"baseline_fp16", [](TrainOptions& options) { options.precision = "fp16"; }},
      {"baseline_conv_pipeline", [](TrainOptions& options) { options.precision = "fp16", options.conv_pipeline = "on"; }},
      {"baseline_conv_pipeline_resnet50",
       [](TrainOptions& options) {
         options.precision = "fp16", options.conv_pipeline = "on";
         options.model.backbone = "resnet50";
       }},
      {"baseline_recompute", [](TrainOptions& options) { options.recompute = "activations"; }},
      {"bier", recipe("bier")},
      {"bier_fp16", recipe("bier", "fp16")},
      {"dac", dac()},
      {"dac_bf16", dac("bf16")},
      {"diva", recipe("diva")},
      {"diva_fp16", recipe("diva", "fp16")},
      {"sndl", sndl()},
      {"sndl_bf16", sndl("bf16")},
  };
  return all;
}

/// The options of a case, on top of `made`; queue and regressors are small.
inline TrainOptions graph_options(const GraphCase& of, TrainOptions made) {
  made.moco.n_key_batches = 2;
  made.bier.regressor_hidden = made.diva.regressor_hidden = 32;
  of.set(made);
  return made;
}

}  // namespace swath::testing
