#include "engine/io/checkpoint.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "engine/core/config.h"
#include "engine/core/log.h"
#include "engine/io/safetensors.h"

namespace swath {

namespace fs = std::filesystem;

namespace {

constexpr const char* kFormat = "swath-2";
constexpr const char* kScalar = "scalar.";
constexpr const char* kChecksum = "xxh3.";
constexpr const char* kMetadataChecksum = "xxh3";

const char* safetensors_name(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
    case DType::u8:
      return "U8";
    case DType::u16:
      return "U16";
    case DType::i32:
      return "I32";
    case DType::i64:
      return "I64";
    case DType::u32:
      return "U32";
    case DType::u64:
      return "U64";
  }
  throw InternalError("unknown element type");
}

std::vector<std::int64_t> extents_of(const Shape& shape) {
  std::vector<std::int64_t> extents;
  for (int i = 0; i < shape.rank(); ++i) extents.push_back(shape[i]);
  return extents;
}

/// Collects everything; tensors are copied to the host one after the other while the file is written.
class Collector : public StateVisitor {
 public:
  void tensor(const std::string& name, Tensor& value) override { tensors.emplace_back(name, value); }
  void scalar(const std::string& name, std::int64_t& value) override { scalars[name] = std::to_string(value); }
  void scalar(const std::string& name, std::uint64_t& value) override { scalars[name] = std::to_string(value); }
  void scalar(const std::string& name, double& value) override { scalars[name] = fmt::format("{:a}", value); }
  void scalar(const std::string& name, std::string& value) override { scalars[name] = value; }

  std::vector<std::pair<std::string, Tensor>> tensors;
  std::map<std::string, std::string> scalars;
};

/// First pass of loading: compares the file with the state and changes nothing.
class Comparer : public StateVisitor {
 public:
  explicit Comparer(const SafetensorsFile& file) : file_(file) {}
  void tensor(const std::string& name, Tensor& value) override {
    wanted_.insert(name);
    if (!file_.contains(name)) {
      missing_.push_back(name);
    } else if (file_.shape(name) != extents_of(value.shape()) || file_.dtype(name) != safetensors_name(value.dtype())) {
      misshapen_.push_back(fmt::format("{} is {} {} instead of {} {}", name, file_.dtype(name),
                                       fmt::join(file_.shape(name), "x"), safetensors_name(value.dtype()),
                                       value.shape().str()));
    }
  }
  void scalar(const std::string& name, std::int64_t&) override { want_scalar(name); }
  void scalar(const std::string& name, std::uint64_t&) override { want_scalar(name); }
  void scalar(const std::string& name, double&) override { want_scalar(name); }
  void scalar(const std::string& name, std::string&) override { want_scalar(name); }

  /// Surplus counts among the names that begin with `prefix`.
  void finish(const std::string& prefix) const {
    std::vector<std::string> surplus;
    for (const std::string& name : file_.names()) {
      if (name.starts_with(prefix) && !wanted_.count(name)) surplus.push_back(name);
    }
    std::string what;
    const auto list = [&](const char* label, const std::vector<std::string>& names) {
      if (!names.empty()) what += fmt::format("{}{}: {}", what.empty() ? "" : "; ", label, fmt::join(names, ", "));
    };
    list("missing", missing_);
    list("surplus", surplus);
    list("of another shape", misshapen_);
    if (!what.empty())
      throw DataError(fmt::format("the checkpoint {} is of another model ({}); use the configuration it was made with",
                                  file_.path(), what));
  }

 private:
  void want_scalar(const std::string& name) {
    if (!file_.metadata().count(kScalar + name)) missing_.push_back(name);
  }
  const SafetensorsFile& file_;
  std::set<std::string> wanted_;
  std::vector<std::string> missing_, misshapen_;
};

/// Second pass: fills the state.
class Filler : public StateVisitor {
 public:
  explicit Filler(const SafetensorsFile& file) : file_(file) {}
  void tensor(const std::string& name, Tensor& value) override { value.copy_from_host(file_.data(name)); }
  void scalar(const std::string& name, std::int64_t& value) override { value = std::stoll(text(name)); }
  void scalar(const std::string& name, std::uint64_t& value) override { value = std::stoull(text(name)); }
  void scalar(const std::string& name, double& value) override { value = std::strtod(text(name).c_str(), nullptr); }
  void scalar(const std::string& name, std::string& value) override { value = text(name); }

 private:
  const std::string& text(const std::string& name) const { return file_.metadata().at(kScalar + name); }
  const SafetensorsFile& file_;
};

const std::string& metadata_text(const SafetensorsFile& file, const char* key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end())
    throw CorruptFile(fmt::format("{} is no checkpoint of swath: its metadata lacks {}", file.path(), key));
  return found->second;
}

CheckpointInfo info_of(const SafetensorsFile& file) {
  const auto& metadata = file.metadata();
  const auto text = [&](const char* key) { return metadata_text(file, key); };
  if (text("format") != kFormat)
    throw DataError(
        fmt::format("{} has the checkpoint format {}; this version reads {}", file.path(), text("format"), kFormat));
  CheckpointInfo info;
  try {
    info.step = std::stoll(text("step"));
    info.config = text("config");
    info.classes = Json::parse(text("classes")).get<std::vector<std::string>>();
    if (metadata.count("ranks")) info.ranks = std::stoll(text("ranks"));
    info.bands = Json::parse(text("bands")).get<std::vector<std::string>>();
  } catch (const Error&) {
    throw;
  } catch (const std::exception& problem) {
    throw DataError(
        fmt::format("the metadata of {} is malformed ({}); use an earlier checkpoint", file.path(), problem.what()));
  }
  return info;
}

/// Of a tensor's bytes, type and extents.
std::string tensor_checksum(const void* bytes, std::size_t count, const std::string& dtype,
                            const std::vector<std::int64_t>& shape) {
  return fmt::format("{:016x} {} {}", checksum(bytes, count), dtype, fmt::join(shape, "x"));
}

/// Of everything in the metadata but itself.
std::string metadata_checksum(const std::map<std::string, std::string>& metadata) {
  std::string text;
  for (const auto& [key, value] : metadata) {
    if (key != kMetadataChecksum) text += key + '\n' + value + '\n';
  }
  return fmt::format("{:016x}", checksum(text.data(), text.size()));
}

void verify(const SafetensorsFile& file) {
  metadata_text(file, "format");  // says more of a file of another program than a checksum that is not there
  const auto own = file.metadata().find(kMetadataChecksum);
  if (own == file.metadata().end() || own->second != metadata_checksum(file.metadata()))
    throw CorruptFile(
        fmt::format("{} is corrupt: the checksum of its metadata does not match; use an earlier checkpoint", file.path()));
  for (const std::string& name : file.names()) {
    const auto found = file.metadata().find(kChecksum + name);
    if (found == file.metadata().end() ||
        found->second != tensor_checksum(file.data(name), file.bytes(name), file.dtype(name), file.shape(name)))
      throw CorruptFile(
          fmt::format("{} is corrupt: the checksum of {} does not match; use an earlier checkpoint", file.path(), name));
  }
}

}  // namespace

void save_checkpoint(const std::string& path, const CheckpointInfo& info, const VisitState& visit) {
  Collector state;
  visit(state);
  std::map<std::string, std::string> metadata{{"format", kFormat},
                                              {"step", std::to_string(info.step)},
                                              {"config", info.config},
                                              {"classes", Json(info.classes).dump()},
                                              {"bands", Json(info.bands).dump()},
                                              {"conv_layout", "KRSC"}};
  if (info.ranks > 1) metadata["ranks"] = std::to_string(info.ranks);
  for (const auto& [name, value] : state.scalars) metadata[kScalar + name] = value;
  // The header comes first in the file, so the checksums need a pass of their own.
  std::vector<SafetensorsItem> items;
  std::vector<std::uint8_t> host;
  for (const auto& [name, tensor] : state.tensors) {
    host.resize(tensor.bytes());
    tensor.copy_to_host(host.data());
    metadata[kChecksum + name] =
        tensor_checksum(host.data(), host.size(), safetensors_name(tensor.dtype()), extents_of(tensor.shape()));
    items.push_back({name, safetensors_name(tensor.dtype()), extents_of(tensor.shape()), tensor.bytes(),
                     [value = tensor](std::uint8_t* to) { value.copy_to_host(to); }});
  }
  metadata[kMetadataChecksum] = metadata_checksum(metadata);
  write_safetensors(path, items, metadata);
}

namespace {

/// A file that is sound: its header, its metadata and every checksum.
SafetensorsFile open_verified(const std::string& path) {
  SafetensorsFile file = SafetensorsFile::open(path);
  verify(file);
  info_of(file);
  return file;
}

CheckpointInfo fill(const SafetensorsFile& file, const std::string& prefix, const VisitState& visit) {
  Comparer comparer(file);
  visit(comparer);
  comparer.finish(prefix);
  Filler filler(file);
  visit(filler);
  return info_of(file);
}

}  // namespace

CheckpointInfo load_checkpoint(const std::string& path, const VisitState& visit) {
  return fill(open_verified(path), "", visit);
}

CheckpointInfo load_model(const std::string& path, const VisitState& visit) {
  return fill(open_verified(path), "model.", visit);
}

CheckpointInfo read_checkpoint_info(const std::string& path) { return info_of(SafetensorsFile::open(path)); }

CheckpointStore::CheckpointStore(std::string folder) : folder_(std::move(folder)) {
  std::error_code problem;
  fs::create_directories(folder_, problem);
  if (problem) throw UserError(fmt::format("cannot make the folder {} ({}); choose run.directory", folder_, problem.message()));
}

std::vector<std::string> CheckpointStore::newest_first() const {
  std::vector<std::string> files;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.rfind("step-", 0) == 0 && entry.path().extension() == ".safetensors") files.push_back(entry.path().string());
  }
  std::sort(files.rbegin(), files.rend());
  return files;
}

void CheckpointStore::remove_leftovers() const {
  std::vector<fs::path> leftovers;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_)) {
    if (entry.path().extension() == ".tmp") leftovers.push_back(entry.path());
  }
  std::error_code ignored;  // a file that cannot go now is written over later
  for (const fs::path& file : leftovers) fs::remove(file, ignored);
}

bool CheckpointStore::empty() const { return newest_first().empty(); }

std::string CheckpointStore::save(const CheckpointInfo& info, const VisitState& visit) {
  const std::string file = (fs::path(folder_) / fmt::format("step-{:09d}.safetensors", info.step)).string();
  save_checkpoint(file, info, visit);
  const std::vector<std::string> files = newest_first();
  for (std::size_t i = static_cast<std::size_t>(keep_); i < files.size(); ++i) fs::remove(files[i]);
  return file;
}

std::string CheckpointStore::save_best(const CheckpointInfo& info, const VisitState& visit) {
  const std::string file = (fs::path(folder_) / "best.safetensors").string();
  save_checkpoint(file, info, visit);
  return file;
}

CheckpointInfo CheckpointStore::load_latest(const VisitState& visit, Damaged damaged) const {
  std::vector<std::string> corrupt;
  for (const std::string& file : newest_first()) {
    std::optional<SafetensorsFile> sound;
    try {
      sound = open_verified(file);
    } catch (const CorruptFile& problem) {
      log::warn("WARNING: {}; trying the checkpoint before it", problem.what());
      corrupt.push_back(file);
      continue;
    }
    const CheckpointInfo info = fill(*sound, "", visit);
    std::error_code ignored;
    if (damaged == Damaged::set_aside)
      for (const std::string& name : corrupt) fs::rename(name, name + ".corrupt", ignored);
    return info;
  }
  throw DataError(fmt::format("no checkpoint in {} can be read; start a new run", folder_));
}

std::string CheckpointStore::best() const {
  const fs::path best = fs::path(folder_) / "best.safetensors";
  return fs::exists(best) ? best.string() : "";
}

std::string CheckpointStore::latest() const {
  const std::vector<std::string> files = newest_first();
  return files.empty() ? "" : files.front();
}

std::string CheckpointStore::best_or_latest() const { return best().empty() ? latest() : best(); }

}  // namespace swath
