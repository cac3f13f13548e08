#include "kernels/nca_loss.h"

#include <cmath>

#include "bench/kernels/all.h"
#include "kernels/label_mask.h"

namespace swath::bench {

using namespace kernels;

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
             Job job = arena.job([args](auto exec) { nca_loss(args, exec); });
             // One pass over the bank, and each product once, would do.
             job.cost.bytes = bank * (width * static_cast<double>(size_of(args.bank_type)) +
                                      8 * static_cast<double>(label_words(args.classes))) +
                              8 * n * width;
             job.cost.flops = 6 * n * bank * width;
             return job;
           }}};
}

}  // namespace swath::bench
