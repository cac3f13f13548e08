// swath export: a network's weights as a safetensors file with torchvision's names, for PyTorch and for model.pretrained.
#include "apps/trained_model.h"
#include "models/export_weights.h"

namespace swath::app {

namespace {

struct ExportArgs {
  ModelArgs model;
  std::string out;
};

void run_export(const ExportArgs& args, Output& output) {
  if (args.out.empty()) throw UserError("swath export needs --out FILE, the safetensors file to write");
  const std::unique_ptr<TrainedModel> model = open_model(args.model);
  const PackedSplit& split = model->split();
  export_weights(model->block, args.out,
                 {{"format", "pt"},
                  {"recipe", model->options.recipe},
                  {"backbone", model->options.model.backbone},
                  {"bands", fmt::format("{}", fmt::join(split.image().bands, ","))},
                  {"weights", model->weights}});
  output.json() = {{"out", args.out}, {"weights", model->weights}};
  output.text(fmt::format("{}: the weights of {}\n", args.out, model->weights));
}

}  // namespace

void add_export(CLI::App& app, Request& request) {
  CLI::App* command =
      add_command(app, request, "export", "Write a network's weights for PyTorch: safetensors, torchvision's names",
                  "  swath export --run runs/demo --out weights.safetensors\n"
                  "  swath export --run runs/demo --checkpoint untrained --out untrained.safetensors\n"
                  "The trunk can be trained further: --set model.pretrained=weights.safetensors\n");
  auto args = std::make_shared<ExportArgs>();
  add_model_args(command, args->model);
  command->add_option("--out", args->out, "Safetensors file to write")->type_name("FILE");
  set_action(command, request, args, run_export);
}

}  // namespace swath::app
