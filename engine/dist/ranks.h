// Joining the other processes that a launcher (mpirun, srun) has started.
#pragma once
#include <memory>

#include "engine/core/config.h"
#include "engine/dist/communicator.h"

namespace swath {

struct RankOptions {
  bool sync_batch_norm = false;
  double timeout = 1800;

  template <class V>
  void fields(V& v) {
    v("sync_batch_norm", sync_batch_norm,
      "batch norm over the rows of all ranks, so that several ranks give the gradient of one; false: over each rank's own "
      "rows, and the running statistics are the ranks' mean");
    v("timeout", timeout, "seconds after which a rank that does not answer the others is given up", Range{1, 1e6});
  }
};

/// Processes that the launcher says it has started for this program: 1 without one.
int launched_ranks();
/// Whether this build can join several.
bool ranks_available();

/// The ranks of the launcher, through MPI; SoleRank when there is one process. One thread at a time may use it. Throws
/// UserError when the launcher has started several processes and this build has no MPI, or MPI does not see them.
std::unique_ptr<Communicator> join_ranks(const RankOptions& options);

/// The device that a rank opens for `name`: of several ranks with "cuda" each takes that of its number on its machine, or the
/// only one that its launcher lets it see. Throws UserError when a machine has more ranks than GPUs.
std::string device_of_rank(const std::string& name, const Communicator& ranks);

/// `ranks` whose tensors live on the device: null when they serve it already. Both must outlive the result. Throws UserError
/// when this build cannot join several GPUs, or two ranks have the same one.
std::unique_ptr<Communicator> join_devices(Communicator& ranks, Device& device);
/// Version of NCCL, by which several GPUs are joined; empty: this build has none.
std::string joins_devices_by();

/// What join_ranks() makes of several processes; in builds with MPI only.
std::unique_ptr<Communicator> join_mpi(const RankOptions& options);

}  // namespace swath
