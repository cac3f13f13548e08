// The benchmarks of every file of this folder, each named after its file.
#pragma once
#include <vector>

#include "bench/benchmark.h"

namespace swath::bench {

std::vector<Benchmark> adam_benchmarks();
std::vector<Benchmark> adversarial_loss_benchmarks();
std::vector<Benchmark> augment_benchmarks();
std::vector<Benchmark> batch_norm_benchmarks();
std::vector<Benchmark> batch_norm_fused_benchmarks();
std::vector<Benchmark> batch_norm_pool_benchmarks();
std::vector<Benchmark> bce_loss_benchmarks();
std::vector<Benchmark> binomial_loss_benchmarks();
std::vector<Benchmark> columns_benchmarks();
std::vector<Benchmark> distance_weighted_benchmarks();
std::vector<Benchmark> dropout_benchmarks();
std::vector<Benchmark> elementwise_benchmarks();
std::vector<Benchmark> ema_benchmarks();
std::vector<Benchmark> gather_rows_benchmarks();
std::vector<Benchmark> intra_random_benchmarks();
std::vector<Benchmark> label_similarity_benchmarks();
std::vector<Benchmark> loss_scale_benchmarks();
std::vector<Benchmark> margin_loss_benchmarks();
std::vector<Benchmark> memory_bank_benchmarks();
std::vector<Benchmark> moco_loss_benchmarks();
std::vector<Benchmark> multilabel_semihard_benchmarks();
std::vector<Benchmark> nca_loss_benchmarks();
std::vector<Benchmark> nonfinite_benchmarks();
std::vector<Benchmark> pair_rows_benchmarks();
std::vector<Benchmark> pairwise_distance_benchmarks();
std::vector<Benchmark> permute_labels_benchmarks();
std::vector<Benchmark> pool_benchmarks();
std::vector<Benchmark> queue_push_benchmarks();
std::vector<Benchmark> row_normalize_benchmarks();
std::vector<Benchmark> semihard_benchmarks();
std::vector<Benchmark> sgd_benchmarks();
std::vector<Benchmark> shuffle_rows_benchmarks();
std::vector<Benchmark> statistics_benchmarks();
std::vector<Benchmark> triplet_list_benchmarks();
std::vector<Benchmark> weight_norm_loss_benchmarks();

}  // namespace swath::bench
