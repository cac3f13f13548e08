#include "engine/dist/rank_sockets.h"

#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>

#include "engine/core/error.h"

namespace swath {

namespace {

constexpr auto kPatience = std::chrono::seconds(60);

struct Greeting {
  std::uint64_t token = 0;
  std::int64_t rank = 0;
};

[[noreturn]] void fail(const std::string& what, const std::string& why) {
  throw RankError(fmt::format("{} ({}); the ranks' machines must reach each other by name over TCP", what, why));
}
[[noreturn]] void fail(const std::string& what) { fail(what, std::strerror(errno)); }

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
  const int error = ::getaddrinfo(host.c_str(), std::to_string(peer.port).c_str(), &hints, &found);
  if (error != 0)
    fail(fmt::format("a rank's host {} is not known", host),
         error == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(found, ::freeaddrinfo);
  FileDescriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0 || ::connect(socket.get(), found->ai_addr, found->ai_addrlen) != 0)
    fail(fmt::format("a rank on {} cannot be reached", host));
  return socket;
}

/// Calls the ranks before this one.
void call_earlier(int rank, RankSockets& made) {
  const char* here = made.addresses[static_cast<std::size_t>(rank)].host;
  for (std::size_t r = 0; r < static_cast<std::size_t>(rank); ++r) {
    const RankAddress& to = made.addresses[r];
    FileDescriptor socket = connect_to(to, std::strcmp(to.host, here) == 0);
    const Greeting greeting{made.addresses[0].token, rank};
    if (::send(socket.get(), &greeting, sizeof greeting, MSG_NOSIGNAL) != sizeof greeting) fail("a rank hung up");
    made.sockets[r] = std::move(socket);
  }
}

/// Waits for the calls of those after it.
void answer_later(int rank, int size, const FileDescriptor& listener, RankSockets& made) {
  const auto begun = std::chrono::steady_clock::now();
  for (int missing = size - 1 - rank; missing > 0;) {
    pollfd waiting{listener.get(), POLLIN, 0};
    if (std::chrono::steady_clock::now() - begun > kPatience)
      fail(fmt::format("{} of {} ranks have not called", missing, size), fmt::format("within {} s", kPatience.count()));
    if (::poll(&waiting, 1, 1000) <= 0) continue;
    FileDescriptor socket(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
    const timeval limit{5, 0};
    ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    Greeting greeting;
    // Anybody may call; only a rank knows the token.
    if (::recv(socket.get(), &greeting, sizeof greeting, MSG_WAITALL) != sizeof greeting ||
        greeting.token != made.addresses[0].token || greeting.rank <= rank || greeting.rank >= size)
      continue;
    made.sockets[static_cast<std::size_t>(greeting.rank)] = std::move(socket);
    --missing;
  }
}

}  // namespace

RankSockets connect_ranks(int rank, int size, const GatherAddresses& gather) {
  RankSockets made;
  made.addresses.resize(static_cast<std::size_t>(size));
  made.sockets.resize(static_cast<std::size_t>(size));
  RankAddress mine;
  ::gethostname(mine.host, sizeof mine.host - 1);
  mine.process = static_cast<std::int32_t>(::getpid());
  mine.token = static_cast<std::uint64_t>(std::random_device{}()) << 32 | std::random_device{}();
  const FileDescriptor listener = listen_anywhere(mine.port);
  gather(mine, made.addresses);
  call_earlier(rank, made);
  answer_later(rank, size, listener, made);
  return made;
}

}  // namespace swath
