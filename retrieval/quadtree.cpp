#include "retrieval/quadtree.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/parallel.h"

namespace swath {
namespace {

constexpr int kLevels = 31;  // bits per coordinate
constexpr std::int32_t kLeaf = 8;
constexpr std::int64_t kCheap = kernels::serial_below_for(16);

/// The bits of a 31-bit number at every second place.
std::uint64_t spread(std::uint64_t v) {
  v = (v | v << 16) & 0x0000FFFF0000FFFFull;
  v = (v | v << 8) & 0x00FF00FF00FF00FFull;
  v = (v | v << 4) & 0x0F0F0F0F0F0F0F0Full;
  v = (v | v << 2) & 0x3333333333333333ull;
  return (v | v << 1) & 0x5555555555555555ull;
}

struct Square {
  Point2 low;
  double side = 0;
};

Square bounds(const std::vector<Point2>& points) {
  Point2 low{HUGE_VAL, HUGE_VAL}, high{-HUGE_VAL, -HUGE_VAL};
  for (const Point2& p : points) {
    low = {std::min(low.x, p.x), std::min(low.y, p.y)};
    high = {std::max(high.x, p.x), std::max(high.y, p.y)};
  }
  return {low, std::max(high.x - low.x, high.y - low.y)};
}

}  // namespace

void Quadtree::build(const std::vector<Point2>& points) {
  const auto n = static_cast<std::int32_t>(points.size());
  const Square square = bounds(points);
  constexpr double kCells = 1u << kLevels;
  const double scale = square.side > 0 ? kCells / square.side : 0;
  const auto cell = [&](double offset) { return static_cast<std::uint64_t>(std::clamp(offset * scale, 0.0, kCells - 1)); };
  std::vector<std::uint64_t> codes(n);
  kernels::parallel_for(
      n,
      [&](std::int64_t i) {
        codes[i] = spread(cell(points[i].x - square.low.x)) | spread(cell(points[i].y - square.low.y)) << 1;
      },
      kCheap);
  // The order of the step before is nearly sorted already.
  if (static_cast<std::int32_t>(order_.size()) != n) {
    order_.resize(n);
    std::iota(order_.begin(), order_.end(), 0);
  }
  std::sort(order_.begin(), order_.end(),
            [&](std::int32_t a, std::int32_t b) { return codes[a] != codes[b] ? codes[a] < codes[b] : a < b; });
  codes_.resize(n);
  sorted_.resize(n);
  kernels::parallel_for(
      n,
      [&](std::int64_t s) {
        codes_[s] = codes[order_[s]];
        sorted_[s] = points[order_[s]];
      },
      kCheap);
  nodes_.clear();
  if (n > 0) add_node(0, n, kLevels, square.side);
}

void Quadtree::add_node(std::int32_t begin, std::int32_t end, int level, double side) {
  const auto index = static_cast<std::int32_t>(nodes_.size());
  Point2 sum;
  for (std::int32_t s = begin; s < end; ++s) sum = {sum.x + sorted_[s].x, sum.y + sorted_[s].y};
  const double count = end - begin;
  nodes_.push_back({{sum.x / count, sum.y / count}, side * side, begin, end, 0, end - begin <= kLeaf || level == 0});
  if (!nodes_[index].leaf) {
    for (std::int32_t from = begin; from < end;) {
      const std::uint64_t quadrant = codes_[from] >> 2 * (level - 1);
      const auto past = std::partition_point(codes_.begin() + from, codes_.begin() + end,
                                             [&](std::uint64_t code) { return code >> 2 * (level - 1) == quadrant; });
      const auto to = static_cast<std::int32_t>(past - codes_.begin());
      add_node(from, to, level - 1, side / 2);
      from = to;
    }
  }
  nodes_[index].next = static_cast<std::int32_t>(nodes_.size());
}

void Quadtree::repel_one(std::int32_t slot, double theta2, Point2& force, double& z) const {
  const Point2 at = sorted_[slot];
  const auto add = [&](const Point2& other, double mass) {
    const double dx = at.x - other.x, dy = at.y - other.y;
    const double q = 1 / (1 + dx * dx + dy * dy);
    z += mass * q;
    force.x += mass * q * q * dx;
    force.y += mass * q * q * dy;
  };
  const auto nodes = static_cast<std::int32_t>(nodes_.size());
  for (std::int32_t index = 0; index < nodes;) {
    const Node& node = nodes_[index];
    const double dx = at.x - node.centre.x, dy = at.y - node.centre.y;
    if (node.side2 < theta2 * (dx * dx + dy * dy)) {
      add(node.centre, node.end - node.begin);
      index = node.next;
    } else if (node.leaf) {
      for (std::int32_t s = node.begin; s < node.end; ++s)
        if (s != slot) add(sorted_[s], 1);
      index = node.next;
    } else {
      ++index;
    }
  }
}

void Quadtree::repel(double theta, std::vector<Point2>& forces, std::vector<double>& z) const {
  const auto n = static_cast<std::int64_t>(sorted_.size());
  constexpr std::int64_t kChunk = 256;
  forces.resize(n);
  z.resize(n);
  kernels::parallel_tasks((n + kChunk - 1) / kChunk, [&](std::int64_t chunk) {
    for (std::int64_t s = chunk * kChunk; s < std::min(n, (chunk + 1) * kChunk); ++s) {
      Point2 force;
      double sum = 0;
      repel_one(static_cast<std::int32_t>(s), theta * theta, force, sum);
      forces[order_[s]] = force;
      z[order_[s]] = sum;
    }
  });
}

}  // namespace swath
