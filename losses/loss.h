// Losses turn rows, and what else they name, into a scalar on the tape (methods.md §6).
#pragma once
#include <memory>

#include "engine/autograd/tape.h"
#include "engine/io/checkpoint.h"
#include "engine/nn/parameter.h"
#include "losses/miner.h"

namespace swath {

/// A loss states which fields beyond `rows` it reads; the others may stay empty.
struct LossInput {
  Var rows = {};           // f32 {R, D}
  Tensor row_class = {};   // i32 {R} or −1: rows of one category
  Tensor row_count = {};   // i32 {1}: rows in use (they come first)
  Triplets triplets = {};  // losses over triplets
  Tensor labels = {};      // u64 {R, words}: multi-hot rows as bit masks (kernels/label_mask.h)
  Tensor index = {};       // i32 {R}: the rows' places in the training split
  Tensor keys = {};        // f32 {R, D}: what the momentum copy made of the rows' images
};

/// A loss and the numbers it reports.
struct LossOutput {
  Var loss;            // f32 {1}
  Tensor active = {};  // f32 {1}: triplets that contribute; undefined where a loss has no such count
};

class Loss {
 public:
  virtual ~Loss() = default;
  virtual LossOutput forward(Tape& tape, const LossInput& input) = 0;
  /// Before the steps of an epoch (from 0).
  virtual void begin_epoch(std::int64_t /*epoch*/) {}
  /// After the optimiser's step, with the input of the last forward (memory bank, queue).
  virtual void after_step() {}
  /// State beyond the parameter block.
  virtual void visit_state(StateVisitor& /*visitor*/) {}

  /// Whether this rank holds all of that state. If not, all ranks call gather_state() before rank 0 visits it to write, and
  /// drop_gathered() after that; and spread_state() after they have visited it to read.
  virtual bool holds_all_state() const { return true; }
  virtual void gather_state() {}
  virtual void drop_gathered() {}
  virtual void spread_state() {}
};

}  // namespace swath
