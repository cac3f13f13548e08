// A file that grows by whole records while others read it.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace swath {

class AppendFile {
 public:
  /// Puts `content` in place of what `path` holds, at once, and goes on behind it. Throws DataError when that cannot be
  /// written.
  AppendFile(std::filesystem::path path, std::string_view content);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Writes a record with one call. Throws DataError when the disk is full; the file then ends with the record before.
  void append(std::string_view record);
  std::uint64_t size() const { return size_; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace swath
