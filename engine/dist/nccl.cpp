// NCCL queues what a step needs on the device's stream, where a graph records it. The sums of gradients run on a stream of
// their own, beside the backward pass. Calls return before NCCL is done with them, so that the watch is looked at meanwhile,
// and a rank that is lost ends by ncclCommAbort what would wait for it for ever.
#include "engine/dist/nccl.h"

#include <nccl.h>

#include <atomic>
#include <chrono>
#include <exception>
#include <mutex>
#include <source_location>
#include <thread>

#include "engine/core/log.h"
#include "engine/device/cuda/cuda_backend.h"
#include "engine/device/cuda/error.h"

namespace swath {

namespace {

using Clock = std::chrono::steady_clock;
using At = std::source_location;
constexpr auto kMoment = std::chrono::seconds(1);
constexpr auto kPatience = std::chrono::seconds(5);

bool failed(ncclResult_t result) { return result != ncclSuccess && result != ncclInProgress; }

std::string failure(ncclResult_t result, const char* call, const At& at) {
  return fmt::format("{}:{}: {} failed: {}, {}", at.file_name(), at.line(), call, ncclGetErrorString(result),
                     ncclGetLastError(nullptr));
}

const cuda::Context& context_of(Device& device) { return static_cast<const cuda::CudaBackend&>(device.backend()).context(); }

/// NCCL's communicator, which another thread may abort.
class Handle {
 public:
  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  /// While an error passes through, other ranks may not come to the end that they would share.
  ~Handle() {
    if (std::uncaught_exceptions() > exceptions_ || failed(finalize()))
      interrupt();
    else if (comm_)
      ncclCommDestroy(comm_);
  }

  void init(int size, int rank, const ncclUniqueId& id, const At& at = At::current()) {
    const std::lock_guard lock(mutex_);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    config.blocking = 0;
    ncclComm_t comm = nullptr;
    const ncclResult_t result = ncclCommInitRankConfig(&comm, size, id, rank, &config);
    comm_ = comm;
    if (failed(result)) throw InternalError(failure(result, "ncclCommInitRankConfig", at));
  }

  /// What f(communicator) returns; in progress once it was aborted.
  template <class F>
  ncclResult_t with(const F& f) {
    const std::lock_guard lock(mutex_);
    ncclComm_t const comm = comm_;
    return comm ? f(comm) : ncclInProgress;
  }
  /// How the calls so far went.
  ncclResult_t state() {
    return with([](ncclComm_t comm) {
      ncclResult_t state = ncclSuccess;
      const ncclResult_t result = ncclCommGetAsyncError(comm, &state);
      return failed(result) ? result : state;
    });
  }

  bool lost() const { return lost_; }
  /// Ends what is under way on the device.
  void interrupt() {
    lost_ = true;
    // A call that does not return waits for the rank that is lost, and this is what ends it.
    const std::unique_lock lock(mutex_, kMoment);
    if (ncclComm_t const comm = comm_.exchange(nullptr)) ncclCommAbort(comm);
  }

 private:
  ncclResult_t finalize() {
    if (!comm_ || lost_) return ncclSuccess;
    ncclResult_t result = with([](ncclComm_t comm) { return ncclCommFinalize(comm); });
    const Clock::time_point begun = Clock::now();
    while (!failed(result) && (result = state()) == ncclInProgress) {
      if (Clock::now() - begun > kPatience) return ncclSystemError;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return result;
  }

  std::timed_mutex mutex_;
  std::atomic<ncclComm_t> comm_ = nullptr;
  std::atomic<bool> lost_ = false;
  const int exceptions_ = std::uncaught_exceptions();
};

/// A stream beside the device's, and the events that order the two.
struct SideStream {
  explicit SideStream(const cuda::Context& of) : context(of) {
    context.make_current();
    SWATH_CUDA_CALL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    for (cudaEvent_t* event : {&ready, &reduced, &settled})
      SWATH_CUDA_CALL(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
  }
  ~SideStream() {
    cuda::log_failure(cudaSetDevice(context.index()), "cudaSetDevice");
    for (cudaEvent_t event : {ready, reduced, settled}) cuda::log_failure(cudaEventDestroy(event), "cudaEventDestroy");
    cuda::log_failure(cudaStreamDestroy(stream), "cudaStreamDestroy");
  }
  SideStream(const SideStream&) = delete;
  SideStream& operator=(const SideStream&) = delete;

  const cuda::Context& context;
  cudaStream_t stream = nullptr;
  cudaEvent_t ready = nullptr, reduced = nullptr, settled = nullptr;
};

/// Calls a function when the host's ranks lose one.
class LossHook {
 public:
  LossHook(Communicator& host, std::function<void()> call) : host_(host) { host_.on_loss(std::move(call)); }
  ~LossHook() { host_.on_loss(nullptr); }
  LossHook(const LossHook&) = delete;
  LossHook& operator=(const LossHook&) = delete;

 private:
  Communicator& host_;
};

class NcclCommunicator final : public Communicator {
 public:
  NcclCommunicator(Communicator& host, Device& device)
      : Communicator(host.place()),
        host_(host),
        device_(device),
        context_(context_of(device)),
        side_(context_),
        hook_(host, [this] { handle_.interrupt(); }) {
    ncclUniqueId id{};
    if (leads()) require(ncclGetUniqueId(&id), "ncclGetUniqueId");
    host_.broadcast(&id, sizeof id, 0);
    context_.make_current();
    handle_.init(size(), rank(), id);
    finish_call(ncclInProgress, "ncclCommInitRankConfig", At::current());
  }

  bool serves(const Device& device) const override { return &device == &device_; }

  void all_gather_rows(const Tensor& whole) override {
    if (whole.numel() == 0) return;
    const std::int64_t rows = whole.size(0);
    const std::size_t row = whole.bytes() / static_cast<std::size_t>(rows);
    const auto at = [&](const RowSlice& of) {
      return static_cast<char*>(whole.raw()) + static_cast<std::size_t>(of.begin) * row;
    };
    const auto bytes = [&](const RowSlice& of) { return static_cast<std::size_t>(of.size) * row; };
    const RowSlice mine = slice(rows);
    if (rows % size() == 0)
      return queue("ncclAllGather", [&](ncclComm_t comm) {
        return ncclAllGather(at(mine), whole.raw(), bytes(mine), ncclInt8, comm, context_.stream());
      });
    queue("ncclBroadcast", [&](ncclComm_t comm) {
      return for_every_slice(rows, [&](const RowSlice& of, int root) {
        return ncclBroadcast(at(of), at(of), bytes(of), ncclInt8, root, comm, context_.stream());
      });
    });
  }

  void reduce_scatter_rows(const Tensor& whole) override {
    if (whole.numel() == 0) return;
    const std::int64_t rows = whole.size(0), columns = whole.numel() / rows;
    const auto at = [&](const RowSlice& of) { return whole.data<float>() + of.begin * columns; };
    const auto count = [&](const RowSlice& of) { return static_cast<std::size_t>(of.size * columns); };
    const RowSlice mine = slice(rows);
    if (rows % size() == 0)
      return queue("ncclReduceScatter", [&](ncclComm_t comm) {
        return ncclReduceScatter(whole.data<float>(), at(mine), count(mine), ncclFloat32, ncclSum, comm, context_.stream());
      });
    queue("ncclReduce", [&](ncclComm_t comm) {
      return for_every_slice(rows, [&](const RowSlice& of, int root) {
        return ncclReduce(at(of), at(of), count(of), ncclFloat32, ncclSum, root, comm, context_.stream());
      });
    });
  }

  void all_reduce(const Tensor& values) override { all_reduce_on(context_.stream(), values); }

  void start_all_reduce(const Tensor& values) override {
    if (values.numel() == 0) return;
    context_.make_current();
    SWATH_CUDA_CALL(cudaEventRecord(side_.ready, context_.stream()));
    SWATH_CUDA_CALL(cudaStreamWaitEvent(side_.stream, side_.ready, 0));
    under_way_ = true;
    all_reduce_on(side_.stream, values);
  }

  void finish_reduces() override {
    if (!under_way_) return;
    under_way_ = false;
    context_.make_current();
    SWATH_CUDA_CALL(cudaEventRecord(side_.reduced, side_.stream));
    SWATH_CUDA_CALL(cudaStreamWaitEvent(context_.stream(), side_.reduced, 0));
  }

  void settle() override {
    context_.make_current();
    SWATH_CUDA_CALL(cudaEventRecord(side_.settled, context_.stream()));
    ncclResult_t result = ncclSuccess;
    host_.wait_until([&] {
      const cudaError_t status = cudaEventQuery(side_.settled);
      if (status == cudaErrorNotReady)
        cudaGetLastError();
      else
        SWATH_CUDA_CALL(status);
      // What was aborted is done, too. Who is lost, wait_until says.
      if (handle_.lost()) return false;
      result = handle_.state();
      return status == cudaSuccess || failed(result);
    });
    require(result, "an operation of NCCL");
  }

  using Communicator::all_gather;
  using Communicator::broadcast;
  void broadcast(void* data, std::size_t bytes, int root) override { host_.broadcast(data, bytes, root); }
  void all_gather(const void* mine, std::size_t bytes, void* all) override { host_.all_gather(mine, bytes, all); }
  void wait_until(const std::function<bool()>& done) override { host_.wait_until(done); }
  std::optional<std::uint64_t> save_once(const std::function<std::uint64_t()>& save) override {
    handle_.interrupt();
    return host_.save_once(save);
  }
  void say_failed() override { host_.say_failed(); }

 private:
  void all_reduce_on(cudaStream_t stream, const Tensor& values) {
    if (values.numel() == 0) return;
    queue("ncclAllReduce", [&](ncclComm_t comm) {
      return ncclAllReduce(values.data<float>(), values.data<float>(), static_cast<std::size_t>(values.numel()), ncclFloat32,
                           ncclSum, comm, stream);
    });
  }

  /// f(slice, its rank) for all ranks, as one operation.
  template <class F>
  ncclResult_t for_every_slice(std::int64_t rows, const F& f) const {
    ncclResult_t result = ncclGroupStart();
    for (int r = 0; r < size() && !failed(result); ++r) result = f(slice_of(rows, r, size()), r);
    const ncclResult_t end = ncclGroupEnd();
    return failed(result) ? result : end;
  }

  template <class F>
  void queue(const char* call, const F& f, const At& at = At::current()) {
    context_.make_current();
    finish_call(handle_.with(f), call, at);
  }

  /// Until NCCL has queued what it was asked for.
  void finish_call(ncclResult_t result, const char* call, const At& at) {
    host_.wait_until([&] {
      if (handle_.lost()) return false;
      if (result == ncclInProgress) result = handle_.state();
      return result != ncclInProgress;
    });
    require(result, call, at);
  }

  void require(ncclResult_t result, const char* call, const At& at = At::current()) {
    if (!failed(result)) return;
    const std::string what = failure(result, call, at);
    const bool elsewhere = result == ncclRemoteError || result == ncclSystemError;
    // NCCL may see sooner that a connection broke than the watch sees whose.
    const Clock::time_point begun = Clock::now();
    if (elsewhere) host_.wait_until([&] { return Clock::now() - begun > kPatience; });
    if (result == ncclRemoteError) throw RankError(what);
    throw InternalError(what);
  }

  Communicator& host_;
  Device& device_;
  const cuda::Context& context_;
  SideStream side_;
  Handle handle_;
  LossHook hook_;
  bool under_way_ = false;
};

/// Two ranks with one GPU would wait for each other.
void require_own_device(Communicator& ranks, Device& device) {
  const cuda::Context& context = context_of(device);
  const std::string mine(context.properties().uuid.bytes, sizeof context.properties().uuid.bytes);
  const std::vector<std::string> all = ranks.all_gather(mine);
  for (std::size_t r = 0; r < all.size(); ++r)
    for (std::size_t other = 0; other < r; ++other)
      if (all[r] == all[other])
        throw UserError(fmt::format("ranks {} and {} would share a GPU; start one rank for each, with device=cuda", other, r));
}

}  // namespace

std::unique_ptr<Communicator> join_nccl(Communicator& host, Device& device) {
  require_own_device(host, device);
  return std::make_unique<NcclCommunicator>(host, device);
}

std::string nccl_version() {
  int version = 0;
  if (failed(ncclGetVersion(&version))) return "unknown";
  return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace swath
