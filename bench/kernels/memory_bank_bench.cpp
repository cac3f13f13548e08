#include "kernels/memory_bank.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> memory_bank_benchmarks() {
  const Axis bank{.name = "bank", .values = {269'695}, .counted = 500};
  return {{"memory_bank.init",
           "the bank's first rows",
           {bank, cols_axis(), bits_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const BankInitArgs args{.bank = arena.output(sizes["bank"] * sizes["cols"], sizes.dtype()),
                                     .rows = sizes["bank"],
                                     .cols = sizes["cols"],
                                     .bank_type = sizes.dtype(),
                                     .seed = 1};
             return arena.job([args](auto exec) { bank_init(args, exec); });
           }},
          {"memory_bank.update",
           "the bank's rows of a batch after a step",
           {rows_axis({120}), bank, cols_axis(), bits_axis()},
           [](Arena& arena, const Sizes& sizes) {
             const std::int64_t batch = sizes["rows"], rows = sizes["bank"], cols = sizes["cols"];
             const BankUpdateArgs args{.embeddings = arena.unit_rows(batch, cols),
                                       .index = arena.integers(batch, rows),
                                       .momentum = arena.put_one(0.5f),
                                       .bank = arena.output(rows * cols, sizes.dtype()),
                                       .batch = batch,
                                       .rows = rows,
                                       .cols = cols,
                                       .embeddings_ld = cols,
                                       .bank_type = sizes.dtype()};
             return arena.job([args](auto exec) { bank_update(args, exec); });
           }}};
}

}  // namespace swath::bench
