// Descriptors, files that are whole or absent, memory maps, locks and checksums.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "engine/core/error.h"

namespace swath {

/// XXH3-64.
std::uint64_t checksum(const void* bytes, std::size_t count);

/// A POSIX file descriptor that closes itself.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  ~FileDescriptor();
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(other.release()) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  int get() const { return fd_; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }

 private:
  int fd_;
};

/// fsync of the folder that holds `path`, after which a rename there lasts. A file system that cannot do it is passed over.
void sync_folder_of(const std::string& path);

/// Writes through a temporary file in the same folder: lock → write → fsync → rename → fsync of the folder. Of several that
/// write one file at once each has a temporary of its own, and the file is whole. When the disk is full or writing is refused,
/// throws DataError that names the file; the old content stays and no temporary is left.
class AtomicFile {
 public:
  explicit AtomicFile(std::string path);
  /// Removes the temporary unless commit() was called.
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  void write(const void* bytes, std::size_t count);
  void commit();

 private:
  void open_temporary();
  [[noreturn]] void fail(const char* action) const;
  std::string path_, temporary_;
  FileDescriptor file_;
};

void atomic_write(const std::string& path, const std::string& content);

/// A whole file, read-only, for the life of the object. Throws DataError when it is missing or not a regular file.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  const std::uint8_t* data() const { return data_; }
  std::size_t size() const { return size_; }

 private:
  const std::uint8_t* data_ = nullptr;
  std::size_t size_ = 0;
};

/// Exclusive lock on a file that is made for it; the operating system releases it when the process ends. Throws UserError
/// that names the other process when the lock is taken.
class FileLock {
 public:
  explicit FileLock(const std::string& path);
  /// Whether a process holds the lock of the file; false where there is none.
  static bool held(const std::string& path);

 private:
  FileDescriptor file_;
};

}  // namespace swath
