// GeoTIFF through GDAL, confined to the GTiff driver: no folder listing, no side files, GDAL's messages captured.
// Compiled always; without GDAL in the build every function throws UserError that says so.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/exec.h"

namespace swath {

/// Whether this build reads GeoTIFF.
bool geotiff_supported();
/// Throws UserError with one sentence when it does not.
void require_geotiff(const std::string& what);

struct GeoTiffInfo {
  std::int64_t height = 0, width = 0, bands = 0;
  kernels::DType dtype = kernels::DType::u8;  // u8 or u16; another type is a DataError
  std::vector<std::string> descriptions{};    // one per band; empty text where the file has none
};
GeoTiffInfo geotiff_info(const std::string& path);

/// Where the bands of one file go in an image of height × width × channels.
struct GeoTiffTarget {
  std::int64_t height = 0, width = 0, channels = 0;
  std::int64_t first_channel = 0;  // of the file's first band
  void* pixels = nullptr;          // the image's first element, of `expected.dtype`
};

/// Reads every band, resampled bilinearly by GDAL's RasterIO when the size differs. `expected` is what the file must be;
/// extents of 0 are not checked. Throws DataError that names the file.
void read_geotiff(const std::string& path, const GeoTiffInfo& expected, const GeoTiffTarget& target);

/// Writes one uncompressed band of u16, height × width.
void write_geotiff(const std::string& path, const std::uint16_t* pixels, std::int64_t height, std::int64_t width);

}  // namespace swath
