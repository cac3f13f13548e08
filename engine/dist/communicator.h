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
#include "engine/device/device.h"

namespace swath {

/// Where a process stands among all, and among those of its machine.
struct RankPlace {
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;
};

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

  const RankPlace& place() const { return place_; }
  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  bool alone() const { return size() == 1; }
  /// Rank 0 writes what a run leaves behind.
  bool leads() const { return rank() == 0; }
  RowSlice slice(std::int64_t rows) const { return slice_of(rows, rank(), size()); }

  /// Tensors of a device that this serves, in the order of the work on it; done on return on the CPU.

  /// CPUs, unless said otherwise.
  virtual bool serves(const Device& device) const { return device.kind() == DeviceKind::cpu; }

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
  /// Waits until the device has done all of these that were queued, and the work before them. Nothing else that waits for the
  /// device sees that a rank is lost.
  virtual void settle() {}

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

  /// Waits until `done`, which is asked again and again, says so; counts as a call.
  virtual void wait_until(const std::function<bool()>& done);
  /// What another thread calls, once, as soon as a rank is lost, until it is replaced (by null: nothing).
  virtual void on_loss(std::function<void()> /*call*/) {}

  /// After RankError: the first of the ranks that are left calls `save`, which returns the step, and the others wait until one
  /// has. The step that is saved, or none. What `save` throws passes through, and the next rank saves.
  virtual std::optional<std::uint64_t> save_once(const std::function<std::uint64_t()>& /*save*/) { return std::nullopt; }
  /// Before this rank ends by an error of its own.
  virtual void say_failed() {}

 protected:
  explicit Communicator(const RankPlace& place) : place_(place) {}

 private:
  RankPlace place_;
};

/// One process on its own: every call leaves things as they are.
class SoleRank final : public Communicator {
 public:
  SoleRank() : Communicator(RankPlace{}) {}
  using Communicator::all_gather;
  using Communicator::broadcast;
  bool serves(const Device&) const override { return true; }
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
