#include "data/packed.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "data/file.h"
#include "data/packed_format.h"
#include "data/workers.h"
#include "engine/core/error.h"
#include "engine/io/file.h"

namespace swath {

struct PackedSplit::Impl {
  PackedInfo info;
  std::string path;
  std::optional<MappedFile> map;
  std::size_t header_bytes = 0;

  void open() {
    map.emplace(path);
    const std::string header = packed_header(info.image, static_cast<std::int64_t>(info.ids.size()));
    header_bytes = header.size();
    const std::size_t promised = header_bytes + info.ids.size() * info.image.bytes();
    if (map->size() != promised)
      throw DataError(fmt::format("{} has {} bytes where its sidecar promises {}; the file is torn, pack again", path,
                                  map->size(), promised));
    if (std::memcmp(map->data(), header.data(), header_bytes) != 0)
      throw DataError(fmt::format("{} has a header that does not match its sidecar; pack again", path));
  }
};

PackedSplit::PackedSplit(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PackedSplit::PackedSplit(PackedSplit&&) noexcept = default;
PackedSplit& PackedSplit::operator=(PackedSplit&&) noexcept = default;
PackedSplit::~PackedSplit() = default;

PackedSplit PackedSplit::open(const std::string& file) {
  std::string stem = file;
  for (const char* ending : {".npy", ".json"})
    if (stem.ends_with(ending)) {
      stem.resize(stem.size() - std::strlen(ending));
      break;
    }
  auto impl = std::make_unique<Impl>();
  impl->path = stem + ".npy";
  if (!is_file(impl->path)) throw DataError(fmt::format("the packed split {} is missing; make it with swath pack", impl->path));
  impl->info = read_sidecar(stem);
  impl->open();
  return PackedSplit(std::move(impl));
}

PackedSplit PackedSplit::described(PackedInfo info) {
  auto impl = std::make_unique<Impl>();
  impl->info = std::move(info);
  return PackedSplit(std::move(impl));
}

const PackedInfo& PackedSplit::info() const { return impl_->info; }
const std::string& PackedSplit::path() const { return impl_->path; }
std::int64_t PackedSplit::rows() const { return static_cast<std::int64_t>(impl_->info.ids.size()); }
const std::uint8_t* PackedSplit::pixels() const {
  SWATH_CHECK(impl_->map.has_value(), "the split is only described");
  return impl_->map->data() + impl_->header_bytes;
}

void PackedSplit::will_need(std::int64_t i) const {
  static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = static_cast<std::size_t>(row(i) - impl_->map->data());
  const std::size_t aligned = begin / page * page;
  ::madvise(const_cast<std::uint8_t*>(impl_->map->data()) + aligned, begin - aligned + row_bytes(), MADV_WILLNEED);
}

std::uint64_t PackedSplit::content_checksum() const {
  const PackedInfo& i = info();
  std::string text = packed_header(i.image, rows());
  for (const auto* names : {&i.image.bands, &i.class_names, &i.ids})
    for (const std::string& name : *names) text += name + '\n';
  const std::uint64_t parts[] = {
      checksum(text.data(), text.size()),
      checksum(i.labels.data(), static_cast<std::size_t>(i.labels.rows() * i.labels.words()) * sizeof(std::uint64_t)),
      checksum(i.checksums.data(), i.checksums.size() * sizeof i.checksums[0])};
  return checksum(parts, sizeof parts);
}

void PackedSplit::verify(int workers) const {
  const PackedInfo& i = info();
  std::vector<std::uint8_t> bad(i.checksums.size());
  run_workers(static_cast<std::int64_t>(bad.size()), {.workers = workers}, [&](std::int64_t block, int) {
    const std::int64_t first = block * i.block_rows;
    const std::int64_t last = std::min(rows(), first + i.block_rows);
    std::vector<std::uint64_t> of_rows;
    for (std::int64_t r = first; r < last; ++r) of_rows.push_back(checksum(row(r), row_bytes()));
    const auto b = static_cast<std::size_t>(block);
    bad[b] = checksum(of_rows.data(), of_rows.size() * sizeof of_rows[0]) != i.checksums[b];
  });
  const auto found = std::find(bad.begin(), bad.end(), 1);
  if (found == bad.end()) return;
  const std::int64_t first = (found - bad.begin()) * i.block_rows;
  throw DataError(fmt::format("{} is corrupt in rows {} to {}: the checksum differs; delete it and pack again", path(), first,
                              std::min(rows(), first + i.block_rows) - 1));
}

}  // namespace swath
