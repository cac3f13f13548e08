// The safetensors format, read with suspicion and written whole (header: u64 length, JSON; then the tensors' bytes).
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace swath {

/// A file whose content is not what was written: cut off, or with bytes that changed.
struct CorruptFile : DataError {
  using DataError::DataError;
};

/// An opened file. The header is checked in full before anything is used: length ≤ 16 MiB, a JSON object without
/// duplicate keys, known types, shapes whose product does not overflow and equals the byte range, ranges that follow one
/// another without holes or overlap, and a file size that matches exactly. Any violation is a CorruptFile that names the file.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const std::string& path);

  const std::string& path() const { return path_; }
  /// In the order of the bytes.
  const std::vector<std::string>& names() const { return names_; }
  bool contains(const std::string& name) const { return entries_.count(name) > 0; }
  const std::vector<std::int64_t>& shape(const std::string& name) const { return entry(name).shape; }
  /// "F32", "BF16", "I64", …
  const std::string& dtype(const std::string& name) const { return entry(name).dtype; }
  const std::uint8_t* data(const std::string& name) const { return file_.data() + entry(name).begin; }
  std::size_t bytes(const std::string& name) const { return entry(name).end - entry(name).begin; }
  /// Values of a floating-point tensor (F64, F32, F16, BF16) as float. Throws DataError for another type.
  std::vector<float> to_float(const std::string& name) const;
  /// The strings of __metadata__.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

 private:
  struct Entry {
    std::string dtype;
    std::vector<std::int64_t> shape;
    std::size_t begin = 0, end = 0;  // in the file
  };
  explicit SafetensorsFile(const std::string& path) : path_(path), file_(path) {}
  void parse();
  const Entry& entry(const std::string& name) const;
  [[noreturn]] void refuse(const std::string& why) const;

  std::string path_;
  MappedFile file_;
  std::vector<std::string> names_;
  std::map<std::string, Entry> entries_;
  std::map<std::string, std::string> metadata_;
};

/// One tensor to write; `fill` puts its bytes into a buffer of the right size when its turn comes.
struct SafetensorsItem {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::size_t bytes = 0;
  std::function<void(std::uint8_t*)> fill;
};

/// Writes the items in their order, atomically (file.h); one tensor at a time is in memory.
void write_safetensors(const std::string& path, const std::vector<SafetensorsItem>& items,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace swath
