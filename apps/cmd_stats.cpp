// swath stats: labels of each part of an archive (methods.md §8, label statistics).
#include "apps/packing.h"
#include "data/file.h"
#include "engine/io/file.h"
#include "retrieval/plots.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

struct StatsArgs {
  ConfigArgs config;
  std::string out;
};

struct PartLabels {
  std::string name;
  LabelMasks labels;
};

std::vector<PartLabels> labels_by_part(const Prepared& prepared) {
  std::vector<PartLabels> parts;
  for (const Part part : kParts)
    parts.push_back({name_of(part), prepared.dataset->labels().select(prepared.splits[part], prepared.filter.kept)});
  return parts;
}

Json json_of(const LabelStatistics& statistics, const std::vector<std::string>& classes) {
  Json images = Json::object();
  for (std::size_t c = 0; c < classes.size(); ++c) images[classes[c]] = statistics.images[c];
  return {{"images_per_class", images}, {"label_counts", statistics.label_counts}, {"mean_labels", statistics.mean_labels}};
}

void run_stats(const StatsArgs& args, Output& output) {
  const TrainOptions options = options_of(config_of(args.config));
  const Prepared prepared = prepare_data(options.data);
  const std::vector<std::string>& classes = prepared.filter.kept_names;
  std::vector<LabelStatistics> statistics;
  output.json() = {{"dataset", prepared.dataset->name()}, {"dropped_classes", prepared.filter.dropped_names}};
  const std::vector<PartLabels> parts = labels_by_part(prepared);
  output.text(fmt::format("{:<40}", prepared.dataset->name()));
  for (const PartLabels& part : parts) {
    statistics.push_back(label_statistics(part.labels));
    Json json = json_of(statistics.back(), classes);
    json["images"] = part.labels.rows();
    output.json()["parts"][part.name] = json;
    output.text(fmt::format("{:>10}", part.name));
  }
  const auto row = [&](const std::string& name, auto value) {
    output.text(fmt::format("\n{:<40}", name));
    for (std::size_t p = 0; p < parts.size(); ++p) output.text(fmt::format("{:>10}", value(p)));
  };
  row("images", [&](std::size_t p) { return std::to_string(parts[p].labels.rows()); });
  row("labels per image", [&](std::size_t p) { return fmt::format("{:.2f}", statistics[p].mean_labels); });
  for (std::size_t c = 0; c < classes.size(); ++c)
    row(classes[c], [&](std::size_t p) { return fmt::format("{:.1f} %", 100 * statistics[p].share[c]); });
  output.text("\n");
  output.json()["skipped"] = skips_of(prepared.dataset->report());
  if (args.out.empty()) return;
  make_folder(args.out);
  for (std::size_t p = 0; p < parts.size(); ++p) {
    const std::string file = args.out + "/labels-" + parts[p].name + ".svg";
    atomic_write(file, bar_chart({"Images per class, " + parts[p].name, "share of images", classes, statistics[p].share}));
    output.text(file + "\n");
  }
}

}  // namespace

void add_stats(CLI::App& app, Request& request) {
  CLI::App* command = add_command(app, request, "stats", "Show how often each class occurs in train, val and test",
                                  "  swath stats --root MLRSNet\n"
                                  "  swath stats --config configs/demo.json --out pictures\n");
  auto args = std::make_shared<StatsArgs>();
  add_config_args(command, args->config, Shorthands::root);
  command->add_option("--out", args->out, "Folder for a bar chart per part")->type_name("DIR");
  set_action(command, request, args, run_stats);
}

}  // namespace swath::app
