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

/// CUDA: a block of 256 threads takes `lanes` vectors of channels by 256 / lanes rows at a time, `groups` blocks take all
/// channels, and each of `chunks` row ranges is summed by one row of blocks.
struct CudaPlan {
  std::int64_t lanes, groups, chunk_rows, chunks;
};
constexpr int kCudaThreads = 256;

inline CudaPlan cuda_plan(std::int64_t rows, std::int64_t channels, std::int64_t vector) {
  const std::int64_t vectors = std::max<std::int64_t>(1, (channels + vector - 1) / vector);
  std::int64_t lanes = 1;
  while (lanes < 16 && lanes < vectors) lanes *= 2;
  const std::int64_t groups = (vectors + lanes - 1) / lanes;
  // Enough blocks to fill a large device, at least 64 rows each; at most 8192, which keeps the sums of a thread short.
  const std::int64_t wanted = std::clamp<std::int64_t>(132 * 8 / groups, 1, std::max<std::int64_t>(1, rows / 64));
  const std::int64_t chunk_rows = std::clamp<std::int64_t>((rows + wanted - 1) / wanted, 1, 8192);
  return {lanes, groups, chunk_rows, (rows + chunk_rows - 1) / chunk_rows};
}

/// Bytes: a shift and two partial sums per chunk and channel, and three coefficients per channel.
inline std::size_t workspace(std::int64_t rows, std::int64_t channels) {
  std::int64_t chunks = std::max<std::int64_t>(1, cpu_chunks(rows, channels));
  for (const std::int64_t vector : {1, 4, 8}) chunks = std::max(chunks, cuda_plan(rows, channels, vector).chunks);
  return static_cast<std::size_t>((3 * chunks + 3) * channels) * sizeof(float);
}

}  // namespace swath::kernels::batch_norm_plan
