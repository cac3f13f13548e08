// What data/geotiff.h is in a build without GDAL.
#include "data/geotiff.h"
#include "engine/core/error.h"

namespace swath {

bool geotiff_supported() { return false; }
void require_geotiff(const std::string& what) {
  throw UserError(what + " needs GDAL, which this build does not have; install libgdal-dev and configure with SWATH_GDAL=ON");
}
GeoTiffInfo geotiff_info(const std::string& path) {
  require_geotiff(path);
  return {};
}
void read_geotiff(const std::string& path, const GeoTiffInfo&, const GeoTiffTarget&) { require_geotiff(path); }
void write_geotiff(const std::string& path, const std::uint16_t*, std::int64_t, std::int64_t) { require_geotiff(path); }

}  // namespace swath
