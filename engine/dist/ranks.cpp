#include "engine/dist/ranks.h"

#include <algorithm>
#include <cstdlib>

#if SWATH_WITH_NCCL
#include "engine/dist/nccl.h"
#endif

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

std::string device_of_rank(const std::string& name, const Communicator& ranks) {
#if SWATH_WITH_CUDA
  if (name != "cuda" || ranks.alone()) return name;
  const int devices = cuda_device_count();
  const RankPlace& place = ranks.place();
  if (devices >= place.local_size) return fmt::format("cuda:{}", place.local_rank);
  // A launcher may let each rank see one device of its own.
  if (devices > 1)
    throw UserError(fmt::format("{} ranks of a machine have {} CUDA devices; start one rank for each device, or set device=cpu",
                                place.local_size, devices));
#else
  static_cast<void>(ranks);
#endif
  return name;
}

std::unique_ptr<Communicator> join_devices(Communicator& ranks, Device& device) {
  if (ranks.serves(device)) return nullptr;
#if SWATH_WITH_NCCL
  return join_nccl(ranks, device);
#else
  throw UserError(
      "several ranks on GPUs need NCCL, which this build lacks; configure with -DSWATH_NCCL=ON (the CUDA Toolkit's, or "
      "libnccl-dev), set device=cpu, or start one process");
#endif
}

std::string joins_devices_by() {
#if SWATH_WITH_NCCL
  return nccl_version();
#else
  return "";
#endif
}

bool ranks_available() { return SWATH_WITH_MPI; }

}  // namespace swath
