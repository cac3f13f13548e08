// The files of an evaluation: metrics as CSV and JSON, pictures of samples, distances, labels and embeddings.
#pragma once
#include <string>
#include <vector>

#include "data/packed.h"
#include "retrieval/evaluator.h"
#include "retrieval/samples.h"

namespace swath::app {

LabelView view_of(const LabelMasks& labels);

/// metrics.csv and metrics.json in `folder`, which is made. Returns their names.
std::vector<std::string> write_metrics(const Evaluation& evaluation, const std::string& folder);
/// overlap.svg and overlap.json.
std::vector<std::string> write_overlap(const LabelledEmbeddings& rows, const std::string& folder);
/// confusion.svg, confusion.csv (of the nearest neighbour), class_recall.svg and class_recall.csv (Recall@K of each class).
std::vector<std::string> write_confusion(const Evaluation& evaluation, LabelView queries, LabelView gallery,
                                         const std::vector<std::string>& classes, const std::string& folder);

struct TsneFiles {
  LabelledEmbeddings rows;
  std::vector<std::string> ids;  // [rows]
  std::vector<std::string> classes;
  double perplexity = 40;
  double kl = 0;
  const std::vector<float>* points = nullptr;  // [rows][2]
};
/// tsne.svg and tsne.csv. An image has the colour of the rarest of its classes among the rows.
std::vector<std::string> write_tsne(const TsneFiles& map, const std::string& folder);

/// Queries from one split, neighbours from the same or another.
struct SampleSplits {
  const PackedSplit& queries;
  const PackedSplit& gallery;
};
/// retrieved.svg: `count` images spread over the queries, each with its neighbours.
std::string write_samples(const Evaluation& evaluation, const SampleSplits& splits, std::int64_t count,
                          const std::string& folder);

/// Draws each .svg of the files as .png beside it; the names of the new files.
std::vector<std::string> write_pngs(const std::vector<std::string>& files);

}  // namespace swath::app
