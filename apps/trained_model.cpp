#include "apps/trained_model.h"

#include <filesystem>

#include "apps/packing.h"
#include "apps/progress.h"
#include "apps/signals.h"
#include "engine/core/log.h"
#include "engine/io/checkpoint.h"
#include "models/pretrained.h"
#include "recipes/embed.h"
#include "recipes/run_dir.h"

namespace swath::app {

namespace fs = std::filesystem;

namespace {

constexpr const char* kUntrained = "untrained";

/// Files to try, the preferred one first.
std::vector<std::string> checkpoint_files(const ModelArgs& args) {
  if (args.checkpoint != "best" && args.checkpoint != "last") {
    if (!fs::is_regular_file(args.checkpoint))
      throw UserError(fmt::format("--checkpoint is best, last, untrained or a file; there is no file {}", args.checkpoint));
    return {args.checkpoint};
  }
  const fs::path folder = fs::path(args.run) / "checkpoints";
  std::vector<std::string> files;
  if (fs::is_directory(folder)) {
    const CheckpointStore store(folder.string());
    files = store.newest_first();
    if (args.checkpoint == "best" && !store.best().empty()) files.insert(files.begin(), store.best());
  }
  if (files.empty())
    throw DataError(fmt::format("{} holds no checkpoint yet; train first, or take --checkpoint untrained", folder.string()));
  return files;
}

Json base_config(const ModelArgs& args) {
  if (!args.run.empty()) {
    if (!RunDir::exists(args.run)) throw DataError(fmt::format("{} is no run folder: it holds no config.json", args.run));
    return load_run_config(args.run);
  }
  if (!args.config.file.empty()) return load_config(args.config.file);
  if (fs::is_regular_file(args.checkpoint)) return parse_config(read_checkpoint_info(args.checkpoint).config, args.checkpoint);
  throw UserError("which network? give --run DIR, the folder of a training run, or --checkpoint FILE");
}

void load_weights(TrainedModel& model, const ModelArgs& args) {
  if (args.checkpoint == kUntrained) {
    if (!model.options.model.pretrained.empty())
      load_pretrained(model.block, model.options.model.pretrained, {.copy_weights = model.options.model.copy_weights});
    model.weights = kUntrained;
    return;
  }
  const auto visit = [&](StateVisitor& visitor) {
    for (Parameter& p : model.block.parameters()) visitor.tensor("model." + p.name, p.value);
    for (Buffer& b : model.block.buffers()) visitor.tensor("model." + b.name, b.value);
  };
  const std::vector<std::string> files = checkpoint_files(args);
  for (std::size_t i = 0; i < files.size(); ++i) {
    try {
      const CheckpointInfo info = load_model(files[i], visit);
      require_same_names(info.classes, model.split().class_names(), "the classes of the checkpoint and of the packed data");
      require_same_names(info.bands, model.split().image().bands, "the bands of the checkpoint and of the packed data");
      model.weights = files[i];
      return;
    } catch (const DataError& problem) {
      if (i + 1 == files.size()) throw;
      log::warn("WARNING: {}; trying {}", problem.what(), files[i + 1]);
    }
  }
}

/// A pack that is there needs no archive.
PackedSet open_existing_or_pack(TrainOptions options) {
  if (fs::is_regular_file(fs::path(options.data.packed) / "test.json")) options.data.root.clear();
  return open_packed_set(options);
}

}  // namespace

void add_model_args(CLI::App* command, ModelArgs& args) {
  command->add_option("--run", args.run, "Folder of a training run")->type_name("DIR");
  command->add_option("--checkpoint", args.checkpoint, "best, last, untrained, or a file (default: best)")
      ->type_name("NAME|FILE");
  command->add_option("--part", args.part, "Split: train, val or test (default: test)")->type_name("NAME");
  add_config_args(command, args.config, Shorthands::both);
}

std::unique_ptr<TrainedModel> open_model(const ModelArgs& args) {
  install_stop_signals();
  const Part part = part_named(args.part, "--part");
  Json json = base_config(args);
  apply_assignments(json, args.config);
  const TrainOptions options = options_of(json);
  auto model = std::unique_ptr<TrainedModel>(
      new TrainedModel{options, open_device(options), open_existing_or_pack(options), {}, {}, {}, part});
  model->recipe = make_recipe({*model->device, model->block, model->options, model->data.train});
  model->block.allocate(*model->device);
  load_weights(*model, args);
  return model;
}

std::vector<float> embeddings_of(TrainedModel& model, Part part) {
  Progress progress;
  Pace pace;
  EmbedOptions options = embed_options(model.options);
  options.progress = [&](std::int64_t done, std::int64_t total) {
    throw_if_stopped("stopped while embedding; nothing was written");
    progress.update(fmt::format("embed {}  {}/{}  {}", name_of(part), done, total, pace.text(done, total)));
  };
  return embed_split(*model.device, *model.recipe, model.data[part], options);
}

}  // namespace swath::app
