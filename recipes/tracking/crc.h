// The two checksums of the log formats, reflected, initial value and final xor of all ones.
#pragma once
#include <cstdint>
#include <string_view>

namespace swath {

/// CRC-32 of IEEE 802.3 (polynomial 0x04C11DB7), as in zlib.
std::uint32_t crc32(std::string_view bytes);
/// CRC-32C, Castagnoli (polynomial 0x1EDC6F41; RFC 3720, appendix B.4).
std::uint32_t crc32c(std::string_view bytes);

}  // namespace swath
