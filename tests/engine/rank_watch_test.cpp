// Ranks as processes that wait for each other: some of them end or stand still, and what the others say and save is looked at.
#include "engine/dist/watch.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>

#include "engine/core/error.h"

namespace swath {
namespace {

using Clock = std::chrono::steady_clock;

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }
double since(Clock::time_point begun) { return std::chrono::duration<double>(Clock::now() - begun).count(); }
[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  std::abort();
}

constexpr int kMost = 4;
constexpr std::uint64_t kStep = 7;

/// What all processes see. Fresh memory is zero.
struct Board {
  std::atomic<int> met, waiting;
  std::atomic<bool> over, go;
  std::array<RankAddress, kMost> addresses;
  std::array<std::atomic<int>, kMost> saved;  // how often each has
  std::array<std::int64_t, kMost> step;       // that a rank was told, -1: none
  std::array<std::array<char, 400>, kMost> sentence;
};

class RankWatchTest : public testing::Test {
 protected:
  RankWatchTest() {
    void* const memory = ::mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) throw std::runtime_error("no shared memory");
    board = new (memory) Board{};
  }
  ~RankWatchTest() override {
    for (const pid_t process : processes) {
      ::kill(process, SIGKILL);
      ::waitpid(process, nullptr, 0);
    }
    ::munmap(board, sizeof(Board));
  }

  using Act = std::function<void(int rank, RankWatch& watch)>;
  using Save = std::function<void(int rank)>;

  /// Ranks that wait for each other, if `act` returns, until one is lost, and then save; returns when all wait.
  void start(
      int size, const WatchOptions& options, const Save& save = [](int) {}, const Act& act = [](int, RankWatch&) {}) {
    for (int rank = 0; rank < size; ++rank) {
      const pid_t process = ::fork();
      if (process == 0) {
        be_rank(rank, size, options, save, act);
        ::_exit(6);
      }
      processes.push_back(process);
    }
    const Clock::time_point begun = Clock::now();
    while (board->waiting < size && since(begun) < 30) sleep_for(0.01);
    ASSERT_EQ(board->waiting, size);
    // Everybody has been heard.
    sleep_for(1.5);
    from = Clock::now();
  }

  void signal(int rank, int number) { ::kill(processes[static_cast<std::size_t>(rank)], number); }

  /// Waits until the ranks have ended, but no longer than until `seconds` after start().
  void expect_end(const std::vector<int>& ranks, double seconds) {
    for (const int rank : ranks) {
      pid_t& process = processes[static_cast<std::size_t>(rank)];
      int status = 0;
      pid_t ended = 0;
      while ((ended = ::waitpid(process, &status, WNOHANG)) == 0 && since(from) < seconds) sleep_for(0.02);
      ASSERT_EQ(ended, process) << "rank " << rank << " has not ended after " << seconds << " s";
      EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 6) << "rank " << rank;
    }
  }

  std::string sentence(int rank) const { return board->sentence[static_cast<std::size_t>(rank)].data(); }
  std::int64_t step(int rank) const { return board->step[static_cast<std::size_t>(rank)]; }
  void expect_sentence(int rank, const std::string& what) const {
    EXPECT_NE(sentence(rank).find(what), std::string::npos) << "rank " << rank << ": " << sentence(rank);
  }
  /// The only rank that has saved, and what each of `told` knows of it.
  void expect_saved_by(int rank, const std::vector<int>& told) const {
    for (int r = 0; r < kMost; ++r) EXPECT_EQ(board->saved[static_cast<std::size_t>(r)], r == rank ? 1 : 0) << "rank " << r;
    for (const int r : told) EXPECT_EQ(step(r), static_cast<std::int64_t>(kStep)) << "rank " << r;
  }

  Board* board = nullptr;
  std::vector<pid_t> processes;
  Clock::time_point from;

 private:
  void be_rank(int rank, int size, const WatchOptions& options, const Save& save, const Act& act) const {
    const auto r = static_cast<std::size_t>(rank);
    RankWatch watch(rank, size, options, [&](const RankAddress& mine, std::vector<RankAddress>& all) {
      board->addresses[r] = mine;
      ++board->met;
      while (board->met < size) sleep_for(0.005);
      std::copy_n(board->addresses.begin(), size, all.begin());
    });
    ++board->waiting;
    try {
      act(rank, watch);
      watch.enter();
      while (!board->over) {
        watch.check();
        sleep_for(0.01);
      }
      watch.leave();
      return;
    } catch (const RankError& error) {
      std::string(error.what()).copy(board->sentence[r].data(), board->sentence[r].size() - 1);
    }
    try {
      const std::optional<std::uint64_t> step = watch.save_once([&] {
        save(rank);
        ++board->saved[r];
        return kStep;
      });
      board->step[r] = step ? static_cast<std::int64_t>(*step) : -1;
    } catch (const DataError&) {
      sleep_for(60);  // it does not end because of this
    }
  }
};

TEST_F(RankWatchTest, TwoRanksDieAtOnce) {
  start(4, {.timeout = 60});
  signal(0, SIGKILL);
  signal(1, SIGKILL);
  expect_end({2, 3}, 10);
  expect_saved_by(2, {2, 3});
  for (const int rank : {2, 3}) EXPECT_TRUE(sentence(rank).ends_with("died")) << sentence(rank);
}

TEST_F(RankWatchTest, TwoRanksStandStill) {
  start(4, {.timeout = 6});
  signal(2, SIGSTOP);
  sleep_for(1.5);
  signal(0, SIGSTOP);
  expect_end({1, 3}, 6 + 10);
  EXPECT_GT(since(from), 4.5);
  expect_saved_by(1, {1, 3});
  for (const int rank : {1, 3}) {
    expect_sentence(rank, "rank 2 (");
    expect_sentence(rank, "has not answered for 6 s (ranks.timeout)");
  }
}

TEST_F(RankWatchTest, OneDiesWhileTheOneThatWouldSaveStandsStill) {
  start(4, {.timeout = 8});
  signal(0, SIGSTOP);
  signal(2, SIGKILL);
  expect_end({1, 3}, 8 + 10);
  expect_saved_by(1, {1, 3});
  for (const int rank : {1, 3}) expect_sentence(rank, "rank 2 (");
  // It learns that it is late: nothing is saved again.
  signal(0, SIGCONT);
  expect_end({0}, 30);
  expect_saved_by(1, {0});
}

TEST_F(RankWatchTest, TheSaverDies) {
  start(3, {.timeout = 60}, [](int rank) {
    if (rank == 0) die();
  });
  signal(2, SIGKILL);
  expect_end({1}, 10);
  expect_saved_by(1, {1});
  expect_sentence(1, "rank 2 (");
}

TEST_F(RankWatchTest, TheSaverStandsStill) {
  start(4, {.timeout = 8}, [](int rank) {
    if (rank == 0) ::raise(SIGSTOP);
  });
  signal(2, SIGKILL);
  expect_end({1, 3}, 8 + 10);
  expect_saved_by(1, {1, 3});
}

TEST_F(RankWatchTest, TheSaverFails) {
  start(3, {.timeout = 60}, [](int rank) {
    if (rank == 0) throw DataError("no space");
  });
  signal(2, SIGKILL);
  expect_end({1}, 10);
  expect_saved_by(1, {1});
}

TEST_F(RankWatchTest, ALongSaveIsWaitedFor) {
  start(3, {.timeout = 4}, [](int) { sleep_for(9); });
  signal(2, SIGKILL);
  expect_end({0, 1}, 25);
  EXPECT_GT(since(from), 9);
  expect_saved_by(0, {0, 1});
}

TEST_F(RankWatchTest, ARankThatDoesNotComeToSaveIsNotWaitedForForever) {
  start(
      3, {.timeout = 4, .patience = 5}, [](int) {},
      [](int rank, RankWatch&) {
        while (rank == 0) sleep_for(1);
      });
  signal(2, SIGKILL);
  expect_end({1}, 4 + 10);
  expect_saved_by(1, {1});
}

TEST_F(RankWatchTest, ARankThatDoesNotComeToACallIsNamed) {
  start(
      3, {.timeout = 4}, [](int) {},
      [](int rank, RankWatch&) {
        while (rank == 1) sleep_for(1);
      });
  expect_end({0, 2}, 4 + 10);
  expect_saved_by(0, {0, 2});
  for (const int rank : {0, 2}) expect_sentence(rank, "rank 1 (");
}

TEST_F(RankWatchTest, WhoeverIsSilentIsNamedBeforeAnybodyWaits) {
  start(
      2, {.timeout = 4}, [](int) {},
      [](int rank, RankWatch& watch) {
        while (rank == 0 && !watch.lost()) sleep_for(0.05);
      });
  signal(1, SIGSTOP);
  expect_end({0}, 4 + 10);
  expect_saved_by(0, {0});
  expect_sentence(0, "rank 1 (");
}

TEST_F(RankWatchTest, WhoeverWasGivenUpSaysSoAndSavesNothing) {
  start(3, {.timeout = 4});
  signal(0, SIGSTOP);
  expect_end({1, 2}, 4 + 10);
  expect_saved_by(1, {1, 2});
  signal(0, SIGCONT);
  expect_end({0}, 30);
  expect_sentence(0, "rank 0 (");
  expect_sentence(0, "was given up by the others, as it had not answered for 4 s (ranks.timeout)");
  expect_saved_by(1, {0});
}

TEST_F(RankWatchTest, RanksThatAreAllStoppedGoOn) {
  start(3, {.timeout = 6});
  for (int rank = 0; rank < 3; ++rank) signal(rank, SIGSTOP);
  sleep_for(8);
  for (int rank = 0; rank < 3; ++rank) {
    signal(rank, SIGCONT);
    sleep_for(0.5);
  }
  board->over = true;
  expect_end({0, 1, 2}, 30);
  for (int rank = 0; rank < 3; ++rank) EXPECT_EQ(sentence(rank), "");
}

// What it is told fills its socket; the last of it arrives in part.
TEST_F(RankWatchTest, ARankThatReadsNothingHoldsNobodyUp) {
  start(
      3, {.timeout = 60}, [](int) {},
      [this](int rank, RankWatch& watch) {
        if (rank != 1) return;
        while (!board->go) sleep_for(0.01);
        for (int i = 0; i < 200000; ++i) watch.say_failed();
      });
  signal(2, SIGSTOP);
  board->go = true;
  expect_end({0, 1}, 40);
  signal(2, SIGCONT);
  expect_end({2}, 60);
  for (const int rank : {0, 2}) expect_sentence(rank, "stopped with an error of its own");
  expect_saved_by(0, {0, 1, 2});
}

}  // namespace
}  // namespace swath
