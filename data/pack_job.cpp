#include "data/pack_job.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "data/packed_format.h"
#include "engine/core/error.h"
#include "engine/core/log.h"
#include "engine/io/file.h"

namespace swath {

namespace {

constexpr char kMagic[8] = {'S', 'W', 'P', 'A', 'C', 'K', 'J', '1'};

constexpr const char* kNewSidecar = ".json.new";

bool read_at(const FileDescriptor& file, void* bytes, std::size_t count, std::uint64_t offset) {
  char* p = static_cast<char*>(bytes);
  while (count > 0) {
    const ssize_t n = ::pread(file.get(), p, count, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    p += n;
    offset += static_cast<std::uint64_t>(n);
    count -= static_cast<std::size_t>(n);
  }
  return true;
}

std::uint64_t size_of(const FileDescriptor& file) {
  struct stat status {};
  return ::fstat(file.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

FileDescriptor open_for_writing(const std::string& path, int flags) {
  FileDescriptor file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | flags, 0644));
  if (file.get() < 0) throw DataError(fmt::format("{} cannot be created: {}", path, system_message()));
  return file;
}

void sync(const FileDescriptor& file, const std::string& path) {
  if (::fsync(file.get()) != 0) throw DataError(fmt::format("{} cannot be written: {}", path, system_message()));
}

}  // namespace

void recover_sidecar(const std::string& stem) {
  const bool interrupted = is_file(stem + kNewSidecar) && is_file(stem + ".npy") && !is_file(stem + ".json");
  if (interrupted && !is_file(stem + ".npy.partial")) rename_file(stem + kNewSidecar, stem + ".json");
}

PackJob::PackJob(const std::string& stem, const ImageSpec& image, std::int64_t rows, std::uint64_t fingerprint)
    : stem_(stem),
      partial_(stem + ".npy.partial"),
      journal_(stem + ".npy.journal"),
      image_(image),
      rows_(rows),
      row_bytes_(image.bytes()),
      header_bytes_(packed_header(image, rows).size()),
      header_{{}, fingerprint, static_cast<std::uint64_t>(rows), row_bytes_, Phase::decoding},
      states_(new std::atomic<std::uint8_t>[static_cast<std::size_t>(rows)]),
      sums_(static_cast<std::size_t>(rows)) {
  std::memcpy(header_.magic, kMagic, sizeof kMagic);
  for (std::int64_t r = 0; r < rows_; ++r) states_[static_cast<std::size_t>(r)] = kPending;
  lock_folder();
  if (!resume()) start();
}

void PackJob::lock_folder() {
  const std::string folder = std::filesystem::path(stem_).parent_path().string();
  folder_ = FileDescriptor(::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // Some network file systems cannot lock a folder; only a lock held by another process is a reason to stop.
  if (folder_.get() >= 0 && ::flock(folder_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
    throw UserError(fmt::format("another process is packing in {}; wait for it or choose another folder", folder));
}

bool PackJob::resume() {
  if (!is_file(partial_) || !is_file(journal_)) return false;
  data_ = open_for_writing(partial_, 0);
  log_ = open_for_writing(journal_, 0);
  Header got{};
  const std::size_t n = static_cast<std::size_t>(rows_);
  if (size_of(log_) != sizeof got + n + n * 8 || size_of(data_) != offset(rows_) || !read_at(log_, &got, sizeof got, 0))
    return false;
  if (std::memcmp(&got, &header_, sizeof got) != 0) return false;  // another source, or interrupted while compacting
  std::vector<std::uint8_t> states(n);
  if (!read_at(log_, states.data(), n, sizeof got) || !read_at(log_, sums_.data(), n * 8, sizeof got + n)) return false;
  // The journal may have reached the disk before the pixels did: believe a row only when its checksum agrees.
  std::vector<std::uint8_t> row(row_bytes_);
  for (std::size_t r = 0; r < n; ++r) {
    if (states[r] != kDone || !read_at(data_, row.data(), row_bytes_, offset(static_cast<std::int64_t>(r)))) continue;
    if (checksum(row.data(), row_bytes_) != sums_[r]) continue;
    states_[r] = kDone;
    ++resumed_;
  }
  if (resumed_ > 0) log::info("{}: resuming, {} of {} images are there", stem_ + ".npy", resumed_, rows_);
  return true;
}

void PackJob::start() {
  data_ = open_for_writing(partial_, O_TRUNC);
  log_ = open_for_writing(journal_, O_TRUNC);
  // Claims the space now, so that a full disk is an error at the start.
  const int claimed = ::posix_fallocate(data_.get(), 0, static_cast<off_t>(offset(rows_)));
  if (claimed == ENOSPC || claimed == EFBIG) {
    ::unlink(partial_.c_str());
    ::unlink(journal_.c_str());
    throw DataError(fmt::format("{} needs {:.1f} MiB, which the disk does not have; free some space or choose another folder",
                                stem_ + ".npy", static_cast<double>(offset(rows_)) / (1 << 20)));
  }
  if (claimed != 0 && ::ftruncate(data_.get(), static_cast<off_t>(offset(rows_))) != 0)
    throw DataError(fmt::format("{} cannot be written: {}", partial_, system_message()));
  flush();
}

void PackJob::store(std::int64_t row, const void* pixels) {
  write_at(data_, partial_, pixels, row_bytes_, offset(row));
  sums_[static_cast<std::size_t>(row)] = checksum(pixels, row_bytes_);
  states_[static_cast<std::size_t>(row)].store(kDone, std::memory_order_release);
}

void PackJob::flush() {
  const std::size_t n = static_cast<std::size_t>(rows_);
  std::vector<std::uint8_t> states(n);
  std::vector<std::uint64_t> sums(n);
  for (std::size_t r = 0; r < n; ++r)
    if (done(static_cast<std::int64_t>(r))) {
      states[r] = kDone;
      sums[r] = sums_[r];
    }
  write_at(log_, journal_, &header_, sizeof header_, 0);
  write_at(log_, journal_, states.data(), n, sizeof header_);
  write_at(log_, journal_, sums.data(), n * 8, sizeof header_ + n);
}

void PackJob::compact() {
  std::vector<std::uint8_t> row(row_bytes_);
  std::int64_t to = 0;
  for (std::int64_t from = 0; from < rows_; ++from) {
    if (!done(from)) continue;
    if (from != to) {
      if (!read_at(data_, row.data(), row_bytes_, offset(from))) throw DataError(fmt::format("{} cannot be read", partial_));
      write_at(data_, partial_, row.data(), row_bytes_, offset(to));
      sums_[static_cast<std::size_t>(to)] = sums_[static_cast<std::size_t>(from)];
    }
    ++to;
  }
  if (::ftruncate(data_.get(), static_cast<off_t>(offset(to))) != 0)
    throw DataError(fmt::format("{} cannot be written: {}", partial_, system_message()));
}

void PackJob::finish(PackedInfo& info) {
  const auto kept = static_cast<std::int64_t>(info.ids.size());
  if (kept < rows_) {
    header_.phase = Phase::compacting;
    flush();
    sync(log_, journal_);
    compact();
  }
  info.block_rows = block_rows_of(image_);
  for (std::int64_t first = 0; first < kept; first += info.block_rows) {
    const std::int64_t count = std::min(info.block_rows, kept - first);
    info.checksums.push_back(checksum(sums_.data() + first, static_cast<std::size_t>(count) * 8));
  }
  const std::string header = packed_header(image_, kept);
  SWATH_CHECK(header.size() == header_bytes_);
  write_at(data_, partial_, header.data(), header.size(), 0);
  sync(data_, partial_);
  // An old sidecar must not meet the new pixels; without its sidecar a pack does not open. Interrupted between the two
  // renames, the next call completes the second one (recover_sidecar).
  atomic_write(stem_ + kNewSidecar, sidecar_text(info));
  ::unlink((stem_ + ".json").c_str());
  rename_file(partial_, stem_ + ".npy");
  rename_file(stem_ + kNewSidecar, stem_ + ".json");
  ::unlink(journal_.c_str());
}

}  // namespace swath
