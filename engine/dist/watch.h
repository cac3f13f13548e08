// Sees that a rank is lost: over a socket to every other rank, which breaks when its process ends, and by what the ranks say of
// where they are.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "engine/dist/rank_sockets.h"

namespace swath {

struct WatchOptions {
  /// Seconds after which a rank is given up that says nothing, or that keeps another waiting. One that has said nothing for
  /// half as long is not waited for any more.
  double timeout = 1800;
  /// A rank that is there to save may take so many seconds, or `timeout` where that is longer.
  double patience = 60;
};

/// A thread of its own beats once a second to all others, and judges them. Time in which this process is stopped does not
/// count. The calls below are those of the thread that communicates.
class RankWatch {
 public:
  /// Throws RankError when a rank cannot be reached.
  RankWatch(int rank, int size, const WatchOptions& options, const GatherAddresses& gather);
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

  /// A call that needs the others begins, and is over.
  void enter();
  void leave();
  /// Throws RankError when a rank is lost; this one counts as lost when the others have given it up.
  void check() const;
  /// Whether check() throws.
  bool lost() const;

  /// What the thread calls, once, when a rank is lost; null: nothing. Waits for a call under way.
  void on_loss(std::function<void()> call);

  /// After a loss: the first of the ranks that are left calls `save`, which returns the step; the others wait until one has.
  /// The step that is saved; none when nobody is left who could. An error of this rank that no other knows of ends the others
  /// so, and this one is not to save.
  std::optional<std::uint64_t> save_once(const std::function<std::uint64_t()>& save);
  /// This rank ends by an error of its own, not with its process's death.
  void say_failed();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace swath
