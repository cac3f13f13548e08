// swath eval: retrieval metrics of a trained network on a split, or of embeddings from any program (methods.md §8).
#include <functional>
#include <optional>

#include "apps/evaluation_files.h"
#include "apps/trained_model.h"
#include "apps/tsne_progress.h"
#include "data/file.h"
#include "data/label_npy.h"
#include "engine/io/npy.h"
#include "retrieval/svg.h"

namespace swath::app {

namespace {

struct EvalArgs {
  ModelArgs model;
  std::string embeddings, labels, gallery_embeddings, gallery_labels;
  std::vector<std::int64_t> ks;
  std::string out;
  std::string gallery_part, class_names;
  std::int64_t samples = 8;
  double perplexity = 40;
  bool memory = false, tsne = false, png = false;
};

/// Embeddings and multi-hot labels of one .npy pair.
struct NpyRows {
  std::vector<float> embeddings;
  std::int64_t rows = 0, dim = 0;
  LabelMasks labels;

  LabelledEmbeddings view() const { return {{embeddings.data(), rows, dim}, view_of(labels)}; }
};

NpyRows read_rows(const std::string& embeddings_file, const std::string& labels_file) {
  const NpyFile embeddings = NpyFile::open(embeddings_file), labels = NpyFile::open(labels_file);
  if (embeddings.shape().size() != 2)
    throw DataError(
        fmt::format("{} must be a matrix of images x width, not of rank {}", embeddings_file, embeddings.shape().size()));
  if (labels.shape().size() != 2 || labels.shape()[0] != embeddings.shape()[0])
    throw DataError(fmt::format("{} must be a matrix of {} images x classes, as many rows as {} has", labels_file,
                                embeddings.shape()[0], embeddings_file));
  return {embeddings.values<float>(), embeddings.shape()[0], embeddings.shape()[1], read_label_npy(labels, labels_file)};
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

/// What is scored, wherever it came from.
struct Scored {
  LabelledEmbeddings queries;
  std::optional<LabelledEmbeddings> gallery;  // among the queries without one
  std::vector<std::string> classes, ids;      // of the queries
  std::uint64_t seed = 0;
};

Evaluation score(const Scored& scored, const EvaluateOptions& options) {
  return scored.gallery ? evaluate(scored.queries, *scored.gallery, options) : evaluate(scored.queries, options);
}

FileTexts draw_tsne(const EvalArgs& args, const Scored& scored, const RetrieverOptions& retriever, Output& output) {
  const TsneOptions options{.perplexity = args.perplexity, .seed = scored.seed, .retriever = retriever};
  const Tsne map = tsne_with_progress(scored.queries.embeddings, options);
  output.json()["tsne"] = {{"kl", map.kl}, {"perplexity", args.perplexity}};
  output.text(fmt::format("t-SNE: perplexity {:g}, KL divergence {:.4f}\n", args.perplexity, map.kl));
  return tsne_files({scored.queries, scored.ids, scored.classes, args.perplexity, map.kl, &map.points});
}

/// Metrics as text; with --out the files, of which `samples` draws the picture of retrieved images, where there are images.
void report(const EvalArgs& args, const Scored& scored, const EvaluateOptions& options,
            const std::function<FileTexts(const Evaluation&)>& samples, Output& output) {
  const Evaluation evaluation = score(scored, options);
  write_evaluation(evaluation, output);
  if (args.out.empty()) return;
  std::vector<std::string> files;
  const auto add = [&](const FileTexts& texts) {
    for (std::string& file : write_files(texts, args.out)) files.push_back(std::move(file));
  };
  add(metric_files(evaluation));
  if (!scored.gallery) add(overlap_files(distance_overlap(scored.queries.embeddings, scored.queries.labels)));
  add(confusion_files(evaluation, scored.queries.labels, scored.gallery ? scored.gallery->labels : scored.queries.labels,
                      scored.classes));
  add(samples(evaluation));
  if (args.tsne) add(draw_tsne(args, scored, options.retriever, output));
  if (args.png) {
    for (std::string& png : write_pngs(files)) files.push_back(std::move(png));
  }
  for (const std::string& file : files) {
    output.json()["files"].push_back(file);
    output.text(file + "\n");
  }
}

std::vector<std::string> numbered(const std::string& what, std::int64_t count) {
  std::vector<std::string> names;
  for (std::int64_t i = 0; i < count; ++i) names.push_back(fmt::format("{} {}", what, i));
  return names;
}

std::vector<std::string> class_names(const EvalArgs& args, std::int64_t classes) {
  if (args.class_names.empty()) return numbered("class", classes);
  constexpr std::size_t kLimit = 1 << 24;
  const std::vector<std::string> names = lines_in(read_text(args.class_names, kLimit));
  if (std::ssize(names) != classes)
    throw DataError(fmt::format("{} holds {} names, one per line, but {} has {} classes", args.class_names, names.size(),
                                args.labels, classes));
  return names;
}

void eval_files(const EvalArgs& args, Output& output) {
  if (args.labels.empty()) throw UserError("--embeddings needs --labels, a .npy of 0 and 1, images x classes, type uint8");
  if (args.gallery_embeddings.empty() != args.gallery_labels.empty())
    throw UserError("--gallery-embeddings and --gallery-labels go together");
  const TrainOptions config = options_of(config_of(args.model.config));
  const EvaluateOptions options = retrieval_options(args, config);
  const NpyRows rows = read_rows(args.embeddings, args.labels);
  std::optional<NpyRows> gallery;
  if (!args.gallery_embeddings.empty()) gallery = read_rows(args.gallery_embeddings, args.gallery_labels);
  output.json()["images"] = rows.rows;
  output.text(fmt::format("{}: {} images, width {}\n", args.embeddings, rows.rows, rows.dim));
  Scored scored{rows.view(), {}, class_names(args, rows.labels.classes()), numbered("row", rows.rows), config.seed};
  if (gallery) scored.gallery = gallery->view();
  report(
      args, scored, options, [](const Evaluation&) { return FileTexts{}; }, output);
}

void eval_model(const EvalArgs& args, Output& output) {
  std::optional<Part> other;
  if (!args.gallery_part.empty()) other = part_named(args.gallery_part, "--gallery-part");
  if (other && args.gallery_part == args.model.part)
    throw UserError(fmt::format("--gallery-part {0} is the part of the queries; leave it out to search {0} without each query",
                                args.gallery_part));
  const std::unique_ptr<TrainedModel> model = open_model(args.model);
  const EvaluateOptions options = retrieval_options(args, model->options);
  const PackedSplit &split = model->split(), &searched = model->data[other.value_or(model->part)];
  const std::vector<float> embeddings = embeddings_of(*model);
  const std::int64_t width = model->recipe->embedding_width();
  std::vector<float> gallery;
  Scored scored{{{embeddings.data(), split.rows(), width}, view_of(split.labels())},
                {},
                split.class_names(),
                split.ids(),
                static_cast<std::uint64_t>(model->options.seed)};
  if (other) {
    gallery = embeddings_of(*model, *other);
    scored.gallery = {{gallery.data(), searched.rows(), width}, view_of(searched.labels())};
    output.json()["gallery_part"] = args.gallery_part;
    output.json()["gallery_images"] = searched.rows();
  }
  output.json()["weights"] = model->weights;
  output.json()["part"] = name_of(model->part);
  output.json()["images"] = split.rows();
  output.text(fmt::format("{}, {}: {} images{}\n", model->weights, name_of(model->part), split.rows(),
                          other ? fmt::format(", searched in {}: {} images", args.gallery_part, searched.rows()) : ""));
  if (!split.info().note.empty()) output.text(fmt::format("the images are {}\n", split.info().note));
  output.json()["note"] = split.info().note;
  const auto samples = [&](const Evaluation& evaluation) {
    return args.samples == 0 ? FileTexts{} : sample_files(evaluation, {split, searched}, args.samples);
  };
  report(args, scored, options, samples, output);
  if (args.memory) {
    output.text(model->device->pool()->report());
    output.json()["memory"] = memory_of(*model->device->pool());
  }
}

void check(const EvalArgs& args, bool files) {
  if (args.samples < 0) throw UserError("--samples is a number of queries, 0 for no picture");
  if (files && (!args.model.run.empty() || args.model.checkpoint != "best"))
    throw UserError(
        "--run and --checkpoint score a network, --embeddings, --labels and the --gallery options score files; give one kind");
  if (files && args.embeddings.empty()) throw UserError("--labels and the --gallery options need --embeddings, the queries");
  if (files && args.memory) throw UserError("--memory shows the memory of a network's device; drop it with --embeddings");
  if (files && !args.gallery_part.empty())
    throw UserError("--gallery-part is of a network; with --embeddings give --gallery-embeddings and --gallery-labels");
  if (!files && !args.class_names.empty()) throw UserError("--class-names goes with --embeddings; a network knows its classes");
  if (args.out.empty() && (args.tsne || args.png))
    throw UserError(fmt::format("{} needs --out DIR, the folder for the pictures", args.tsne ? "--tsne" : "--png"));
  if (args.png) require_svg_to_png();
}

void run_eval(const EvalArgs& args, Output& output) {
  const bool files = !(args.embeddings + args.labels + args.gallery_embeddings + args.gallery_labels).empty();
  check(args, files);
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
      "  swath eval --run runs/demo --part test --gallery-part train --out pictures --tsne --png\n"
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
  command->add_option("--class-names", args->class_names, "Names of the classes for the pictures, one per line")
      ->type_name("FILE");
  command->add_option("--gallery-part", args->gallery_part, "Search in this split instead of among the queries")
      ->type_name("NAME");
  command->add_option("--k", args->ks, "Numbers of neighbours, for example 1,2,4,8")->delimiter(',')->type_name("LIST");
  command->add_option("--out", args->out, "Folder for the metrics as CSV and JSON and for the pictures (docs/evaluation.md)")
      ->type_name("DIR");
  command->add_option("--samples", args->samples, "Queries in the picture of retrieved samples (default: 8)");
  command->add_flag("--tsne", args->tsne, "Also draw the embeddings in a plane: tsne.svg and tsne.csv");
  command->add_option("--perplexity", args->perplexity, "Perplexity of t-SNE, about how many neighbours count (default: 40)");
  command->add_flag("--png", args->png, "Also write each picture as .png, by rsvg-convert");
  command->add_flag("--memory", args->memory, "Print the device memory by purpose");
  set_action(command, request, args, run_eval);
}

}  // namespace swath::app
