// NumPy's .npy files: versions 1 and 2, C order, element types <f4 <f2 <i8 <i4 <u2 |u1.
#pragma once
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "engine/io/file.h"

namespace swath {

enum class NpyType : std::uint8_t { f4, f2, i8, i4, u2, u1 };

/// "<f4", …, as the header writes it.
const char* name_of(NpyType type);
/// Bytes of one element.
std::size_t size_of(NpyType type);

template <class T>
struct NpyTypeOf;
template <>
struct NpyTypeOf<float> {
  static constexpr NpyType value = NpyType::f4;
};
template <>
struct NpyTypeOf<std::int64_t> {
  static constexpr NpyType value = NpyType::i8;
};
template <>
struct NpyTypeOf<std::int32_t> {
  static constexpr NpyType value = NpyType::i4;
};
template <>
struct NpyTypeOf<std::uint16_t> {
  static constexpr NpyType value = NpyType::u2;
};
template <>
struct NpyTypeOf<std::uint8_t> {
  static constexpr NpyType value = NpyType::u1;
};

/// An opened array; its bytes are a view of the file. The header is checked in full first: magic, version, length ≤ 64 KiB,
/// exactly the keys descr, fortran_order and shape, a product that does not overflow, and a file size that matches exactly.
/// Any violation is a DataError that names the file.
class NpyFile {
 public:
  static NpyFile open(const std::string& path);

  NpyType type() const { return type_; }
  /// Empty for a single number.
  const std::vector<std::int64_t>& shape() const { return shape_; }
  std::size_t bytes() const { return file_.size() - begin_; }
  /// Need not be aligned for the element type when another program wrote the file.
  const std::uint8_t* data() const { return file_.data() + begin_; }
  /// A copy. Throws DataError when the file holds another type.
  template <class T>
  std::vector<T> values() const {
    require(NpyTypeOf<T>::value);
    std::vector<T> out(bytes() / sizeof(T));
    if (!out.empty()) std::memcpy(out.data(), data(), bytes());
    return out;
  }

 private:
  explicit NpyFile(const std::string& path) : path_(path), file_(path) {}
  void parse();
  void require(NpyType type) const;
  [[noreturn]] void refuse(const std::string& why) const;

  std::string path_;
  MappedFile file_;
  std::size_t begin_ = 0;
  NpyType type_ = NpyType::f4;
  std::vector<std::int64_t> shape_;
};

/// Writes an array piece by piece, atomically (file.h): the file appears with finish().
class NpyWriter {
 public:
  /// Throws UserError when an extent is negative or the product overflows.
  NpyWriter(const std::string& path, NpyType type, const std::vector<std::int64_t>& shape);
  /// The next bytes in C order. Throws InternalError when there are more than the shape holds.
  void append(const void* bytes, std::size_t count);
  /// Throws InternalError unless exactly the shape's bytes were appended.
  void finish();

 private:
  AtomicFile file_;
  std::size_t left_ = 0;
};

template <class T>
void write_npy(const std::string& path, const std::vector<std::int64_t>& shape, const T* values) {
  std::size_t count = 1;
  for (const std::int64_t n : shape) count *= static_cast<std::size_t>(n);
  NpyWriter writer(path, NpyTypeOf<T>::value, shape);
  writer.append(values, count * sizeof(T));
  writer.finish();
}

}  // namespace swath
