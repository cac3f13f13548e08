// How each land cover of the procedural landscapes looks from above.
#include <algorithm>
#include <cmath>

#include "data/scene_painter.h"

namespace swath::scenes {

namespace {

constexpr float kPi = 3.14159265f;

/// Coordinates in a frame turned by an angle that belongs to the cell.
struct Turned {
  float x, y;
};
Turned turn(std::uint32_t cell, float u, float v) {
  const float angle = kPi * hash01(cell, 1, 1);
  return {u * std::cos(angle) + v * std::sin(angle), v * std::cos(angle) - u * std::sin(angle)};
}

float fraction(float x) { return x - std::floor(x); }
int whole(float x) { return static_cast<int>(std::floor(x)); }

}  // namespace

Surface Painter::surface(Cover cover, std::uint32_t cell, float u, float v) const {
  switch (cover) {
    case Cover::field:
      return paint_field(cell, u, v);
    case Cover::houses:
      return paint_houses(cell, u, v);
    case Cover::industry:
      return paint_industry(cell, u, v);
    case Cover::orchard:
      return paint_orchard(cell, u, v);
    case Cover::broadleaf:
      return paint_forest(Material::broadleaf, 30, cell, u, v);
    case Cover::conifer:
      return paint_forest(Material::conifer, 44, cell, u, v);
    default:
      return paint_open(cover, cell, u, v);
  }
}

/// Straight parcels, each at its own stage between green, ripe and ploughed, with rows along one direction.
Surface Painter::paint_field(std::uint32_t cell, float u, float v) const {
  const Turned p = turn(cell, u, v);
  const float long_side = 3 + 3 * hash01(cell, 2, 2), short_side = 6 + 4 * hash01(cell, 3, 3);
  const int column = whole(p.x * long_side), row = whole(p.y * short_side + 0.5f * hash01(cell, column, 4));
  const float stage = hash01(cell + 5, column, row), rows = 60 + 40 * hash01(cell + 6, column, row);
  Surface s;
  s.a = stage < 0.25f + 0.4f * season_ ? Material::green_crop : Material::ripe_crop;
  s.b = stage > 0.8f ? Material::soil : s.a == Material::green_crop ? Material::grass : Material::soil;
  s.mix = stage > 0.8f ? 0.9f : 0.6f * hash01(cell + 7, column, row);
  s.light = 0.95f + 0.1f * std::sin(2 * kPi * rows * p.x) + 0.15f * (noise(cell + 8, 12 * u, 12 * v) - 0.5f);
  const float edge = std::min(fraction(p.x * long_side), fraction(p.y * short_side + 0.5f * hash01(cell, column, 4)));
  if (edge < 0.04f) s = {Material::grass, Material::scrub, 0.5f, 0.8f, 0.004f};
  return s;
}

/// Blocks of small roofs in gardens between narrow streets.
Surface Painter::paint_houses(std::uint32_t cell, float u, float v) const {
  const Turned p = turn(cell, u, v);
  const float lots = 13 + 5 * hash01(cell, 2, 2);
  const float x = p.x * lots, y = p.y * lots;
  const int column = whole(x), row = whole(y);
  const float fx = fraction(x), fy = fraction(y);
  if ((column % 4 == 0 && fx < 0.45f) || (row % 3 == 0 && fy < 0.45f)) return {Material::asphalt, Material::asphalt, 0, 1, 0};
  const float width = 0.55f + 0.3f * hash01(cell + 3, column, row), depth = 0.5f + 0.3f * hash01(cell + 4, column, row);
  if (hash01(cell + 5, column, row) < 0.85f && fx > 0.15f && fx < 0.15f + width && fy > 0.15f && fy < 0.15f + depth) {
    const bool lit = (fy - 0.15f < 0.5f * depth) == (sun_y_ < 0);
    const Material roof = hash01(cell + 6, column, row) < 0.6f ? Material::red_roof : Material::grey_roof;
    return {roof, roof, 0, (lit ? 1.15f : 0.85f) * (0.85f + 0.3f * hash01(cell + 7, column, row)), 0.02f};
  }
  const float trees = fractal(cell + 8, 30 * u, 30 * v, 2);
  return {Material::grass, Material::broadleaf, trees > 0.55f ? 1.0f : 0.0f, 0.8f + 0.3f * trees, trees > 0.6f ? 0.01f : 0.0f};
}

/// Large flat roofs and paved yards.
Surface Painter::paint_industry(std::uint32_t cell, float u, float v) const {
  const Turned p = turn(cell, u, v);
  const float halls = 3.5f + 2 * hash01(cell, 2, 2);
  const float x = p.x * halls, y = 1.4f * p.y * halls;
  const int column = whole(x), row = whole(y);
  const float fx = fraction(x), fy = fraction(y);
  const float width = 0.5f + 0.3f * hash01(cell + 3, column, row), depth = 0.45f + 0.3f * hash01(cell + 4, column, row);
  if (fx > 0.1f && fx < 0.1f + width && fy > 0.1f && fy < 0.1f + depth) {
    const float stripes = 0.95f + 0.06f * std::sin(2 * kPi * 10 * fx);
    return {Material::white_roof, Material::grey_roof, hash01(cell + 5, column, row), stripes, 0.03f};
  }
  const float yard = noise(cell + 6, 8 * u, 8 * v);
  return {Material::asphalt, Material::soil, yard > 0.7f ? 0.7f : 0.1f,
          0.9f + 0.3f * hash01(cell + 7, whole(60 * p.x), whole(60 * p.y)), 0};
}

/// Round crowns on a lattice over pale ground.
Surface Painter::paint_orchard(std::uint32_t cell, float u, float v) const {
  const Turned p = turn(cell, u, v);
  const float rows = 17 + 6 * hash01(cell, 2, 2);
  const float dx = fraction(p.x * rows) - 0.5f, dy = fraction(p.y * rows) - 0.5f;
  if (std::hypot(dx, dy) < 0.36f)
    return {Material::orchard, Material::broadleaf, 0.3f, 0.85f - 0.4f * (dx * sun_x_ + dy * sun_y_), 0.012f};
  const float ground = fractal(cell + 3, 20 * u, 20 * v, 2);
  return {Material::soil, Material::grass, 0.25f + 0.4f * ground, 0.95f + 0.2f * (ground - 0.5f), 0};
}

/// Crowns packed together, each lit from the sun's side.
Surface Painter::paint_forest(Material leaves, float crowns, std::uint32_t cell, float u, float v) const {
  const Nearest crown = nearest_point(cell + 3, crowns * u, crowns * v);
  const float vigour = kernels::uniform01(crown.id * 2654435761u);
  const float stand = fractal(cell + 4, 5 * u, 5 * v, 3);
  Surface s{leaves, leaves == Material::broadleaf ? Material::grass : Material::broadleaf, 0, 1, 0};
  s.mix = 0.25f * vigour + (leaves == Material::broadleaf ? 0.3f * season_ * stand : 0.0f);
  s.light = (1.15f - 0.6f * crown.distance) * (0.75f + 0.3f * vigour + 0.25f * (stand - 0.5f));
  s.height = (0.02f + 0.012f * vigour) * std::max(0.0f, 1 - 0.8f * crown.distance);
  return s;
}

Surface Painter::paint_open(Cover cover, std::uint32_t cell, float u, float v) const {
  const float broad = fractal(cell + 3, 6 * u, 6 * v, 3), fine = fractal(cell + 4, 28 * u, 28 * v, 2);
  switch (cover) {
    case Cover::sea:
      return {Material::sea, Material::lake, 0.4f * broad,
              0.85f + 0.25f * noise(noise_seed_ + 6, 40 * (u * sun_x_ + v * sun_y_), 9 * u), 0};
    case Cover::lake:
      return {Material::lake, Material::sea, 0.7f * broad, 0.9f + 0.1f * fine, 0};
    case Cover::river:
      return {Material::river, Material::lake, 0.5f * broad, 0.9f + 0.15f * fine, 0};
    case Cover::beach:
      return {Material::sand, Material::soil, 0.4f * broad, 0.9f + 0.2f * fine, 0};
    case Cover::grass:
      return {Material::grass, Material::ripe_crop, 0.5f * season_ * broad, 0.85f + 0.2f * broad + 0.1f * (fine - 0.5f), 0};
    case Cover::marsh: {
      const float wet = fractal(cell + 5, 10 * u, 22 * v, 3);
      return {Material::marsh, Material::lake, wet > 0.52f ? 0.9f : 0.1f, 0.8f + 0.35f * fine, 0};
    }
    case Cover::rock: {
      const float ridge = 1 - std::abs(2 * fractal(cell + 5, 8 * u, 8 * v, 4) - 1);
      return {Material::rock, Material::scrub, fine > 0.6f ? 0.4f : 0.0f, 0.45f + 0.75f * ridge * ridge, 0.03f * ridge};
    }
    case Cover::scrub:
      return {Material::scrub, Material::soil, fine > 0.5f ? 0.05f : 0.55f, 0.8f + 0.3f * broad, fine > 0.55f ? 0.004f : 0.0f};
    default:  // road
      return {Material::asphalt, Material::grey_roof, 0.3f * fine, 1.05f, 0};
  }
}

}  // namespace swath::scenes
