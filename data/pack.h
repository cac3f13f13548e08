// Packing: decodes a split once, with several workers, into the form of packed.h. Resumes after an interruption; a file
// under its final name is always whole (methods.md §1).
#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/packed.h"
#include "data/split.h"

namespace swath {

struct PackProgress {
  Part part = Part::train;
  std::int64_t done = 0, total = 0;  // images of this part, those of earlier attempts included
  std::int64_t unreadable = 0;
  double seconds = 0;
};

struct PackOptions {
  int workers = 0;                // 0: one per core
  std::string verify = "always";  // checksums of a pack that is opened, or "never"
  /// Called from one thread at a time, a few times per second and at the end of a part; may throw to stop (the work done so
  /// far is kept and resumed by the next call).
  std::function<void(const PackProgress&)> progress{};
  template <class V>
  void fields(V& v) {
    v("workers", workers, "threads that decode and verify; 0: one per core", Range{0, 1024});
    v("verify", verify, "whether opening a pack reads all of it and compares the checksums", OneOf{{"always", "never"}});
  }
};

/// Dataset, split and class filter as the options ask, nothing decoded yet.
struct Prepared {
  std::unique_ptr<Dataset> dataset;
  Splits splits;
  ClassFilter filter;
  double max_unreadable_share = 0;
};
Prepared prepare_data(const DataOptions& options);

struct PackResult {
  std::string path;          // of the .npy
  std::int64_t rows = 0;     // packed
  std::int64_t resumed = 0;  // of these, decoded by an earlier attempt
  bool reused = false;       // the pack was already there, of the same source, rows and classes
  std::int64_t unreadable = 0;
  std::uint64_t bytes = 0;
  double seconds = 0;
};

/// Packs the part into <directory>/<train|val|test>.{npy,json}. A finished pack of the same fingerprint is left alone, one of
/// another fingerprint is refused. Throws DataError when more than max_unreadable_share of the images cannot be read or the
/// disk is full, UserError when the folder cannot be made, another process packs there, or it holds another pack.
PackResult pack_part(const Prepared& prepared, Part part, const std::string& directory, const PackOptions& options = {});
/// All three parts, and the split's CSV files beside them. Writes nothing when one of the parts would be refused.
std::array<PackResult, 3> pack_all(const Prepared& prepared, const std::string& directory, const PackOptions& options = {});

/// The three parts of one archive.
struct PackedSet {
  PackedSplit train, val, test;
  const PackedSplit& operator[](Part part) const { return part == Part::train ? train : part == Part::val ? val : test; }
};
/// Opens <directory>/{train,val,test}; throws DataError when bands, classes or forms of the parts differ, or a checksum.
PackedSet open_packed(const std::string& directory, const PackOptions& options = {});
/// Packs options.root in options.packed unless a finished pack is there, and opens it. With options.root empty it only opens;
/// throws UserError when the pack contradicts the other keys (see DataOptions).
PackedSet open_or_pack(const DataOptions& options, const PackOptions& pack = {});

}  // namespace swath
