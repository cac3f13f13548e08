// Semihard triplets of multi-hot rows, on the CPU: spans of anchors write into parts of the output, which are then moved
// together; where a part was too small, all is written once more at its place. Distances of x are rough at first. An anchor's
// place in the walk is settled before anything is compared with it: rows too near it to be told apart get exact distances.
// methods.md §5.
#include "kernels/multilabel_semihard.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/multilabel_semihard_draw.h"
#include "kernels/pairwise_distance.h"
#include "kernels/parallel.h"
#include "kernels/rough_distance.h"
#include "kernels/row_search.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kFill = 65536;  // numbers of the unused output that a task fills
constexpr std::int64_t kTasks = 64;    // at most
constexpr std::int64_t kAnchors = 16;  // of a task at least

constexpr std::int32_t kNoOrder = std::numeric_limits<std::int32_t>::min();
constexpr std::int32_t kBehindAll = std::numeric_limits<std::int32_t>::max() - 1;

/// What a task works with; room for all rows in each.
struct Scratch {
  std::uint64_t* keys;  // the order of an anchor's last positives
  std::int32_t* order;  // of all rows
  std::int32_t* kind;   // of all rows
  std::int32_t* last;   // the last positives, ascending
  std::int32_t* last_order;
  std::int32_t* last_kind;
  std::int32_t* listed;  // what was last asked for
  std::int32_t* zeros;   // rows of similarity 0 nearer than a positive, by block
  float* exact;          // distances of the rows listed
};
constexpr std::int64_t kScratchBytes = sizeof(std::uint64_t) + 7 * sizeof(std::int32_t) + sizeof(float);  // a row

/// Where a row stands in an anchor's order.
struct Place {
  std::int32_t order;
  std::int32_t row;
};

/// What makes an anchor's rough distances exact.
struct Rough {
  const RoughDistanceArgs& distances;
  double error;  // of a square, at most
  std::int64_t anchor;
  std::int64_t& taken;  // exact distances so far

  /// The bits of the distance whose square is farther from this one's than two errors: below, or above with `sign` 1.
  std::int32_t bound(std::int32_t order, double sign) const {
    const double distance = std::bit_cast<float>(order);
    return std::bit_cast<std::int32_t>(static_cast<float>(std::sqrt(std::max(0.0, distance * distance + 2 * sign * error))));
  }
  void refine(const std::int32_t* rows, std::int64_t count, std::int32_t* order, float* exact) const {
    exact_distances(distances, anchor, rows, count, exact);
    for (std::int64_t n = 0; n < count; ++n) order[rows[n]] = std::bit_cast<std::int32_t>(exact[n]);
    taken += count;
  }
};

/// An anchor's rows, or some of them. Distances are ≥ 0, so their bits compare as they do.
struct Rows {
  std::int32_t* order;       // the bits of the distance
  const std::int32_t* kind;  // the similarity to the anchor; −1: takes no part
  std::int32_t count;
  std::int32_t farthest = kNoOrder;  // the greatest order among the positives, while none has changed

  Place place(std::int32_t j) const { return {order[j], j}; }
  bool nearer(std::int32_t j, Place p) const { return order[j] < p.order + static_cast<std::int32_t>(j < p.row); }
  bool is_fine(std::int32_t j, Place p, std::int32_t limit) const { return (kind[j] > 0) & (kind[j] < limit) & nearer(j, p); }
  bool is_coarse(std::int32_t j, Place p) const { return (kind[j] == 0) & nearer(j, p); }
};

/// How many rows nearer than a positive are fine negatives, and how many share no label with the anchor.
struct Nearer {
  std::uint32_t fine, zero;
};

Rows look_from(const MultilabelSemihardArgs& args, std::int64_t i, std::int64_t used, const Scratch& scratch) {
  const float* distance = args.distance + i * args.rows;
  const std::uint16_t* similarity = args.similarity + i * args.rows;
  const std::int32_t* label_count = args.label_count;
  std::int32_t *const orders = scratch.order, *const kinds = scratch.kind;
  const auto own = static_cast<std::int32_t>(i), count = static_cast<std::int32_t>(used);
  std::int32_t farthest = kNoOrder;
#pragma omp simd reduction(max : farthest)
  for (std::int32_t j = 0; j < count; ++j) {
    // All bits or none, where a conditional would become branches.
    const std::int32_t takes_part = -static_cast<std::int32_t>((label_count[j] > 0) & (j != own));
    const auto order = std::bit_cast<std::int32_t>(distance[j]);
    const std::int32_t kind = (static_cast<std::int32_t>(similarity[j]) & takes_part) | ~takes_part;
    const std::int32_t admitted = -static_cast<std::int32_t>(kind > 0);
    orders[j] = order;
    kinds[j] = kind;
    farthest = std::max(farthest, (order & admitted) | (kNoOrder & ~admitted));
  }
  return {orders, kinds, count, farthest};
}

/// The greatest order among the positives nearer than `before`; the least number if there is none.
std::int32_t farthest_order(const Rows& rows, Place before) {
  std::int32_t order = kNoOrder;
  for (std::int32_t j = 0; j < rows.count; ++j) {
    const std::int32_t admitted = -static_cast<std::int32_t>((rows.kind[j] > 0) & rows.nearer(j, before));
    order = std::max(order, (rows.order[j] & admitted) | (kNoOrder & ~admitted));
  }
  return order;
}

/// The farthest positive that is nearer than `before`; row −1 if there is none. It can be compared with every row nearer than
/// `before`: those too near it to be told apart by rough distances get exact ones.
Place farthest_positive(const Rows& rows, const Rough* rough, Place before, const Scratch& scratch) {
  std::int32_t order = before.order == kBehindAll ? rows.farthest : farthest_order(rows, before);
  for (bool settled = !rough;; settled = true, order = farthest_order(rows, before)) {
    const std::int32_t low = settled ? order : rough->bound(order, -1), high = settled ? order : rough->bound(order, 1);
    const auto unsure = [&](std::int32_t j) {
      return (rows.kind[j] >= 0) & (rows.order[j] >= low) & (rows.order[j] <= high) & rows.nearer(j, before);
    };
    std::int32_t row = -1, count = 0;
    for (std::int32_t j = 0; j < rows.count; ++j) {
      const bool candidate = unsure(j);
      count += static_cast<std::int32_t>(candidate);
      row = candidate & (rows.kind[j] > 0) & (rows.order[j] == order) ? j : row;
    }
    if (settled || count < 2 || row < 0) return {order, row};
    const std::int32_t n = list_rows(rows.count, scratch.listed, unsure);
    rough->refine(scratch.listed, n, rows.order, scratch.exact);
  }
}

/// Keeps the rows of similarity 0 by block in scratch.zeros.
Nearer count_nearer(const Rows& rows, Place p, const Scratch& scratch) {
  const std::int32_t limit = rows.kind[p.row];
  Nearer count{0, 0};
  for (std::int32_t begin = 0; begin < rows.count; begin += kRowBlock) {
    const std::int32_t end = std::min(rows.count, begin + kRowBlock);
    std::uint32_t fine = 0, zero = 0;
    for (std::int32_t j = begin; j < end; ++j) {
      const std::uint32_t nearer = rows.nearer(j, p) ? 1 : 0;
      fine += nearer & static_cast<std::uint32_t>((rows.kind[j] > 0) & (rows.kind[j] < limit));
      zero += nearer & static_cast<std::uint32_t>(rows.kind[j] == 0);
    }
    scratch.zeros[begin / kRowBlock] = static_cast<std::int32_t>(zero);
    count.fine += fine;
    count.zero += zero;
  }
  return count;
}

/// The fine negatives of p in ascending order.
std::int32_t list_fine(const Rows& rows, Place p, std::int32_t* listed) {
  const std::int32_t limit = rows.kind[p.row];
  return limit == 1 ? 0 : list_rows(rows.count, listed, [&](std::int32_t j) { return rows.is_fine(j, p, limit); });
}

/// The coarse negative of p with this rank.
std::int32_t find_coarse(const Rows& rows, Place p, std::uint32_t rank, const Scratch& scratch) {
  std::int32_t block = 0;
  for (; rank >= static_cast<std::uint32_t>(scratch.zeros[block]); ++block)
    rank -= static_cast<std::uint32_t>(scratch.zeros[block]);
  return find_in_block(block * kRowBlock, rows.count, rank, [&](std::int32_t j) { return rows.is_coarse(j, p); });
}

/// The positives from p on to the nearest, where none has a nearer row of similarity 0: their fine negatives are among them.
Rows last_positives(const Rows& rows, const Rough* rough, Place p, const Scratch& scratch) {
  std::int32_t n = 0;
  for (std::int32_t j = 0; j < rows.count; ++j) {
    scratch.last[n] = j;
    n += static_cast<std::int32_t>((rows.kind[j] > 0) & (rows.nearer(j, p) | (j == p.row)));
  }
  if (rough && n > 1) rough->refine(scratch.last, n, rows.order, scratch.exact);
  for (std::int32_t k = 0; k < n; ++k) {
    scratch.last_order[k] = rows.order[scratch.last[k]];
    scratch.last_kind[k] = rows.kind[scratch.last[k]];
  }
  return {scratch.last_order, scratch.last_kind, n};
}

/// Fills scratch.keys with the places of these rows from the nearest to the farthest; row_of() reads them.
void sort_by_place(const Rows& rows, const Scratch& scratch) {
  for (std::int32_t j = 0; j < rows.count; ++j) {
    const std::uint32_t order = static_cast<std::uint32_t>(rows.order[j]) ^ 0x80000000u;
    scratch.keys[j] = (static_cast<std::uint64_t>(order) << 32) | static_cast<std::uint32_t>(j);
  }
  std::sort(scratch.keys, scratch.keys + rows.count);
}

std::int32_t row_of(std::uint64_t key) { return static_cast<std::int32_t>(key & 0xffffffffu); }

/// Calls positive(p, nearer) for the positives to walk that have nearer rows of similarity 0, then last(p) if others follow.
template <class Positive, class Last>
void walk(const MultilabelSemihardArgs& args, const Rows& rows, const Rough* rough, const Scratch& scratch,
          const Positive& positive, const Last& last) {
  std::int64_t triplets = 0;
  Place p{kBehindAll, rows.count};
  while ((p = farthest_positive(rows, rough, p, scratch)).row >= 0) {
    const Nearer nearer = count_nearer(rows, p, scratch);
    if (nearer.zero == 0) return last(p);
    positive(p, nearer);
    triplets += nearer.fine + coarse_draws(args, nearer.zero);
    if (triplets >= args.max_trips_per_anchor) return;
  }
}

/// The pairs of these rows whose nearer one is less similar to the anchor.
std::int64_t count_fine_pairs(const Rows& rows, const Scratch& scratch) {
  sort_by_place(rows, scratch);
  for (std::int32_t k = 0; k < rows.count; ++k) scratch.listed[k] = rows.kind[row_of(scratch.keys[k])];
  std::int64_t pairs = 0;
  for (std::int32_t k = 0; k < rows.count; ++k) {
    const std::int32_t limit = scratch.listed[k];
    if (limit > 1) pairs += count_rows(0, k, [&](std::int32_t l) { return scratch.listed[l] < limit; });
  }
  return pairs;
}

std::int64_t count_triplets(const MultilabelSemihardArgs& args, const Rows& rows, const Rough* rough, const Scratch& scratch) {
  std::int64_t total = 0;
  walk(
      args, rows, rough, scratch, [&](Place, Nearer nearer) { total += nearer.fine + coarse_draws(args, nearer.zero); },
      [&](Place p) { total += count_fine_pairs(last_positives(rows, rough, p, scratch), scratch); });
  return total;
}

/// Places of the output for one anchor's triplets. Those behind the end are counted only.
struct Output {
  std::int32_t* triplets;
  std::int64_t anchor;
  std::int64_t next, end;

  void write(std::int32_t positive, std::int32_t negative) {
    if (next < end) {
      std::int32_t* triplet = triplets + 3 * next;
      triplet[0] = static_cast<std::int32_t>(anchor);
      triplet[1] = positive;
      triplet[2] = negative;
    }
    ++next;
  }
};

/// Returns how many triplets the anchor yields.
std::int64_t write_triplets(const MultilabelSemihardArgs& args, const Rows& rows, const Rough* rough, const Scratch& scratch,
                            Output output) {
  const std::int64_t begin = output.next;
  std::int64_t drawn = 0;
  walk(
      args, rows, rough, scratch,
      [&](Place p, Nearer nearer) {
        const std::int64_t fine = nearer.fine > 0 ? list_fine(rows, p, scratch.listed) : 0;
        for (std::int64_t k = 0; k < fine; ++k) output.write(p.row, scratch.listed[k]);
        for (std::int64_t k = 0; k < coarse_draws(args, nearer.zero); ++k) {
          const std::uint32_t rank = coarse_rank(args, output.anchor, drawn++, nearer.zero);
          output.write(p.row, find_coarse(rows, p, rank, scratch));
        }
      },
      [&](Place p) {
        const Rows last = last_positives(rows, rough, p, scratch);
        sort_by_place(last, scratch);
        for (std::int32_t k = last.count - 1; k >= 0; --k) {
          const std::int32_t positive = row_of(scratch.keys[k]);
          const std::int64_t fine = list_fine(last, last.place(positive), scratch.listed);
          for (std::int64_t n = 0; n < fine; ++n) output.write(scratch.last[positive], scratch.last[scratch.listed[n]]);
        }
      });
  return output.next - begin;
}

/// Rows up to a whole line of the cache, of any list in the scratch memory.
std::int64_t lines_of(std::int64_t rows) { return (rows + 15) / 16 * 16; }

/// How the anchors and the output are cut into tasks, each with scratch memory of its own.
struct Plan {
  const MultilabelSemihardArgs& args;  // with distances
  std::int64_t used, tasks;
  unsigned char* scratch;

  std::int64_t anchor(std::int64_t task) const { return used * task / tasks; }           // its first
  std::int64_t output(std::int64_t task) const { return args.capacity * task / tasks; }  // its first place

  Scratch scratch_of(std::int64_t task) const {
    const std::int64_t rows = lines_of(args.rows);
    auto* keys = reinterpret_cast<std::uint64_t*>(scratch + task * rows * kScratchBytes);
    auto* lists = reinterpret_cast<std::int32_t*>(keys + rows);
    return {keys,
            lists,
            lists + rows,
            lists + 2 * rows,
            lists + 3 * rows,
            lists + 4 * rows,
            lists + 5 * rows,
            lists + 6 * rows,
            reinterpret_cast<float*>(lists + 7 * rows)};
  }

  /// Calls body(task, scratch) for all tasks, in parallel.
  template <class Body>
  void run(const Body& body) const {
    parallel_for(
        tasks, [&](std::int64_t task) { body(task, scratch_of(task)); }, serial_below_for(used * used / tasks));
  }
};

std::int64_t tasks_of(std::int64_t rows) { return std::clamp<std::int64_t>(rows / kAnchors, 1, kTasks); }

/// Of the places where the anchors' triplets begin.
std::int64_t first_bytes(std::int64_t rows) { return lines_of(rows + 1) * static_cast<std::int64_t>(sizeof(std::int64_t)); }

/// Counts every anchor's triplets. A task also writes those of its anchors into its part of the output, while there is room.
/// False, with nothing of use, where so many rough distances (`error` > 0) had to be made exact that all at once are faster.
bool stage(const Plan& plan, const RoughDistanceArgs& distances, double error, std::int64_t* counts) {
  const MultilabelSemihardArgs& args = plan.args;
  const std::int64_t allowed = std::max<std::int64_t>(8, plan.used / 64);  // exact distances of an anchor, on average
  std::atomic<bool> worth_it{true};
  plan.run([&](std::int64_t task, const Scratch& scratch) {
    Output output{args.triplets, 0, plan.output(task), plan.output(task + 1)};
    std::int64_t taken = 0, budget = 4 * allowed;
    for (std::int64_t i = plan.anchor(task); i < plan.anchor(task + 1) && worth_it; ++i) {
      counts[i] = 0;
      if (args.label_count[i] <= 0) continue;
      const Rows rows = look_from(args, i, plan.used, scratch);
      const Rough rough{distances, error, i, taken};
      const Rough* source = error > 0 ? &rough : nullptr;
      output.anchor = i;
      counts[i] = output.next < output.end ? write_triplets(args, rows, source, scratch, output)
                                           : count_triplets(args, rows, source, scratch);
      output.next += counts[i];
      budget += allowed;
      if (taken > budget) worth_it = false;
    }
  });
  return worth_it;
}

/// Moves what all tasks have staged to where it belongs, which is never behind it. False where a task lacked the room.
bool close_gaps(const Plan& plan, const std::int64_t* first) {
  const auto count = [&](std::int64_t task) { return first[plan.anchor(task + 1)] - first[plan.anchor(task)]; };
  for (std::int64_t task = 0; task < plan.tasks; ++task) {
    if (count(task) > plan.output(task + 1) - plan.output(task)) return false;
  }
  for (std::int64_t task = 0; task < plan.tasks; ++task) {
    const std::int32_t* staged = plan.args.triplets + 3 * plan.output(task);
    std::copy_n(staged, 3 * count(task), plan.args.triplets + 3 * first[plan.anchor(task)]);
  }
  return true;
}

/// Writes every anchor's triplets where they belong, as far as there is room.
void write_again(const Plan& plan, const RoughDistanceArgs& distances, double error, const std::int64_t* first) {
  const MultilabelSemihardArgs& args = plan.args;
  plan.run([&](std::int64_t task, const Scratch& scratch) {
    std::int64_t taken = 0;
    for (std::int64_t i = plan.anchor(task); i < plan.anchor(task + 1); ++i) {
      const Output output{args.triplets, i, first[i], std::min(first[i + 1], args.capacity)};
      const Rough rough{distances, error, i, taken};
      if (output.next < output.end)
        write_triplets(args, look_from(args, i, plan.used, scratch), error > 0 ? &rough : nullptr, scratch, output);
    }
  });
}

}  // namespace

std::size_t multilabel_semihard_list_bytes(const MultilabelSemihardArgs& args) {
  return static_cast<std::size_t>(first_bytes(args.rows) + tasks_of(args.rows) * lines_of(args.rows) * kScratchBytes);
}

std::size_t multilabel_semihard_workspace(const MultilabelSemihardArgs& args) {
  const std::size_t lists = multilabel_semihard_list_bytes(args);
  if (args.distance) return lists;
  const auto distances = static_cast<std::size_t>(lines_of(args.rows * args.rows)) * sizeof(float);
  return lists + distances + rough_distance_workspace({.rows = args.rows, .cols = args.cols});
}

void multilabel_semihard(const MultilabelSemihardArgs& given, Cpu exec) {
  MultilabelSemihardArgs args = given;
  auto* first = static_cast<std::int64_t*>(args.workspace);  // rows + 1: where an anchor's triplets begin
  RoughDistanceArgs distances{.x = args.x, .rows = args.rows, .cols = args.cols, .x_ld = args.x_ld};
  double error = 0;
  const auto take_exact = [&] {
    pairwise_distance({.x = args.x, .distance = distances.distance, .rows = args.rows, .cols = args.cols, .x_ld = args.x_ld},
                      exec);
  };
  if (!given.distance) {
    auto* matrix = static_cast<unsigned char*>(args.workspace) + multilabel_semihard_list_bytes(args);
    args.distance = distances.distance = reinterpret_cast<float*>(matrix);
    distances.workspace = distances.distance + lines_of(args.rows * args.rows);
    error = rough_distance(distances, exec);
    if (error == 0) take_exact();
  }
  const Plan plan{args, rows_in_use(args.row_count, args.rows), tasks_of(args.rows),
                  static_cast<unsigned char*>(args.workspace) + first_bytes(args.rows)};
  if (!stage(plan, distances, error, first)) {
    take_exact();
    error = 0;
    stage(plan, distances, error, first);
  }
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < plan.used; ++i) total += std::exchange(first[i], total);
  first[plan.used] = total;
  if (!close_gaps(plan, first)) write_again(plan, distances, error, first);
  const std::int64_t count = std::min(total, args.capacity);
  parallel_chunks(3 * (args.capacity - count), kFill, [&](std::int64_t begin, std::int64_t end) {
    std::fill(args.triplets + 3 * count + begin, args.triplets + 3 * count + end, -1);
  });
  *args.triplet_count = static_cast<std::int32_t>(count);
  *args.dropped = static_cast<std::int32_t>(std::min<std::int64_t>(total - count, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace swath::kernels
