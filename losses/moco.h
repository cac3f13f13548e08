// Fast MoCo: each row against its key and a queue of earlier keys (K. He et al. 2020; T. Milbich et al., DiVA, 2020;
// methods.md §6).
#pragma once
#include "engine/core/config.h"
#include "losses/loss.h"

namespace swath {

struct MocoOptions {
  float tau = 0.07f;
  float lower_cutoff = 0.5f;
  float upper_cutoff = 1.4f;
  std::int64_t n_key_batches = 30;
  float momentum = 0.9f;

  template <class V>
  void fields(V& v) {
    v("tau", tau, "temperature τ", Range{1e-3, 100});
    v("lower_cutoff", lower_cutoff, "distance below which the weight of a negative key grows no further", Range{1e-3, 2});
    v("upper_cutoff", upper_cutoff, "distance beyond which a negative key has no weight", Range{0, 2});
    v("n_key_batches", n_key_batches, "batches of keys in the queue", Range{1, 100000});
    v("momentum", momentum, "momentum μ of the key network", Range{0, 1});
  }
};

class MocoLoss : public Loss {
 public:
  /// A queue of n_key_batches · rows keys of this width, empty at first. `rows` is the largest number of rows of a batch.
  MocoLoss(Device& device, const MocoOptions& options, std::int64_t rows, std::int64_t width, const std::string& name = "moco");

  /// Reads `row_count` and `keys`.
  LossOutput forward(Tape& tape, const LossInput& input) override;
  /// Puts the keys of the last forward into the queue.
  void after_step() override;
  void visit_state(StateVisitor& visitor) override;

  /// Puts keys (f32 {R, D}, the first *row_count of them) into the queue, as before the first step.
  void push(const Tensor& keys, const Tensor& row_count);

 private:
  MocoOptions options_;
  std::string name_;
  Tensor queue_;   // f32 {capacity, D}
  Tensor pushed_;  // u64 {1}: keys pushed so far
  Tensor keys_, row_count_;
};

}  // namespace swath
