// How moco_loss cuts its work and its workspace, from the sizes alone, so that sums have one order on every run.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/moco_loss.h"

namespace swath::kernels::moco_plan {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }

/// CUDA: products, then per column {shift, factor}, per row {loss, share of the negatives}, and partial gradients.
struct Cuda {
  static constexpr std::int64_t kTile = 64;  // rows and columns of a block's product

  std::int64_t products_ld = 0;  // a multiple of 4
  std::int64_t splits = 1;       // partial gradients
  std::int64_t span = 0;         // columns of the products behind one of them
  float* products = nullptr;     // rows × products_ld
  float* columns = nullptr;      // capacity × 2
  float* row_terms = nullptr;    // rows × 2
  float* partials = nullptr;     // splits × rows × cols
  std::size_t bytes = 0;

  explicit Cuda(const MocoLossArgs& args) {
    products_ld = round_up(args.capacity, 4);
    const std::int64_t tiles =
        std::max<std::int64_t>(1, round_up(args.rows, kTile) / kTile * (round_up(args.cols, kTile) / kTile));
    // Enough blocks for two on each processor of a large device, as long as each has 64 columns to sum.
    const std::int64_t wanted = std::clamp<std::int64_t>(264 / tiles, 1, std::max<std::int64_t>(1, args.capacity / 64));
    span = std::max<std::int64_t>(16, round_up((args.capacity + wanted - 1) / wanted, 16));
    splits = std::max<std::int64_t>(1, (args.capacity + span - 1) / span);
    auto* base = static_cast<float*>(args.workspace);
    std::int64_t at = 0;
    const auto take = [&](float*& part, std::int64_t floats) {
      if (base) part = base + at;
      at += round_up(floats, 16);
    };
    take(products, args.rows * products_ld);
    take(columns, args.capacity * 2);
    take(row_terms, args.rows * 2);
    take(partials, splits * args.rows * args.cols);
    bytes = static_cast<std::size_t>(at) * sizeof(float);
  }
};

/// CPU: groups of tiles of columns, each with its own running maxima, sums and gradient.
struct Host {
  static constexpr std::int64_t kMaxTile = 256, kMaxGroups = 32;

  std::int64_t tile = 0;          // columns whose products and weights stay in the cache
  std::int64_t tiles = 0;         // of the keys given
  std::int64_t groups = 0;        // of tiles
  std::int64_t group_floats = 0;  // of the workspace

  Host(const MocoLossArgs& args, std::int64_t keys) {
    tile = std::clamp<std::int64_t>(65536 / std::max<std::int64_t>(1, args.rows) / 16 * 16, 64, kMaxTile);
    tiles = (keys + tile - 1) / tile;
    groups = std::min(tiles, kMaxGroups);
    group_floats = 2 * round_up(args.rows * tile, 16) + 2 * round_up(args.rows, 16) + round_up(args.rows * args.cols, 16);
  }
  std::size_t bytes(const MocoLossArgs& args) const {
    return static_cast<std::size_t>(groups * group_floats + round_up(args.rows, 16)) * sizeof(float);
  }
};

}  // namespace swath::kernels::moco_plan
