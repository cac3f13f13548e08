// The form that MLRSNet's label files and manifests share: header `image,<class>,…`, then one multi-hot row per image.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "data/csv.h"
#include "data/dataset.h"

namespace swath {

class LabelCsv {
 public:
  /// Reads the header. Throws DataError when it has fewer than two columns, an empty or a repeated class name.
  explicit LabelCsv(const std::string& path);
  const std::vector<std::string>& class_names() const { return class_names_; }

  struct Row {
    std::string path;
    std::vector<std::int64_t> columns;  // classes that are 1, as indices into class_names()
  };
  /// The next row; false at the end. A row that is ragged or holds something other than 0 and 1 goes into `bad` and the next
  /// one is read. Throws DataError where the file itself cannot be followed any more (a line without end, a NUL).
  bool next(Row& row, std::vector<SkipReport::Entry>& bad);
  std::string where() const { return reader_.where(); }

 private:
  CsvReader reader_;
  std::vector<std::string> class_names_, fields_;
};

}  // namespace swath
