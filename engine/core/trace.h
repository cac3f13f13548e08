// Run-time switches for looking into a run: NVTX ranges, the NaN check and the debug print.
#pragma once
#include "engine/core/tensor.h"

namespace swath {

/// SWATH_NVTX=1, SWATH_CHECK_NAN=1, SWATH_DEBUG_TAPE=1, read once.
struct TraceSwitches {
  bool nvtx, check_nan, debug_tape;
};
const TraceSwitches& trace_switches();

/// A named NVTX range for the life of the object; nothing unless SWATH_NVTX=1 in a CUDA build.
class TraceRange {
 public:
  explicit TraceRange(const char* name);
  ~TraceRange();
  TraceRange(const TraceRange&) = delete;
  TraceRange& operator=(const TraceRange&) = delete;

 private:
  bool open_;
};

/// Throws NanError that names `what` when a floating-point tensor holds a value that is not finite, and the first of them.
/// Counts on the device. Synchronises.
void require_finite(const Tensor& tensor, const char* what);

/// "op what shape dtype mean … absmax …" on the log at info level. Synchronises.
void print_summary(const char* op, const char* what, const Tensor& tensor);

}  // namespace swath
