#include "data/label_csv.h"

#include <fmt/format.h>

#include <set>

#include "engine/core/error.h"

namespace swath {

LabelCsv::LabelCsv(const std::string& path) : reader_(path) {
  if (!reader_.next(fields_)) throw DataError(fmt::format("{} is empty; its first line must be image,<class>,…", path));
  if (fields_.size() < 2) throw DataError(fmt::format("{} names no class; its first line must be image,<class>,…", path));
  class_names_.assign(fields_.begin() + 1, fields_.end());
  std::set<std::string> seen;
  for (const std::string& name : class_names_) {
    if (name.empty()) throw DataError(fmt::format("{} has a class without a name in its first line", path));
    if (!seen.insert(name).second) throw DataError(fmt::format("{} names the class \"{}\" twice", path, name));
  }
}

bool LabelCsv::next(Row& row, std::vector<SkipReport::Entry>& bad) {
  while (reader_.next(fields_)) {
    if (fields_.size() != class_names_.size() + 1) {
      bad.push_back(
          {reader_.where(), fmt::format("{} fields, where {} are expected", fields_.size(), class_names_.size() + 1)});
      continue;
    }
    row.path = fields_[0];
    row.columns.clear();
    bool well_formed = true;
    for (std::size_t c = 1; c < fields_.size(); ++c) {
      const std::string& v = fields_[c];
      if (v == "1" || v == "1.0")
        row.columns.push_back(static_cast<std::int64_t>(c - 1));
      else if (v != "0" && v != "0.0") {
        bad.push_back({reader_.where(), fmt::format("\"{}\" where 0 or 1 is expected", v.substr(0, 40))});
        well_formed = false;
        break;
      }
    }
    if (well_formed) return true;
  }
  return false;
}

}  // namespace swath
