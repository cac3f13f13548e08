#include "engine/io/npy.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace swath {

namespace {

constexpr std::size_t kMaxHeader = 64u << 10;
constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::array<const char*, 6> kNames = {"<f4", "<f2", "<i8", "<i4", "<u2", "|u1"};

/// The Python dictionary of the header; only what NumPy writes is understood.
class HeaderParser {
 public:
  explicit HeaderParser(std::string_view text) : rest_(text) {}

  std::string descr;
  bool fortran = false;
  std::vector<std::int64_t> shape;

  /// Empty when all is well, else what is wrong.
  const char* parse() {
    if (!take('{')) return "its header is not a dictionary";
    unsigned seen = 0;
    while (!take('}')) {
      const std::optional<std::string> key = text();
      if (!key || !take(':')) return "its header is malformed";
      const unsigned bit = *key == "descr" ? 1u : *key == "fortran_order" ? 2u : *key == "shape" ? 4u : 0u;
      if (bit == 0) return "its header has an unknown key";
      if (seen & bit) return "its header has a key twice";
      seen |= bit;
      if (!value(bit)) return "its header is malformed or its shape impossible";
      if (!take(',') && !(skip(), !rest_.empty() && rest_[0] == '}')) return "its header is malformed";
    }
    skip();
    if (!rest_.empty()) return "text follows its header";
    return seen == 7u ? "" : "its header lacks a key";
  }

 private:
  void skip() { rest_.remove_prefix(std::min(rest_.find_first_not_of(" \n"), rest_.size())); }
  bool take(char c) {
    skip();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view w) {
    skip();
    if (!rest_.starts_with(w)) return false;
    rest_.remove_prefix(w.size());
    return true;
  }
  std::optional<std::string> text() {
    skip();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) return std::nullopt;
    const std::size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) return std::nullopt;
    std::string out(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return out;
  }
  bool value(unsigned bit) {
    if (bit == 4) return extents();
    if (bit == 2) return (fortran = word("True")) || word("False");
    const std::optional<std::string> name = text();
    if (name) descr = *name;
    return name.has_value();
  }
  bool extents() {
    if (!take('(')) return false;
    while (!take(')')) {
      skip();
      std::int64_t n = 0;
      const auto [end, problem] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), n);
      if (problem != std::errc() || n < 0 || shape.size() >= 32) return false;
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      shape.push_back(n);
      if (!take(',') && !(skip(), !rest_.empty() && rest_[0] == ')')) return false;
    }
    return true;
  }
  std::string_view rest_;
};

/// The bytes of an array; nothing when they overflow.
std::optional<std::size_t> bytes_of(const std::vector<std::int64_t>& shape, NpyType type) {
  std::size_t bytes = size_of(type);
  for (const std::int64_t n : shape) {
    if (n < 0 || __builtin_mul_overflow(bytes, static_cast<std::size_t>(n), &bytes)) return std::nullopt;
  }
  return bytes;
}

std::size_t checked_bytes(const std::string& path, const std::vector<std::int64_t>& shape, NpyType type) {
  const std::optional<std::size_t> bytes = bytes_of(shape, type);
  if (!bytes) throw UserError(fmt::format("the shape {} for {} is impossible", fmt::join(shape, "x"), path));
  return *bytes;
}

}  // namespace

const char* name_of(NpyType type) { return kNames.at(static_cast<std::size_t>(type)); }

std::size_t size_of(NpyType type) { return static_cast<std::size_t>(name_of(type)[2] - '0'); }

void NpyFile::refuse(const std::string& why) const {
  throw DataError(fmt::format("{} cannot be read as npy: {}; write it again", path_, why));
}

NpyFile NpyFile::open(const std::string& path) {
  NpyFile file(path);
  file.parse();
  return file;
}

void NpyFile::parse() {
  const std::string_view all(reinterpret_cast<const char*>(file_.data()), file_.size());
  if (all.size() < 10 || !all.starts_with(kMagic)) refuse("it does not begin as a npy file does");
  const int version = file_.data()[6];
  if ((version != 1 && version != 2) || file_.data()[7] != 0) refuse("its version is neither 1 nor 2");
  const std::size_t prefix = version == 1 ? 10 : 12;
  if (all.size() < prefix) refuse("its header is cut off");
  std::size_t length = 0;
  for (std::size_t i = prefix; i-- > 8;) length = length << 8 | file_.data()[i];
  if (length > kMaxHeader) refuse("its header is longer than 64 KiB");
  if (length > all.size() - prefix) refuse("its header is cut off");
  HeaderParser header(all.substr(prefix, length));
  if (const char* problem = header.parse(); *problem) refuse(problem);
  if (header.fortran) refuse("it is in Fortran order, and only C order is supported");
  std::size_t index = 0;
  while (index < kNames.size() && header.descr != kNames[index]) ++index;
  if (index == kNames.size()) refuse(fmt::format("its element type is not one of {}", fmt::join(kNames, " ")));
  type_ = static_cast<NpyType>(index);
  shape_ = std::move(header.shape);
  begin_ = prefix + length;
  const std::optional<std::size_t> wanted = bytes_of(shape_, type_);
  if (!wanted) refuse("its shape is impossible");
  if (*wanted > bytes()) refuse(fmt::format("its data are cut off ({} of {} bytes)", bytes(), *wanted));
  if (*wanted < bytes()) refuse(fmt::format("{} bytes follow its data", bytes() - *wanted));
}

void NpyFile::require(NpyType type) const {
  if (type_ != type) throw DataError(fmt::format("{} holds {} where {} is needed", path_, name_of(type_), name_of(type)));
}

NpyWriter::NpyWriter(const std::string& path, NpyType type, const std::vector<std::int64_t>& shape)
    : file_((checked_bytes(path, shape, type), path)), left_(checked_bytes(path, shape, type)) {
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}{}), }}", name_of(type),
                                   fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  const std::size_t total = (10 + header.size() + 1 + 63) / 64 * 64;
  header.resize(total - 11, ' ');
  header += '\n';
  SWATH_CHECK(header.size() <= 0xffff, "a shape of {} extents", shape.size());
  const std::string start = std::string(kMagic) + '\x01' + '\0' + static_cast<char>(header.size() & 0xff) +
                            static_cast<char>(header.size() >> 8) + header;
  file_.write(start.data(), start.size());
}

void NpyWriter::append(const void* bytes, std::size_t count) {
  SWATH_CHECK(count <= left_, "{} bytes for {} left", count, left_);
  file_.write(bytes, count);
  left_ -= count;
}

void NpyWriter::finish() {
  SWATH_CHECK(left_ == 0, "{} bytes are missing", left_);
  file_.commit();
}

}  // namespace swath
