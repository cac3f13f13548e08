// Ranks through MPI. Once the ranks have met, every call is a non-blocking one that is waited for, so that a rank that does not
// answer ends the wait.
#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <thread>

#include "engine/core/log.h"
#include "engine/dist/ranks.h"
#include "engine/dist/watch.h"

namespace swath {

namespace {

constexpr std::size_t kLargestPiece = std::size_t{1} << 30;  // MPI counts in int

void check(int code, const char* call) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw RankError(fmt::format("{} failed: {}", call, std::string(text, static_cast<std::size_t>(length))));
}

int as_int(std::int64_t n) {
  SWATH_CHECK(n >= 0 && n <= std::numeric_limits<int>::max(), "{} elements in one message", n);
  return static_cast<int>(n);
}

/// A datatype of so many bytes in a row.
class Bytes {
 public:
  explicit Bytes(std::size_t bytes) {
    check(MPI_Type_contiguous(as_int(static_cast<std::int64_t>(bytes)), MPI_BYTE, &type_), "MPI_Type_contiguous");
    check(MPI_Type_commit(&type_), "MPI_Type_commit");
  }
  ~Bytes() { MPI_Type_free(&type_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  MPI_Datatype get() const { return type_; }

 private:
  MPI_Datatype type_ = MPI_DATATYPE_NULL;
};

/// MPI is one for a process. Whoever starts it ends it.
class Session {
 public:
  Session() {
    int running = 0;
    MPI_Initialized(&running);
    if (running) return;
    int level = 0;
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &level), "MPI_Init_thread");
    started_ = true;
  }
  /// A rank that is lost cannot take part in the end.
  void abandon() { started_ = false; }
  ~Session() {
    if (started_) MPI_Finalize();
  }
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

 private:
  bool started_ = false;
};

RankPlace place_in_world() {
  RankPlace place;
  MPI_Comm_rank(MPI_COMM_WORLD, &place.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &place.size);
  MPI_Comm here = MPI_COMM_NULL;
  check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, place.rank, MPI_INFO_NULL, &here), "MPI_Comm_split_type");
  MPI_Comm_rank(here, &place.local_rank);
  MPI_Comm_size(here, &place.local_size);
  MPI_Comm_free(&here);
  return place;
}

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(std::unique_ptr<Session> session, const RankOptions& options)
      : Communicator(place_in_world()), session_(std::move(session)) {
    check(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup");
    MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN);
    if (alone()) return;
    watch_ = std::make_unique<RankWatch>(
        rank(), size(), WatchOptions{.timeout = options.timeout},
        [this](const RankAddress& mine, std::vector<RankAddress>& all) {
          check(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, world_), "MPI_Allgather");
        });
  }
  /// A lost rank cannot take part in the end, and without it there is none.
  ~MpiCommunicator() override {
    if (lost_ || (watch_ && watch_->lost()))
      session_->abandon();
    else
      MPI_Comm_free(&world_);
  }

  void wait_until(const std::function<bool()>& done) override {
    if (watch_) watch_->enter();
    // Short waits spin; longer ones leave the core to others, of which some may be ranks.
    for (int tries = 0; !done(); ++tries) {
      if (tries < 1000) continue;
      std::this_thread::sleep_for(std::chrono::microseconds(20));
      if (watch_ && tries % 100 == 0) watch_->check();
    }
    if (watch_) watch_->leave();
  }

  void on_loss(std::function<void()> call) override {
    if (watch_) watch_->on_loss(std::move(call));
  }

  std::optional<std::uint64_t> save_once(const std::function<std::uint64_t()>& save) override {
    return watch_->save_once(save);
  }

  void say_failed() override {
    if (watch_) watch_->say_failed();
    lost_ = true;
  }

  using Communicator::all_gather;
  using Communicator::broadcast;

  void all_gather_rows(const Tensor& whole) override {
    const std::int64_t rows = whole.size(0);
    if (whole.numel() == 0) return;
    const Bytes row(whole.bytes() / static_cast<std::size_t>(rows));
    const Shares shares = shares_of(rows, 1);
    MPI_Request request;
    expect(MPI_Iallgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, whole.raw(), shares.counts.data(), shares.begins.data(),
                           row.get(), world_, &request),
           "MPI_Iallgatherv");
    wait(request);
  }

  void reduce_scatter_rows(const Tensor& whole) override {
    const std::int64_t rows = whole.size(0);
    if (whole.numel() == 0) return;
    const std::int64_t columns = whole.numel() / rows;
    const Shares shares = shares_of(rows, columns);
    const RowSlice mine = slice(rows);
    const Tensor sum = Tensor::empty(whole.device(), {std::max<std::int64_t>(mine.size * columns, 1)});
    MPI_Request request;
    expect(MPI_Ireduce_scatter(whole.data<float>(), sum.raw(), shares.counts.data(), MPI_FLOAT, MPI_SUM, world_, &request),
           "MPI_Ireduce_scatter");
    wait(request);
    std::copy_n(sum.data<float>(), mine.size * columns, whole.data<float>() + mine.begin * columns);
  }

  void all_reduce(const Tensor& values) override {
    if (values.numel() == 0) return;
    MPI_Request request;
    expect(MPI_Iallreduce(MPI_IN_PLACE, values.data<float>(), as_int(values.numel()), MPI_FLOAT, MPI_SUM, world_, &request),
           "MPI_Iallreduce");
    wait(request);
  }

  void start_all_reduce(const Tensor& values) override {
    if (values.numel() == 0) return;
    under_way_.push_back(MPI_REQUEST_NULL);
    expect(MPI_Iallreduce(MPI_IN_PLACE, values.data<float>(), as_int(values.numel()), MPI_FLOAT, MPI_SUM, world_,
                          &under_way_.back()),
           "MPI_Iallreduce");
  }

  void poll_reduces() override {
    if (under_way_.empty()) return;
    int done = 0;
    expect(MPI_Testall(static_cast<int>(under_way_.size()), under_way_.data(), &done, MPI_STATUSES_IGNORE), "MPI_Testall");
  }

  void finish_reduces() override {
    for (MPI_Request& request : under_way_) wait(request);
    under_way_.clear();
  }

  void broadcast(void* data, std::size_t bytes, int root) override {
    for (std::size_t done = 0; done < bytes; done += kLargestPiece) {
      const std::size_t piece = std::min(kLargestPiece, bytes - done);
      MPI_Request request;
      expect(MPI_Ibcast(static_cast<char*>(data) + done, static_cast<int>(piece), MPI_BYTE, root, world_, &request),
             "MPI_Ibcast");
      wait(request);
    }
  }

  void all_gather(const void* mine, std::size_t bytes, void* all) override {
    const Bytes block(bytes);
    MPI_Request request;
    expect(MPI_Iallgather(mine, 1, block.get(), all, 1, block.get(), world_, &request), "MPI_Iallgather");
    wait(request);
  }

 private:
  struct Shares {
    std::vector<int> counts, begins;
  };
  Shares shares_of(std::int64_t rows, std::int64_t unit) const {
    Shares shares;
    for (int r = 0; r < size(); ++r) {
      const RowSlice one = slice_of(rows, r, size());
      shares.counts.push_back(as_int(one.size * unit));
      shares.begins.push_back(as_int(one.begin * unit));
    }
    return shares;
  }

  void wait(MPI_Request& request) {
    wait_until([&] {
      int done = 0;
      expect(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
      return done != 0;
    });
  }

  /// A call between the ranks. MPI may see sooner that a connection broke than the watch sees whose: it gets a moment.
  void expect(int code, const char* call) {
    if (code == MPI_SUCCESS) return;
    lost_ = true;
    for (int tries = 0; watch_ && tries < 100; ++tries) {
      watch_->check();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    check(code, call);
  }

  std::unique_ptr<Session> session_;
  std::unique_ptr<RankWatch> watch_;  // null: this is the only rank
  bool lost_ = false;                 // a call failed, or this rank
  MPI_Comm world_ = MPI_COMM_NULL;
  std::vector<MPI_Request> under_way_;
};

}  // namespace

std::unique_ptr<Communicator> join_mpi(const RankOptions& options) {
  return std::make_unique<MpiCommunicator>(std::make_unique<Session>(), options);
}

}  // namespace swath
