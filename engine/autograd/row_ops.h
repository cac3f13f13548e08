// Differentiable operations on matrices whose rows are embeddings (f32).
#pragma once
#include <vector>

#include "engine/autograd/tape.h"

namespace swath {

/// Every row divided by its Euclidean length (lengths below 1e-12 count as 1e-12). x: N×D.
Var normalize_rows(Tape& tape, const Var& x);

/// Matrices of N rows side by side: N × Σ D_i.
Var concat_columns(Tape& tape, const std::vector<Var>& parts);

/// Columns [begin, begin + width) of x: N×D → N×width.
Var slice_columns(Tape& tape, const Var& x, std::int64_t begin, std::int64_t width);

/// The identity whose gradient is the negative of what arrives (Y. Ganin et al., 2016).
Var reverse_gradient(Tape& tape, const Var& x);

/// out[r] = x[index[r]]; rows whose index is −1 are zero. x: N×D, index: i32 {R} → R×D. Gradients of rows that are
/// gathered several times add up in the order of r.
Var gather_rows(Tape& tape, const Var& x, const Tensor& index);

}  // namespace swath
