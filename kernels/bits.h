// One bit per element to one byte per element and back, 8 at a time, on the CPU.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>

namespace swath::kernels {

static_assert(std::endian::native == std::endian::little);

namespace bits {

constexpr std::array<std::uint64_t, 256> make_table() {
  std::array<std::uint64_t, 256> table{};
  for (std::uint64_t byte = 0; byte < 256; ++byte)
    for (int bit = 0; bit < 8; ++bit) table[byte] |= (byte >> bit & 1u) << (8 * bit);
  return table;
}
inline constexpr std::array<std::uint64_t, 256> kExpanded = make_table();

}  // namespace bits

/// flags[8 i + k] = bit k of packed[i], for n flags rounded up to whole bytes.
inline void expand_bits(const std::uint8_t* packed, std::int64_t n, std::uint8_t* flags) {
  for (std::int64_t i = 0; i * 8 < n; ++i) std::memcpy(flags + 8 * i, &bits::kExpanded[packed[i]], 8);
}

/// Bit k of packed[i] = flags[8 i + k] for n flags that are 0 or 1; flags beyond n, up to a whole byte, are written as 0.
inline void pack_bits(std::uint8_t* flags, std::int64_t n, std::uint8_t* packed) {
  for (std::int64_t k = n; k % 8 != 0; ++k) flags[k] = 0;
  for (std::int64_t i = 0; i * 8 < n; ++i) {
    std::uint64_t eight;
    std::memcpy(&eight, flags + 8 * i, 8);
    // Each product moves flag k to bit 56 + k; no two meet.
    packed[i] = static_cast<std::uint8_t>(eight * 0x0102040810204080ull >> 56);
  }
}

}  // namespace swath::kernels
