#include "engine/autograd/rank_ops.h"

#include <algorithm>

#include "engine/dist/communicator.h"

namespace swath {

Tensor gather_ranks(const Tape& tape, const Tensor& x) {
  const BatchShare& share = tape.share();
  if (!share.ranks) return x;
  const RowSlice mine = share.ranks->slice(share.rows);
  SWATH_CHECK(x.size(0) == mine.size, "{} rows of a slice of {}", x.size(0), mine.size);
  const std::int64_t columns = x.numel() / std::max<std::int64_t>(x.size(0), 1);
  const Tensor whole = Tensor::empty(tape.device(), {share.rows, columns}, x.dtype());
  whole.rows(mine.begin, mine.end()).copy_from(x.view({mine.size, columns}));
  share.ranks->all_gather_rows(whole);
  return whole;
}

Var gather_ranks(Tape& tape, const Var& x) {
  const BatchShare share = tape.share();
  if (!share.ranks) return x;
  return tape.record("gather_ranks", gather_ranks(tape, x.value()), {x}, false,
                     [share](Tensor d_whole, InputGradients& gradients) {
                       share.ranks->reduce_scatter_rows(d_whole);
                       const RowSlice mine = share.ranks->slice(share.rows);
                       gradients.add(0, d_whole.rows(mine.begin, mine.end()));
                     });
}

}  // namespace swath
