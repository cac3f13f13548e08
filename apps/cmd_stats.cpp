// swath stats: labels of each part of an archive (methods.md §8, label statistics).
#include "apps/evaluation_files.h"
#include "apps/packing.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

struct StatsArgs {
  ConfigArgs config;
  std::string out;
  bool png = false;
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
  const auto count = static_cast<std::ptrdiff_t>(classes.size());
  Json together = Json::array();
  for (auto row = statistics.together.begin(); row != statistics.together.end(); row += count)
    together.push_back(std::vector<std::int64_t>(row, row + count));
  return {{"images_per_class", images},
          {"share_per_class", statistics.share},
          {"label_counts", statistics.label_counts},
          {"mean_labels", statistics.mean_labels},
          {"images_with_both", together}};
}

/// The text: one line per class and per number of labels, one column per part.
void print_table(const std::vector<PartLabels>& parts, const std::vector<LabelStatistics>& statistics,
                 const std::vector<std::string>& classes, Output& output) {
  for (const PartLabels& part : parts) output.text(fmt::format("{:>10}", part.name));
  const auto row = [&](const std::string& name, auto value) {
    output.text(fmt::format("\n{:<40}", name));
    for (std::size_t p = 0; p < parts.size(); ++p) output.text(fmt::format("{:>10}", value(p)));
  };
  const auto share = [](std::int64_t part, std::int64_t all) {
    return fmt::format("{:.1f} %", all > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(all) : 0);
  };
  row("images", [&](std::size_t p) { return std::to_string(parts[p].labels.rows()); });
  row("labels per image", [&](std::size_t p) { return fmt::format("{:.2f}", statistics[p].mean_labels); });
  std::size_t counts = 0;
  for (const LabelStatistics& s : statistics) counts = std::max(counts, s.label_counts.size());
  for (std::size_t k = 0; k < counts; ++k) {
    const auto images = [&](std::size_t p) {
      return k < statistics[p].label_counts.size() ? statistics[p].label_counts[k] : 0;
    };
    bool any = false;
    for (std::size_t p = 0; p < parts.size(); ++p) any = any || images(p) > 0;
    if (any)
      row(fmt::format("images with {} label{}", k, k == 1 ? "" : "s"),
          [&](std::size_t p) { return share(images(p), parts[p].labels.rows()); });
  }
  for (std::size_t c = 0; c < classes.size(); ++c)
    row(classes[c], [&](std::size_t p) { return fmt::format("{:.1f} %", 100 * statistics[p].share[c]); });
  output.text("\n");
}

void run_stats(const StatsArgs& args, Output& output) {
  if (args.out.empty() && args.png) throw UserError("--png needs --out DIR, the folder for the pictures");
  if (args.png) require_svg_to_png();
  const TrainOptions options = options_of(config_of(args.config));
  const Prepared prepared = prepare_data(options.data);
  const std::vector<std::string>& classes = prepared.filter.kept_names;
  std::vector<LabelStatistics> statistics;
  output.json() = {{"dataset", prepared.dataset->name()}, {"dropped_classes", prepared.filter.dropped_names}};
  const std::vector<PartLabels> parts = labels_by_part(prepared);
  for (const PartLabels& part : parts) {
    statistics.push_back(label_statistics(part.labels));
    Json json = json_of(statistics.back(), classes);
    json["images"] = part.labels.rows();
    output.json()["parts"][part.name] = json;
  }
  output.json()["classes"] = classes;
  output.text(fmt::format("{:<40}", prepared.dataset->name()));
  print_table(parts, statistics, classes, output);
  output.json()["skipped"] = skips_of(prepared.dataset->report());
  if (args.out.empty()) return;
  for (std::size_t p = 0; p < parts.size(); ++p) {
    std::vector<std::string> files = write_files(label_files(parts[p].name, statistics[p], classes), args.out);
    if (args.png)
      for (const std::string& png : write_pngs(files)) files.push_back(png);
    for (const std::string& file : files) {
      output.json()["files"].push_back(file);
      output.text(file + "\n");
    }
  }
}

}  // namespace

void add_stats(CLI::App& app, Request& request) {
  CLI::App* command =
      add_command(app, request, "stats", "Show how often classes occur, alone and together, in train, val and test",
                  "  swath stats --root MLRSNet\n"
                  "  swath stats --config configs/demo.json --out pictures\n");
  auto args = std::make_shared<StatsArgs>();
  add_config_args(command, args->config, Shorthands::root);
  command->add_option("--out", args->out, "Folder for three pictures per part: classes, numbers of labels, co-occurrence")
      ->type_name("DIR");
  command->add_flag("--png", args->png, "Also write each picture as .png, by rsvg-convert");
  set_action(command, request, args, run_stats);
}

}  // namespace swath::app
