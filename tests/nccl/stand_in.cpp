// A libnccl.so.2 for tests without a GPU: the functions that swath calls, between processes of one machine, through shared
// memory. Operations are host functions on the stream, eager or captured, that read and write the memory of a simulated device;
// on a real one they would fault. Sums are taken in the order of the ranks.
#include <cuda_runtime.h>
#include <fcntl.h>
#include <nccl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kSlot = std::size_t{1} << 18;  // bytes that a rank can show at a time
constexpr int kMaxRanks = 8;

/// What all ranks see. Fresh shared memory is zero.
struct Shared {
  std::atomic<int> attached, finished, arrived;
  std::atomic<std::uint32_t> round;
  char slots[kMaxRanks][kSlot];
};

enum class Kind { all_reduce, all_gather, broadcast, reduce, reduce_scatter };

struct Operation {
  ncclComm_t comm;
  Kind kind;
  const char* send;
  char* receive;
  std::size_t bytes;  // of `send`, of one rank
  int root;
};

void wait_a_moment() {
  const timespec moment{0, 20000};
  nanosleep(&moment, nullptr);
}

}  // namespace

struct ncclComm {
  Shared* shared = nullptr;
  std::string name;
  int rank = 0, size = 0;
  bool finalized = false;
  std::atomic<bool> aborted = false;
  // Graphs run them again and again.
  std::vector<std::unique_ptr<Operation>> operations;

  /// False: aborted, and from then on nothing is exchanged.
  bool meet() {
    const std::uint32_t round = shared->round;
    if (++shared->arrived == size) {
      shared->arrived = 0;
      ++shared->round;
      return !aborted;
    }
    while (shared->round == round && !aborted) wait_a_moment();
    return !aborted;
  }
};

namespace {

void sum_floats(char* into, const char* from, std::size_t bytes) {
  auto* sum = reinterpret_cast<float*>(into);
  const auto* more = reinterpret_cast<const float*>(from);
  for (std::size_t i = 0; i < bytes / sizeof(float); ++i) sum[i] += more[i];
}

/// Every rank shows the piece [begin, begin + bytes) of what it sends, and takes what is its own of all pieces.
bool exchange(const Operation& op, std::size_t begin, std::size_t bytes) {
  ncclComm& comm = *op.comm;
  const auto slot = [&](int r) { return comm.shared->slots[r]; };
  if (op.kind != Kind::broadcast || comm.rank == op.root) std::memcpy(slot(comm.rank), op.send + begin, bytes);
  if (!comm.meet()) return false;
  if (op.kind == Kind::broadcast) {
    if (comm.rank != op.root) std::memcpy(op.receive + begin, slot(op.root), bytes);
  } else if (op.kind == Kind::all_gather) {
    for (int r = 0; r < comm.size; ++r)
      std::memcpy(op.receive + static_cast<std::size_t>(r) * op.bytes + begin, slot(r), bytes);
  } else if (op.kind == Kind::all_reduce || comm.rank == op.root) {
    std::memcpy(op.receive + begin, slot(0), bytes);
    for (int r = 1; r < comm.size; ++r) sum_floats(op.receive + begin, slot(r), bytes);
  }
  return comm.meet();
}

void in_pieces(const Operation& op) {
  for (std::size_t done = 0; done < op.bytes; done += kSlot)
    if (!exchange(op, done, std::min(kSlot, op.bytes - done))) return;
}

void run(void* operation) {
  const Operation& op = *static_cast<const Operation*>(operation);
  if (op.comm->aborted) return;
  if (op.kind != Kind::reduce_scatter) return in_pieces(op);
  for (int r = 0; r < op.comm->size; ++r)
    in_pieces({op.comm, Kind::reduce, op.send + static_cast<std::size_t>(r) * op.bytes, op.receive, op.bytes, r});
}

struct Queued {
  Operation* operation;
  cudaStream_t stream;
};
thread_local int depth = 0;
thread_local std::vector<Queued> group;

ncclResult_t launch(const Queued& one) {
  return cudaLaunchHostFunc(one.stream, run, one.operation) == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

ncclResult_t queue(const Operation& op, cudaStream_t stream) {
  op.comm->operations.push_back(std::make_unique<Operation>(op));
  const Queued one{op.comm->operations.back().get(), stream};
  if (depth == 0) return launch(one);
  group.push_back(one);
  return ncclSuccess;
}

std::size_t size_of(ncclDataType_t type) { return type == ncclFloat32 ? 4 : 1; }
bool sums(ncclDataType_t type, ncclRedOp_t op) { return type == ncclFloat32 && op == ncclSum; }

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  *version = NCCL_VERSION_CODE;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) { return result == ncclSuccess ? "no error" : "an error of the stand-in"; }
const char* ncclGetLastError(ncclComm_t) { return ""; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::random_device random;
  const std::string name = "/swath-nccl-" + std::to_string(getpid()) + "-" + std::to_string(random());
  std::memset(id, 0, sizeof *id);
  name.copy(id->internal, sizeof id->internal - 1);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* made, int size, ncclUniqueId id, int rank, ncclConfig_t* config) {
  if (size > kMaxRanks || !config || config->blocking != 0) return ncclInvalidArgument;
  const int file = shm_open(id.internal, O_CREAT | O_RDWR, 0600);
  if (file < 0 || ftruncate(file, sizeof(Shared)) != 0) return ncclSystemError;
  void* const memory = mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  if (memory == MAP_FAILED) return ncclSystemError;
  auto* const comm = new ncclComm;
  comm->shared = static_cast<Shared*>(memory);
  comm->name = id.internal;
  comm->rank = rank;
  comm->size = size;
  if (++comm->shared->attached == size) shm_unlink(id.internal);
  *made = comm;
  return ncclInProgress;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  const bool ready = comm->finalized ? comm->shared->finished == comm->size : comm->shared->attached == comm->size;
  *state = ready ? ncclSuccess : ncclInProgress;
  return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  comm->finalized = true;
  ++comm->shared->finished;
  return ncclInProgress;
}

// Operations may still be queued behind the one that was aborted, so that neither gives memory back.
ncclResult_t ncclCommDestroy(ncclComm_t) { return ncclSuccess; }
ncclResult_t ncclCommAbort(ncclComm_t comm) {
  comm->aborted = true;
  shm_unlink(comm->name.c_str());
  return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  if (!sums(type, op)) return ncclInvalidArgument;
  return queue({comm, Kind::all_reduce, static_cast<const char*>(send), static_cast<char*>(receive), count * 4, 0}, stream);
}

ncclResult_t ncclReduce(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t comm, cudaStream_t stream) {
  if (!sums(type, op)) return ncclInvalidArgument;
  return queue({comm, Kind::reduce, static_cast<const char*>(send), static_cast<char*>(receive), count * 4, root}, stream);
}

ncclResult_t ncclReduceScatter(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t comm, cudaStream_t stream) {
  if (!sums(type, op)) return ncclInvalidArgument;
  return queue({comm, Kind::reduce_scatter, static_cast<const char*>(send), static_cast<char*>(receive), count * 4, 0}, stream);
}

ncclResult_t ncclAllGather(const void* send, void* receive, std::size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
  return queue({comm, Kind::all_gather, static_cast<const char*>(send), static_cast<char*>(receive), count * size_of(type), 0},
               stream);
}

ncclResult_t ncclBroadcast(const void* send, void* receive, std::size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
  return queue(
      {comm, Kind::broadcast, static_cast<const char*>(send), static_cast<char*>(receive), count * size_of(type), root},
      stream);
}

ncclResult_t ncclGroupStart() {
  ++depth;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd() {
  if (--depth > 0) return ncclSuccess;
  ncclResult_t result = ncclSuccess;
  for (const Queued& one : std::exchange(group, {}))
    if (result == ncclSuccess) result = launch(one);
  return result;
}

}  // extern "C"
