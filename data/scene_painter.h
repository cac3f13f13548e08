// Paints one procedural landscape: a plan of land covers, then texture, sun and shadow, then reflectance.
#pragma once
#include <cstdint>
#include <vector>

#include "data/scene_materials.h"
#include "data/scene_noise.h"

namespace swath::scenes {

constexpr int kThemes = 7;
/// "coast", "farmland" …: the category folder of the MLRSNet layout.
const char* theme_name(int theme);

/// One pixel: two materials mixed, lit, and how high it stands (for shadows), in units of the image's side.
struct Surface {
  Material a = Material::soil, b = Material::soil;
  float mix = 0, light = 1, height = 0;
};

class Painter {
 public:
  /// Plans and paints side × side pixels; the result depends on (seed, image, side) alone.
  Painter(std::uint64_t seed, std::int64_t image, int side);

  int theme() const { return theme_; }
  /// Covers of at least 4 % of the image, in enum order.
  std::vector<Cover> visible_covers() const;
  /// Surface reflectance × 10,000 of pixel (y, x) in one band (0 … 11), with haze and sensor noise.
  float reflectance(int y, int x, int band) const;

 private:
  struct Site {
    float x, y;
    Cover cover;
  };
  void plan_land();
  void plan_sea();
  void plan_lake();
  void plan_river();
  void plan_road();
  void texture();
  void cast_shadows();
  Surface surface(Cover cover, std::uint32_t cell, float u, float v) const;
  Surface paint_field(std::uint32_t cell, float u, float v) const;
  Surface paint_houses(std::uint32_t cell, float u, float v) const;
  Surface paint_industry(std::uint32_t cell, float u, float v) const;
  Surface paint_orchard(std::uint32_t cell, float u, float v) const;
  Surface paint_forest(Material leaves, float crowns, std::uint32_t cell, float u, float v) const;
  Surface paint_open(Cover cover, std::uint32_t cell, float u, float v) const;
  std::size_t at(int y, int x) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(side_) + static_cast<std::size_t>(x);
  }
  float unit(int i) const { return (static_cast<float>(i) + 0.5f) / static_cast<float>(side_); }

  Random random_;
  int side_, theme_;
  std::uint32_t noise_seed_;
  float season_, gain_, haze_, sun_x_, sun_y_;
  std::vector<Cover> covers_;
  std::vector<std::uint32_t> cells_;  // varies a cover from place to place
  std::vector<Surface> surfaces_;
};

}  // namespace swath::scenes
