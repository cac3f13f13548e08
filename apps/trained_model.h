// A recipe's network with the weights of a run's checkpoint, ready to embed (for eval and embed).
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "apps/commands.h"
#include "data/pack.h"
#include "engine/nn/parameter.h"
#include "recipes/recipe.h"

namespace swath::app {

struct ModelArgs {
  ConfigArgs config;
  std::string run;
  std::string checkpoint = "best";
  std::string part = "test";
};
/// --run, --checkpoint, --part, --config, --set, --device, --packed.
void add_model_args(CLI::App* command, ModelArgs& args);

struct TrainedModel {
  TrainOptions options;
  std::unique_ptr<Device> device;
  PackedSet data;
  ParameterBlock block;
  std::unique_ptr<Recipe> recipe;
  std::string weights;  // file, or "untrained"
  Part part = Part::test;

  const PackedSplit& split() const { return data[part]; }
};

/// Opens data and device, builds the network and loads the checkpoint: best (else the newest), last, untrained, or a file.
/// A corrupt checkpoint is passed over with a warning where there is another. Throws UserError, DataError, DeviceError.
std::unique_ptr<TrainedModel> open_model(const ModelArgs& args);
/// rows × embedding_width() floats of a part, with progress on stderr.
std::vector<float> embeddings_of(TrainedModel& model, Part part);
/// The same of the chosen part.
inline std::vector<float> embeddings_of(TrainedModel& model) { return embeddings_of(model, model.part); }

}  // namespace swath::app
