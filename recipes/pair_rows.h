// Pair rows of a batch: k rows of every class present, each naming its image (methods.md §1).
#pragma once
#include "recipes/recipe.h"

namespace swath {

struct PairRows {
  Tensor image;      // i32 {k·classes}: row of the batch, −1 unused
  Tensor row_class;  // i32 {k·classes}: class, −1 unused
  Tensor count;      // i32 {1}: rows in use
};

PairRows draw_pair_rows(const DeviceBatch& batch, std::int64_t classes, std::int64_t rows_per_class);

}  // namespace swath
