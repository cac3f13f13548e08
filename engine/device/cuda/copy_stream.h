// A second stream, for copies from the host while kernels run.
#pragma once
#include <memory>

#include "engine/device/backend.h"
#include "engine/device/cuda/context.h"

namespace swath::cuda {

class CopyStream final : public HostCopies {
 public:
  explicit CopyStream(std::shared_ptr<const Context> context);
  /// Waits for copies under way.
  ~CopyStream() override;
  CopyStream(const CopyStream&) = delete;
  CopyStream& operator=(const CopyStream&) = delete;

  void copy(void* to, const void* from, std::size_t bytes) override;
  void acquire() override;
  void release() override;
  bool done() override;

 private:
  std::shared_ptr<const Context> context_;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t copied_ = nullptr, released_ = nullptr;
};

}  // namespace swath::cuda
