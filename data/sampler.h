// Which rows make a batch (methods.md §1, "Sampling"). Every draw is Philox of (seed, epoch, batch): no hidden state, so a
// run resumes from (epoch, batch) alone.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "data/labels.h"
#include "engine/core/config.h"

namespace swath {

struct SamplerState {
  std::int64_t epoch = 0;
  std::int64_t batch = 0;  // the next batch of that epoch
  bool operator==(const SamplerState&) const = default;
};

struct SampledBatch {
  std::vector<std::int64_t> rows;
  std::int64_t tag = 0;                   // what the recipe wants to know of the batch (D&C: the cluster)
  std::vector<std::uint64_t> class_mask;  // LabelMasks::words() words of the classes that count in this batch; empty: all
};

class Sampler {
 public:
  virtual ~Sampler() = default;
  /// Batches of the epoch last begun.
  virtual std::int64_t batches_per_epoch() const = 0;
  /// Rows of the largest batch.
  virtual std::int64_t max_rows() const = 0;
  /// Fills `out` with batch `state().batch` and advances; false at the epoch's end.
  bool next(SampledBatch& out);
  void begin_epoch(std::int64_t epoch) { set_state({epoch, 0}); }
  SamplerState state() const { return state_; }
  void set_state(SamplerState state);

 protected:
  /// Prepares an epoch (permutations); called when the epoch changes and once before the first batch.
  virtual void prepare(std::int64_t epoch) = 0;
  virtual void sample(std::int64_t epoch, std::int64_t batch, SampledBatch& out) const = 0;

 private:
  SamplerState state_;
  std::int64_t prepared_epoch_ = -1;
};

struct SamplerOptions {
  std::string kind = "auto";
  std::int64_t images_per_class = 2;
  std::int64_t classes_per_batch = 0;
  std::string rows = "fixed";
  std::int64_t batch_size = 120;
  std::string last = "keep";
  template <class V>
  void fields(V& v) {
    v("kind", kind, "how batches are drawn; auto: shuffled for the recipe sndl, balanced for the others",
      OneOf{{"auto", "balanced", "shuffled"}});
    v("images_per_class", images_per_class, "k: images drawn for every class of a balanced batch", Range{1, 1024});
    v("classes_per_batch", classes_per_batch, "classes drawn for every balanced batch; 0: all", Range{0, 65536});
    v("rows", rows, "balanced: fixed k × classes rows, topped up from all images, or the distinct images drawn",
      OneOf{{"fixed", "distinct"}});
    v("batch_size", batch_size, "rows of a shuffled batch", Range{1, 1e6});
    v("last", last, "shuffled: keep or drop a last batch that is not full", OneOf{{"keep", "drop"}});
  }
};

/// Draws from the rows of `labels` (all, or the given ones: `pool` lists row numbers, and a class counts only there).
/// auto is balanced here. Throws DataError for an empty pool or, balanced, one without any class; UserError when a shuffled
/// batch, or a balanced one of fixed rows, is larger than the pool.
std::unique_ptr<Sampler> make_sampler(const SamplerOptions& options, const LabelMasks& labels, std::uint64_t seed,
                                      std::vector<std::int64_t> pool = {});

/// Rows begin, begin + 1, … in order, for evaluation: `batch_size` at a time, the last batch may be smaller.
std::unique_ptr<Sampler> make_sequential_sampler(std::int64_t rows, std::int64_t batch_size);

}  // namespace swath
