// Graphs of CUDA: the work of a stream, recorded once and queued again as one launch.
#pragma once
#include <cuda_runtime.h>

#include <functional>
#include <memory>
#include <vector>

#include "engine/device/backend.h"
#include "engine/device/cuda/context.h"

namespace swath::cuda {

/// What `work` queues on the context's stream, recorded and not run. The caller owns the graph. Rethrows what `work` throws;
/// InternalError when something in it cannot be recorded.
cudaGraph_t record(const Context& context, const std::function<void()>& work);

class Graph final : public DeviceGraph {
 public:
  /// Takes over `recorded`; keeps `needs` (code that the graph runs) for as long as it lives.
  Graph(std::shared_ptr<const Context> context, cudaGraph_t recorded, std::vector<std::shared_ptr<const void>> needs);
  /// Waits for a launch under way.
  ~Graph() override;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch() override;
  GraphSize size() const override { return size_; }

 private:
  std::shared_ptr<const Context> context_;
  std::vector<std::shared_ptr<const void>> needs_;
  cudaGraphExec_t executable_ = nullptr;
  GraphSize size_;
};

}  // namespace swath::cuda
