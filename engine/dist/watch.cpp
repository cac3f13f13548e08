#include "engine/dist/watch.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "engine/core/error.h"
#include "engine/io/file.h"

namespace swath {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kBeat = std::chrono::seconds(1);
constexpr double kPatience = 60;  // for the checkpoint of another rank, and for connections at the start
constexpr std::int64_t kNone = -1;

double since(Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); }

enum class State : std::int64_t { working, saved, done, failed };

/// What a rank tells the others.
struct Beat {
  std::uint64_t calls = 0;   // begun
  std::int64_t waiting = 0;  // whether it is in one
  std::int64_t state = 0;
  std::uint64_t step = 0;     // that it has saved
  std::int64_t lost = kNone;  // the rank that this one has given up, and why
  std::int64_t reason = 0;
};

enum class Reason : std::int64_t { died, failed, hangs, all_wait };

/// One other rank.
struct Peer {
  FileDescriptor socket;
  Beat last;
  std::string buffer;
  bool open = false;
  Clock::time_point heard = Clock::now();
};

struct Greeting {
  std::uint64_t token = 0;
  std::int64_t rank = 0;
};

[[noreturn]] void fail(const std::string& what) {
  throw RankError(
      fmt::format("{} ({}); the ranks' machines must reach each other by name over TCP", what, std::strerror(errno)));
}

bool send_all(int socket, const void* data, std::size_t bytes) {
  return ::send(socket, data, bytes, MSG_NOSIGNAL) == static_cast<ssize_t>(bytes);
}

bool receive_all(int socket, void* data, std::size_t bytes) {
  return ::recv(socket, data, bytes, MSG_WAITALL) == static_cast<ssize_t>(bytes);
}

FileDescriptor listen_anywhere(std::int32_t& port) {
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_ANY);
  socklen_t length = sizeof address;
  if (socket.get() < 0 || ::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      ::listen(socket.get(), 4096) != 0 || ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    fail("a rank cannot listen for the others");
  port = ntohs(address.sin_port);
  return socket;
}

FileDescriptor connect_to(const RankAddress& peer, bool same_host) {
  addrinfo hints{}, *found = nullptr;
  hints.ai_family = AF_INET;
  hints.ai_socktype = SOCK_STREAM;
  const std::string host = same_host ? "127.0.0.1" : peer.host;
  if (::getaddrinfo(host.c_str(), std::to_string(peer.port).c_str(), &hints, &found) != 0 || !found)
    fail(fmt::format("{} is no known host", host));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0 || ::connect(socket.get(), found->ai_addr, found->ai_addrlen) != 0)
    fail(fmt::format("a rank on {} cannot be reached", host));
  return socket;
}

}  // namespace

struct RankWatch::Impl {
  int rank, size;
  double timeout;
  std::vector<RankAddress> addresses;
  std::vector<Peer> peers;

  mutable std::mutex mutex;
  Beat mine;
  Clock::time_point entered = Clock::now();
  bool quit = false;
  std::mutex call_mutex;
  std::function<void()> call;  // on_loss
  std::thread thread;

  std::string name_of(std::size_t r) const {
    return fmt::format("rank {} ({}, process {})", r, addresses[r].host, addresses[r].process);
  }

  void connect(const FileDescriptor& listener) {
    const std::uint64_t token = addresses[0].token;
    peers.resize(static_cast<std::size_t>(size));
    for (int r = 0; r < rank; ++r) {
      const RankAddress& to = addresses[static_cast<std::size_t>(r)];
      FileDescriptor socket = connect_to(to, std::strcmp(to.host, addresses[static_cast<std::size_t>(rank)].host) == 0);
      const Greeting greeting{token, rank};
      if (!send_all(socket.get(), &greeting, sizeof greeting)) fail("a rank hung up");
      take(r, std::move(socket));
    }
    const Clock::time_point begun = Clock::now();
    for (int missing = size - 1 - rank; missing > 0;) {
      pollfd waiting{listener.get(), POLLIN, 0};
      if (since(begun) > kPatience) fail("not every rank has called");
      if (::poll(&waiting, 1, 1000) <= 0) continue;
      FileDescriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
      const timeval limit{5, 0};
      ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
      Greeting greeting;
      // Anybody may call; only a rank knows the token.
      if (!receive_all(socket.get(), &greeting, sizeof greeting) || greeting.token != token || greeting.rank <= rank ||
          greeting.rank >= size)
        continue;
      take(static_cast<int>(greeting.rank), std::move(socket));
      --missing;
    }
  }

  void take(int r, FileDescriptor socket) {
    Peer& peer = peers[static_cast<std::size_t>(r)];
    peer.socket = std::move(socket);
    peer.open = true;
  }

  void serve() {
    Clock::time_point sent = Clock::now() - kBeat;
    for (;;) {
      std::vector<pollfd> waiting;
      {
        const std::lock_guard lock(mutex);
        if (quit) return;
        if (Clock::now() - sent >= kBeat) {
          tell();
          sent = Clock::now();
        }
        for (const Peer& peer : peers) waiting.push_back({peer.open ? peer.socket.get() : -1, POLLIN, 0});
      }
      ::poll(waiting.data(), waiting.size(), 200);
      bool lost = false;
      {
        const std::lock_guard lock(mutex);
        for (std::size_t r = 0; r < peers.size(); ++r)
          if (peers[r].open && waiting[r].revents) listen(r);
        lost = mine.lost != kNone;
      }
      if (lost) call_once();
    }
  }

  void call_once() {
    const std::lock_guard lock(call_mutex);
    if (call) std::exchange(call, nullptr)();
  }

  void tell() {
    for (Peer& peer : peers)
      if (peer.open) send_all(peer.socket.get(), &mine, sizeof mine);
  }

  void listen(std::size_t r) {
    Peer& peer = peers[r];
    char bytes[1024];
    const ssize_t got = ::recv(peer.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      peer.open = false;
      const auto state = static_cast<State>(peer.last.state);
      if (state == State::working) lose(static_cast<std::int64_t>(r), Reason::died);
      return;
    }
    peer.heard = Clock::now();
    peer.buffer.append(bytes, static_cast<std::size_t>(got));
    while (peer.buffer.size() >= sizeof(Beat)) {
      std::memcpy(&peer.last, peer.buffer.data(), sizeof(Beat));
      peer.buffer.erase(0, sizeof(Beat));
      if (static_cast<State>(peer.last.state) == State::failed) lose(static_cast<std::int64_t>(r), Reason::failed);
      if (peer.last.lost != kNone) lose(peer.last.lost, static_cast<Reason>(peer.last.reason));
    }
  }

  /// The first loss is the one that all speak of.
  void lose(std::int64_t r, Reason reason) {
    if (mine.lost != kNone) return;
    mine.lost = r;
    mine.reason = static_cast<std::int64_t>(reason);
    tell();
  }

  [[noreturn]] void throw_lost() const {
    const auto r = static_cast<std::size_t>(mine.lost);
    switch (static_cast<Reason>(mine.reason)) {
      case Reason::died:
        throw RankError(fmt::format("{} died", name_of(r)));
      case Reason::failed:
        throw RankError(fmt::format("{} stopped with an error of its own", name_of(r)));
      case Reason::hangs:
        throw RankError(fmt::format("{} has not answered for {:.0f} s (ranks.timeout)", name_of(r), timeout));
      case Reason::all_wait:
        break;
    }
    throw RankError(
        fmt::format("the ranks have waited for each other for {:.0f} s (ranks.timeout); look at their network", timeout));
  }

  /// Who keeps the others waiting: a rank that has long been silent, else one that is busy elsewhere, else none.
  std::int64_t late_rank() const {
    std::int64_t silent = kNone, busy = kNone;
    for (std::size_t r = 0; r < peers.size(); ++r) {
      const Peer& peer = peers[r];
      const auto quieter = [&](std::int64_t than) {
        return than == kNone || peer.heard < peers[static_cast<std::size_t>(than)].heard;
      };
      if (!peer.open) continue;
      if (since(peer.heard) > timeout / 2 && quieter(silent)) silent = static_cast<std::int64_t>(r);
      if (!peer.last.waiting && peer.last.calls < mine.calls && busy == kNone) busy = static_cast<std::int64_t>(r);
    }
    return silent == kNone ? busy : silent;
  }

  void check() {
    const std::lock_guard lock(mutex);
    if (mine.lost == kNone && since(entered) > timeout) {
      const std::int64_t late = late_rank();
      lose(late == kNone ? 0 : late, late == kNone ? Reason::all_wait : Reason::hangs);
    }
    if (mine.lost != kNone) throw_lost();
  }
};

RankWatch::RankWatch(int rank, int size, double timeout,
                     const std::function<void(const RankAddress&, std::vector<RankAddress>&)>& gather)
    : impl_(std::make_unique<Impl>()) {
  impl_->rank = rank;
  impl_->size = size;
  impl_->timeout = timeout;
  RankAddress mine;
  ::gethostname(mine.host, sizeof mine.host - 1);
  mine.process = static_cast<std::int32_t>(::getpid());
  mine.token = static_cast<std::uint64_t>(std::random_device{}()) << 32 | std::random_device{}();
  const FileDescriptor listener = listen_anywhere(mine.port);
  impl_->addresses.resize(static_cast<std::size_t>(size));
  gather(mine, impl_->addresses);
  impl_->connect(listener);
  impl_->thread = std::thread([this] { impl_->serve(); });
}

RankWatch::~RankWatch() {
  {
    const std::lock_guard lock(impl_->mutex);
    if (static_cast<State>(impl_->mine.state) == State::working) impl_->mine.state = static_cast<std::int64_t>(State::done);
    impl_->tell();
    impl_->quit = true;
  }
  impl_->thread.join();
}

void RankWatch::enter() {
  const std::lock_guard lock(impl_->mutex);
  ++impl_->mine.calls;
  impl_->mine.waiting = 1;
  impl_->entered = Clock::now();
}

void RankWatch::leave() {
  const std::lock_guard lock(impl_->mutex);
  impl_->mine.waiting = 0;
}

void RankWatch::check() { impl_->check(); }

void RankWatch::on_loss(std::function<void()> call) {
  const std::lock_guard lock(impl_->call_mutex);
  impl_->call = std::move(call);
}

bool RankWatch::first_left() const {
  const std::lock_guard lock(impl_->mutex);
  for (int r = 0; r < impl_->rank; ++r)
    if (r != impl_->mine.lost && impl_->peers[static_cast<std::size_t>(r)].open) return false;
  return impl_->rank != impl_->mine.lost;
}

std::optional<std::uint64_t> RankWatch::wait_for_saved() {
  const Clock::time_point begun = Clock::now();
  while (since(begun) < std::max(kPatience, impl_->timeout)) {
    {
      const std::lock_guard lock(impl_->mutex);
      bool hope = false;
      for (int r = 0; r < impl_->size; ++r) {
        const Peer& peer = impl_->peers[static_cast<std::size_t>(r)];
        if (r == impl_->rank || r == impl_->mine.lost) continue;
        if (static_cast<State>(peer.last.state) == State::saved) return peer.last.step;
        hope = hope || (peer.open && r < impl_->rank);
      }
      if (!hope) return std::nullopt;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return std::nullopt;
}

void RankWatch::say_saved(std::uint64_t step) {
  const std::lock_guard lock(impl_->mutex);
  impl_->mine.state = static_cast<std::int64_t>(State::saved);
  impl_->mine.step = step;
  impl_->tell();
}

void RankWatch::say_failed() {
  const std::lock_guard lock(impl_->mutex);
  impl_->mine.state = static_cast<std::int64_t>(State::failed);
  impl_->tell();
}

}  // namespace swath
