#include "engine/dist/ranks.h"

#include <algorithm>
#include <cstdlib>

namespace swath {

int launched_ranks() {
  // Open MPI, MPICH and Intel MPI, and a step of SLURM say how many they started.
  int most = 1;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    if (const char* value = std::getenv(name)) most = std::max(most, std::atoi(value));
  }
  return most;
}

std::unique_ptr<Communicator> join_ranks(const RankOptions& options) {
  const int launched = launched_ranks();
  if (launched == 1) return std::make_unique<SoleRank>();
#if SWATH_WITH_MPI
  std::unique_ptr<Communicator> ranks = join_mpi(options);
  if (ranks->size() == launched) return ranks;
  throw UserError(
      fmt::format("the launcher started {} processes, but MPI sees {}; use the mpirun of the MPI that swath was "
                  "built with, or srun --mpi=pmix",
                  launched, ranks->size()));
#else
  static_cast<void>(options);
  throw UserError(
      fmt::format("the launcher started {} processes, but this build has no MPI; configure with -DSWATH_MPI=ON (Debian: "
                  "libopenmpi-dev), or start one process",
                  launched));
#endif
}

bool ranks_available() { return SWATH_WITH_MPI; }

}  // namespace swath
