// What a run's network says of a split, for its report.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "apps/evaluation_files.h"
#include "apps/trained_model.h"

namespace swath::app {

struct ReportOptions {
  std::int64_t samples = 8;         // queries in the picture; 0: none
  std::int64_t tsne_images = 5000;  // in the map at most; 0: none
  std::vector<std::int64_t> ks;     // empty: those of the run
};

struct NetworkReport {
  std::string weights, part;
  std::int64_t images = 0, classes = 0, width = 0, parameters = 0;
  Evaluation evaluation;
  FileTexts pictures;                                 // of evaluation_files.h
  std::vector<std::pair<std::string, double>> spent;  // seconds by what they were spent on
  std::string no_tsne;                                // why there is no map; empty: there is one
};

/// Embeds and scores model.part, every image against the others. Throws as the evaluation does.
NetworkReport examine(TrainedModel& model, const ReportOptions& options);

}  // namespace swath::app
