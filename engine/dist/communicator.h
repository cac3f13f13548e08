// Several processes that train one model: rank, number of ranks, and what they tell each other. docs/several-ranks.md.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/core/tensor.h"

namespace swath {

/// Rows of a batch that belong to one rank: contiguous, in the order of the ranks, equal in number but for one row.
struct RowSlice {
  std::int64_t begin = 0, size = 0;
  std::int64_t end() const { return begin + size; }
};
RowSlice slice_of(std::int64_t rows, int rank, int ranks);

/// Every rank makes the same calls in the same order, with equal shapes. A call that another rank does not answer throws
/// RankError, which names that rank; from then on every call throws it.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  bool alone() const { return size_ == 1; }
  /// Rank 0 writes what a run leaves behind.
  bool leads() const { return rank_ == 0; }
  RowSlice slice(std::int64_t rows) const { return slice_of(rows, rank_, size_); }

  /// Tensors, in the order of the work on their device; done on return on the CPU.

  /// `whole` (rows × …): every rank's slice of the rows comes to all others.
  virtual void all_gather_rows(const Tensor& whole) = 0;
  /// `whole` (rows × …, f32): this rank's slice becomes the sum over all ranks of those rows; the other rows may be anything.
  virtual void reduce_scatter_rows(const Tensor& whole) = 0;
  /// f32: every element becomes the sum over all ranks, with the same bits on all of them.
  virtual void all_reduce(const Tensor& values) = 0;
  /// The same beside the work that follows: `values` may not be touched until finish_reduces().
  virtual void start_all_reduce(const Tensor& values) = 0;
  /// Lets reduces under way go on, where nothing else does.
  virtual void poll_reduces() {}
  virtual void finish_reduces() = 0;

  /// Host memory.

  virtual void broadcast(void* data, std::size_t bytes, int root) = 0;
  /// `all`: size() × bytes, in the order of the ranks.
  virtual void all_gather(const void* mine, std::size_t bytes, void* all) = 0;
  /// Whether any rank says so.
  bool any(bool mine);
  void barrier() { any(false); }
  std::string broadcast(const std::string& text, int root);
  /// The text of every rank, in their order.
  std::vector<std::string> all_gather(const std::string& mine);

  /// After RankError: the first of the ranks that are left calls `save`, which returns the step, and the others wait until it
  /// has. The step that is saved, or none.
  virtual std::optional<std::uint64_t> save_once(const std::function<std::uint64_t()>& /*save*/) { return std::nullopt; }
  /// Before this rank ends by an error of its own.
  virtual void say_failed() {}

 protected:
  Communicator(int rank, int size) : rank_(rank), size_(size) {}

 private:
  int rank_, size_;
};

/// One process on its own: every call leaves things as they are.
class SoleRank final : public Communicator {
 public:
  SoleRank() : Communicator(0, 1) {}
  using Communicator::all_gather;
  using Communicator::broadcast;
  void all_gather_rows(const Tensor&) override {}
  void reduce_scatter_rows(const Tensor&) override {}
  void all_reduce(const Tensor&) override {}
  void start_all_reduce(const Tensor&) override {}
  void finish_reduces() override {}
  void broadcast(void*, std::size_t, int) override {}
  void all_gather(const void* mine, std::size_t bytes, void* all) override;
};
/// It has no state, so one serves all.
Communicator& sole_rank();

/// Throws UserError on every rank, naming `what` ("a seed") and a rank, when their texts differ.
void require_agreement(Communicator& ranks, const std::string& what, const std::string& mine);

}  // namespace swath
