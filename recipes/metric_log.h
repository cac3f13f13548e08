// The numbers of a run as files that can be read while it runs: metrics.jsonl with every record, and one CSV per group.
#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace swath {

/// One line: values after `step` steps. `group` is train or the name of a split.
struct MetricRecord {
  std::string group;
  std::uint64_t step = 0;
  std::int64_t epoch = 0;
  std::vector<std::pair<std::string, double>> values;  // the same names for every record of a group
  double time = 0;                                     // seconds since 1970; metrics.jsonl holds it, the CSVs do not
};

class MetricLog {
 public:
  /// Appends to metrics.jsonl and <group>.csv in `folder`.
  explicit MetricLog(std::filesystem::path folder);

  /// Writes and flushes one line. Throws DataError when the disk is full.
  void write(const MetricRecord& record);
  /// Drops what a resumed run will write again: lines beyond `step` steps, validations beyond `validated_epoch` epochs, and a
  /// torn last line.
  void truncate(std::uint64_t step, std::int64_t validated_epoch);
  /// Drops everything.
  void clear();
  /// All records of metrics.jsonl in order; `damaged` gets the number of whole lines that are none.
  std::vector<MetricRecord> read(std::int64_t* damaged = nullptr) const;

 private:
  void rewrite(const std::vector<MetricRecord>& kept);
  void append(const std::filesystem::path& file, const std::string& line);
  std::string csv_line(const MetricRecord& record) const;

  std::filesystem::path folder_;
};

}  // namespace swath
