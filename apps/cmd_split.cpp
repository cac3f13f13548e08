// swath split: writes train.csv, val.csv and test.csv, stratified over the labels.
#include "apps/commands.h"
#include "data/pack.h"

namespace swath::app {

namespace {

struct SplitArgs {
  ConfigArgs config;
  std::string out;
};

void run_split(const SplitArgs& args, Output& output) {
  const TrainOptions options = options_of(config_of(args.config));
  if (args.out.empty()) throw UserError("swath split needs --out DIR, the folder for train.csv, val.csv and test.csv");
  const std::unique_ptr<Dataset> dataset = open_dataset(options.data);
  const Splits splits = resolve_splits(*dataset, options.data.split);
  write_splits(*dataset, splits, args.out);
  Json parts = Json::object();
  for (const Part part : kParts) {
    output.text(fmt::format("  {}/{}.csv: {} images\n", args.out, name_of(part), splits[part].size()));
    parts[name_of(part)] = splits[part].size();
  }
  output.json() = {{"out", args.out}, {"images", parts}};
}

}  // namespace

void add_split(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "split", "Cut an archive into train, val and test, every class in its share",
                                  "  swath split --root MLRSNet --out splits\n"
                                  "  swath split --root MLRSNet --out splits --set data.split.train=0.8 "
                                  "--set data.split.val=0.1 --set data.split.test=0.1\n");
  auto args = std::make_shared<SplitArgs>();
  add_config_args(command, args->config, Shorthands::root);
  command->add_option("--out", args->out, "Folder for the three CSV files")->type_name("DIR");
  set_action(command, request, args, run_split);
}

}  // namespace swath::app
