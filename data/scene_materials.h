// Land covers of the procedural landscapes, their names in both layouts, and reflectances in the 12 Sentinel-2 bands.
#pragma once
#include <array>
#include <cstdint>

namespace swath::scenes {

/// Order of the MLRSNet layout's class names.
enum class Cover : std::uint8_t {
  rock,
  beach,
  broadleaf,
  conifer,
  field,
  grass,
  houses,
  industry,
  lake,
  marsh,
  orchard,
  river,
  road,
  scrub,
  sea,
};
constexpr int kCovers = 15;

struct CoverNames {
  const char* plain;   // class of the MLRSNet layout
  const char* corine;  // level-3 name of the BigEarthNet layout
};
const CoverNames& names_of(Cover cover);

/// What a pixel is made of.
enum class Material : std::uint8_t {
  sea,
  lake,
  river,
  sand,
  broadleaf,
  conifer,
  green_crop,
  ripe_crop,
  soil,
  grass,
  orchard,
  red_roof,
  grey_roof,
  white_roof,
  asphalt,
  marsh,
  rock,
  scrub,
};
constexpr int kMaterials = 18;

/// Surface reflectance × 10,000 in the band order of methods.md §1 (B01 … B12).
const std::array<float, 12>& spectrum_of(Material material);

}  // namespace swath::scenes
