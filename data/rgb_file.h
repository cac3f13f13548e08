// JPEG (libjpeg-turbo) and PNG (libspng) files as 8-bit RGB. Header first, at most 64 Mpixel, a warning counts as corrupt.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace swath {

constexpr std::int64_t kMaxPixels = std::int64_t{64} << 20;

/// Decodes the file, grey or colour, to height × width × 3 bytes, resampled bilinearly when its size differs. The kind is told
/// by the first bytes. Thread-safe. Throws DataError that names the file.
void read_rgb(const std::string& path, std::int64_t height, std::int64_t width, std::uint8_t* pixels);
/// As above, of the bytes of a file; `name` stands for it in a DataError.
void decode_rgb(const std::vector<std::uint8_t>& bytes, const std::string& name, std::int64_t height, std::int64_t width,
                std::uint8_t* pixels);

/// A JPEG of height × width × 3 bytes, 4:2:0. The same pixels give the same bytes.
std::vector<std::uint8_t> encode_jpeg(const std::uint8_t* pixels, std::int64_t height, std::int64_t width, int quality);

}  // namespace swath
