// Exponential moving average on CUDA (methods.md §6): one launch, 16-byte accesses.
#include "kernels/ema.h"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

struct EmaBody {
  const float* source;
  float* target;
  const float* mu;
  template <int V>
  __device__ void run(std::int64_t i) const {
    const float keep = *mu, rest = 1 - keep;
    const Vector<V> s = load_vector<V>(source + i);
    Vector<V> t = load_vector<V>(target + i);
#pragma unroll
    for (int k = 0; k < V; ++k) t.v[k] = keep * t.v[k] + rest * s.v[k];
    store_vector<V>(target + i, t);
  }
};

}  // namespace

void ema(const EmaArgs& p, CudaStream exec) {
  map_elements<4>(p.n, aligned16({p.source, p.target}), EmaBody{p.source, p.target, p.mu}, exec);
}

}  // namespace swath::kernels
