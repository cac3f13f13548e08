#include "kernels/triplet_list.h"

#include "bench/kernels/all.h"

namespace swath::bench {

using namespace kernels;

std::vector<Benchmark> triplet_list_benchmarks() {
  return {{"triplet_list", "anchors with partners, without the gaps", {rows_axis()}, [](Arena& arena, const Sizes& sizes) {
             const std::int64_t rows = sizes["rows"];
             std::vector<std::int32_t> partners;
             for (std::int32_t i = 0; i < rows; ++i) {
               const bool found = i % 8 != 0;
               partners.push_back(found ? (i + 1) % static_cast<std::int32_t>(rows) : -1);
               partners.push_back(found ? (i + 3) % static_cast<std::int32_t>(rows) : -1);
             }
             const TripletListArgs args{.partners = arena.put(partners),
                                        .triplets = arena.output<std::int32_t>(3 * rows),
                                        .triplet_count = arena.output<std::int32_t>(1),
                                        .rows = rows};
             return arena.job([args](auto exec) { triplet_list(args, exec); });
           }}};
}

}  // namespace swath::bench
