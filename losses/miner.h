// Miners choose index triplets (methods.md §5). They take tensors, so no gradient can pass through them.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "engine/autograd/nn_ops.h"
#include "engine/core/config.h"
#include "engine/core/tensor.h"

namespace swath {

/// Rows to mine. Rows whose class is −1 are padding and take no part.
struct MineInput {
  Tensor rows;       // f32 {R, D}
  Tensor row_class;  // i32 {R}, one class per row, or −1
  Tensor row_count;  // i32 {1}, rows in use (they come first)
  RandomKey random;
};

/// Fixed capacity, count on the device; the order is the anchors'.
struct Triplets {
  Tensor indices;  // i32 {capacity, 3}: anchor, positive, negative
  Tensor count;    // i32 {1}
};

class Miner {
 public:
  virtual ~Miner() = default;
  virtual Triplets mine(const MineInput& input) = 0;
};

struct MinerOptions {
  std::string name = "semihard";
  template <class V>
  void fields(V& v) {
    v("name", name, "how triplets are chosen (methods.md §5)", OneOf{miner_names()});
  }
  static std::vector<std::string> miner_names();
};

/// Throws UserError for an unknown name, listing those that exist.
std::unique_ptr<Miner> make_miner(const MinerOptions& options);

}  // namespace swath
