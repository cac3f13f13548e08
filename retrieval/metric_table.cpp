// The table of metrics as JSON, CSV and text (methods.md §8).
#include <fmt/format.h>

#include <algorithm>

#include "retrieval/metrics.h"

namespace swath {

double MetricTable::at(const std::string& metric, std::int64_t k) const {
  const auto column = std::find(ks.begin(), ks.end(), k);
  const auto row = std::find_if(rows.begin(), rows.end(), [&](const auto& r) { return r.first == metric; });
  if (column == ks.end() || row == rows.end())
    throw UserError(fmt::format("the evaluation holds no {}@{}; add it to the metrics and ks that are computed", metric, k));
  return row->second[column - ks.begin()];
}

Json MetricTable::to_json() const {
  Json json = Json::object();
  for (const auto& [name, values] : rows)
    for (std::size_t k = 0; k < ks.size(); ++k) json[name][std::to_string(ks[k])] = values[k];
  return json;
}

std::string MetricTable::to_csv() const {
  std::string csv = fmt::format("metric,{}\n", fmt::join(ks, ","));
  for (const auto& [name, values] : rows) csv += fmt::format("{},{}\n", name, fmt::join(values, ","));
  return csv;
}

std::string MetricTable::to_text() const {
  std::size_t width = 6;
  for (const auto& row : rows) width = std::max(width, row.first.size());
  std::string text = fmt::format("{:<{}}", "metric", width);
  for (const std::int64_t k : ks) text += fmt::format("  {:>8}", fmt::format("@{}", k));
  text += '\n';
  for (const auto& [name, values] : rows) {
    text += fmt::format("{:<{}}", name, width);
    for (const double v : values) text += fmt::format("  {:>8.4f}", v);
    text += '\n';
  }
  return text;
}

}  // namespace swath
