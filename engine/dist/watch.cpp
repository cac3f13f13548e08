#include "engine/dist/watch.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/core/error.h"

namespace swath {

namespace {

using Clock = std::chrono::steady_clock;
constexpr double kBeat = 1;     // seconds
constexpr double kSilence = 3;  // a rank that was heard so many seconds ago is there, however short the time-out is
constexpr int kNone = -1;

enum class State : std::int32_t { working, saved, done, failed };
enum class Reason : std::int32_t { none, died, failed, hangs, all_wait };

/// What a rank tells the others.
struct Beat {
  std::uint64_t calls = 0;   // begun
  std::uint64_t step = 0;    // that it has saved
  std::int32_t waiting = 0;  // whether it is in a call
  State state = State::working;
  Reason reason = Reason::none;  // why the rank `lost` was given up
  std::int32_t lost = kNone;
};

/// One other rank.
struct Peer {
  FileDescriptor socket;
  Beat last;
  std::string received, unsent;  // the beginning of a beat, the end of one
  bool open = false;
  double heard = 0;

  bool working() const { return open && last.state == State::working; }

  /// Never waits: a rank that reads nothing, and whose socket is full, gets a later beat.
  void tell(const Beat& beat) {
    if (!open) return;
    flush();
    if (!unsent.empty()) return;
    unsent.assign(reinterpret_cast<const char*>(&beat), sizeof beat);
    flush();
    if (unsent.size() == sizeof beat) unsent.clear();
  }

  void flush() {
    if (unsent.empty()) return;
    const ssize_t sent = ::send(socket.get(), unsent.data(), unsent.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) unsent.erase(0, static_cast<std::size_t>(sent));
  }

  /// Calls f after every beat that has come. Whether any has.
  template <class F>
  bool hear(const F& f) {
    bool any = false;
    while (open) {
      char bytes[4096];
      const ssize_t got = ::recv(socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) break;
      if (got <= 0) {
        open = false;
        break;
      }
      any = true;
      received.append(bytes, static_cast<std::size_t>(got));
      std::size_t done = 0;
      for (; received.size() - done >= sizeof(Beat); done += sizeof(Beat)) {
        std::memcpy(&last, received.data() + done, sizeof(Beat));
        f();
      }
      received.erase(0, done);
    }
    return any;
  }
};

}  // namespace

struct RankWatch::Impl {
  int rank;
  WatchOptions options;
  std::vector<RankAddress> addresses;
  std::vector<Peer> peers;

  mutable std::mutex mutex;
  Beat mine;
  double ran = 0;  // seconds; those in which this process is stopped do not count, as it hears nobody in them
  double entered = 0;
  bool quit = false;
  std::mutex call_mutex;
  std::function<void()> call;  // on_loss
  std::thread thread;

  Impl(int number, const WatchOptions& with, RankSockets&& connected)
      : rank(number), options(with), addresses(std::move(connected.addresses)), peers(addresses.size()) {
    for (std::size_t r = 0; r < peers.size(); ++r) {
      peers[r].socket = std::move(connected.sockets[r]);
      peers[r].open = peers[r].socket.get() >= 0;
    }
  }

  void serve() {
    Clock::time_point round = Clock::now();
    for (double beat = 0;;) {
      const Clock::time_point before = std::exchange(round, Clock::now());
      std::vector<pollfd> waiting;
      {
        const std::lock_guard lock(mutex);
        if (quit) return;
        ran += std::min(std::chrono::duration<double>(round - before).count(), kBeat);
        if (ran >= beat) {
          tell();
          beat = ran + kBeat;
        }
        for (const Peer& peer : peers) waiting.push_back({peer.open ? peer.socket.get() : -1, POLLIN, 0});
      }
      ::poll(waiting.data(), waiting.size(), 200);
      bool loss = false;
      {
        const std::lock_guard lock(mutex);
        hear();
        judge();
        loss = mine.reason != Reason::none;
      }
      if (loss) call_once();
    }
  }

  void call_once() {
    const std::lock_guard lock(call_mutex);
    if (call) std::exchange(call, nullptr)();
  }

  void tell() {
    for (Peer& peer : peers) peer.tell(mine);
  }

  void say(State state) {
    mine.state = state;
    tell();
  }

  void hear() {
    for (std::size_t r = 0; r < peers.size(); ++r) {
      Peer& peer = peers[r];
      if (!peer.open) continue;
      const bool any = peer.hear([&] {
        // A rank that knows of a loss ends because of it.
        if (peer.last.reason != Reason::none) lose(peer.last.lost, peer.last.reason);
        if (peer.last.state == State::failed) lose(static_cast<int>(r), Reason::failed);
      });
      if (any) peer.heard = ran;
      if (!peer.open && peer.last.state == State::working) lose(static_cast<int>(r), Reason::died);
    }
  }

  /// The first loss is the one that all speak of.
  void lose(int r, Reason reason) {
    if (mine.reason != Reason::none) return;
    mine.lost = r;
    mine.reason = reason;
    tell();
  }

  bool silent(const Peer& peer) const { return ran - peer.heard > std::max(options.timeout / 2, kSilence); }

  /// A rank that says nothing is lost. Where this one has waited too long, so is one that does not come to the call; where
  /// there is none, nobody knows who.
  void judge() {
    const Peer* quiet = nullptr;
    const Peer* busy = nullptr;
    for (const Peer& peer : peers) {
      if (!peer.working()) continue;
      if (silent(peer) && (!quiet || peer.heard < quiet->heard)) quiet = &peer;
      if (!busy && !peer.last.waiting && peer.last.calls < mine.calls) busy = &peer;
    }
    const bool overdue = mine.waiting && ran - entered > options.timeout;
    if (!overdue && (!quiet || ran - quiet->heard <= std::max(options.timeout, kSilence))) return;
    if (const Peer* late = quiet ? quiet : busy)
      lose(static_cast<int>(late - peers.data()), Reason::hangs);
    else
      lose(kNone, Reason::all_wait);
  }

  [[noreturn]] void throw_lost() const {
    if (mine.reason == Reason::all_wait)
      throw RankError(fmt::format("the ranks have waited for each other for {:.0f} s (ranks.timeout); look at their network",
                                  options.timeout));
    const RankAddress& address = addresses[static_cast<std::size_t>(mine.lost)];
    const std::string who = fmt::format("rank {} ({}, process {})", mine.lost, address.host, address.process);
    if (mine.reason == Reason::failed) throw RankError(who + " stopped with an error of its own");
    const bool hangs = mine.reason == Reason::hangs;
    const std::string silence = fmt::format("not answered for {:.0f} s (ranks.timeout)", options.timeout);
    if (mine.lost != rank) throw RankError(who + (hangs ? " has " + silence : " died"));
    throw RankError(who + " was given up by the others, " + (hangs ? "as it had " + silence : "whose connection to it broke"));
  }

  /// The first rank from `from` on that can save the run, this one included.
  int saver(int from) const {
    for (int r = from; r < static_cast<int>(peers.size()); ++r) {
      const Peer& peer = peers[static_cast<std::size_t>(r)];
      if (r != mine.lost && (r == rank ? mine.state == State::working : peer.working() && !silent(peer))) return r;
    }
    return kNone;
  }

  std::optional<std::uint64_t> saved() const {
    for (const Peer& peer : peers)
      if (peer.last.state == State::saved) return peer.last.step;
    return std::nullopt;
  }

  struct Turn {
    bool mine;                          // to save
    std::optional<std::uint64_t> step;  // that another has saved
  };
  /// Waits while another is to save.
  Turn wait_for_turn() {
    int from = 0, awaited = kNone;
    for (double begun = 0;; std::this_thread::sleep_for(std::chrono::milliseconds(50))) {
      const std::lock_guard lock(mutex);
      // Whoever was stopped meanwhile learns what the others have done.
      hear();
      if (const std::optional<std::uint64_t> step = saved()) return {false, step};
      const int next = saver(from);
      if (next == rank || next == kNone) return {next == rank, std::nullopt};
      if (std::exchange(awaited, next) != next) begun = ran;
      if (ran - begun > std::max(options.timeout, options.patience)) from = next + 1;
    }
  }
};

RankWatch::RankWatch(int rank, int size, const WatchOptions& options, const GatherAddresses& gather)
    : impl_(std::make_unique<Impl>(rank, options, connect_ranks(rank, size, gather))) {
  impl_->thread = std::thread([this] { impl_->serve(); });
}

RankWatch::~RankWatch() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->mine.state == State::working) impl_->say(State::done);
    impl_->quit = true;
  }
  impl_->thread.join();
}

void RankWatch::enter() {
  const std::lock_guard lock(impl_->mutex);
  ++impl_->mine.calls;
  impl_->mine.waiting = 1;
  impl_->entered = impl_->ran;
}

void RankWatch::leave() {
  const std::lock_guard lock(impl_->mutex);
  impl_->mine.waiting = 0;
}

void RankWatch::check() const {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->mine.reason != Reason::none) impl_->throw_lost();
}

bool RankWatch::lost() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->mine.reason != Reason::none;
}

void RankWatch::on_loss(std::function<void()> call) {
  const std::lock_guard lock(impl_->call_mutex);
  impl_->call = std::move(call);
}

std::optional<std::uint64_t> RankWatch::save_once(const std::function<std::uint64_t()>& save) {
  if (!lost()) say_failed();
  const Impl::Turn turn = impl_->wait_for_turn();
  if (!turn.mine) return turn.step;
  std::uint64_t step = 0;
  try {
    step = save();
  } catch (...) {
    say_failed();
    throw;
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->mine.step = step;
  impl_->say(State::saved);
  return step;
}

void RankWatch::say_failed() {
  const std::lock_guard lock(impl_->mutex);
  if (impl_->mine.state != State::saved) impl_->say(State::failed);
}

}  // namespace swath
