// Train, val and test: given as CSV files or made by iterative stratification (K. Sechidis et al. 2011); class filter
// (methods.md §1).
#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace swath {

enum class Part : std::uint8_t { train, val, test };
constexpr std::array<Part, 3> kParts{Part::train, Part::val, Part::test};
/// "train", "val", "test".
const char* name_of(Part part);
/// Throws UserError that begins with `option` for a name that is no part.
Part part_named(const std::string& name, const std::string& option);

/// Image indices of each part, ascending, disjoint.
struct Splits {
  std::array<std::vector<std::int64_t>, 3> rows;
  const std::vector<std::int64_t>& operator[](Part part) const { return rows[static_cast<std::size_t>(part)]; }
  std::vector<std::int64_t>& operator[](Part part) { return rows[static_cast<std::size_t>(part)]; }
};

/// Partitions the rows into shares (which sum to 1 within 1e-6) so that every class keeps its share in every part.
/// Deterministic in the seed. Throws UserError for bad shares.
Splits make_splits(const LabelMasks& labels, const std::array<double, 3>& shares, std::uint64_t seed);

/// Reads train.csv, val.csv, test.csv: first column the id, the rest ignored. A header is recognised by its first word
/// (image, path, patch, name or id). Ids that the dataset skipped as unreadable or classless are left out. Throws DataError
/// when a file is missing, an id is unknown, repeated or unsafe, or a part is empty.
Splits read_splits(const Dataset& dataset, const std::string& directory);
/// Writes the three CSV files, with header and multi-hot rows, each by temp → fsync → rename; one that is there already is left
/// alone, so that several runs may start on one pack.
void write_splits(const Dataset& dataset, const Splits& splits, const std::string& directory);
/// Given or made, as the options say; logs the sizes.
Splits resolve_splits(const Dataset& dataset, const SplitOptions& options);

/// Classes that occur in all three parts, in the dataset's order, and the names of the others.
struct ClassFilter {
  std::vector<std::int64_t> kept;
  std::vector<std::string> kept_names, dropped_names;
};
/// Logs what is dropped. Throws DataError when nothing is left.
ClassFilter filter_classes(const Dataset& dataset, const Splits& splits);
/// Removes the images that carry none of the kept classes; returns how many.
std::int64_t drop_classless(const Dataset& dataset, const ClassFilter& filter, Splits& splits);

}  // namespace swath
