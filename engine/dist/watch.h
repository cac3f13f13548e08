// Sees that a rank is lost: over a socket to every other rank, which breaks when its process ends, and by what the ranks say of
// where they are.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace swath {

/// Where a rank listens and who it is; equal in size on all ranks, so that it can be gathered as bytes.
struct RankAddress {
  char host[64] = {};
  std::int32_t port = 0;
  std::int32_t process = 0;
  std::uint64_t token = 0;  // what a caller must show; that of rank 0 counts for all
};

/// A thread of its own beats once a second to all others. The calls below are those of the thread that communicates.
class RankWatch {
 public:
  /// `gather` brings every rank's address to all, in their order. Throws RankError when a rank cannot be reached.
  RankWatch(int rank, int size, double timeout,
            const std::function<void(const RankAddress& mine, std::vector<RankAddress>& all)>& gather);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// A call that needs the others begins, and is over.
  void enter();
  void leave();
  /// While it waits: throws RankError when a rank is lost, or when this call has waited for `timeout` seconds.
  void check();

  /// What the thread calls, once, when a rank is lost; null: nothing. Waits for a call under way.
  void on_loss(std::function<void()> call);

  /// After a loss. The first rank that is left is to save the run.
  bool first_left() const;
  /// The others wait until it has, and learn the step; none when it is gone too.
  std::optional<std::uint64_t> wait_for_saved();
  void say_saved(std::uint64_t step);
  /// This rank ends by an error of its own, not with its process's death.
  void say_failed();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath
