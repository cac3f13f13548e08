// swath report: one HTML file about a run, from its logs and its network.
#include <filesystem>
#include <optional>

#include "apps/packing.h"
#include "apps/report_page.h"
#include "apps/signals.h"
#include "engine/io/checkpoint.h"
#include "engine/io/file.h"

namespace swath::app {

namespace fs = std::filesystem;

namespace {

struct ReportArgs {
  ModelArgs model;
  std::string out;
  ReportOptions options;
  bool logs_only = false;
};

constexpr const char* kOfNetwork = "scores of the checkpoint, retrieved samples, distance overlap, t-SNE and class pictures";

/// Where the packed splits should be; the command line goes before the run.
TrainOptions options_for_data(const ReportArgs& args) {
  Json json = load_run_config(args.model.run);
  apply_assignments(json, args.model.config);
  return options_of(json);
}

bool is_packed(const TrainOptions& options) {
  return fs::is_regular_file(fs::path(options.data.packed) / (std::string(name_of(Part::test)) + ".json"));
}

bool has_checkpoint(const std::string& folder) {
  const fs::path checkpoints = fs::path(folder) / "checkpoints";
  return fs::is_directory(checkpoints) && !CheckpointStore(checkpoints.string()).best_or_latest().empty();
}

/// What of the log is not there yet.
void add_lacks_of_log(const RunRecord& run, std::vector<Lack>& lacks) {
  const std::string folder = shell_word(run.folder);
  if (run.state == RunState::under_way)
    lacks.push_back({"the rest of the training", "the run is under way", fmt::format("swath report {}", folder)});
  else if (run.state == RunState::stopped)
    lacks.push_back({"the rest of the training",
                     "the run " + std::string(run.records.empty() ? "has not begun" : "was stopped"),
                     fmt::format("swath train --resume {}", folder)});
  else if (run.groups().empty())
    lacks.push_back({"metrics during training", "the log holds no validation", ""});
  if (run.damaged_lines > 0)
    lacks.push_back({"some lines of the log", fmt::format("{} lines of metrics.jsonl cannot be read", run.damaged_lines), ""});
  if (run.timing.is_null()) lacks.push_back({"the time of training by phase", "the run wrote no timing.json yet", ""});
}

/// The network's part of the report, or why it is left out.
struct Examined {
  std::unique_ptr<TrainedModel> model;
  std::optional<PackedSet> data;  // without a model
  std::optional<NetworkReport> network;

  const PackedSet* packed() const { return model ? &model->data : data ? &*data : nullptr; }
};

Examined examine_run(const ReportArgs& args, const RunRecord& run, std::vector<Lack>& lacks) {
  Examined made;
  const std::string again = fmt::format("swath report {}", shell_word(run.folder));
  const TrainOptions options = options_for_data(args);
  if (!is_packed(options)) {
    lacks.push_back({"data statistics, " + std::string(kOfNetwork),
                     fmt::format("there are no packed splits in {}", options.data.packed), again + " --packed DIR"});
    return made;
  }
  const bool named = args.model.checkpoint != "best" && args.model.checkpoint != "last";
  if (args.logs_only || (!named && !has_checkpoint(run.folder))) {
    lacks.push_back(args.logs_only ? Lack{kOfNetwork, "only the logs were asked for", again}
                                   : Lack{kOfNetwork, "the run holds no checkpoint yet",
                                          fmt::format("swath train --resume {0} && swath report {0}", shell_word(run.folder))});
    TrainOptions opened = options;
    opened.data.root.clear();
    opened.pack.verify = "never";  // its pixels are not read
    made.data = open_packed_set(opened);
    return made;
  }
  made.model = open_model(args.model);
  made.network = examine(*made.model, args.options);
  if (!made.network->no_tsne.empty())
    lacks.push_back({"t-SNE", made.network->no_tsne, args.options.tsne_images == 0 ? again : ""});
  return made;
}

void describe(const RunRecord& run, const ReportContent& content, const std::vector<Section>& sections, const std::string& file,
              Output& output) {
  Json& json = output.json();
  json = {{"file", file}, {"run", run.folder}, {"state", state_text(run)}, {"epochs", run.epochs()}, {"steps", run.steps()}};
  for (const Section& section : sections) json["sections"].push_back(section.id);
  json["lacks"] = Json::array();
  if (content.network) {
    json["weights"] = content.network->weights;
    json["part"] = content.network->part;
    json["metrics"] = content.network->evaluation.table.to_json();
  }
  output.text(fmt::format("{}: {}\n", run.folder, state_text(run)));
  for (const Lack& lack : content.lacks) {
    json["lacks"].push_back({{"what", lack.what}, {"why", lack.why}, {"command", lack.command}});
    output.text(fmt::format("not shown: {}, as {}{}\n", lack.what, lack.why, lack.command.empty() ? "" : "; " + lack.command));
  }
  output.text(file + "\n");
}

void run_report(const ReportArgs& args, Output& output) {
  install_stop_signals();
  if (args.model.run.empty()) throw UserError("which run? give its folder: swath report RUN");
  if (args.options.samples < 0) throw UserError("--samples is a number of queries, 0 for no picture");
  if (args.options.tsne_images < 0) throw UserError("--tsne-images is a number of images, 0 for no t-SNE");
  part_named(args.model.part, "--part");
  const RunRecord run = read_run(args.model.run);
  ReportContent content{run, nullptr, nullptr, {}};
  add_lacks_of_log(run, content.lacks);
  const Examined examined = examine_run(args, run, content.lacks);
  content.data = examined.packed();
  content.network = examined.network ? &*examined.network : nullptr;
  const std::vector<Section> sections = report_sections(content);
  const std::string file = args.out.empty() ? run.folder + "/report.html" : args.out;
  atomic_write(file, report_page(content, sections));
  describe(run, content, sections, file, output);
}

}  // namespace

void add_report(CLI::App& app, Request& request) {
  CLI::App* command = add_command(
      app, request, "report", "Write one HTML file about a run: curves, metrics, pictures, data, timing, configuration",
      "  swath report runs/demo\n"
      "  swath report runs/demo --part val --out demo.html\n"
      "  swath report runs/demo --logs-only        of a run that is under way, without using the network\n"
      "The file needs no network and nothing beside it (docs/report.md).\n");
  auto args = std::make_shared<ReportArgs>();
  command->add_option("folder", args->model.run, "Folder of a training run")->type_name("RUN");
  command->add_option("--out", args->out, "File to write (default: report.html in the run folder)")->type_name("FILE");
  command->add_option("--checkpoint", args->model.checkpoint, "best, last, untrained, or a file (default: best)")
      ->type_name("NAME|FILE");
  command->add_option("--part", args->model.part, "Split that the checkpoint is scored on: train, val or test (default: test)")
      ->type_name("NAME");
  command->add_option("--k", args->options.ks, "Numbers of neighbours (default: those of the run)")
      ->delimiter(',')
      ->type_name("LIST");
  command->add_option("--samples", args->options.samples, "Queries in the picture of retrieved samples (default: 8)");
  command->add_option("--tsne-images", args->options.tsne_images, "Images in the t-SNE at most, evenly spaced (default: 5000)");
  command->add_flag("--logs-only", args->logs_only,
                    "Leave the network alone: curves, logged metrics, data, timing, configuration");
  command->add_option("--device", args->model.config.device, "cpu, cuda or cuda:N (default: that of the run)")
      ->type_name("NAME");
  command->add_option("--packed", args->model.config.packed, "Folder of the packed splits (default: that of the run)")
      ->type_name("DIR");
  set_action(command, request, args, run_report);
}

}  // namespace swath::app
