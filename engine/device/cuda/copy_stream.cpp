// Two events order the copy stream and the device's.
#include "engine/device/cuda/copy_stream.h"

#include "engine/device/cuda/error.h"

namespace swath::cuda {

CopyStream::CopyStream(std::shared_ptr<const Context> context) : context_(std::move(context)) {
  context_->make_current();
  SWATH_CUDA_CALL(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  for (cudaEvent_t* event : {&copied_, &released_}) SWATH_CUDA_CALL(cudaEventCreateWithFlags(event, cudaEventDisableTiming));
  release();
}

CopyStream::~CopyStream() {
  log_failure(cudaSetDevice(context_->index()), "cudaSetDevice");
  log_failure(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
  for (cudaEvent_t event : {copied_, released_}) log_failure(cudaEventDestroy(event), "cudaEventDestroy");
  log_failure(cudaStreamDestroy(stream_), "cudaStreamDestroy");
}

void CopyStream::copy(void* to, const void* from, std::size_t bytes) {
  context_->make_current();
  SWATH_CUDA_CALL(cudaStreamWaitEvent(stream_, released_, 0));
  if (bytes) SWATH_CUDA_CALL(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream_));
  SWATH_CUDA_CALL(cudaEventRecord(copied_, stream_));
}

void CopyStream::acquire() {
  context_->make_current();
  SWATH_CUDA_CALL(cudaStreamWaitEvent(context_->stream(), copied_, 0));
}

void CopyStream::release() {
  context_->make_current();
  SWATH_CUDA_CALL(cudaEventRecord(released_, context_->stream()));
}

bool CopyStream::done() {
  context_->make_current();
  const cudaError_t status = cudaEventQuery(copied_);
  if (status == cudaErrorNotReady) {
    cudaGetLastError();
    return false;
  }
  SWATH_CUDA_CALL(status);
  return true;
}

}  // namespace swath::cuda
