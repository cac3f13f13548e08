// The page of swath report: one HTML file that needs nothing else.
#pragma once
#include <string>
#include <vector>

#include "apps/report_sections.h"

namespace swath::app {

struct ReportContent {
  const RunRecord& run;
  const PackedSet* data = nullptr;         // null: not shown
  const NetworkReport* network = nullptr;  // null: not shown
  std::vector<Lack> lacks;
};

/// The sections of what is there, in their order.
std::vector<Section> report_sections(const ReportContent& content);
std::string report_page(const ReportContent& content, const std::vector<Section>& sections);
/// "finished", "under way", "stopped" with how far it came.
std::string state_text(const RunRecord& run);

}  // namespace swath::app
