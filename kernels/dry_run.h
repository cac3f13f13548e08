// A dry run: the kernels, called with this executor, compute nothing and touch no memory, but state what the CUDA code of that
// call asks of a GPU, by the formulas of their headers. `swath doctor --step` and `swath bench` take their costs from here.
#pragma once
#include <string>

#include "kernels/exec.h"

namespace swath::kernels {

/// In what a kernel multiplies, which decides the peak that it is held against.
enum class Math : std::uint8_t { f32, tf32, bf16, f16 };

/// The work of one call.
struct Cost {
  /// Bytes of memory. Every pass of the kernel over an array counts; what a pass reads twice comes from the cache.
  double read = 0, written = 0;
  double flops = 0;    // additions and multiplications
  double sectors = 0;  // 32-byte sectors that the CUDA code asks for by its tiling, the cache's hits among them
  int launches = 1;
  Math math = Math::f32;
  /// Bytes where the same is done by one kernel an operation, each of which reads and writes memory: normalisation in two
  /// passes each way, ReLU, sum of the residual, sum of two gradients, pooling, conversion of a gradient. Negative: as here.
  double unfused = -1;

  double bytes() const { return read + written; }
  double unfused_bytes() const { return unfused >= 0 ? unfused : bytes(); }
};

/// Takes down what the calls of a dry run state. `shape` names the sizes that matter.
class Ledger {
 public:
  virtual ~Ledger() = default;
  virtual void record(const char* kernel, const std::string& shape, const Cost& cost) = 0;
};

/// Executor beside Cpu and CudaStream. Arguments of a call are read on the host; their arrays are not. Counts that lie on the
/// device take their capacity.
struct DryRun {
  Ledger* ledger = nullptr;
};

struct AdamArgs;
struct AddArgs;
struct AdversarialLossArgs;
struct AugmentArgs;
struct AveragePoolArgs;
struct AveragePoolBackwardArgs;
struct BankInitArgs;
struct BankUpdateArgs;
struct BatchNormAffineArgs;
struct BatchNormApplyArgs;
struct BatchNormBackwardArgs;
struct BatchNormFinishArgs;
struct BatchNormInputArgs;
struct BatchNormJoinArgs;
struct BatchNormJoinBackwardArgs;
struct BatchNormPoolArgs;
struct BatchNormPoolBackwardArgs;
struct BatchNormStatisticsArgs;
struct BceLossArgs;
struct BinomialLossArgs;
struct CastArgs;
struct ColumnSumsArgs;
struct CopyColumnsArgs;
struct DistanceWeightedArgs;
struct DropoutArgs;
struct EmaArgs;
struct FillArgs;
struct GatherRowsArgs;
struct IntraRandomArgs;
struct LabelSimilarityArgs;
struct LossScaleArgs;
struct MarginLossArgs;
struct MocoLossArgs;
struct MultilabelSemihardArgs;
struct NcaLossArgs;
struct NonfiniteArgs;
struct PairRowsArgs;
struct PairwiseDistanceArgs;
struct PermuteLabelsArgs;
struct PushStatisticsArgs;
struct QueuePushArgs;
struct ReluArgs;
struct ReluBackwardArgs;
struct RowNormalizeArgs;
struct RowNormalizeBackwardArgs;
struct ScaleArgs;
struct ScatterAddRowsArgs;
struct SemihardArgs;
struct SgdArgs;
struct ShuffleRowsArgs;
struct TripletListArgs;
struct WeightNormLossArgs;

void adam(const AdamArgs&, DryRun);
void adversarial_loss(const AdversarialLossArgs&, DryRun);
void augment(const AugmentArgs&, DryRun);
void batch_norm_statistics(const BatchNormStatisticsArgs&, DryRun);
void batch_norm_apply(const BatchNormApplyArgs&, DryRun);
void batch_norm_backward(const BatchNormBackwardArgs&, DryRun);
void batch_norm_affine(const BatchNormAffineArgs&, DryRun);
void batch_norm_finish(const BatchNormFinishArgs&, DryRun);
void batch_norm_input(const BatchNormInputArgs&, DryRun);
void batch_norm_join(const BatchNormJoinArgs&, DryRun);
void batch_norm_join_backward(const BatchNormJoinBackwardArgs&, DryRun);
void batch_norm_pool(const BatchNormPoolArgs&, DryRun);
void batch_norm_pool_backward(const BatchNormPoolBackwardArgs&, DryRun);
void bce_loss(const BceLossArgs&, DryRun);
void binomial_loss(const BinomialLossArgs&, DryRun);
void copy_columns(const CopyColumnsArgs&, DryRun);
void distance_weighted(const DistanceWeightedArgs&, DryRun);
void dropout(const DropoutArgs&, DryRun);
void add(const AddArgs&, DryRun);
void relu(const ReluArgs&, DryRun);
void relu_backward(const ReluBackwardArgs&, DryRun);
void scale(const ScaleArgs&, DryRun);
void cast(const CastArgs&, DryRun);
void fill(const FillArgs&, DryRun);
void column_sums(const ColumnSumsArgs&, DryRun);
void ema(const EmaArgs&, DryRun);
void gather_rows(const GatherRowsArgs&, DryRun);
void scatter_add_rows(const ScatterAddRowsArgs&, DryRun);
void intra_random(const IntraRandomArgs&, DryRun);
void label_similarity(const LabelSimilarityArgs&, DryRun);
void loss_scale(const LossScaleArgs&, DryRun);
void margin_loss(const MarginLossArgs&, DryRun);
void bank_init(const BankInitArgs&, DryRun);
void bank_update(const BankUpdateArgs&, DryRun);
void moco_loss(const MocoLossArgs&, DryRun);
void multilabel_semihard(const MultilabelSemihardArgs&, DryRun);
void nca_loss(const NcaLossArgs&, DryRun);
void nonfinite(const NonfiniteArgs&, DryRun);
void pair_rows(const PairRowsArgs&, DryRun);
void pairwise_distance(const PairwiseDistanceArgs&, DryRun);
void permute_labels(const PermuteLabelsArgs&, DryRun);
void average_pool(const AveragePoolArgs&, DryRun);
void average_pool_backward(const AveragePoolBackwardArgs&, DryRun);
void queue_push(const QueuePushArgs&, DryRun);
void row_normalize(const RowNormalizeArgs&, DryRun);
void row_normalize_backward(const RowNormalizeBackwardArgs&, DryRun);
void semihard(const SemihardArgs&, DryRun);
void sgd(const SgdArgs&, DryRun);
void shuffle_rows(const ShuffleRowsArgs&, DryRun);
void push_statistics(const PushStatisticsArgs&, DryRun);
void triplet_list(const TripletListArgs&, DryRun);
void weight_norm_loss(const WeightNormLossArgs&, DryRun);

}  // namespace swath::kernels
