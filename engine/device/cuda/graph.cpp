// Capture, instantiation and launch of graphs.
#include "engine/device/cuda/graph.h"

#include "engine/device/cuda/error.h"

namespace swath::cuda {

namespace {

using OwnedGraph = std::unique_ptr<CUgraph_st, cudaError_t (*)(cudaGraph_t)>;

GraphSize size_of(cudaGraph_t graph) {
  std::size_t count = 0;
  SWATH_CUDA_CALL(cudaGraphGetNodes(graph, nullptr, &count));
  std::vector<cudaGraphNode_t> nodes(count);
  if (count) SWATH_CUDA_CALL(cudaGraphGetNodes(graph, nodes.data(), &count));
  GraphSize size;
  for (cudaGraphNode_t node : nodes) {
    cudaGraphNodeType type{};
    SWATH_CUDA_CALL(cudaGraphNodeGetType(node, &type));
    size.kernels += type == cudaGraphNodeTypeKernel;
    size.copies += type == cudaGraphNodeTypeMemcpy;
    size.fills += type == cudaGraphNodeTypeMemset;
  }
  return size;
}

}  // namespace

cudaGraph_t record(const Context& context, const std::function<void()>& work) {
  context.make_current();
  // Other threads may allocate and wait meanwhile; this one may not.
  SWATH_CUDA_CALL(cudaStreamBeginCapture(context.stream(), cudaStreamCaptureModeThreadLocal));
  cudaGraph_t recorded = nullptr;
  try {
    work();
  } catch (...) {
    if (cudaStreamEndCapture(context.stream(), &recorded) == cudaSuccess && recorded) cudaGraphDestroy(recorded);
    cudaGetLastError();
    throw;
  }
  SWATH_CUDA_CALL(cudaStreamEndCapture(context.stream(), &recorded));
  return recorded;
}

Graph::Graph(std::shared_ptr<const Context> context, cudaGraph_t recorded, std::vector<std::shared_ptr<const void>> needs)
    : context_(std::move(context)), needs_(std::move(needs)) {
  const OwnedGraph owned(recorded, cudaGraphDestroy);
  size_ = size_of(recorded);
  SWATH_CUDA_CALL(cudaGraphInstantiate(&executable_, recorded, 0));
}

Graph::~Graph() {
  log_failure(cudaSetDevice(context_->index()), "cudaSetDevice");
  log_failure(cudaStreamSynchronize(context_->stream()), "cudaStreamSynchronize");
  log_failure(cudaGraphExecDestroy(executable_), "cudaGraphExecDestroy");
}

void Graph::launch() {
  context_->make_current();
  SWATH_CUDA_CALL(cudaGraphLaunch(executable_, context_->stream()));
}

}  // namespace swath::cuda
