// What the kernels of network and optimiser state in a dry run.
#include "kernels/adam.h"
#include "kernels/augment.h"
#include "kernels/batch_norm.h"
#include "kernels/batch_norm_fused.h"
#include "kernels/batch_norm_join.h"
#include "kernels/batch_norm_pool.h"
#include "kernels/columns.h"
#include "kernels/dropout.h"
#include "kernels/dry_run.h"
#include "kernels/dry_run_text.h"
#include "kernels/elementwise.h"
#include "kernels/ema.h"
#include "kernels/loss_scale.h"
#include "kernels/nonfinite.h"
#include "kernels/pool.h"
#include "kernels/sgd.h"
#include "kernels/statistics.h"

namespace swath::kernels {

namespace {

/// Asks for every byte once.
Cost streaming(double read, double written, double flops = 0) {
  return {.read = read, .written = written, .flops = flops, .sectors = (read + written) / 32};
}

double size(DType type) { return static_cast<double>(size_of(type)); }

double there(const void* array) { return array ? 1 : 0; }

double reread(GradMode mode) { return mode == GradMode::accumulate ? 1 : 0; }

/// Elements of an optimiser's stretches, and the bytes of their gradients.
struct Updated {
  double n = 0, grads = 0;
};

template <class Args>
Updated updated(const Args& args) {
  Updated sum;
  for (std::int64_t i = 0; i < args.count; ++i) {
    const UpdateStretch& stretch = args.stretches[static_cast<std::size_t>(i)];
    const double n = static_cast<double>(stretch.end - stretch.begin);
    sum.n += n, sum.grads += n * size(stretch.grad_type);
  }
  return sum;
}

/// An optimiser's launch: so many arrays of state, values included, read and written. Separate kernels read float32 gradients.
void record_update(DryRun run, const char* kernel, const Updated& of, double states, double flops) {
  Cost cost = streaming(of.grads + 4 * of.n * states, 4 * of.n * states, flops * of.n);
  cost.unfused = 4 * of.n * (1 + 2 * states);
  run.ledger->record(kernel, shape_text({static_cast<std::int64_t>(of.n)}, DType::f32), cost);
}

/// n elements of one type: so many arrays read, one written.
void arrays(DryRun run, const char* kernel, std::int64_t n, DType type, double inputs, double flops) {
  const double count = static_cast<double>(n), bytes = count * size(type);
  run.ledger->record(kernel, shape_text({n}, type), streaming(inputs * bytes, bytes, flops * count));
}

struct PoolSizes {
  double in, out, bytes;  // elements; of one
};

template <class Geometry>
PoolSizes pool_sizes(const Geometry& g, DType type) {
  return {static_cast<double>(g.n * g.height * g.width * g.channels),
          static_cast<double>(g.n * g.out_height() * g.out_width() * g.channels), size(type)};
}

template <class Geometry>
std::string pool_text(const Geometry& g, DType type) {
  return shape_text({g.n, g.height, g.width, g.channels}, type);
}

}  // namespace

void adam(const AdamArgs& args, DryRun run) { record_update(run, "adam", updated(args), 3, 14); }

void sgd(const SgdArgs& args, DryRun run) {
  record_update(run, "sgd", updated(args), 1 + there(args.buffer), 4 + 2 * there(args.buffer));
}

void ema(const EmaArgs& args, DryRun run) {
  const double n = static_cast<double>(args.n);
  run.ledger->record("ema", shape_text({args.n}, DType::f32), streaming(8 * n, 4 * n, 3 * n));
}

void augment(const AugmentArgs& args, DryRun run) {
  const double pixels = static_cast<double>(args.rows * args.crop_height * args.crop_width);
  const double n = pixels * static_cast<double>(args.channels), from = size(args.source_type), out = size(args.out_type);
  const double written = pixels * static_cast<double>(args.out_channels) * out;
  // The crop is read twice, an element a thread: 32 of them lie in one sector more than they fill, and so with what is written.
  const double sectors = n * 2 * (from + 1) / 32 + written / 32 + n / 32;
  run.ledger->record("augment", shape_text({args.rows, args.crop_height, args.crop_width, args.out_channels}, args.out_type),
                     {.read = n * from, .written = written, .flops = 2 * n, .sectors = sectors});
}

void batch_norm_statistics(const BatchNormStatisticsArgs& args, DryRun run) {
  const double n = static_cast<double>(args.rows * args.channels);
  run.ledger->record("batch_norm_statistics", shape_text({args.rows, args.channels}, args.dtype),
                     streaming(n * size(args.dtype), 0, 3 * n));
}

void batch_norm_apply(const BatchNormApplyArgs& args, DryRun run) {
  const double n = static_cast<double>(args.rows * args.channels), pass = n * size(args.dtype);
  const double shortcut = there(args.shortcut.x), residual = there(args.residual);
  const double mask = there(args.mask) * static_cast<double>(args.rows * ((args.channels + 7) / 8));
  Cost cost = streaming(pass * (1 + shortcut + residual), pass + mask, n * (3 + residual + 3 * shortcut));
  const double relu = args.activation == Activation::relu ? 2 : 0;
  cost.unfused = pass * (2 + 2 * shortcut + 3 * (shortcut + residual) + relu);
  run.ledger->record("batch_norm_apply", shape_text({args.rows, args.channels}, args.dtype), cost);
}

void batch_norm_backward(const BatchNormBackwardArgs& args, DryRun run) {
  const double n = static_cast<double>(args.rows * args.channels), pass = n * size(args.dtype);
  const double shortcut = there(args.shortcut.x), second = there(args.d_y_second), joined = there(args.d_residual);
  const double mask = there(args.mask) * static_cast<double>(args.rows * ((args.channels + 7) / 8));
  const double results = pass * (1 + shortcut), incoming = pass * (1 + second) + mask;
  const double inputs = pass * (there(args.d_main.d_x) + there(args.d_shortcut.d_x));
  Cost cost =
      streaming(incoming + results + (joined > 0 ? pass : incoming) + results, joined * pass + inputs, n * (12 + 6 * shortcut));
  cost.launches = 2;
  const double relu = args.activation == Activation::relu ? 3 : 0;
  cost.unfused = pass * (3 * second + relu + 4 * (1 + shortcut)) + inputs;
  run.ledger->record("batch_norm_backward", shape_text({args.rows, args.channels}, args.dtype), cost);
}

void batch_norm_finish(const BatchNormFinishArgs& args, DryRun run) {
  const double c = static_cast<double>(args.channels);
  run.ledger->record("batch_norm_finish", shape_text({args.channels}, DType::f32), streaming(24 * c, 20 * c, 20 * c));
}

void batch_norm_affine(const BatchNormAffineArgs& args, DryRun run) {
  const double c = static_cast<double>(args.channels);
  run.ledger->record("batch_norm_affine", shape_text({args.channels}, DType::f16), streaming(16 * c, 4 * c, 4 * c));
}

void batch_norm_input(const BatchNormInputArgs& args, DryRun run) {
  const double n = static_cast<double>(args.rows * args.channels), pass = n * size(args.dtype);
  const double terms = 1 + there(args.shortcut.term.x);
  Cost cost = streaming(pass * (1 + terms), pass * terms, n * (1 + 4 * terms));
  cost.unfused = 3 * pass * terms;
  run.ledger->record("batch_norm_input", shape_text({args.rows, args.channels}, args.dtype), cost);
}

void batch_norm_join(const BatchNormJoinArgs& args, DryRun run) {
  const double n = 4 * static_cast<double>(args.channels);
  run.ledger->record("batch_norm_join", shape_text({args.slices, args.channels}, DType::f32),
                     streaming(n * (2 * static_cast<double>(args.slices) + 2 * there(args.running_mean)),
                               n * (2 + 2 * there(args.running_mean)), n * static_cast<double>(args.slices)));
}

void batch_norm_join_backward(const BatchNormJoinBackwardArgs& args, DryRun run) {
  const double n = static_cast<double>(args.rows * args.channels), pass = n * size(args.dtype);
  run.ledger->record("batch_norm_join_backward", shape_text({args.rows, args.channels}, args.dtype),
                     streaming(2 * pass, pass, 5 * n));
}

void batch_norm_pool(const BatchNormPoolArgs& args, DryRun run) {
  const auto [in, out, bytes] = pool_sizes(args.geometry, args.dtype);
  const double index = there(args.index);
  // A window of 9 at each output. PyTorch's index has 8 bytes.
  run.ledger->record("batch_norm_pool", pool_text(args.geometry, args.dtype),
                     {.read = in * bytes,
                      .written = out * (bytes + index),
                      .flops = 3 * in,
                      .sectors = out * (10 * bytes + index) / 32,
                      .unfused = 5 * in * bytes + out * (bytes + 8 * index)});
}

void batch_norm_pool_backward(const BatchNormPoolBackwardArgs& args, DryRun run) {
  const auto [in, out, bytes] = pool_sizes(args.geometry, args.dtype);
  const double second = there(args.d_y_second), written = in * bytes * there(args.d_main.d_x);
  const double incoming = out * (bytes * (1 + second) + 1), passes = 2 - there(args.sums);
  // Every output is looked at by the 9 pixels of its window, in both passes.
  run.ledger->record("batch_norm_pool_backward", pool_text(args.geometry, args.dtype),
                     {.read = passes * (in * bytes + incoming),
                      .written = written,
                      .flops = 6 * passes * in,
                      .sectors = (passes * (in * bytes + 9 * incoming) + written) / 32,
                      .launches = 2,
                      .unfused = 3 * second * out * bytes + out * (bytes + 8) + 8 * in * bytes + written});
}

void average_pool(const AveragePoolArgs& args, DryRun run) {
  const double out = static_cast<double>(args.n * args.channels), in = out * static_cast<double>(args.positions);
  run.ledger->record("average_pool", shape_text({args.n, args.positions, args.channels}, args.dtype),
                     streaming(in * size(args.dtype), 4 * out, in));
}

void average_pool_backward(const AveragePoolBackwardArgs& args, DryRun run) {
  const double out = static_cast<double>(args.n * args.channels), in = out * static_cast<double>(args.positions);
  const double written = in * size(args.dtype);
  run.ledger->record("average_pool_backward", shape_text({args.n, args.positions, args.channels}, args.dtype),
                     streaming(4 * out, written, in));
}

void copy_columns(const CopyColumnsArgs& args, DryRun run) {
  const double bytes = static_cast<double>(args.rows * args.columns) * size(args.dtype);
  run.ledger->record("copy_columns", shape_text({args.rows, args.columns}, args.dtype),
                     streaming(bytes * (1 + reread(args.mode)), bytes));
}

void dropout(const DropoutArgs& args, DryRun run) {
  const double n = static_cast<double>(args.rows * args.columns);
  run.ledger->record("dropout", shape_text({args.rows, args.columns}, args.dtype),
                     streaming(n * size(args.dtype), n * size(args.dtype), n));
}

void add(const AddArgs& args, DryRun run) { arrays(run, "add", args.n, args.dtype, 2, 1); }

void relu(const ReluArgs& args, DryRun run) { arrays(run, "relu", args.n, args.dtype, 1, 0); }

void relu_backward(const ReluBackwardArgs& args, DryRun run) {
  arrays(run, "relu_backward", args.n, args.dtype, 2 + reread(args.mode), 0);
}

void scale(const ScaleArgs& args, DryRun run) { arrays(run, "scale", args.n, args.dtype, 1, 1); }

void cast(const CastArgs& args, DryRun run) {
  const double n = static_cast<double>(args.n);
  run.ledger->record("cast", shape_text({args.n}, args.to), streaming(n * size(args.from), n * size(args.to)));
}

void fill(const FillArgs& args, DryRun run) { arrays(run, "fill", args.n, args.dtype, 0, 0); }

void column_sums(const ColumnSumsArgs& args, DryRun run) {
  const double cols = static_cast<double>(args.columns), n = static_cast<double>(args.rows) * cols;
  run.ledger->record("column_sums", shape_text({args.rows, args.columns}, args.dtype),
                     streaming(n * size(args.dtype) + 4 * cols * reread(args.mode), 4 * cols, n));
}

void nonfinite(const NonfiniteArgs& args, DryRun run) {
  run.ledger->record("nonfinite", shape_text({args.n}, args.dtype),
                     streaming(static_cast<double>(args.n) * size(args.dtype), 0));
}

void loss_scale(const LossScaleArgs& args, DryRun run) {
  double n = 0, bytes = 0;
  for (std::int64_t i = 0; i < args.count; ++i) {
    const LossScalePart& part = args.parts[static_cast<std::size_t>(i)];
    n += static_cast<double>(part.n), bytes += static_cast<double>(part.n) * size(part.type);
  }
  // Separate kernels divide float32 gradients in place.
  Cost cost = streaming(bytes, 0, n);
  cost.unfused = 8 * n;
  run.ledger->record("loss_scale", shape_text({static_cast<std::int64_t>(n)}, DType::f32), cost);
}

void push_statistics(const PushStatisticsArgs& args, DryRun run) {
  // One sector for every scalar read and one for each written, which a thread of its own handles.
  run.ledger->record("push_statistics", shape_text({kStatisticsWidth}, DType::f32),
                     {.read = 64, .written = 64 + 8 * there(args.ring_step), .sectors = 2 * kStatisticsWidth + 2});
}

}  // namespace swath::kernels
