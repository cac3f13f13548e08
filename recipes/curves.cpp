#include "recipes/curves.h"

#include <algorithm>
#include <map>

namespace swath {

namespace {

constexpr const char* kTrain = "train";

void add_once(std::vector<std::string>& names, const std::string& name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
}

}  // namespace

std::string metric_of(const std::string& name) { return name.substr(0, name.find('@')); }

LineChart score_chart(const std::vector<MetricRecord>& records, const std::string& title,
                      const std::function<bool(const std::string&)>& wanted) {
  std::map<std::string, std::size_t> place;
  LineChart chart{title, "epoch", "", {}};
  for (const MetricRecord& record : records) {
    if (record.group == kTrain) continue;
    for (const auto& [name, value] : record.values) {
      if (!wanted(name)) continue;
      const std::string line = record.group + " " + name;
      const auto [found, fresh] = place.emplace(line, chart.series.size());
      if (fresh) chart.series.push_back({line, {}, {}});
      Series& series = chart.series[found->second];
      series.x.push_back(static_cast<double>(record.epoch));
      series.y.push_back(value);
    }
  }
  return chart;
}

std::vector<std::string> logged_metrics(const std::vector<MetricRecord>& records) {
  std::vector<std::string> names;
  for (const MetricRecord& record : records) {
    if (record.group == kTrain) continue;
    for (const auto& entry : record.values) add_once(names, metric_of(entry.first));
  }
  return names;
}

LineChart step_chart(const std::vector<MetricRecord>& records, const std::string& name, std::size_t points) {
  Series all{name, {}, {}};
  for (const MetricRecord& record : records) {
    if (record.group != kTrain) continue;
    const auto found = std::find_if(record.values.begin(), record.values.end(), [&](const auto& v) { return v.first == name; });
    if (found == record.values.end()) continue;
    all.x.push_back(static_cast<double>(record.step));
    all.y.push_back(found->second);
  }
  const std::size_t width = (all.x.size() + points - 1) / points;
  if (width <= 1) return {fmt::format("Training: {}", name), "step", name, {all}};
  Series means{name, {}, {}};
  for (std::size_t i = 0; i < all.x.size(); i += width) {
    const std::size_t end = std::min(i + width, all.x.size());
    double sum = 0;
    for (std::size_t j = i; j < end; ++j) sum += all.y[j];
    means.x.push_back(all.x[end - 1]);
    means.y.push_back(sum / static_cast<double>(end - i));
  }
  return {fmt::format("Training: {}, means of {} steps", name, width), "step", name, {means}};
}

std::vector<std::string> step_values(const std::vector<MetricRecord>& records) {
  std::vector<std::string> names;
  for (const MetricRecord& record : records) {
    if (record.group != kTrain) continue;
    for (const auto& entry : record.values) add_once(names, entry.first);
  }
  return names;
}

}  // namespace swath
