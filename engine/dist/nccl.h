// Ranks that train on GPUs, one each: NCCL for tensors, the ranks' own messages for the rest. In builds with NCCL only.
#pragma once
#include <memory>

#include "engine/dist/communicator.h"

namespace swath {

/// What join_devices() makes of several ranks on GPUs; both references must outlive it. Throws UserError when two ranks have
/// the same GPU; RankError when one is lost; InternalError when NCCL fails, with the call, file and line.
std::unique_ptr<Communicator> join_nccl(Communicator& host, Device& device);

/// Of the library that was loaded, as "2.28.9".
std::string nccl_version();

}  // namespace swath
