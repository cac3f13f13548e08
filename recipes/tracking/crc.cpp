#include "recipes/tracking/crc.h"

#include <array>

namespace swath {

namespace {

using Table = std::array<std::uint32_t, 256>;

constexpr Table table_of(std::uint32_t reflected_polynomial) {
  Table table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = value & 1 ? value >> 1 ^ reflected_polynomial : value >> 1;
    table[byte] = value;
  }
  return table;
}

constexpr Table kIeee = table_of(0xEDB88320), kCastagnoli = table_of(0x82F63B78);

std::uint32_t checksum(const Table& table, std::string_view bytes) {
  std::uint32_t value = 0xFFFFFFFF;
  for (const char c : bytes) value = value >> 8 ^ table[(value ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~value;
}

}  // namespace

std::uint32_t crc32(std::string_view bytes) { return checksum(kIeee, bytes); }
std::uint32_t crc32c(std::string_view bytes) { return checksum(kCastagnoli, bytes); }

}  // namespace swath
