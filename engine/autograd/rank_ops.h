// Operations over the ranks that share a batch (Tape::share): with one rank they are the identity, or the local operation.
#pragma once
#include "engine/autograd/tape.h"

namespace swath {

/// The rows of all ranks in their order: this rank's slice (rows × D, f32) → whole rows × D. Its gradient is this rank's slice
/// of the sum over all ranks of what arrives.
Var gather_ranks(Tape& tape, const Var& x);
/// The same of values without a gradient: rows × …, of any type → whole rows × columns.
Tensor gather_ranks(const Tape& tape, const Tensor& x);

}  // namespace swath
