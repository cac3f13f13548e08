#include "engine/io/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace swath {

namespace {

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

bool is_named(const FileDescriptor& file, const std::string& path) {
  struct stat held {};
  struct stat named {};
  return ::fstat(file.get(), &held) == 0 && ::stat(path.c_str(), &named) == 0 && held.st_dev == named.st_dev &&
         held.st_ino == named.st_ino;
}

/// Whether nobody writes the file, which is locked then. Over NFS only a file that is open for writing can be.
bool is_leftover(const FileDescriptor& file, const std::string& path) {
  return file.get() >= 0 && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && is_named(file, path);
}

}  // namespace

std::uint64_t checksum(const void* bytes, std::size_t count) { return XXH3_64bits(bytes, count); }

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) ::close(fd_);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

void sync_folder_of(const std::string& path) {
  const FileDescriptor folder(::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
}

AtomicFile::AtomicFile(std::string path) : path_(std::move(path)) { open_temporary(); }

void AtomicFile::open_temporary() {
  for (int others = 0; file_.get() < 0;) {
    temporary_ = others == 0 ? path_ + ".tmp" : fmt::format("{}.{}.tmp", path_, others);
    FileDescriptor made(::open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    if (made.get() >= 0) {
      const bool locks = ::flock(made.get(), LOCK_EX) == 0;
      // Else it was taken for a leftover before it was locked. A file system without locks has no leftovers either.
      if (!locks || is_named(made, temporary_)) file_ = std::move(made);
    } else if (errno != EEXIST) {
      fail("make");
    } else if (const FileDescriptor found(::open(temporary_.c_str(), O_RDWR | O_CLOEXEC)); is_leftover(found, temporary_)) {
      if (::unlink(temporary_.c_str()) != 0 && errno != ENOENT) fail("make");
    } else if (std::filesystem::exists(temporary_)) {
      ++others;
    }
  }
}

AtomicFile::~AtomicFile() {
  if (file_.get() >= 0 && is_named(file_, temporary_)) ::unlink(temporary_.c_str());
}

void AtomicFile::fail(const char* action) const {
  const int problem = errno;
  throw DataError(
      fmt::format("cannot {} {}: {}; {} and try again", action, path_, std::strerror(problem),
                  problem == ENOSPC || problem == EDQUOT || problem == EFBIG ? "free some space" : "check its folder"));
}

void AtomicFile::write(const void* bytes, std::size_t count) {
  const auto* from = static_cast<const char*>(bytes);
  while (count > 0) {
    const ssize_t written = ::write(file_.get(), from, count);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write");
    from += written;
    count -= static_cast<std::size_t>(written);
  }
}

void AtomicFile::commit() {
  if (::fsync(file_.get()) != 0) fail("write");
  if (!is_named(file_, temporary_)) {
    errno = ESTALE;
    fail("rename");
  }
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) fail("rename");
  file_ = FileDescriptor();
  sync_folder_of(path_);
}

void atomic_write(const std::string& path, const std::string& content) {
  AtomicFile file(path);
  file.write(content.data(), content.size());
  file.commit();
}

MappedFile::MappedFile(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) throw DataError(fmt::format("cannot open {}: {}; check the path", path, std::strerror(errno)));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode))
    throw DataError(fmt::format("{} is not a file; check the path", path));
  size_ = static_cast<std::size_t>(info.st_size);
  if (size_ == 0) return;
  void* mapped = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
  if (mapped == MAP_FAILED) throw DataError(fmt::format("cannot map {}: {}", path, std::strerror(errno)));
  data_ = static_cast<const std::uint8_t*>(mapped);
}

MappedFile::~MappedFile() {
  if (data_) ::munmap(const_cast<std::uint8_t*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

FileLock::FileLock(const std::string& path) : file_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644)) {
  const int fd = file_.get();
  if (fd < 0) throw UserError(fmt::format("cannot make the lock {}: {}; check the folder", path, std::strerror(errno)));
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    char owner[32] = {};
    const ssize_t got = ::pread(fd, owner, sizeof owner - 1, 0);
    throw UserError(fmt::format("{} is in use by another run (process {}); wait for it, or choose another run.name",
                                folder_of(path), got > 0 ? owner : "unknown"));
  }
  const std::string pid = std::to_string(::getpid());
  if (::ftruncate(fd, 0) == 0) static_cast<void>(!::pwrite(fd, pid.data(), pid.size(), 0));
}

bool FileLock::held(const std::string& path) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  return file.get() >= 0 && ::flock(file.get(), LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
}

}  // namespace swath
