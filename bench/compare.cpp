#include "bench/compare.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace swath::bench {

namespace {

/// The number behind a tag of a state.
double value_of(const Json& state, const std::string& tag) {
  for (const Json& summary : state.at("summaries"))
    if (summary.at("tag") == tag) {
      const Json& value = summary.at("data").at(0).at("value");
      return value.is_string() ? std::stod(value.get<std::string>()) : value.get<double>();
    }
  return std::nan("");
}

void read_state(const std::string& benchmark, const Json& state, std::vector<Measured>& rows) {
  if (state.value("is_skipped", false)) return;
  for (const char* mode : {"cold", "batch"}) {
    const std::string own = std::string("swath/") + mode + "/time/";
    const Measured row{benchmark,
                       state.at("description"),
                       mode == std::string("cold") ? "cold" : "batched",
                       value_of(state, own + "median"),
                       value_of(state, own + "low"),
                       value_of(state, own + "high")};
    if (std::isnan(row.median)) continue;
    if (!(row.low > 0 && row.low <= row.median && row.median <= row.high && std::isfinite(row.high)))
      throw DataError(fmt::format("{}, {}, has no usable times", benchmark, row.shape));
    rows.push_back(row);
  }
}

}  // namespace

const char* name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::same:
      return "SAME";
    case Verdict::faster:
      return "FASTER";
    case Verdict::slower:
      return "SLOWER";
    case Verdict::undecided:
      return "UNDECIDED";
  }
  return "?";
}

Results results_of(const Json& json, const std::string& origin) {
  Results results;
  try {
    const Json& device = json.at("devices").at(0);
    results.device = device.at("name").get<std::string>();
    if (device.contains("threads")) results.device += fmt::format(", {} threads", device.at("threads").get<int>());
    for (const Json& benchmark : json.at("benchmarks"))
      for (const Json& state : benchmark.at("states")) read_state(benchmark.at("name"), state, results.rows);
  } catch (const Json::exception&) {
    throw DataError(fmt::format("{} is no result of swath bench --json; measure again", origin));
  } catch (const std::exception& problem) {
    throw DataError(fmt::format("{} is damaged, measure again: {}", origin, problem.what()));
  }
  if (results.rows.empty())
    throw DataError(fmt::format("{} holds no times (a simulator or --profile wrote it); measure on a real device", origin));
  return results;
}

Results load_results(const std::string& file) {
  std::ifstream stream(file);
  std::stringstream text;
  if (!(text << stream.rdbuf()))
    throw DataError(fmt::format("{} cannot be read or is empty; give a file that swath bench --json wrote", file));
  Json json;
  try {
    json = Json::parse(text.str());
  } catch (const Json::exception&) {
    throw DataError(fmt::format("{} is not JSON; give a file that swath bench --json wrote", file));
  }
  return results_of(json, file);
}

Comparison compare(const Measured& a, const Measured& b, double threshold) {
  Comparison compared{a, b, b.median / a.median, b.low / a.high, b.high / a.low, Verdict::undecided};
  const double above = 1 + threshold / 100, below = 1 / above;
  if (compared.low > above) {
    compared.verdict = Verdict::slower;
  } else if (compared.high < below) {
    compared.verdict = Verdict::faster;
  } else if (compared.low >= below && compared.high <= above) {
    compared.verdict = Verdict::same;
  }
  return compared;
}

std::int64_t Comparisons::count(Verdict verdict) const {
  return std::count_if(both.begin(), both.end(), [&](const Comparison& c) { return c.verdict == verdict; });
}

Comparisons compare(const Results& a, const Results& b, double threshold) {
  Comparisons result;
  std::vector<bool> taken(b.rows.size(), false);
  for (const Measured& row : a.rows) {
    bool found = false;
    for (std::size_t i = 0; i < b.rows.size() && !found; ++i) {
      const Measured& other = b.rows[i];
      if (taken[i] || other.benchmark != row.benchmark || other.shape != row.shape || other.mode != row.mode) continue;
      result.both.push_back(compare(row, other, threshold));
      taken[i] = found = true;
    }
    if (!found) result.only_a.push_back(row);
  }
  for (std::size_t i = 0; i < b.rows.size(); ++i)
    if (!taken[i]) result.only_b.push_back(b.rows[i]);
  return result;
}

}  // namespace swath::bench
