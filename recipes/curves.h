// Charts of a run's log.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "recipes/metric_log.h"
#include "retrieval/plots.h"

namespace swath {

/// Scores of all splits over the epochs, a line per split and name, of the names that `wanted` accepts.
LineChart score_chart(const std::vector<MetricRecord>& records, const std::string& title,
                      const std::function<bool(const std::string&)>& wanted);
/// The metrics that the splits have, without their @K, in the order of the log.
std::vector<std::string> logged_metrics(const std::vector<MetricRecord>& records);
/// "recall" of "recall@8".
std::string metric_of(const std::string& name);

/// A value of every training step over the steps, at most `points` of them: beyond that means over as many steps each,
/// which the title tells. A mean over a value that is not finite is none.
LineChart step_chart(const std::vector<MetricRecord>& records, const std::string& name, std::size_t points = 600);
/// The names of what every step logs, in the order of the log.
std::vector<std::string> step_values(const std::vector<MetricRecord>& records);

}  // namespace swath
