// A TCP connection between every two ranks.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "engine/io/file.h"

namespace swath {

/// Where a rank listens and who it is; equal in size on all ranks, so that it can be gathered as bytes.
struct RankAddress {
  char host[64] = {};
  std::int32_t port = 0;
  std::int32_t process = 0;
  std::uint64_t token = 0;  // what a caller must show; that of rank 0 counts for all
};

/// Brings every rank's address to all, in their order.
using GatherAddresses = std::function<void(const RankAddress& mine, std::vector<RankAddress>& all)>;

/// In the order of the ranks; a rank has no socket to itself.
struct RankSockets {
  std::vector<RankAddress> addresses;
  std::vector<FileDescriptor> sockets;
};

/// Throws RankError when a rank cannot be reached, or has not called after a minute.
RankSockets connect_ranks(int rank, int size, const GatherAddresses& gather);

}  // namespace swath
