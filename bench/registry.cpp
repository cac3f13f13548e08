#include "bench/registry.h"

#include "bench/composites.h"
#include "bench/kernels/all.h"
#include "engine/core/config.h"

namespace swath::bench {

const std::vector<Benchmark>& benchmarks() {
  static const std::vector<Benchmark> all = [] {
    std::vector<Benchmark> list;
    for (const auto& make : {pairwise_distance_benchmarks,
                             semihard_benchmarks,
                             label_similarity_benchmarks,
                             multilabel_semihard_benchmarks,
                             margin_loss_benchmarks,
                             moco_loss_benchmarks,
                             queue_push_benchmarks,
                             nca_loss_benchmarks,
                             memory_bank_benchmarks,
                             binomial_loss_benchmarks,
                             bce_loss_benchmarks,
                             weight_norm_loss_benchmarks,
                             adversarial_loss_benchmarks,
                             distance_weighted_benchmarks,
                             intra_random_benchmarks,
                             permute_labels_benchmarks,
                             triplet_list_benchmarks,
                             shuffle_rows_benchmarks,
                             miner_benchmarks,
                             loss_benchmarks,
                             pair_rows_benchmarks,
                             gather_rows_benchmarks,
                             row_normalize_benchmarks,
                             augment_benchmarks,
                             batch_norm_benchmarks,
                             batch_norm_fused_benchmarks,
                             batch_norm_pool_benchmarks,
                             pool_benchmarks,
                             elementwise_benchmarks,
                             columns_benchmarks,
                             dropout_benchmarks,
                             adam_benchmarks,
                             sgd_benchmarks,
                             ema_benchmarks,
                             loss_scale_benchmarks,
                             nonfinite_benchmarks,
                             statistics_benchmarks})
      for (Benchmark& benchmark : make()) list.push_back(std::move(benchmark));
    return list;
  }();
  return all;
}

std::vector<std::string> benchmark_names() {
  std::vector<std::string> names;
  for (const Benchmark& benchmark : benchmarks()) names.push_back(benchmark.name);
  return names;
}

const Benchmark& find_benchmark(const std::string& name) {
  for (const Benchmark& benchmark : benchmarks())
    if (benchmark.name == name) return benchmark;
  const std::string nearest = nearest_name(name, benchmark_names());
  throw UserError(fmt::format("there is no benchmark {}; {}", name,
                              nearest.empty() ? "see swath bench --list" : fmt::format("did you mean {}?", nearest)));
}

}  // namespace swath::bench
