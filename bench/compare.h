// Two results of `swath bench --json` compared, with a verdict that knows their noise.
#pragma once
#include <string>
#include <vector>

#include "engine/core/config.h"

namespace swath::bench {

/// One measurement out of a file.
struct Measured {
  std::string benchmark, shape, mode;
  double median = 0, low = 0, high = 0;  // seconds
};
/// What a file holds.
struct Results {
  std::string device;  // title and threads
  std::vector<Measured> rows;
};
/// Throws DataError in one sentence when `json` is no result of swath bench; `origin` names the file.
Results results_of(const Json& json, const std::string& origin);
/// Reads and parses. Throws DataError when the file is missing or malformed.
Results load_results(const std::string& file);

enum class Verdict : std::uint8_t { same, faster, slower, undecided };
const char* name_of(Verdict verdict);

/// The ratio of medians b / a and the interval that follows from the medians' intervals, each of which holds the true median
/// with 95 % confidence.
struct Comparison {
  Measured a, b;
  double ratio = 0, low = 0, high = 0;
  Verdict verdict = Verdict::undecided;
};

/// With t = threshold / 100: slower when the whole interval lies above 1 + t; faster when it lies below 1 / (1 + t); same when
/// it lies between; undecided otherwise, when the noise is wider than the question.
Comparison compare(const Measured& a, const Measured& b, double threshold);

struct Comparisons {
  std::vector<Comparison> both;
  std::vector<Measured> only_a, only_b;
  std::int64_t count(Verdict verdict) const;
};
/// Pairs what has the same benchmark, shape and mode.
Comparisons compare(const Results& a, const Results& b, double threshold);

}  // namespace swath::bench
