// Sums the gradients of a block over the ranks, in pieces that set out while the backward pass still runs.
#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "engine/dist/communicator.h"
#include "engine/nn/parameter.h"

namespace swath {

class GradientBuckets {
 public:
  /// Pieces of about so many elements, never less than a parameter, from the end of the block to its beginning: the order in
  /// which the backward pass writes them. Both references must outlive the buckets.
  GradientBuckets(ParameterBlock& block, Communicator& ranks, std::int64_t elements = std::int64_t{4} << 20);

  /// Before a backward pass and after block.begin_step(). Steps of one `kind` write every gradient equally often: the first of
  /// them is summed at its end, later ones bucket by bucket.
  void begin(std::uint64_t kind);
  /// While it runs, after each operation: sends what is complete.
  void advance();
  /// At its end: sends the rest and waits for all. Gradients that nothing wrote are zero.
  void finish();

  std::int64_t count() const { return static_cast<std::int64_t>(buckets_.size()); }
  /// Buckets that the last pass sent before its end.
  std::int64_t early() const { return early_; }

 private:
  struct Bucket {
    ParameterRange range;
    std::vector<Parameter*> parameters;
  };
  bool complete(const Bucket& bucket) const;
  void send(const Bucket& bucket);

  ParameterBlock& block_;
  Communicator& ranks_;
  std::vector<Bucket> buckets_;
  std::map<std::uint64_t, std::map<const Parameter*, int>> writes_;  // by kind; known after its first step
  const std::map<const Parameter*, int>* expected_ = nullptr;
  std::uint64_t kind_ = 0;
  std::size_t sent_ = 0;
  std::int64_t early_ = 0;
  std::map<const Parameter*, int> sent_after_;
};

}  // namespace swath
