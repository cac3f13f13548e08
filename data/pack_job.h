// One packing under way: <stem>.npy.partial receives rows in any order, <stem>.npy.journal remembers which are there, so that
// a later call carries on. Only whole files get the final names.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/file.h"
#include "data/packed.h"

namespace swath {

/// Completes a pack whose pixels have their final name and whose sidecar was about to get it.
void recover_sidecar(const std::string& stem);

class PackJob {
 public:
  /// Takes the folder's lock; resumes when partial and journal are of this fingerprint, starts afresh otherwise. Throws
  /// UserError when another process packs in the folder, DataError when the disk is full.
  PackJob(const std::string& stem, const ImageSpec& image, std::int64_t rows, std::uint64_t fingerprint);

  bool done(std::int64_t row) const { return states_[static_cast<std::size_t>(row)].load(std::memory_order_acquire) == kDone; }
  std::int64_t resumed() const { return resumed_; }
  /// Thread-safe for distinct rows.
  void store(std::int64_t row, const void* pixels);
  /// Writes the journal.
  void flush();
  /// Drops the rows that were never stored, writes header and sidecar, and gives both files their names. Fills block_rows and
  /// checksums of `info`; its ids and labels must be those of the stored rows.
  void finish(PackedInfo& info);

 private:
  enum State : std::uint8_t { kPending, kDone };
  enum class Phase : std::uint64_t { decoding = 1, compacting };
  struct Header {
    char magic[8];
    std::uint64_t fingerprint, rows, row_bytes;
    Phase phase;
  };

  void lock_folder();
  bool resume();
  void start();
  void verify_resumed();
  void compact();
  std::uint64_t offset(std::int64_t row) const { return header_bytes_ + static_cast<std::uint64_t>(row) * row_bytes_; }

  std::string stem_, partial_, journal_;
  ImageSpec image_;
  std::int64_t rows_, resumed_ = 0;
  std::size_t row_bytes_, header_bytes_;
  Header header_;
  std::unique_ptr<std::atomic<std::uint8_t>[]> states_;
  std::vector<std::uint64_t> sums_;  // of each row
  FileDescriptor folder_, data_, log_;
};

}  // namespace swath
