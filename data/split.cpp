#include "data/split.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <unordered_map>

#include "data/csv.h"
#include "data/file.h"
#include "engine/core/error.h"
#include "engine/core/log.h"
#include "engine/io/file.h"

namespace swath {

const char* name_of(Part part) { return part == Part::train ? "train" : part == Part::val ? "val" : "test"; }

Part part_named(const std::string& name, const std::string& option) {
  for (const Part part : kParts)
    if (name == name_of(part)) return part;
  throw UserError(fmt::format("{} is train, val or test, not {}", option, name));
}

namespace {

bool is_header(const std::string& first) {
  for (const char* word : {"image", "path", "patch", "name", "id"})
    if (first == word) return true;
  return false;
}

bool holds(const std::string& file, const std::string& text) {
  std::ifstream in(file, std::ios::binary);
  return in && std::string(std::istreambuf_iterator<char>(in), {}) == text;
}

/// Ids that the dataset found but left out: naming them in a split is no mistake.
class LeftOut {
 public:
  explicit LeftOut(const Dataset& dataset) {
    for (const auto& entry : dataset.report().unreadable) {
      files_.push_back(entry.file);
      files_.push_back(entry.file.substr(0, entry.file.find('/')));
    }
    std::sort(files_.begin(), files_.end());
    any_classless_ = dataset.report().without_class > 0;
  }
  bool may_hold(const std::string& id) const { return any_classless_ || std::binary_search(files_.begin(), files_.end(), id); }

 private:
  std::vector<std::string> files_;
  bool any_classless_ = false;
};

struct PartReader {
  const Dataset& dataset;
  const std::unordered_map<std::string, std::int64_t>& index;
  const LeftOut& left_out;
  std::vector<int>& part_of;  // −1 where no part has named the image yet

  std::vector<std::int64_t> read(const std::string& file, int part) const {
    CsvReader csv(file);
    std::vector<std::string> fields;
    std::vector<std::int64_t> rows;
    std::int64_t skipped = 0;
    for (bool first = true; csv.next(fields); first = false) {
      if (first && is_header(fields[0])) continue;
      safe_join("", fields[0], csv.where());
      const auto found = index.find(fields[0]);
      if (found == index.end()) {
        if (!left_out.may_hold(fields[0]))
          throw DataError(fmt::format("{}: the archive {} has no image {}", csv.where(), dataset.root(), fields[0]));
        ++skipped;
        continue;
      }
      int& owner = part_of[static_cast<std::size_t>(found->second)];
      if (owner >= 0)
        throw DataError(fmt::format("{}: the image {} is already in {}.csv; parts must not overlap", csv.where(), fields[0],
                                    name_of(kParts[static_cast<std::size_t>(owner)])));
      owner = part;
      rows.push_back(found->second);
    }
    if (skipped > 0) log::info("{}: {} images left out, being unreadable or without a class", file, skipped);
    if (rows.empty()) throw DataError(fmt::format("{} names no image; every part of a split needs some", file));
    std::sort(rows.begin(), rows.end());
    return rows;
  }
};

}  // namespace

Splits read_splits(const Dataset& dataset, const std::string& directory) {
  std::unordered_map<std::string, std::int64_t> index;
  for (std::int64_t i = 0; i < dataset.size(); ++i) index.emplace(dataset.ids()[static_cast<std::size_t>(i)], i);
  std::vector<int> part_of(static_cast<std::size_t>(dataset.size()), -1);
  const LeftOut left_out(dataset);
  const PartReader reader{dataset, index, left_out, part_of};
  Splits splits;
  for (const Part part : kParts) {
    const std::string file = fmt::format("{}/{}.csv", directory, name_of(part));
    if (!is_file(file))
      throw DataError(fmt::format("the split file {} is missing; a split needs train.csv, val.csv and test.csv", file));
    splits[part] = reader.read(file, static_cast<int>(part));
  }
  return splits;
}

void write_splits(const Dataset& dataset, const Splits& splits, const std::string& directory) {
  make_folder(directory);
  for (const Part part : kParts) {
    std::vector<std::string> fields{"image"};
    fields.insert(fields.end(), dataset.class_names().begin(), dataset.class_names().end());
    std::string text = csv_line(fields);
    for (const std::int64_t i : splits[part]) {
      fields[0] = dataset.ids()[static_cast<std::size_t>(i)];
      for (std::int64_t c = 0; c < dataset.labels().classes(); ++c)
        fields[static_cast<std::size_t>(c + 1)] = dataset.labels().has(i, c) ? "1" : "0";
      text += csv_line(fields);
    }
    const std::string file = fmt::format("{}/{}.csv", directory, name_of(part));
    if (!holds(file, text)) atomic_write(file, text);
  }
}

Splits resolve_splits(const Dataset& dataset, const SplitOptions& options) {
  const Splits splits = options.directory.empty()
                            ? make_splits(dataset.labels(), {options.train, options.val, options.test}, options.seed)
                            : read_splits(dataset, options.directory);
  for (const Part part : kParts)
    if (splits[part].empty())
      throw DataError(fmt::format("the part {} of {} images is empty; raise data.split.{} or give a split", name_of(part),
                                  dataset.size(), name_of(part)));
  log::info("{}: {} images, {} classes; train {}, val {}, test {}", dataset.name(), dataset.size(),
            dataset.class_names().size(), splits[Part::train].size(), splits[Part::val].size(), splits[Part::test].size());
  return splits;
}

ClassFilter filter_classes(const Dataset& dataset, const Splits& splits) {
  ClassFilter filter;
  for (std::int64_t c = 0; c < dataset.labels().classes(); ++c) {
    const bool everywhere = std::all_of(kParts.begin(), kParts.end(), [&](Part part) {
      return std::any_of(splits[part].begin(), splits[part].end(), [&](std::int64_t i) { return dataset.labels().has(i, c); });
    });
    const std::string& name = dataset.class_names()[static_cast<std::size_t>(c)];
    if (everywhere) filter.kept.push_back(c);
    (everywhere ? filter.kept_names : filter.dropped_names).push_back(name);
  }
  if (filter.kept.empty())
    throw DataError(fmt::format("no class of {} occurs in all of train, val and test; give another split", dataset.root()));
  if (!filter.dropped_names.empty())
    log::info("{} classes do not occur in all of train, val and test and are dropped: {}", filter.dropped_names.size(),
              fmt::join(filter.dropped_names, "; "));
  return filter;
}

std::int64_t drop_classless(const Dataset& dataset, const ClassFilter& filter, Splits& splits) {
  std::int64_t dropped = 0;
  for (auto& rows : splits.rows)
    dropped += static_cast<std::int64_t>(std::erase_if(rows, [&](std::int64_t i) {
      return std::none_of(filter.kept.begin(), filter.kept.end(), [&](std::int64_t c) { return dataset.labels().has(i, c); });
    }));
  if (dropped > 0) log::info("{} images are left without a class and dropped", dropped);
  return dropped;
}

}  // namespace swath
