// Ranks that cannot reach each other: what is said, and why.
#include "engine/dist/rank_sockets.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "engine/core/error.h"

namespace swath {
namespace {

/// What rank 1 of two says when rank 0 is at this address; an empty host: its own.
std::string refusal(const std::string& host, std::int32_t port) {
  try {
    connect_ranks(1, 2, [&](const RankAddress& mine, std::vector<RankAddress>& all) {
      all = {mine, mine};
      all[0].port = port;
      if (host.empty()) return;
      std::memset(all[0].host, 0, sizeof all[0].host);
      host.copy(all[0].host, sizeof all[0].host - 1);
    });
  } catch (const RankError& error) {
    return error.what();
  }
  return "";
}

TEST(RankSockets, AHostThatIsNotKnownIsNamedWithTheResolversReason) {
  const std::string said = refusal("a..b", 1024);
  EXPECT_TRUE(said.starts_with("a rank's host a..b is not known (")) << said;
  EXPECT_EQ(said.find("Success"), std::string::npos) << said;
  EXPECT_NE(said.find("reach each other by name over TCP"), std::string::npos) << said;
}

TEST(RankSockets, AClosedPortIsNamedWithTheSystemsReason) {
  const std::string said = refusal("", 1);
  EXPECT_TRUE(said.starts_with("a rank on 127.0.0.1 cannot be reached (Connection refused)")) << said;
}

}  // namespace
}  // namespace swath
