#include "apps/report_network.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "apps/tsne_progress.h"
#include "recipes/run_timing.h"

namespace swath::app {

namespace {

constexpr double kPerplexity = 40;
constexpr std::int64_t kFewest = 8;

/// Evenly spaced rows of a split.
struct Subset {
  std::vector<float> embeddings;
  std::vector<std::int64_t> rows;
  LabelMasks labels;
  std::vector<std::string> ids;
};

Subset subset_of(const PackedSplit& split, const std::vector<float>& embeddings, std::int64_t width, std::int64_t most) {
  Subset subset;
  const std::int64_t shown = std::min(split.rows(), most);
  for (std::int64_t i = 0; i < shown; ++i) {
    const std::int64_t row = i * split.rows() / shown;
    subset.rows.push_back(row);
    subset.ids.push_back(split.ids()[static_cast<std::size_t>(row)]);
    subset.embeddings.insert(subset.embeddings.end(), embeddings.begin() + row * width, embeddings.begin() + (row + 1) * width);
  }
  std::vector<std::int64_t> classes(split.class_names().size());
  std::iota(classes.begin(), classes.end(), 0);
  subset.labels = split.labels().select(subset.rows, classes);
  return subset;
}

FileTexts map_of(const TrainedModel& model, const std::vector<float>& embeddings, std::int64_t width, std::int64_t most) {
  const Subset subset = subset_of(model.split(), embeddings, width, most);
  const auto rows = std::ssize(subset.rows);
  const double perplexity = std::min(kPerplexity, std::floor(static_cast<double>(rows - 1) / 3));
  const LabelledEmbeddings view{{subset.embeddings.data(), rows, width}, view_of(subset.labels)};
  const Tsne map = tsne_with_progress(view.embeddings, {.perplexity = perplexity,
                                                        .seed = static_cast<std::uint64_t>(model.options.seed),
                                                        .retriever = model.options.validation.retrieval.retriever});
  return tsne_files({view, subset.ids, model.split().class_names(), perplexity, map.kl, &map.points});
}

}  // namespace

NetworkReport examine(TrainedModel& model, const ReportOptions& options) {
  const PackedSplit& split = model.split();
  NetworkReport made;
  double begun = steady_seconds();
  const auto spent = [&](const char* what) {
    const double now = steady_seconds();
    made.spent.emplace_back(what, now - begun);
    begun = now;
  };
  const auto add = [&](const FileTexts& files) { made.pictures.insert(made.pictures.end(), files.begin(), files.end()); };
  made.weights = model.weights;
  made.part = name_of(model.part);
  made.images = split.rows();
  made.classes = std::ssize(split.class_names());
  made.width = model.recipe->embedding_width();
  made.parameters = model.block.count();
  const std::vector<float> embeddings = embeddings_of(model);
  spent("embedding");
  const LabelledEmbeddings rows{{embeddings.data(), split.rows(), made.width}, view_of(split.labels())};
  EvaluateOptions scored = model.options.validation.retrieval;
  if (!options.ks.empty()) scored.ks = options.ks;
  made.evaluation = evaluate(rows, scored);
  spent("search and metrics");
  add(overlap_files(distance_overlap(rows.embeddings, rows.labels)));
  spent("distance overlap");
  add(confusion_files(made.evaluation, rows.labels, rows.labels, split.class_names()));
  if (options.samples > 0) add(sample_files(made.evaluation, {split, split}, options.samples));
  spent("pictures");
  if (options.tsne_images == 0) {
    made.no_tsne = "it was not asked for";
  } else if (std::min(split.rows(), options.tsne_images) < kFewest) {
    made.no_tsne = fmt::format("it takes at least {} images, and {} has {}", kFewest, made.part, split.rows());
  } else {
    add(map_of(model, embeddings, made.width, options.tsne_images));
    spent("t-SNE");
  }
  return made;
}

}  // namespace swath::app
