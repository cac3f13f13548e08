// The sections of a run's report.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "apps/report_network.h"
#include "apps/run_record.h"

namespace swath::app {

struct Section {
  std::string id, title;
  std::string html;
};

/// What a report does not show, why, and the command that adds it (empty: none does).
struct Lack {
  std::string what, why, command;
};

Section lacks_section(const std::vector<Lack>& lacks);
/// Every group of the log at the best epoch, and the checkpoint's scores where the network was asked.
Section metrics_section(const RunRecord& run, const NetworkReport* network);
Section curves_section(const RunRecord& run);
/// Images and labels of the three parts.
Section data_section(const PackedSet& data);
Section timing_section(const RunRecord& run, const NetworkReport* network);
Section configuration_section(const RunRecord& run);

}  // namespace swath::app
