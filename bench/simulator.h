// The counts of a CUDA simulator, where the process runs on one. A simulator executes device code without a GPU and exports
// gpusim_stats_reset() and gpusim_stats_json(); on a real device neither exists.
#pragma once
#include <cstdint>

namespace swath::bench {

/// Whether CUDA calls of this process go to a simulator: then times say nothing about any GPU.
bool simulator_present();

/// What one call asked of the device. Accesses (sectors, conflicts) need the environment variable PTXSIM_STATS_FILE.
struct SimulatorCounts {
  std::int64_t launches = 0;
  std::int64_t instructions = 0;    // of warps
  std::int64_t sectors = 0;         // of 32 bytes, read or written in global memory; caches are not simulated
  std::int64_t bank_conflicts = 0;  // wavefronts of shared memory beyond the least
};

/// Begins to count anew.
void reset_simulator_counts();
SimulatorCounts simulator_counts();

}  // namespace swath::bench
