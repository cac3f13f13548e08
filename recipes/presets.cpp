// Presets: keys that are set together, below those that a configuration names.
#include "recipes/options.h"

namespace swath {

namespace {

struct Preset {
  const char* name;
  const char* config;
};

/// small: an epoch of a few thousand images in a minute or so on two cores, from random weights.
constexpr Preset kPresets[] = {
    {"none", "{}"},
    {"small", R"({
      "epochs": 20,
      "data": {"image_size": 64},
      "sampler": {"classes_per_batch": 16, "batch_size": 32},
      "model": {"backbone": "resnet18", "embedding": 128},
      "bier": {"regressor_hidden": 64},
      "dac": {"kmeans": {"clusters": 4}, "every": 5, "finetune_epoch": 18},
      "moco": {"n_key_batches": 4},
      "diva": {"regressor_hidden": 64},
      "nca": {"momentum_milestones": [13, 20]},
      "optimizer": {"backbone": {"lr": 5e-4}, "head": {"lr": 5e-4}},
      "schedule": {"kind": "cosine", "warmup": 1},
      "validation": {"every": 5},
      "run": {"checkpoint_every": 5}
    })"},
};

}  // namespace

std::vector<std::string> TrainOptions::preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

TrainOptions resolve_options(const Json& config) {
  TrainOptions options;
  if (config.is_object() && config.contains("preset")) {
    for (const Preset& preset : kPresets)
      if (config["preset"] == preset.name) config_from_json(options, Json::parse(preset.config), "preset");
  }
  config_from_json(options, config);
  return options;
}

}  // namespace swath
