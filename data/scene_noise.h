// Random numbers and smooth noise of the procedural landscapes: functions of (seed, image) alone.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/philox.h"

namespace swath::scenes {

/// A sequence of draws for one image.
class Random {
 public:
  Random(std::uint64_t seed, std::uint64_t image) : seed_(seed), image_(image) {}
  std::uint32_t bits() {
    if (used_ == 4) {
      block_ = kernels::philox(seed_, image_, kernels::RandomStream::scenes, block_number_++);
      used_ = 0;
    }
    return block_.v[used_++];
  }
  float uniform() { return kernels::uniform01(bits()); }
  float uniform(float low, float high) { return low + (high - low) * uniform(); }
  int below(int n) { return static_cast<int>(kernels::uniform_below(bits(), static_cast<std::uint32_t>(n))); }

 private:
  std::uint64_t seed_, image_, block_number_ = 0;
  int used_ = 4;
  kernels::Philox4 block_{};
};

/// Well-mixed 32 bits of a lattice point.
inline std::uint32_t hash(std::uint32_t seed, int x, int y) {
  std::uint32_t h = seed ^ (static_cast<std::uint32_t>(x) * 0x8da6b343u) ^ (static_cast<std::uint32_t>(y) * 0xd8163841u);
  h = (h ^ (h >> 16)) * 0x7feb352du;
  h = (h ^ (h >> 15)) * 0x846ca68bu;
  return h ^ (h >> 16);
}
inline float hash01(std::uint32_t seed, int x, int y) { return kernels::uniform01(hash(seed, x, y)); }

/// Value noise in [0, 1] with lattice spacing 1.
inline float noise(std::uint32_t seed, float x, float y) {
  const float fx = std::floor(x), fy = std::floor(y);
  const int ix = static_cast<int>(fx), iy = static_cast<int>(fy);
  const float tx = x - fx, ty = y - fy;
  const float sx = tx * tx * (3 - 2 * tx), sy = ty * ty * (3 - 2 * ty);
  const float top = hash01(seed, ix, iy) * (1 - sx) + hash01(seed, ix + 1, iy) * sx;
  const float bottom = hash01(seed, ix, iy + 1) * (1 - sx) + hash01(seed, ix + 1, iy + 1) * sx;
  return top * (1 - sy) + bottom * sy;
}

/// Octaves of noise, each half as strong and twice as fine; in [0, 1], mean near 0.5.
inline float fractal(std::uint32_t seed, float x, float y, int octaves) {
  float sum = 0, weight = 0, amplitude = 1;
  for (int o = 0; o < octaves; ++o) {
    sum += amplitude * noise(seed + static_cast<std::uint32_t>(o) * 7919u, x, y);
    weight += amplitude;
    amplitude *= 0.5f;
    x = 2 * x + 17.3f;
    y = 2 * y - 5.1f;
  }
  return sum / weight;
}

/// Distance to the nearest of one jittered point per lattice cell, and that point's hash.
struct Nearest {
  float distance;
  std::uint32_t id;
};
inline Nearest nearest_point(std::uint32_t seed, float x, float y) {
  const int ix = static_cast<int>(std::floor(x)), iy = static_cast<int>(std::floor(y));
  Nearest best{9, 0};
  for (int j = iy - 1; j <= iy + 1; ++j)
    for (int i = ix - 1; i <= ix + 1; ++i) {
      const std::uint32_t h = hash(seed, i, j);
      const float px = static_cast<float>(i) + static_cast<float>(h & 0xffffu) / 65536.0f;
      const float py = static_cast<float>(j) + static_cast<float>(h >> 16) / 65536.0f;
      const float d = (px - x) * (px - x) + (py - y) * (py - y);
      if (d < best.distance) best = {d, h};
    }
  best.distance = std::sqrt(best.distance);
  return best;
}

}  // namespace swath::scenes
