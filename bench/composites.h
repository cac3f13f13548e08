// Benchmarks of what several kernels do together: a miner with its distances, a loss with its gradients through the tape. They
// are what a user of the library sees and what other programs are compared with.
#pragma once
#include <vector>

#include "bench/benchmark.h"

namespace swath::bench {

/// mine.<name> for every miner that a configuration can name.
std::vector<Benchmark> miner_benchmarks();
/// loss.<name>, forward and backward.
std::vector<Benchmark> loss_benchmarks();

/// Three learners in BIER's proportions, 3 : 5 : 8.
std::vector<std::int64_t> learner_widths(std::int64_t cols);

}  // namespace swath::bench
