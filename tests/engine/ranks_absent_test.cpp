// A build without MPI and NCCL, and a launcher that started several processes.
#include <gtest/gtest.h>

#include <cstdlib>

#include "engine/device/device.h"
#include "engine/device/step_ledger.h"
#include "engine/dist/ranks.h"

namespace swath {
namespace {

TEST(RanksAbsent, OneProcessIsTheSoleRank) {
  EXPECT_FALSE(ranks_available());
  const std::unique_ptr<Communicator> ranks = join_ranks({});
  EXPECT_TRUE(ranks->alone());
  EXPECT_TRUE(ranks->leads());
  EXPECT_TRUE(ranks->any(true));
  EXPECT_FALSE(ranks->any(false));
  EXPECT_EQ(ranks->all_gather(std::string("mine")), std::vector<std::string>{"mine"});
}

TEST(RanksAbsent, SeveralAreRefused) {
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    setenv(name, "3", 1);
    try {
      join_ranks({});
      ADD_FAILURE() << name;
    } catch (const UserError& error) {
      EXPECT_EQ(error.code(), ExitCode::usage);
      EXPECT_NE(std::string(error.what()).find("started 3 processes, but this build has no MPI"), std::string::npos)
          << error.what();
    }
    unsetenv(name);
  }
}

/// Ranks whose tensors live on the CPU.
class CpuRanks final : public Communicator {
 public:
  CpuRanks() : Communicator(RankPlace{.rank = 0, .size = 2}) {}
  void all_gather_rows(const Tensor&) override {}
  void reduce_scatter_rows(const Tensor&) override {}
  void all_reduce(const Tensor&) override {}
  void start_all_reduce(const Tensor&) override {}
  void finish_reduces() override {}
  void broadcast(void*, std::size_t, int) override {}
  void all_gather(const void*, std::size_t, void*) override {}
};

TEST(NcclAbsent, SeveralRanksOnAnotherDeviceAreRefused) {
  CpuRanks ranks;
  const std::unique_ptr<Device> cpu = Device::open("cpu");
  EXPECT_EQ(join_devices(ranks, *cpu), nullptr);
  StepLedger ledger;
  const std::unique_ptr<Device> other = open_dry(ledger);
  try {
    join_devices(ranks, *other);
    ADD_FAILURE() << "joined";
  } catch (const UserError& error) {
    EXPECT_NE(std::string(error.what()).find("need NCCL, which this build lacks; configure with -DSWATH_NCCL=ON"),
              std::string::npos)
        << error.what();
  }
  EXPECT_EQ(joins_devices_by(), "");
}

TEST(RowSlices, CoverEveryRowOnce) {
  for (const std::int64_t rows : {0, 1, 7, 8, 120}) {
    for (const int ranks : {1, 2, 3, 8}) {
      std::int64_t next = 0;
      for (int r = 0; r < ranks; ++r) {
        const RowSlice slice = slice_of(rows, r, ranks);
        EXPECT_EQ(slice.begin, next);
        EXPECT_GE(slice.size, rows / ranks);
        EXPECT_LE(slice.size, rows / ranks + 1);
        next = slice.end();
      }
      EXPECT_EQ(next, rows);
    }
  }
}

}  // namespace
}  // namespace swath
