// Neighbourhood component analysis against a memory bank of the training split (Z. Wu et al. 2018; J. Kang et al., GRN-SNDL,
// 2020; methods.md §6).
#pragma once
#include <string>
#include <vector>

#include "engine/core/config.h"
#include "engine/dist/communicator.h"
#include "kernels/nca_loss.h"
#include "losses/loss.h"

namespace swath {

struct NcaOptions {
  float temperature = 0.05f;
  float margin = 0.0f;
  float momentum = 0.5f;
  std::vector<std::int64_t> momentum_milestones = {80, 120};
  std::vector<double> momentum_values = {0.8, 0.9};
  std::string bank = "f32";
  bool sharded = false;
  std::string math = "full";

  template <class V>
  void fields(V& v) {
    v("temperature", temperature, "temperature T", Range{0.01, 100});
    v("margin", margin, "margin by which similar rows must be nearer than the others", Range{0, 0.8});
    v("momentum", momentum, "momentum μ of the bank's rows until the first milestone", Range{0, 1});
    v("momentum_milestones", momentum_milestones, "epochs, ascending, from which the momentum changes", Range{0, 1e6});
    v("momentum_values", momentum_values, "the momentum from each of these epochs on", Range{0, 1});
    v("bank", bank, "type of the bank's elements; bf16 takes half the memory", OneOf{{"f32", "bf16"}});
    v("sharded", sharded, "each of several ranks holds a slice of the bank; false: each holds all of it");
    v("math", math, "products with an f32 bank on a GPU: full float32, or TF32 (a third of the work)", OneOf{{"full", "tf32"}});
  }
};

/// The momentum at an epoch (from 0). Throws UserError when milestones and values do not belong together.
float bank_momentum(const NcaOptions& options, std::int64_t epoch);

class NcaLoss : public Loss {
 public:
  /// A bank of `rows` random rows. labels: rows × ⌈classes / 64⌉ on the host, copied (kernels/label_mask.h); 1 to 256 classes.
  /// With options.sharded each of several ranks, which must outlive the loss and share the batch, holds its slice of the rows.
  NcaLoss(Device& device, const NcaOptions& options, const std::uint64_t* labels, std::int64_t rows, std::int64_t classes,
          std::int64_t width, std::uint64_t seed, const std::string& name = "nca", Communicator& ranks = sole_rank());

  /// Sets the momentum for the steps of this epoch (from 0).
  void begin_epoch(std::int64_t epoch) override;
  /// Reads `index`: the rows' places in the bank, −1 for a row without part.
  LossOutput forward(Tape& tape, const LossInput& input) override;
  /// Moves the bank's rows towards those of the last forward.
  void after_step() override;
  /// Visits the whole bank.
  void visit_state(StateVisitor& visitor) override;
  bool holds_all_state() const override { return !sharded_; }
  /// Brings the slices to rank 0's host memory.
  void gather_state() override;
  void drop_gathered() override { whole_ = {}; }
  void spread_state() override;

 private:
  kernels::NcaLossArgs arguments(const Tensor& rows, const Tensor& index) const;
  const Tensor& whole_bank();

  NcaOptions options_;
  std::string name_;
  std::int64_t classes_;
  Communicator& ranks_;
  bool sharded_;
  RowSlice slice_;   // of the rows; all, unless sharded
  Tensor bank_;      // f32 or bf16 {slice, D}
  Tensor labels_;    // u64 {N, words}
  Tensor momentum_;  // f32 {1}
  Tensor parts_;     // f32 {1}: the number of ranks
  std::unique_ptr<Device> host_;
  Tensor whole_;  // {N, D} on the host, while it is written or read
  Tensor rows_, index_;
};

}  // namespace swath
