// swath eval: retrieval metrics of a trained network on a split, or of embeddings from any program (methods.md §8).
#include <optional>

#include "apps/evaluation_files.h"
#include "apps/trained_model.h"
#include "engine/io/npy.h"

namespace swath::app {

namespace {

struct EvalArgs {
  ModelArgs model;
  std::string embeddings, labels, gallery_embeddings, gallery_labels;
  std::vector<std::int64_t> ks;
  std::string out;
  std::int64_t samples = 8;
  bool memory = false;
};

/// Embeddings and multi-hot labels of one .npy pair.
struct NpyRows {
  std::vector<float> embeddings;
  std::int64_t rows = 0, dim = 0;
  LabelMasks labels;

  LabelledEmbeddings view() const { return {{embeddings.data(), rows, dim}, {labels.data(), labels.rows(), labels.classes()}}; }
};

NpyRows read_rows(const std::string& embeddings_file, const std::string& labels_file) {
  const NpyFile embeddings = NpyFile::open(embeddings_file), labels = NpyFile::open(labels_file);
  if (embeddings.shape().size() != 2)
    throw DataError(
        fmt::format("{} must be a matrix of images x width, not of rank {}", embeddings_file, embeddings.shape().size()));
  if (labels.shape().size() != 2 || labels.shape()[0] != embeddings.shape()[0])
    throw DataError(fmt::format("{} must be a matrix of {} images x classes, as many rows as {} has", labels_file,
                                embeddings.shape()[0], embeddings_file));
  NpyRows read{embeddings.values<float>(), embeddings.shape()[0], embeddings.shape()[1], {}};
  const std::int64_t classes = labels.shape()[1];
  const std::vector<std::uint8_t> hot = labels.values<std::uint8_t>();
  read.labels = LabelMasks(read.rows, classes);
  for (std::int64_t i = 0; i < read.rows; ++i) {
    for (std::int64_t c = 0; c < classes; ++c) {
      const std::uint8_t value = hot[static_cast<std::size_t>(i * classes + c)];
      if (value > 1) throw DataError(fmt::format("{} must hold 0 and 1; row {} holds {}", labels_file, i, value));
      if (value) read.labels.set(i, c);
    }
  }
  return read;
}

EvaluateOptions retrieval_options(const EvalArgs& args, const TrainOptions& options) {
  EvaluateOptions retrieval = options.validation.retrieval;
  if (!args.ks.empty()) retrieval.ks = args.ks;
  for (const std::int64_t k : retrieval.ks)
    if (k < 1) throw UserError(fmt::format("--k takes numbers of neighbours from 1 on, not {}", k));
  return retrieval;
}

void write_evaluation(const Evaluation& evaluation, Output& output) {
  output.json()["metrics"] = evaluation.table.to_json();
  output.json()["retriever"] = evaluation.retriever;
  output.json()["search_seconds"] = evaluation.search_seconds;
  output.json()["metric_seconds"] = evaluation.metric_seconds;
  output.text(evaluation.table.to_text());
  output.text(fmt::format("{}: search {:.2f} s, metrics {:.2f} s\n", evaluation.retriever, evaluation.search_seconds,
                          evaluation.metric_seconds));
}

void write_files(const std::vector<std::string>& files, Output& output) {
  for (const std::string& file : files) {
    output.json()["files"].push_back(file);
    output.text(file + "\n");
  }
}

void eval_files(const EvalArgs& args, Output& output) {
  if (args.labels.empty()) throw UserError("--embeddings needs --labels, a .npy of 0 and 1, images x classes, type uint8");
  if (args.gallery_embeddings.empty() != args.gallery_labels.empty())
    throw UserError("--gallery-embeddings and --gallery-labels go together");
  const EvaluateOptions options = retrieval_options(args, options_of(config_of(args.model.config)));
  const NpyRows rows = read_rows(args.embeddings, args.labels);
  std::optional<NpyRows> gallery;
  if (!args.gallery_embeddings.empty()) gallery = read_rows(args.gallery_embeddings, args.gallery_labels);
  const Evaluation evaluation = gallery ? evaluate(rows.view(), gallery->view(), options) : evaluate(rows.view(), options);
  output.json()["images"] = rows.rows;
  output.text(fmt::format("{}: {} images, width {}\n", args.embeddings, rows.rows, rows.dim));
  write_evaluation(evaluation, output);
  if (args.out.empty()) return;
  write_files(write_metrics(evaluation, args.out), output);
  if (!gallery) write_files(write_overlap(rows.view(), args.out), output);
}

void eval_model(const EvalArgs& args, Output& output) {
  const std::unique_ptr<TrainedModel> model = open_model(args.model);
  const EvaluateOptions options = retrieval_options(args, model->options);
  const PackedSplit& split = model->split();
  const std::vector<float> embeddings = embeddings_of(*model);
  const LabelledEmbeddings rows{{embeddings.data(), split.rows(), model->recipe->embedding_width()},
                                {split.labels().data(), split.rows(), split.labels().classes()}};
  const Evaluation evaluation = evaluate(rows, options);
  output.json()["weights"] = model->weights;
  output.json()["part"] = name_of(model->part);
  output.json()["images"] = split.rows();
  output.text(fmt::format("{}, {}: {} images\n", model->weights, name_of(model->part), split.rows()));
  if (!split.info().note.empty()) output.text(fmt::format("the images are {}\n", split.info().note));
  output.json()["note"] = split.info().note;
  write_evaluation(evaluation, output);
  if (args.memory) {
    output.text(model->device->pool()->report());
    output.json()["memory"] = memory_of(*model->device->pool());
  }
  if (args.out.empty()) return;
  write_files(write_metrics(evaluation, args.out), output);
  write_files(write_overlap(rows, args.out), output);
  if (args.samples > 0) write_files({write_samples(evaluation, split, args.samples, args.out)}, output);
}

void run_eval(const EvalArgs& args, Output& output) {
  if (args.samples < 0) throw UserError("--samples is a number of queries, 0 for no picture");
  const bool files = !(args.embeddings + args.labels + args.gallery_embeddings + args.gallery_labels).empty();
  if (files && (!args.model.run.empty() || args.model.checkpoint != "best"))
    throw UserError(
        "--run and --checkpoint score a network, --embeddings, --labels and the --gallery options score files; give one kind");
  if (files && args.embeddings.empty()) throw UserError("--labels and the --gallery options need --embeddings, the queries");
  if (files && args.memory) throw UserError("--memory shows the memory of a network's device; drop it with --embeddings");
  if (!files)
    eval_model(args, output);
  else
    eval_files(args, output);
}

}  // namespace

void add_eval(CLI::App& app, Request& request) {
  CLI::App* command = add_command(
      app, request, "eval", "Score retrieval: Recall@K, MAP@K, NDCG@K and twelve more at any K, exact search by FAISS",
      "  swath eval --run runs/demo --part test --out pictures\n"
      "  swath eval --run runs/demo --checkpoint untrained --k 1,10,100\n"
      "  swath eval --embeddings embeddings.npy --labels labels.npy\n"
      "Memory: 8 bytes per embedding value (the embeddings and FAISS's copy), 12 bytes per query and neighbour.\n");
  auto args = std::make_shared<EvalArgs>();
  add_model_args(command, args->model);
  command->add_option("--embeddings", args->embeddings, "Embeddings of any program: .npy, float32, images x width")
      ->type_name("FILE");
  command->add_option("--labels", args->labels, "Their labels: .npy, uint8 of 0 and 1, images x classes")->type_name("FILE");
  command->add_option("--gallery-embeddings", args->gallery_embeddings, "Search here instead of among the queries")
      ->type_name("FILE");
  command->add_option("--gallery-labels", args->gallery_labels, "Labels of the gallery")->type_name("FILE");
  command->add_option("--k", args->ks, "Numbers of neighbours, for example 1,2,4,8")->delimiter(',')->type_name("LIST");
  command->add_option("--out", args->out, "Folder for metrics.csv, metrics.json, overlap.svg and retrieved.svg")
      ->type_name("DIR");
  command->add_option("--samples", args->samples, "Queries in the picture of retrieved samples (default: 8)");
  command->add_flag("--memory", args->memory, "Print the device memory by purpose");
  set_action(command, request, args, run_eval);
}

}  // namespace swath::app
