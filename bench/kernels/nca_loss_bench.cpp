#include "kernels/nca_loss.h"

#include <cmath>

#include "bench/kernels/all.h"
#include "kernels/nca_loss_plan.h"

namespace swath::bench {

using namespace kernels;

namespace {

/// By the runs of tiles of both passes: the bank and its labels for every block of rows, the rows for every run (each sector
/// for two of its columns at a time), partial gradients written so too and read once.
double nca_sectors(const NcaLossArgs& args) {
  const nca_plan::Cuda plan(args);
  const auto blocks = [&](std::int64_t rows) { return static_cast<double>((args.batch + rows - 1) / rows); };
  const double bank = static_cast<double>(args.rows * args.cols) * static_cast<double>(size_of(args.bank_type)) / 32;
  const double labels = static_cast<double>(args.rows * label_words(args.classes)) / 4;
  const double rows = static_cast<double>(args.batch * args.cols) / 4;
  const double runs = static_cast<double>(plan.gradient_runs);
  const auto pass = [&](std::int64_t block) { return blocks(block) * static_cast<double>(plan.spans) * (bank + labels); };
  const double sums = static_cast<double>(plan.statistics_runs * args.batch);
  return pass(plan.kStatisticsRows) + pass(plan.kGradientRows) + rows * (static_cast<double>(plan.statistics_runs) + runs) +
         sums + rows * runs * 1.5 + rows;
}

}  // namespace

std::vector<Benchmark> nca_loss_benchmarks() {
  return {{"nca_loss",
           "NCA against a memory bank, with the gradient",
           {{.name = "rows", .values = {120}, .counted = 70, .high = 1 << 16},
            {.name = "bank", .values = {269'695}, .counted = 500},
            cols_axis({128, 512}),
            {.name = "classes", .values = {19}, .counted = 19, .high = 256},
            bits_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t batch = sizes["rows"], rows = sizes["bank"], cols = sizes["cols"];
             NcaLossArgs args{.embeddings = arena.unit_rows(batch, cols),
                              .index = arena.integers(batch, rows),
                              .labels = arena.label_masks(rows, sizes["classes"]),
                              .loss = arena.output<float>(1),
                              .d_embeddings = arena.output<float>(batch * cols),
                              .batch = batch,
                              .rows = rows,
                              .cols = cols,
                              .classes = sizes["classes"],
                              .embeddings_ld = cols,
                              .d_embeddings_ld = cols,
                              .bank_type = sizes.dtype(),
                              // Rows of the arena are √(cols / 3) long, those of a bank 1.
                              .temperature = 0.05f * std::sqrt(static_cast<float>(cols) / 3)};
             args.bank = arena.uniform(rows * cols, args.bank_type);
             args.workspace = arena.workspace(nca_loss_workspace(args));
             const double n = static_cast<double>(batch), width = static_cast<double>(cols), bank = static_cast<double>(rows);
             const double bytes = bank * (width * static_cast<double>(size_of(args.bank_type)) +
                                          8 * static_cast<double>(label_words(args.classes)));
             return arena.job({bytes + 8 * n * width, 6 * n * bank * width, nca_sectors(args)},
                              [args](auto exec) { nca_loss(args, exec); });
           }}};
}

}  // namespace swath::bench
