// SGD with momentum on CUDA (methods.md §3): one launch, 16-byte accesses.
#include "kernels/sgd.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

struct SgdBody {
  SgdArgs p;
  template <int V>
  __device__ void run(std::int64_t i) const {
    if (p.found_inf && *p.found_inf != 0) return;
    const float rate = *p.learning_rate;
    Vector<V> step = load_vector<V>(p.grad + i), value = load_vector<V>(p.value + i);
#pragma unroll
    for (int k = 0; k < V; ++k) step.v[k] += p.weight_decay * value.v[k];
    if (p.buffer) {
      const Vector<V> before = load_vector<V>(p.buffer + i);
#pragma unroll
      for (int k = 0; k < V; ++k) step.v[k] = p.momentum * before.v[k] + step.v[k];
      store_vector<V>(p.buffer + i, step);
    }
#pragma unroll
    for (int k = 0; k < V; ++k) value.v[k] -= rate * step.v[k];
    store_vector<V>(p.value + i, value);
  }
};

}  // namespace

void sgd(const SgdArgs& p, CudaStream exec) { map_elements<4>(p.n, aligned16({p.grad, p.value, p.buffer}), SgdBody{p}, exec); }

}  // namespace swath::kernels
