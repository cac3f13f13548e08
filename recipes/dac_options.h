// Options of D&C (methods.md §7).
#pragma once
#include <cstdint>

#include "engine/core/config.h"
#include "retrieval/kmeans.h"

namespace swath {

/// What a batch trains: its cluster's sub-embedding, the whole embedding on its cluster, or the whole on all images.
enum class DacStage : std::uint8_t { divided, whole, conquered };

struct DacOptions {
  KMeansOptions kmeans;
  std::int64_t every = 10;
  std::int64_t finetune_epoch = 110;
  std::uint64_t seed = 0;

  template <class V>
  void fields(V& v) {
    v("kmeans", kmeans, "clusters of the training split; clusters is also the number of sub-embeddings");
    v("every", every, "epochs between two clusterings", Range{1, 1e6});
    v("finetune_epoch", finetune_epoch,
      "epochs after which all images are one cluster; after 8/19 of them batches train the whole embedding", Range{0, 1e6});
    v("seed", seed, "added to the run's seed for the rows that k-means starts from");
  }

  /// `epoch` counts from 0: whole from ⌈8/19 · finetune_epoch⌉, conquered from finetune_epoch.
  DacStage stage(std::int64_t epoch) const {
    if (epoch >= finetune_epoch) return DacStage::conquered;
    return 19 * epoch >= 8 * finetune_epoch ? DacStage::whole : DacStage::divided;
  }
};

}  // namespace swath
