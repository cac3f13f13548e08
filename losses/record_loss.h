// A loss whose kernel has written the gradients with the value: all that is left is the factor that arrives from above.
#pragma once
#include <utility>
#include <vector>

#include "engine/autograd/tape.h"
#include "engine/nn/parameter.h"

namespace swath {

/// Puts `loss` (f32 {1}) on the tape with the gradients of its inputs and parameters, each of the shape it belongs to. The
/// tensors are taken over. Parameters that are not trained are left alone.
Var record_loss(Tape& tape, const char* op, const Tensor& loss, const std::vector<std::pair<Var, Tensor>>& inputs,
                const std::vector<std::pair<Parameter*, Tensor>>& parameters = {});

}  // namespace swath
