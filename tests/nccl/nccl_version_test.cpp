// NCCL itself, of which no more can run without GPUs: its functions are there, and it says its version.
#include <gtest/gtest.h>
#include <nccl.h>

#include "engine/dist/nccl.h"
#include "engine/dist/ranks.h"

namespace swath {
namespace {

TEST(Nccl, SaysItsVersion) {
  EXPECT_EQ(joins_devices_by(), nccl_version());
  // Built with one version of it, run with the same or a later one.
  const int major = std::stoi(nccl_version());
  EXPECT_EQ(major, NCCL_MAJOR) << nccl_version();
  EXPECT_NE(join_nccl, nullptr);
}

}  // namespace
}  // namespace swath
