// Rows picked by index and added back, on the CPU. methods.md §1.
#include "kernels/gather_rows.h"

#include <algorithm>
#include <cstring>

#include "kernels/parallel.h"

namespace swath::kernels {
namespace {

/// Rows of x that one thread owns in the scatter; each group reads the whole index once.
constexpr std::int64_t kScatterRows = 16;

std::int64_t rows_in_use(const std::int32_t* row_count, std::int64_t rows) {
  return row_count ? std::clamp<std::int64_t>(*row_count, 0, rows) : rows;
}

}  // namespace

void gather_rows(const GatherRowsArgs& args, Cpu) {
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  const std::size_t row_bytes = static_cast<std::size_t>(args.cols) * sizeof(float);
  parallel_for(
      args.rows,
      [&](std::int64_t r) {
        float* out = args.out + r * args.out_ld;
        const std::int64_t from = r < used ? args.index[r] : -1;
        if (from >= 0) {
          std::memcpy(out, args.x + from * args.x_ld, row_bytes);
        } else {
          std::fill_n(out, args.cols, 0.0f);
        }
      },
      serial_below_for(args.cols));
}

void scatter_add_rows(const ScatterAddRowsArgs& args, Cpu) {
  if (args.d_x_mode == GradMode::skip) return;
  const std::int64_t used = rows_in_use(args.row_count, args.rows);
  parallel_chunks(
      args.x_rows, kScatterRows,
      [&](std::int64_t begin, std::int64_t end) {
        if (args.d_x_mode == GradMode::overwrite) {
          for (std::int64_t i = begin; i < end; ++i) std::fill_n(args.d_x + i * args.d_x_ld, args.cols, 0.0f);
        }
        for (std::int64_t r = 0; r < used; ++r) {
          const std::int64_t to = args.index[r];
          if (to < begin || to >= end) continue;
          const float* d_out = args.d_out + r * args.d_out_ld;
          float* d_x = args.d_x + to * args.d_x_ld;
          for (std::int64_t k = 0; k < args.cols; ++k) d_x[k] += d_out[k];
        }
      },
      serial_below_for(kScatterRows * args.cols + used));
}

}  // namespace swath::kernels
