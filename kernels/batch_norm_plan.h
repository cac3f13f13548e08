// How batch norm cuts its rows for the two executors, so that one workspace query serves both.
#pragma once
#include <algorithm>
#include <cstdint>

namespace swath::kernels::batch_norm_plan {

/// The mean of this many first rows of a chunk shifts its sums.
constexpr std::int64_t kShiftRows = 4;

/// CPU: rows per chunk; about 128 KiB of f32, so that the chunk's partial sums stay small beside it.
inline std::int64_t cpu_chunk_rows(std::int64_t channels) {
  return std::clamp<std::int64_t>(32768 / std::max<std::int64_t>(channels, 1), 16, 1024);
}
inline std::int64_t cpu_chunks(std::int64_t rows, std::int64_t channels) {
  const std::int64_t size = cpu_chunk_rows(channels);
  return (rows + size - 1) / size;
}

/// CUDA: a thread takes a cell of 8 channels; a block `lanes` cells by threads / lanes rows at a time, a sweep; `groups` blocks
/// take all channels. Sweeps go round the blocks of a group in turn, so that a whole grid moves through the rows in order.
constexpr int kCell = 8;
constexpr int kMaxLanes = 8;
constexpr int kSumThreads = 512, kMapThreads = 256;
constexpr int kMostProcessors = 160;
struct CudaPlan {
  std::int64_t lanes, groups;
};
inline CudaPlan cuda_plan(std::int64_t channels) {
  const std::int64_t cells = std::max<std::int64_t>(1, (channels + kCell - 1) / kCell);
  std::int64_t lanes = 1;
  while (lanes < kMaxLanes && lanes < cells) lanes *= 2;
  return {lanes, (cells + lanes - 1) / lanes};
}
/// Blocks per group where the device holds `resident` at once: they start together, and take the same number of sweeps or one
/// less.
inline std::int64_t blocks_of_group(const CudaPlan& plan, std::int64_t rows, int threads, std::int64_t resident) {
  const std::int64_t lines = threads / plan.lanes, sweeps = std::max<std::int64_t>(1, (rows + lines - 1) / lines);
  const std::int64_t most = std::max<std::int64_t>(1, resident / plan.groups), each = (sweeps + most - 1) / most;
  return (sweeps + each - 1) / each;
}

/// Floats per channel: three coefficients for each of two terms, then three partial results per chunk.
constexpr std::int64_t kCoefficients = 6, kPartials = 3;
inline std::size_t workspace(std::int64_t rows, std::int64_t channels) {
  const std::int64_t blocks = std::max<std::int64_t>(1, kMostProcessors / cuda_plan(channels).groups);
  const std::int64_t chunks = std::max(blocks, cpu_chunks(rows, channels));
  return static_cast<std::size_t>((kPartials * chunks + kCoefficients) * channels) * sizeof(float);
}

}  // namespace swath::kernels::batch_norm_plan
