// Procedural multi-label landscapes (water, forest, fields, roads, buildings …) in the MLRSNet or BigEarthNet layout, so that
// a demonstration needs no download. The images are synthetic, and a SYNTHETIC.txt beside them says so.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/core/config.h"

namespace swath {

struct ScenesOptions {
  std::string out{};
  std::string layout = "mlrsnet";
  std::int64_t images = 1200;
  int size = 0;
  std::uint64_t seed = 0;
  int workers = 0;
  template <class V>
  void fields(V& v) {
    v("out", out, "folder to write; must be absent, empty, or an unfinished or equal earlier run");
    v("layout", layout, "mlrsnet: JPEG in 3 bands; bigearthnet: GeoTIFF in 12 bands", OneOf{{"mlrsnet", "bigearthnet"}});
    v("images", images, "number of images", Range{1, 1e7});
    v("size", size, "side in pixels (mlrsnet only); 0: 256", Range{0, 1024});
    v("seed", seed, "the same seed gives the same files");
    v("workers", workers, "threads; 0: one per core", Range{0, 1024});
  }
};

struct ScenesResult {
  std::int64_t images = 0;
  std::vector<std::string> class_names;
  std::vector<std::int64_t> images_per_class;
  double seconds = 0;
};

/// Writes the archive; `progress(done, total)` is called from one thread at a time and may throw to stop. Throws UserError
/// when `out` holds something else or (bigearthnet) the build has no GDAL; DataError when a file cannot be written.
ScenesResult generate_scenes(const ScenesOptions& options,
                             const std::function<void(std::int64_t, std::int64_t)>& progress = {});

}  // namespace swath
