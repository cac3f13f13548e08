// The coarse draws of multilabel_semihard and its workspace, the same on every device. methods.md §5.
#pragma once
#include "kernels/multilabel_semihard.h"
#include "kernels/philox.h"

namespace swath::kernels {

/// The workspace's first part, whose length is a multiple of 64: where the anchors' triplets begin, and on the CPU lists of
/// rows. The second holds the distances of `x`.
std::size_t multilabel_semihard_list_bytes(const MultilabelSemihardArgs& args);

/// Which of `candidates` rows draw number `draw` of an anchor takes.
SWATH_HOST_DEVICE std::uint32_t coarse_rank(const MultilabelSemihardArgs& args, std::int64_t anchor, std::int64_t draw,
                                            std::uint32_t candidates) {
  const Philox4 random =
      philox(args.seed, *args.step, RandomStream::miner, static_cast<std::uint64_t>(anchor), static_cast<std::uint32_t>(draw));
  return uniform_below(random.v[0], candidates);
}

/// min(max_negatives_per_pos, z).
SWATH_HOST_DEVICE std::int64_t coarse_draws(const MultilabelSemihardArgs& args, std::uint32_t candidates) {
  return args.max_negatives_per_pos < candidates ? args.max_negatives_per_pos : static_cast<std::int64_t>(candidates);
}

}  // namespace swath::kernels
