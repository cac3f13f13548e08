// Miners choose index triplets (methods.md §5). They take tensors, so no gradient can pass through them.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/autograd/nn_ops.h"
#include "engine/core/config.h"
#include "engine/core/tensor.h"

namespace swath {

/// Rows to mine. Rows whose class is −1 are padding and take no part. Multi-label miners read `labels` instead of `row_class`.
struct MineInput {
  Tensor rows = {};       // f32 {R, D}
  Tensor row_class = {};  // i32 {R}, one class per row, or −1
  Tensor row_count = {};  // i32 {1}, rows in use (they come first)
  Tensor labels = {};     // u64 {R, words}: multi-hot rows as bit masks (kernels/label_mask.h)
  RandomKey random = {};
};

/// Fixed capacity, count on the device; the order is the anchors'.
struct Triplets {
  /// Room for a triplet of each row, which cannot overflow.
  static Triplets one_per_row(Device& device, std::int64_t rows) {
    return {.indices = Tensor::empty(device, {rows, 3}, DType::i32), .count = Tensor::empty(device, {1}, DType::i32)};
  }

  Tensor indices;       // i32 {capacity, 3}: anchor, positive, negative
  Tensor count;         // i32 {1}
  Tensor dropped = {};  // i32 {1}: triplets that the capacity had no room for; undefined for miners that cannot overflow
};

class Miner {
 public:
  virtual ~Miner() = default;
  virtual Triplets mine(const MineInput& input) = 0;
  /// Whether it mines images by their multi-hot labels, and not rows of one category.
  virtual bool multi_hot() const { return false; }
};

struct MinerOptions {
  std::string name = "semihard";
  float lower_cutoff = 0.5f;
  float upper_cutoff = 0.0f;
  std::int64_t max_negatives_per_pos = 3;
  std::int64_t max_trips_per_anchor = 3;
  std::int64_t capacity = 0;
  template <class V>
  void fields(V& v) {
    v("name", name, "how triplets are chosen (methods.md §5)", OneOf{miner_names()});
    v("lower_cutoff", lower_cutoff, "distance, random_distance: smaller distances to a negative weigh as this one",
      Range{0.01, 2});
    v("upper_cutoff", upper_cutoff, "distance, random_distance: farther negatives are excluded (1.4 is common); 0: none are",
      Range{0, 2});
    v("max_negatives_per_pos", max_negatives_per_pos,
      "multilabel_semihard: negatives drawn for a positive among the nearer rows that share no label with the anchor",
      Range{1, 1024});
    v("max_trips_per_anchor", max_trips_per_anchor,
      "multilabel_semihard: triplets after which an anchor takes no further positive", Range{1, 1024});
    v("capacity", capacity,
      "multilabel_semihard: room for triplets of a batch, the rest is counted in dropped_triplets; 0: rows × min(rows, 512)",
      Range{0, 1e8});
  }
  static std::vector<std::string> miner_names();
};

/// Throws UserError for an unknown name, listing those that exist.
std::unique_ptr<Miner> make_miner(const MinerOptions& options);

}  // namespace swath
