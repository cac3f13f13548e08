// The files of an evaluation: metrics as CSV and JSON, pictures of samples, distances, labels and embeddings.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "data/packed.h"
#include "recipes/label_view.h"
#include "retrieval/evaluator.h"
#include "retrieval/overlap.h"
#include "retrieval/samples.h"

namespace swath::app {

/// Names and texts of files.
using FileTexts = std::vector<std::pair<std::string, std::string>>;

/// metrics.csv and metrics.json.
FileTexts metric_files(const Evaluation& evaluation);
/// overlap.svg and overlap.json.
FileTexts overlap_files(const DistanceOverlap& overlap);
/// confusion.svg, confusion.csv (of the nearest neighbour), class_recall.svg and class_recall.csv (Recall@K of each class).
FileTexts confusion_files(const Evaluation& evaluation, LabelView queries, LabelView gallery,
                          const std::vector<std::string>& classes);

struct TsneMap {
  LabelledEmbeddings rows;
  std::vector<std::string> ids;  // [rows]
  std::vector<std::string> classes;
  double perplexity = 40;
  double kl = 0;
  const std::vector<float>* points = nullptr;  // [rows][2]
};
/// tsne.svg and tsne.csv. An image has the colour of the rarest of its classes among the rows.
FileTexts tsne_files(const TsneMap& map);

/// Queries from one split, neighbours from the same or another.
struct SampleSplits {
  const PackedSplit& queries;
  const PackedSplit& gallery;
};
/// retrieved.svg: `count` images spread over the queries, each with its neighbours.
FileTexts sample_files(const Evaluation& evaluation, const SampleSplits& splits, std::int64_t count);

/// labels-<part>.svg, label-counts-<part>.svg and cooccurrence-<part>.svg.
FileTexts label_files(const std::string& part, const LabelStatistics& statistics, const std::vector<std::string>& classes);

/// Writes the files into a folder, which is made; returns their paths.
std::vector<std::string> write_files(const FileTexts& files, const std::string& folder);
/// Draws each .svg of the files as .png beside it; the names of the new files.
std::vector<std::string> write_pngs(const std::vector<std::string>& files);

}  // namespace swath::app
