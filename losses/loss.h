// Losses turn rows and triplets into a scalar on the tape (methods.md §6).
#pragma once
#include <memory>

#include "engine/autograd/tape.h"
#include "engine/nn/parameter.h"
#include "losses/miner.h"

namespace swath {

struct LossInput {
  Var rows;          // f32 {R, D}
  Tensor row_class;  // i32 {R} or −1
  Tensor row_count;  // i32 {1}
  Triplets triplets;
};

/// A loss and the numbers it reports; `active` is the count of triplets that contribute.
struct LossOutput {
  Var loss;       // f32 {1}
  Tensor active;  // f32 {1}
};

class Loss {
 public:
  virtual ~Loss() = default;
  virtual LossOutput forward(Tape& tape, const LossInput& input) = 0;
};

}  // namespace swath
