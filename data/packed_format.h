// The bytes of a packed split: npy header, sidecar text, checksums.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "data/packed.h"
#include "engine/io/file.h"

namespace swath {

/// The npy 1.0 header of rows × height × width × channels, as NumPy writes it; a multiple of 64 bytes.
std::string packed_header(const ImageSpec& image, std::int64_t rows);

/// Rows per checksum: about 16 MiB.
std::int64_t block_rows_of(const ImageSpec& image);

/// The sidecar, which carries its own checksum.
std::string sidecar_text(const PackedInfo& info);
/// Throws DataError that names `file` when the text is not a sidecar of this version, inconsistent or damaged.
PackedInfo parse_sidecar(const std::string& text, const std::string& file);
/// Reads <stem>.json.
PackedInfo read_sidecar(const std::string& stem);

}  // namespace swath
