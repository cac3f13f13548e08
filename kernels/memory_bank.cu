// The memory bank on CUDA: a thread draws four elements, a warp updates a row. methods.md §6.
#include "kernels/dispatch.h"
#include "kernels/memory_bank.h"
#include "kernels/memory_bank_draw.h"
#include "kernels/reduce.cuh"
#include "kernels/row_normalize.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

template <class T>
__global__ void __launch_bounds__(256) bank_init_kernel(BankInitArgs args, float limit, bool aligned) {
  T* bank = static_cast<T*>(args.bank);
  const std::int64_t all = args.rows * args.cols, stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const std::int64_t before = args.first * args.cols, first_block = before / 4;
  for (std::int64_t number = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;; number += stride) {
    // The elements of a block of draws from k on; those below 0 belong to the slice before.
    const std::int64_t block = first_block + number, k = 4 * block - before;
    if (k >= all) break;
    Vector<4> values;
    bank_values(args.seed, block, limit, values.v);
    if (aligned && k + 4 <= all) {
      store_vector(bank + k, values);
    } else {
      for (int e = 0; e < 4; ++e)
        if (k + e >= 0 && k + e < all) bank[k + e] = from_float<T>(values.v[e]);
    }
  }
}

/// V columns at a time.
template <int V, class T>
__global__ void __launch_bounds__(128) bank_update_kernel(BankUpdateArgs args) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * (blockDim.x / kWarp) + threadIdx.x / kWarp;
  const int lane = threadIdx.x % kWarp;
  if (i >= args.batch) return;
  const std::int64_t place = args.index[i], own = place - args.first;
  if (own < 0 || own >= args.rows) return;
  bool again = false;
  for (std::int64_t later = i + 1 + lane; later < args.batch; later += kWarp) again |= args.index[later] == place;
  if (__any_sync(0xffffffffu, again)) return;
  const float momentum = *args.momentum;
  const float* e = args.embeddings + i * args.embeddings_ld;
  T* row = static_cast<T*>(args.bank) + own * args.cols;
  const auto mixed = [=](std::int64_t k) {
    Vector<V> m = load_vector<V>(row + k);
    const Vector<V> x = load_vector<V>(e + k);
#pragma unroll
    for (int v = 0; v < V; ++v) m.v[v] = momentum * m.v[v] + (1.0f - momentum) * x.v[v];
    return m;
  };
  float squares = 0.0f;
  for (std::int64_t k = lane * V; k < args.cols; k += kWarp * V) {
    const Vector<V> m = mixed(k);
#pragma unroll
    for (int v = 0; v < V; ++v) squares = fmaf(m.v[v], m.v[v], squares);
  }
  const float inv_norm = 1.0f / fmaxf(sqrtf(warp_reduce(squares, SumOp{})), kRowNormFloor);
  for (std::int64_t k = lane * V; k < args.cols; k += kWarp * V) {
    Vector<V> m = mixed(k);
#pragma unroll
    for (int v = 0; v < V; ++v) m.v[v] *= inv_norm;
    store_vector(row + k, m);
  }
}

}  // namespace

void bank_init(const BankInitArgs& args, CudaStream exec) {
  const std::int64_t all = args.rows * args.cols;
  if (all == 0) return;
  with_element(args.bank_type, [&](auto zero) {
    launch(bank_init_kernel<decltype(zero)>, grid_for(ceil_div(all, 4) + 1, 256), 256, 0, exec, args, bank_limit(args.cols),
           aligned16({args.bank}) && args.first * args.cols % 4 == 0);
  });
}

void bank_update(const BankUpdateArgs& args, CudaStream exec) {
  if (args.batch == 0) return;
  const bool wide = args.cols % 4 == 0 && args.embeddings_ld % 4 == 0 && aligned16({args.bank, args.embeddings});
  with_element(args.bank_type, [&](auto zero) {
    using T = decltype(zero);
    launch(wide ? bank_update_kernel<4, T> : bank_update_kernel<1, T>, grid_for(args.batch, 128 / kWarp, 1 << 30), 128, 0, exec,
           args);
  });
}

}  // namespace swath::kernels
