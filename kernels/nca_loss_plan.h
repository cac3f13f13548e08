// How nca_loss cuts its work and its workspace, from the sizes alone, so that sums have one order on every run.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/label_mask.h"
#include "kernels/nca_loss.h"
#include "kernels/nca_loss_terms.h"

namespace swath::kernels::nca_plan {

constexpr std::int64_t round_up(std::int64_t n, std::int64_t to) { return (n + to - 1) / to * to; }
constexpr std::int64_t pieces(std::int64_t n, std::int64_t of) { return (n + of - 1) / of; }

/// CPU: every task takes a block of the batch's rows and a run of the bank's tiles, with sums of its own.
struct Host {
  static constexpr std::int64_t kTile = 128;  // bank rows that stay in the cache while both products read them
  static constexpr std::int64_t kTasks = 64;

  std::int64_t blocks = 0, block_rows = 0;  // of the batch
  std::int64_t tiles = 0, runs = 0;         // of the bank
  std::int64_t weights = 0, sums = 0, row_sums = 0, widened = 0, labels = 0, task_floats = 0;

  explicit Host(const NcaLossArgs& args) {
    blocks = pieces(args.batch, 128);
    block_rows = blocks > 0 ? pieces(args.batch, blocks) : 0;
    tiles = pieces(args.rows, kTile);
    runs = std::min(tiles, blocks > 0 ? std::max<std::int64_t>(1, kTasks / blocks) : 0);
    weights = 2 * block_rows * kTile;
    sums = round_up(2 * block_rows * args.cols, 16);
    row_sums = round_up(4 * block_rows, 16);
    widened = args.bank_type == DType::f32 ? 0 : kTile * args.cols;
    labels = 2 * label_words(args.classes) * kTile;
    task_floats = weights + sums + row_sums + widened + labels;
  }
  std::int64_t row_losses(const NcaLossArgs& args) const { return round_up(args.batch, 16); }
  std::size_t bytes(const NcaLossArgs& args) const {
    return static_cast<std::size_t>(row_losses(args) + blocks * runs * task_floats) * sizeof(float);
  }
};

/// CUDA: a block takes some rows of the batch and a run of the bank's tiles; a warp 32 columns, and 512 columns at a time.
struct Cuda {
  static constexpr std::int64_t kTile = 16;   // bank rows
  static constexpr std::int64_t kSlice = 32;  // columns of a warp
  static constexpr std::int64_t kMaxWarps = 16;
  static constexpr std::int64_t kSpan = kMaxWarps * kSlice;  // columns of a block
  static constexpr std::int64_t kStatisticsRows = 64, kGradientRows = 32;

  std::int64_t warps = 0, spans = 0, tiles = 0;
  std::int64_t statistics_tiles = 0, gradient_tiles = 0;  // of a block
  std::int64_t statistics_runs = 0, gradient_runs = 0;    // of tiles
  NcaSums* sums = nullptr;                                // statistics_runs × batch
  float* rows = nullptr;                                  // batch × 4: {shift, 1/Z', positive shift, 1/P}
  float* losses = nullptr;                                // batch
  float* partials = nullptr;                              // gradient_runs × batch × cols
  std::size_t bytes = 0;

  explicit Cuda(const NcaLossArgs& args) {
    spans = std::max<std::int64_t>(1, pieces(args.cols, kSpan));
    warps = spans > 1 ? kMaxWarps : std::max<std::int64_t>(1, pieces(args.cols, kSlice));
    tiles = pieces(args.rows, kTile);
    const std::int64_t blocks = std::clamp<std::int64_t>(args.blocks, 1, 65535);
    const auto run_tiles = [&](std::int64_t others) {
      return std::max<std::int64_t>(1, pieces(tiles * std::max<std::int64_t>(1, others), blocks));
    };
    statistics_tiles = run_tiles(pieces(args.batch, kStatisticsRows));
    gradient_tiles = run_tiles(pieces(args.batch, kGradientRows) * spans);
    statistics_runs = pieces(tiles, statistics_tiles);
    gradient_runs = pieces(tiles, gradient_tiles);
    auto* base = static_cast<float*>(args.workspace);
    std::int64_t at = 0;
    const auto take = [&](auto*& part, std::int64_t floats) {
      if (base) part = reinterpret_cast<std::remove_reference_t<decltype(part)>>(base + at);
      at += round_up(floats, 16);
    };
    take(sums, statistics_runs * args.batch * 4);
    take(rows, args.batch * 4);
    take(losses, args.batch);
    if (args.d_embeddings_mode != GradMode::skip) take(partials, gradient_runs * args.batch * args.cols);
    bytes = static_cast<std::size_t>(at) * sizeof(float);
  }
};

}  // namespace swath::kernels::nca_plan
