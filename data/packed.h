// Packed form of one split: <name>.npy (N × H × W × C source integers, NumPy reads it) and the sidecar <name>.json with
// classes, labels, ids, bands and checksums (methods.md §1). Read through a memory map.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"

namespace swath {

/// What the sidecar holds. A block is `block_rows` consecutive rows; its checksum is XXH3-64 over the XXH3-64 of each row.
struct PackedInfo {
  int version = 1;
  std::string dataset;  // Dataset::name()
  std::string part;     // "train", "val", "test"
  std::string note;     // "synthetic" for generated scenes, else empty
  ImageSpec image;
  std::vector<std::string> class_names, ids;
  LabelMasks labels;
  std::uint64_t fingerprint = 0;  // of the rows asked for: same source, same rows, same classes
  std::int64_t block_rows = 0;
  std::vector<std::uint64_t> checksums;
  SkipReport report;
};

/// Thread-safe for reading. Moves keep row pointers valid.
class PackedSplit {
 public:
  /// Opens <name>.npy and <name>.json; `file` is either of them or the common stem. Checks sizes, header and sidecar, not
  /// the pixels. Throws DataError that names the file.
  static PackedSplit open(const std::string& file);
  /// A split that is described and has no pixels, for what asks for its form alone: reading pixels throws InternalError.
  static PackedSplit described(PackedInfo info);
  PackedSplit(PackedSplit&&) noexcept;
  PackedSplit& operator=(PackedSplit&&) noexcept;
  ~PackedSplit();

  const PackedInfo& info() const;
  const std::string& path() const;  // of the .npy
  std::int64_t rows() const;
  const ImageSpec& image() const { return info().image; }
  const std::vector<std::string>& class_names() const { return info().class_names; }
  const std::vector<std::string>& ids() const { return info().ids; }
  const LabelMasks& labels() const { return info().labels; }
  std::size_t row_bytes() const { return image().bytes(); }
  /// Pixels of row i, height × width × channels of image().dtype, in the memory map.
  const std::uint8_t* row(std::int64_t i) const { return pixels() + static_cast<std::size_t>(i) * row_bytes(); }
  /// All rows, contiguous, rows() × row_bytes() bytes.
  const std::uint8_t* pixels() const;
  /// Tells the system that row i will be read soon.
  void will_need(std::int64_t i) const;
  /// Of shape, bands, classes, ids, labels and the checksums of the pixels: equal for packs of equal content, wherever they
  /// lie. Reads no pixels.
  std::uint64_t content_checksum() const;
  /// Reads every row with `workers` threads (0: one per core) and compares the checksums. Throws DataError that names the file
  /// and the first bad rows.
  void verify(int workers = 0) const;

 private:
  struct Impl;
  explicit PackedSplit(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath
