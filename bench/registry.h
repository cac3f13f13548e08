// Every benchmark, by name.
#pragma once
#include <string>
#include <vector>

#include "bench/benchmark.h"

namespace swath::bench {

/// In the order of --list.
const std::vector<Benchmark>& benchmarks();
/// Throws UserError with the nearest name.
const Benchmark& find_benchmark(const std::string& name);
std::vector<std::string> benchmark_names();

}  // namespace swath::bench
