// What every backend asks of the tensors that it is given.
#pragma once
#include "engine/core/error.h"
#include "engine/core/tensor.h"

namespace swath {

/// Throws InternalError, naming `what`, for a tensor of another shape or type.
inline void expect_tensor(const char* what, const Tensor& tensor, const Shape& shape, DType type) {
  SWATH_CHECK(tensor.defined() && tensor.shape() == shape && tensor.dtype() == type, "{}: {} {} wanted", what, shape.str(),
              kernels::name_of(type));
}

}  // namespace swath
