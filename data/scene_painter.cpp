#include "data/scene_painter.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace swath::scenes {

namespace {

constexpr float kVisibleShare = 0.04f;
constexpr float kPi = 3.14159265f;

struct Choice {
  Cover cover;
  float weight;
};
/// What a landscape is made of: covers by weight, and the chance of each linear or round feature.
struct Theme {
  const char* name;
  std::array<Choice, 6> land;
  float sea, lake, river, road;
};

const Theme kThemeTable[kThemes] = {
    {"coast",
     {{{Cover::grass, 3}, {Cover::scrub, 2}, {Cover::conifer, 2}, {Cover::houses, 2}, {Cover::rock, 1}, {Cover::field, 1}}},
     1.0f,
     0.0f,
     0.1f,
     0.3f},
    {"farmland",
     {{{Cover::field, 6},
       {Cover::grass, 2},
       {Cover::broadleaf, 1},
       {Cover::orchard, 2},
       {Cover::houses, 1},
       {Cover::field, 2}}},
     0.0f,
     0.1f,
     0.3f,
     0.5f},
    {"town",
     {{{Cover::houses, 5},
       {Cover::industry, 2},
       {Cover::grass, 2},
       {Cover::broadleaf, 1},
       {Cover::field, 1},
       {Cover::houses, 1}}},
     0.0f,
     0.1f,
     0.3f,
     0.7f},
    {"woodland",
     {{{Cover::broadleaf, 4}, {Cover::conifer, 4}, {Cover::scrub, 1}, {Cover::grass, 2}, {Cover::field, 1}, {Cover::marsh, 1}}},
     0.0f,
     0.3f,
     0.2f,
     0.3f},
    {"wetland",
     {{{Cover::marsh, 5}, {Cover::grass, 2}, {Cover::broadleaf, 2}, {Cover::scrub, 1}, {Cover::field, 1}, {Cover::marsh, 1}}},
     0.0f,
     0.6f,
     0.5f,
     0.1f},
    {"upland",
     {{{Cover::rock, 4}, {Cover::scrub, 3}, {Cover::conifer, 2}, {Cover::grass, 2}, {Cover::rock, 1}, {Cover::scrub, 1}}},
     0.0f,
     0.3f,
     0.2f,
     0.1f},
    {"industry",
     {{{Cover::industry, 5},
       {Cover::houses, 2},
       {Cover::grass, 1},
       {Cover::scrub, 1},
       {Cover::field, 1},
       {Cover::industry, 1}}},
     0.1f,
     0.1f,
     0.4f,
     0.8f},
};

Cover pick(const std::array<Choice, 6>& choices, float where) {
  float total = 0;
  for (const Choice& c : choices) total += c.weight;
  where *= total;
  for (const Choice& c : choices) {
    if (where < c.weight) return c.cover;
    where -= c.weight;
  }
  return choices.back().cover;
}

}  // namespace

const char* theme_name(int theme) { return kThemeTable[theme].name; }

Painter::Painter(std::uint64_t seed, std::int64_t image, int side)
    : random_(seed, static_cast<std::uint64_t>(image)),
      side_(side),
      theme_(static_cast<int>(image % kThemes)),
      noise_seed_(random_.bits()),
      season_(random_.uniform()),
      gain_(random_.uniform(0.8f, 1.2f)),
      haze_(random_.uniform(0, 250)) {
  const float azimuth = random_.uniform(0, 2 * kPi);
  sun_x_ = std::cos(azimuth);
  sun_y_ = std::sin(azimuth);
  const std::size_t pixels = static_cast<std::size_t>(side) * static_cast<std::size_t>(side);
  covers_.resize(pixels);
  cells_.resize(pixels);
  surfaces_.resize(pixels);
  const Theme& theme = kThemeTable[theme_];
  plan_land();
  if (random_.uniform() < theme.lake) plan_lake();
  if (random_.uniform() < theme.river) plan_river();
  if (random_.uniform() < theme.road) plan_road();
  if (random_.uniform() < theme.sea) plan_sea();
  texture();
  cast_shadows();
}

/// Patches: the nearest of a few sites, seen through a warp that bends their borders.
void Painter::plan_land() {
  const int count = 3 + random_.below(4);
  std::vector<Site> sites;
  for (int s = 0; s < count; ++s) {
    const float x = random_.uniform(), y = random_.uniform();
    sites.push_back({x, y, pick(kThemeTable[theme_].land, random_.uniform())});
  }
  const float warp = random_.uniform(0.05f, 0.25f);
  for (int y = 0; y < side_; ++y)
    for (int x = 0; x < side_; ++x) {
      const float u = unit(x) + warp * (fractal(noise_seed_ + 1, 4 * unit(x), 4 * unit(y), 3) - 0.5f);
      const float v = unit(y) + warp * (fractal(noise_seed_ + 2, 4 * unit(x), 4 * unit(y), 3) - 0.5f);
      std::size_t best = 0;
      float best_distance = 9;
      for (std::size_t s = 0; s < sites.size(); ++s) {
        const float d = (u - sites[s].x) * (u - sites[s].x) + (v - sites[s].y) * (v - sites[s].y);
        if (d < best_distance) {
          best_distance = d;
          best = s;
        }
      }
      covers_[at(y, x)] = sites[best].cover;
      cells_[at(y, x)] = noise_seed_ + 100 * static_cast<std::uint32_t>(best + 1);
    }
}

/// A half plane with a ragged shore and a beach along it.
void Painter::plan_sea() {
  const float angle = random_.uniform(0, 2 * kPi), offset = random_.uniform(-0.2f, 0.2f), beach = random_.uniform(0.02f, 0.12f);
  const float nx = std::cos(angle), ny = std::sin(angle);
  for (int y = 0; y < side_; ++y)
    for (int x = 0; x < side_; ++x) {
      const float u = unit(x), v = unit(y);
      const float depth =
          (u - 0.5f) * nx + (v - 0.5f) * ny - offset + 0.35f * (fractal(noise_seed_ + 3, 3 * u, 3 * v, 4) - 0.5f);
      if (depth > 0)
        covers_[at(y, x)] = Cover::sea;
      else if (depth > -beach)
        covers_[at(y, x)] = Cover::beach;
    }
}

void Painter::plan_lake() {
  const float cx = random_.uniform(0.2f, 0.8f), cy = random_.uniform(0.2f, 0.8f), radius = random_.uniform(0.15f, 0.35f);
  for (int y = 0; y < side_; ++y)
    for (int x = 0; x < side_; ++x) {
      const float u = unit(x), v = unit(y);
      const float d = std::hypot(u - cx, v - cy) + 0.3f * (fractal(noise_seed_ + 4, 5 * u, 5 * v, 3) - 0.5f);
      if (d < radius) covers_[at(y, x)] = Cover::lake;
    }
}

/// A band around a line that swings from side to side.
void Painter::plan_river() {
  const float angle = random_.uniform(0, kPi), offset = random_.uniform(-0.25f, 0.25f), width = random_.uniform(0.03f, 0.07f);
  const float swing = random_.uniform(0.05f, 0.15f), waves = random_.uniform(1, 2.5f), phase = random_.uniform(0, 2 * kPi);
  const float nx = std::cos(angle), ny = std::sin(angle);
  for (int y = 0; y < side_; ++y)
    for (int x = 0; x < side_; ++x) {
      const float u = unit(x) - 0.5f, v = unit(y) - 0.5f;
      const float along = -u * ny + v * nx;
      const float across = u * nx + v * ny - offset - swing * std::sin(2 * kPi * waves * along + phase) -
                           0.05f * (noise(noise_seed_ + 5, 9 * u, 9 * v) - 0.5f);
      if (std::abs(across) < width) covers_[at(y, x)] = Cover::river;
    }
}

/// One or two nearly straight bands of constant width; the second crosses the first.
void Painter::plan_road() {
  const int roads = 1 + random_.below(2);
  const float first = random_.uniform(0, kPi);
  for (int r = 0; r < roads; ++r) {
    const float angle = first + static_cast<float>(r) * random_.uniform(1.0f, 2.1f), offset = random_.uniform(-0.3f, 0.3f);
    const float width = random_.uniform(0.016f, 0.03f), bend = random_.uniform(-0.3f, 0.3f);
    const float nx = std::cos(angle), ny = std::sin(angle);
    for (int y = 0; y < side_; ++y)
      for (int x = 0; x < side_; ++x) {
        const float u = unit(x) - 0.5f, v = unit(y) - 0.5f;
        const float along = -u * ny + v * nx;
        if (std::abs(u * nx + v * ny - offset - bend * along * along) < width) covers_[at(y, x)] = Cover::road;
      }
  }
}

void Painter::texture() {
  for (int y = 0; y < side_; ++y)
    for (int x = 0; x < side_; ++x) surfaces_[at(y, x)] = surface(covers_[at(y, x)], cells_[at(y, x)], unit(x), unit(y));
}

/// A pixel lies in shadow when something towards the sun stands above the ray.
void Painter::cast_shadows() {
  constexpr int kReach = 6;
  constexpr float kShade = 0.55f, kSlope = 0.9f;
  const float step = 1.0f / static_cast<float>(std::max(side_, 64));
  for (int y = 0; y < side_; ++y)
    for (int x = 0; x < side_; ++x) {
      Surface& here = surfaces_[at(y, x)];
      for (int k = 1; k <= kReach; ++k) {
        const int sx = x + static_cast<int>(std::lround(sun_x_ * static_cast<float>(k)));
        const int sy = y + static_cast<int>(std::lround(sun_y_ * static_cast<float>(k)));
        if (sx < 0 || sy < 0 || sx >= side_ || sy >= side_) break;
        if (surfaces_[at(sy, sx)].height > here.height + kSlope * step * static_cast<float>(k)) {
          here.light *= kShade;
          break;
        }
      }
    }
}

std::vector<Cover> Painter::visible_covers() const {
  std::array<std::int64_t, kCovers> count{};
  for (const Cover c : covers_) ++count[static_cast<std::size_t>(c)];
  std::vector<Cover> visible;
  for (int c = 0; c < kCovers; ++c)
    if (static_cast<float>(count[static_cast<std::size_t>(c)]) >= kVisibleShare * static_cast<float>(covers_.size()))
      visible.push_back(static_cast<Cover>(c));
  return visible;
}

float Painter::reflectance(int y, int x, int band) const {
  const Surface& s = surfaces_[at(y, x)];
  const auto b = static_cast<std::size_t>(band);
  const float base = (1 - s.mix) * spectrum_of(s.a)[b] + s.mix * spectrum_of(s.b)[b];
  // Haze brightens the short wavelengths; the sensor's noise is uniform.
  const float grain = 60 * (hash01(noise_seed_ + 50 + static_cast<std::uint32_t>(band), x, y) - 0.5f);
  return std::max(1.0f, gain_ * base * s.light + haze_ / (1 + static_cast<float>(band)) + grain);
}

}  // namespace swath::scenes
