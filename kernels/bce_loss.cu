// Binary cross-entropy with logits, on CUDA: partial sums with the gradient, then one block that adds them. methods.md §6.
#include "kernels/bce_loss_plan.h"
#include "kernels/launch.cuh"
#include "kernels/reduce.cuh"
#include "kernels/vector.cuh"

namespace swath::kernels {
namespace {

constexpr int kBlock = 256;

template <int V>
__device__ float vector_loss(const BceLossArgs& args, std::int64_t i, float scale) {
  const Vector<V> x = load_vector<V>(args.logits + i);
  Vector<V> d = {};
  if (args.d_logits_mode == GradMode::accumulate) d = load_vector<V>(args.d_logits + i);
  // V divides the classes, so a vector lies in one row.
  const std::int64_t row = i / args.classes, first = i - row * args.classes;
  float sum = 0.0f;
#pragma unroll
  for (int e = 0; e < V; ++e) {
    const std::int64_t c = first + e;
    const bool labelled = ((args.labels[row * args.words + c / 64] >> (c % 64)) & 1u) != 0;
    const BceTerm term = bce_term(x.v[e], labelled ? -1.0f : 1.0f);
    sum += term.loss;
    d.v[e] += scale * term.slope;
  }
  if (args.d_logits_mode != GradMode::skip) store_vector<V>(args.d_logits + i, d);
  return sum;
}

template <int V>
__global__ void __launch_bounds__(kBlock) bce_terms_kernel(BceLossArgs args) {
  __shared__ float scratch[kWarp + 1];
  const std::int64_t n = args.rows * args.classes, stride = static_cast<std::int64_t>(gridDim.x) * kBlock * V;
  const float scale = (args.loss_scale ? *args.loss_scale : 1.0f) / static_cast<float>(n);
  float sum = 0.0f;
  for (std::int64_t i = (static_cast<std::int64_t>(blockIdx.x) * kBlock + threadIdx.x) * V; i < n; i += stride) {
    sum += vector_loss<V>(args, i, scale);
  }
  sum = block_reduce(sum, SumOp{}, 0.0f, scratch);
  if (threadIdx.x == 0) static_cast<float*>(args.workspace)[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kBlock) bce_sum_kernel(BceLossArgs args, std::int64_t partials) {
  __shared__ float scratch[kWarp + 1];
  float sum = 0.0f;
  for (std::int64_t i = threadIdx.x; i < partials; i += kBlock) sum += static_cast<const float*>(args.workspace)[i];
  sum = block_reduce(sum, SumOp{}, 0.0f, scratch);
  if (threadIdx.x == 0) *args.loss = partials > 0 ? sum / static_cast<float>(args.rows * args.classes) : 0.0f;
}

}  // namespace

void bce_loss(const BceLossArgs& args, CudaStream exec) {
  const std::int64_t n = args.rows * args.classes;
  std::int64_t partials = 0;
  if (n > 0) {
    const bool wide = args.classes % 4 == 0 && aligned16({args.logits, args.d_logits});
    const unsigned grid = grid_for(ceil_div(n, wide ? 4 : 1), kBlock, kBceMaxPartials);
    partials = grid;
    launch(wide ? bce_terms_kernel<4> : bce_terms_kernel<1>, grid, kBlock, 0, exec, args);
  }
  launch(bce_sum_kernel, 1, kBlock, 0, exec, args, partials);
}

}  // namespace swath::kernels
