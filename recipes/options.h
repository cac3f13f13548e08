// The whole configuration of a training run. Every key of the JSON configuration is a field here or in the component's
// own Options struct; defaults are those of methods.md.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/pack.h"
#include "data/sampler.h"
#include "engine/core/config.h"
#include "engine/device/device.h"
#include "engine/dist/ranks.h"
#include "engine/optim/optimizer.h"
#include "engine/optim/schedule.h"
#include "losses/binomial.h"
#include "losses/loss_choice.h"
#include "losses/margin.h"
#include "losses/miner.h"
#include "losses/moco.h"
#include "losses/nca.h"
#include "models/embedder.h"
#include "recipes/bier_options.h"
#include "recipes/dac_options.h"
#include "recipes/diva_options.h"
#include "recipes/sndl_options.h"
#include "recipes/tracking/options.h"
#include "retrieval/evaluator.h"

namespace swath {

struct RunOptions {
  std::string directory = "runs";
  std::string name;
  std::int64_t keep = 2;
  std::int64_t log_every = 10;
  std::int64_t checkpoint_every = 1;

  template <class V>
  void fields(V& v) {
    v("directory", directory, "folder that holds the run folders");
    v("name", name, "name of the run folder; empty: recipe, date and time");
    v("keep", keep, "checkpoints kept besides the best one", Range{1, 1000});
    v("log_every", log_every, "steps between two lines of the training log", Range{1, 1e6});
    v("checkpoint_every", checkpoint_every, "epochs between two checkpoints", Range{1, 1e6});
  }
};

struct ValidationOptions {
  std::int64_t every = 10;
  std::string part = "val";
  std::vector<std::string> also;
  std::int64_t batch_size = 64;
  bool untrained = true;
  bool overlap = false;
  EvaluateOptions retrieval;

  template <class V>
  void fields(V& v) {
    v("every", every, "epochs between two validations; the last epoch is always validated", Range{1, 1e6});
    v("part", part, "split that chooses the best checkpoint, by Recall@1", OneOf{{"val", "test", "train"}});
    v("also", also, "splits that are scored and logged beside it", OneOf{{"val", "test", "train"}});
    v("batch_size", batch_size, "images embedded at a time", Range{1, 65536});
    v("untrained", untrained, "validate before the first step as well");
    v("overlap", overlap, "score the distance overlap as well (methods.md §8)");
    v("retrieval", retrieval, "how embeddings are scored");
  }
};

struct TrainOptions {
  std::string recipe = "baseline";
  std::string preset = "none";
  std::string device = "cpu";
  std::string precision = "fp32";
  std::string graph = "auto";
  std::string autotune;
  std::string conv_pipeline = "off";
  std::string recompute = "off";
  std::uint64_t seed = 0;
  std::int64_t epochs = 120;
  std::int64_t crop = 0;
  DataOptions data;
  PackOptions pack;
  SamplerOptions sampler;
  ModelOptions model;
  LossOptions loss;
  MinerOptions miner;
  MarginOptions margin;
  BinomialOptions binomial;
  BierOptions bier;
  DacOptions dac;
  MocoOptions moco;
  DivaOptions diva;
  NcaOptions nca;
  SndlOptions sndl;
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  ValidationOptions validation;
  RunOptions run;
  RankOptions ranks;
  TrackingOptions tracking;

  static std::vector<std::string> recipe_names();
  static std::vector<std::string> preset_names();

  template <class V>
  void fields(V& v) {
    v("recipe", recipe, "training method (methods.md §7)", OneOf{recipe_names()});
    v("preset", preset, "keys that are set together, below those that a configuration names; small: any recipe on two cores",
      OneOf{preset_names()});
    v("device", device, "cpu, cuda or cuda:N");
    v("precision", precision,
      "type of the trunk's activations; parameters, heads and losses are always fp32; tf32: fp32, but a GPU's convolutions "
      "round their inputs; fp16: with a dynamic loss scale, on a GPU",
      OneOf{{"fp32", "tf32", "bf16", "fp16"}});
    v("graph", graph, "auto: a GPU records the step once per shape of batch and replays it as one launch; off: it never does",
      OneOf{{"auto", "off"}});
    v("autotune", autotune,
      "file that keeps the fastest engine of cuDNN for each convolution, timed at its first use; empty: cuDNN's first choice");
    v("conv_pipeline", conv_pipeline,
      "on: convolutions normalise their input while reading it and gather the sums of batch norm while writing; with "
      "precision=fp16 on a GPU of compute capability 9.0 or later",
      OneOf{{"off", "on"}});
    v("recompute", recompute,
      "activations: those inside a residual block are computed again in the backward pass instead of being kept, for less "
      "memory and the same bits",
      OneOf{{"off", "activations"}});
    v("seed", seed, "fixes initial weights, sampling, augmentation, mining and dropout");
    v("epochs", epochs, "passes over the training split", Range{1, 1e6});
    v("crop", crop, "side of the training and evaluation crop; 0: 224 of 256 pixels, 100 of 120, in proportion otherwise",
      Range{0, 4096});
    v("data", data, "images, labels and splits");
    v("pack", pack, "packing, where the packed splits are not there yet");
    v("sampler", sampler, "which images make a batch");
    v("model", model, "network");
    v("loss", loss, "choice of the loss");
    v("miner", miner, "choice of triplets");
    v("margin", margin, "margin loss");
    v("binomial", binomial, "binomial deviance, the loss of the recipe bier");
    v("bier", bier, "the recipe bier");
    v("dac", dac, "the recipe dac");
    v("moco", moco, "Fast MoCo of the recipe diva");
    v("diva", diva, "the recipe diva");
    v("nca", nca, "NCA with a memory bank, a loss of the recipe sndl");
    v("sndl", sndl, "the recipe sndl");
    v("optimizer", optimizer, "optimiser and learning rates");
    v("schedule", schedule, "learning rates over the epochs");
    v("validation", validation, "evaluation during training");
    v("run", run, "run folder, log and checkpoints");
    v("ranks", ranks, "several processes that train one model (docs/several-ranks.md)");
    v("tracking", tracking, "TensorBoard and W&B");
  }
};

/// The options of a configuration: the defaults, then its preset, then its own keys. Throws UserError as config_from_json.
TrainOptions resolve_options(const Json& config);

/// What the options ask of a device. Throws UserError where they contradict each other.
DeviceOptions device_options(const TrainOptions& options);

/// The configured device. Throws as device_options and Device::open.
std::unique_ptr<Device> open_device(const TrainOptions& options);

/// Side of the crop: options.crop, or the default for images of this size. Throws UserError when it exceeds the image.
std::int64_t crop_side(std::int64_t crop, const ImageSpec& image);

}  // namespace swath
