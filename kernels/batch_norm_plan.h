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

/// CUDA: a thread takes a cell of 8 channels, a block `lanes` cells by threads / lanes rows at a time, `groups` blocks take all
/// channels, and each of `chunks` row ranges is summed by one row of blocks.
constexpr int kCell = 8;
constexpr int kMaxLanes = 8;
constexpr int kSumThreads = 512, kMapThreads = 256;
struct CudaPlan {
  std::int64_t lanes, groups, chunk_rows, chunks;
};

inline CudaPlan cuda_plan(std::int64_t rows, std::int64_t channels) {
  const std::int64_t cells = std::max<std::int64_t>(1, (channels + kCell - 1) / kCell);
  std::int64_t lanes = 1;
  while (lanes < kMaxLanes && lanes < cells) lanes *= 2;
  const std::int64_t groups = (cells + lanes - 1) / lanes;
  // Two blocks for each of A100's 108 multiprocessors; the last block of a group merges the chunks, so they should be few. At
  // least 64 rows each; at most 8192, which keeps the sums of a thread short.
  const std::int64_t wanted = std::clamp<std::int64_t>(216 / groups, 1, std::max<std::int64_t>(1, rows / 64));
  const std::int64_t chunk_rows = std::clamp<std::int64_t>((rows + wanted - 1) / wanted, 1, 8192);
  return {lanes, groups, chunk_rows, (rows + chunk_rows - 1) / chunk_rows};
}

/// Floats per channel: three coefficients for each of two terms, then three partial results per chunk.
constexpr std::int64_t kCoefficients = 6, kPartials = 3;
inline std::size_t workspace(std::int64_t rows, std::int64_t channels) {
  const std::int64_t chunks = std::max({std::int64_t{1}, cpu_chunks(rows, channels), cuda_plan(rows, channels).chunks});
  return static_cast<std::size_t>((kPartials * chunks + kCoefficients) * channels) * sizeof(float);
}

}  // namespace swath::kernels::batch_norm_plan
