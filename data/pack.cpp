#include "data/pack.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <mutex>

#include "data/file.h"
#include "data/pack_job.h"
#include "data/packed_format.h"
#include "data/workers.h"
#include "engine/core/error.h"
#include "engine/core/log.h"

namespace swath {

namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

std::uint64_t part_fingerprint(const Prepared& prepared, Part part) {
  std::vector<std::int64_t> content{static_cast<std::int64_t>(prepared.dataset->fingerprint()),
                                    static_cast<std::int64_t>(part)};
  for (const auto* list : {&prepared.splits[part], &prepared.filter.kept}) {
    content.push_back(static_cast<std::int64_t>(list->size()));
    content.insert(content.end(), list->begin(), list->end());
  }
  return checksum(content.data(), content.size() * sizeof content[0]);
}

/// A finished pack is never replaced by one of another fingerprint: other runs may use it.
void require_same_source(const std::string& stem, std::uint64_t fingerprint) {
  recover_sidecar(stem);
  if (!is_file(stem + ".npy") || !is_file(stem + ".json")) return;
  try {
    if (read_sidecar(stem).fingerprint == fingerprint) return;
  } catch (const DataError&) {
    return;  // already_packed says so
  }
  throw UserError(
      fmt::format("{}.npy holds a pack of another source, size or split; choose another data.packed or delete it", stem));
}

/// Whether a finished pack of this fingerprint lies under the final name.
bool already_packed(const std::string& stem, std::uint64_t fingerprint, PackResult& result) {
  require_same_source(stem, fingerprint);
  if (!is_file(stem + ".npy") || !is_file(stem + ".json")) return false;
  try {
    const PackedSplit split = PackedSplit::open(stem);
    result.reused = true;
    result.rows = split.rows();
    result.unreadable = static_cast<std::int64_t>(split.info().report.unreadable.size());
    result.bytes = static_cast<std::uint64_t>(split.rows()) * split.row_bytes();
    return true;
  } catch (const DataError& e) {
    log::warn("{}; packing anew", e.what());
    return false;
  }
}

/// Without an archive, keys that describe one must not contradict the pack (rule: DataOptions).
void require_agreement(const DataOptions& options, const PackedSplit& split) {
  const auto refuse = [&](const char* key, const auto& wanted, const std::string& held) {
    throw UserError(fmt::format("data.{} is {}, but {} holds {}; change the key, or give data.root and another data.packed",
                                key, wanted, split.path(), held));
  };
  const ImageSpec& image = split.image();
  if (options.image_size != 0 && (image.height != options.image_size || image.width != options.image_size))
    refuse("image_size", options.image_size, fmt::format("images of {} x {}", image.height, image.width));
  const std::string& name = split.info().dataset;
  const std::string archive = "the archive " + name;
  if (options.format != "auto" && name.substr(0, name.find('-')) != options.format) refuse("format", options.format, archive);
  const bool asked = options.classes != DataOptions{}.classes || options.format == "bigearthnet";
  if (asked && name.starts_with("bigearthnet-") && name != fmt::format("bigearthnet-{}", options.classes))
    refuse("classes", options.classes, archive);
}

/// Decodes the rows of one part that the job does not hold yet.
class Decoder {
 public:
  Decoder(const Prepared& prepared, Part part, const PackOptions& options, PackJob& job)
      : prepared_(prepared), rows_(prepared.splits[part]), part_(part), options_(options), job_(job) {}

  void run() {
    for (std::int64_t r = 0; r < total(); ++r)
      if (!job_.done(r)) todo_.push_back(r);
    const std::size_t bytes = prepared_.dataset->image().bytes();
    std::vector<std::vector<std::uint8_t>> buffers(static_cast<std::size_t>(worker_count(options_.workers)));
    for (auto& buffer : buffers) buffer.resize(bytes);
    try {
      run_workers(static_cast<std::int64_t>(todo_.size()),
                  {.workers = options_.workers, .tick = [&](std::int64_t n) { tick(n); }}, [&](std::int64_t item, int worker) {
                    decode(todo_[static_cast<std::size_t>(item)], buffers[static_cast<std::size_t>(worker)].data());
                  });
    } catch (...) {
      job_.flush();
      throw;
    }
  }
  /// Row of the part → what was wrong with it.
  const std::map<std::int64_t, SkipReport::Entry>& unreadable() const { return unreadable_; }

 private:
  std::int64_t total() const { return static_cast<std::int64_t>(rows_.size()); }

  void decode(std::int64_t r, std::uint8_t* buffer) {
    const std::int64_t i = rows_[static_cast<std::size_t>(r)];
    try {
      prepared_.dataset->read(i, buffer);
    } catch (const DataError& e) {
      return reject(r, {prepared_.dataset->ids()[static_cast<std::size_t>(i)], e.what()});
    }
    job_.store(r, buffer);
  }

  void reject(std::int64_t r, SkipReport::Entry entry) {
    const std::lock_guard lock(mutex_);
    unreadable_.emplace(r, std::move(entry));
    const auto bad = static_cast<std::int64_t>(unreadable_.size());
    if (static_cast<double>(bad) > prepared_.max_unreadable_share * static_cast<double>(total()))
      throw DataError(
          fmt::format("{} of the {} images of {} cannot be read, more than data.max_unreadable_share allows ({:.1f} %); "
                      "the first: {}",
                      bad, total(), name_of(part_), 100 * prepared_.max_unreadable_share, unreadable_.begin()->second.reason));
  }

  void tick(std::int64_t finished) {
    constexpr double kFlushSeconds = 2;
    if (seconds_since(last_flush_) > kFlushSeconds) {
      job_.flush();
      last_flush_ = Clock::now();
    }
    if (!options_.progress) return;
    PackProgress progress{
        .part = part_, .done = job_.resumed() + finished, .total = total(), .unreadable = 0, .seconds = seconds_since(begin_)};
    {
      const std::lock_guard lock(mutex_);
      progress.unreadable = static_cast<std::int64_t>(unreadable_.size());
    }
    options_.progress(progress);
  }

  const Prepared& prepared_;
  const std::vector<std::int64_t>& rows_;
  Part part_;
  const PackOptions& options_;
  PackJob& job_;
  std::vector<std::int64_t> todo_;
  std::mutex mutex_;
  std::map<std::int64_t, SkipReport::Entry> unreadable_;
  Clock::time_point begin_ = Clock::now(), last_flush_ = begin_;
};

PackedInfo describe(const Prepared& prepared, Part part, std::uint64_t fingerprint,
                    const std::map<std::int64_t, SkipReport::Entry>& unreadable) {
  const Dataset& dataset = *prepared.dataset;
  PackedInfo info;
  info.dataset = dataset.name();
  info.part = name_of(part);
  info.note = is_file(dataset.root() + "/SYNTHETIC.txt") ? "synthetic" : "";
  info.image = dataset.image();
  info.class_names = prepared.filter.kept_names;
  info.fingerprint = fingerprint;
  info.report.without_class = dataset.report().without_class;
  info.report.unlisted = dataset.report().unlisted;
  std::vector<std::int64_t> kept;
  const auto& rows = prepared.splits[part];
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto found = unreadable.find(static_cast<std::int64_t>(r));
    if (found != unreadable.end()) {
      info.report.unreadable.push_back(found->second);
      continue;
    }
    kept.push_back(rows[r]);
    info.ids.push_back(dataset.ids()[static_cast<std::size_t>(rows[r])]);
  }
  info.labels = dataset.labels().select(kept, prepared.filter.kept);
  return info;
}

}  // namespace

Prepared prepare_data(const DataOptions& options) {
  Prepared prepared;
  prepared.max_unreadable_share = options.max_unreadable_share;
  prepared.dataset = open_dataset(options);
  prepared.splits = resolve_splits(*prepared.dataset, options.split);
  prepared.filter = filter_classes(*prepared.dataset, prepared.splits);
  drop_classless(*prepared.dataset, prepared.filter, prepared.splits);
  return prepared;
}

PackResult pack_part(const Prepared& prepared, Part part, const std::string& directory, const PackOptions& options) {
  const auto begin = Clock::now();
  make_folder(directory);
  const std::string stem = fmt::format("{}/{}", directory, name_of(part));
  PackResult result;
  result.path = stem + ".npy";
  const std::uint64_t fingerprint = part_fingerprint(prepared, part);
  if (already_packed(stem, fingerprint, result)) return result;
  const ImageSpec& image = prepared.dataset->image();
  PackJob job(stem, image, static_cast<std::int64_t>(prepared.splits[part].size()), fingerprint);
  Decoder decoder(prepared, part, options, job);
  decoder.run();
  PackedInfo info = describe(prepared, part, fingerprint, decoder.unreadable());
  if (info.ids.empty()) throw DataError(fmt::format("no image of {} can be read; check data.root", name_of(part)));
  job.finish(info);
  if (!decoder.unreadable().empty())
    log::warn("{}: {} unreadable images left out, the first: {}", result.path, decoder.unreadable().size(),
              decoder.unreadable().begin()->second.reason);
  result.rows = static_cast<std::int64_t>(info.ids.size());
  result.resumed = job.resumed();
  result.unreadable = static_cast<std::int64_t>(decoder.unreadable().size());
  result.bytes = static_cast<std::uint64_t>(result.rows) * image.bytes();
  result.seconds = seconds_since(begin);
  return result;
}

std::array<PackResult, 3> pack_all(const Prepared& prepared, const std::string& directory, const PackOptions& options) {
  for (const Part part : kParts)
    require_same_source(fmt::format("{}/{}", directory, name_of(part)), part_fingerprint(prepared, part));
  std::array<PackResult, 3> results;
  for (const Part part : kParts) results[static_cast<std::size_t>(part)] = pack_part(prepared, part, directory, options);
  write_splits(*prepared.dataset, prepared.splits, directory);
  return results;
}

namespace {

PackedSet open_parts(const std::string& directory) {
  const auto open = [&](Part part) { return PackedSplit::open(fmt::format("{}/{}", directory, name_of(part))); };
  PackedSet set{open(Part::train), open(Part::val), open(Part::test)};
  for (const Part part : {Part::val, Part::test}) {
    require_same_names(set.train.class_names(), set[part].class_names(), set[part].path() + ": classes");
    require_same_names(set.train.image().bands, set[part].image().bands, set[part].path() + ": bands");
    if (!(set.train.image() == set[part].image()))
      throw DataError(
          fmt::format("{} holds images of another form than {}; pack all parts together", set[part].path(), set.train.path()));
  }
  return set;
}

void verify_parts(const PackedSet& set, const PackOptions& options) {
  if (options.verify == "never") return;
  for (const Part part : kParts) set[part].verify(options.workers);
}

}  // namespace

PackedSet open_packed(const std::string& directory, const PackOptions& options) {
  PackedSet set = open_parts(directory);
  verify_parts(set, options);
  return set;
}

PackedSet open_or_pack(const DataOptions& options, const PackOptions& pack) {
  if (options.packed.empty())
    throw UserError("data.packed is not set; name a folder for the packed images, for example --set data.packed=FOLDER");
  if (!options.root.empty()) pack_all(prepare_data(options), options.packed, pack);
  PackedSet set = open_parts(options.packed);
  if (options.root.empty())
    for (const Part part : kParts) require_agreement(options, set[part]);
  verify_parts(set, pack);
  return set;
}

}  // namespace swath
