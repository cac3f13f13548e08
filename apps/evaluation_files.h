// The files of an evaluation: metrics as CSV and JSON, pictures of retrieved samples and of the distance overlap.
#pragma once
#include <string>
#include <vector>

#include "data/packed.h"
#include "retrieval/evaluator.h"
#include "retrieval/samples.h"

namespace swath::app {

/// metrics.csv and metrics.json in `folder`, which is made. Returns their names.
std::vector<std::string> write_metrics(const Evaluation& evaluation, const std::string& folder);
/// overlap.svg and overlap.json.
std::vector<std::string> write_overlap(const LabelledEmbeddings& rows, const std::string& folder);
/// retrieved.svg: `queries` images spread over the split, each with its neighbours.
std::string write_samples(const Evaluation& evaluation, const PackedSplit& split, std::int64_t queries,
                          const std::string& folder);

}  // namespace swath::app
