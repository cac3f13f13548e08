// Semihard triplets of multi-hot rows, on the CPU: spans of anchors write into parts of the output, which are then moved
// together; where a part was too small, all is written once more at its place. methods.md §5.
#include "kernels/multilabel_semihard.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

#include "kernels/multilabel_semihard_draw.h"
#include "kernels/parallel.h"
#include "kernels/row_search.h"

namespace swath::kernels {
namespace {

constexpr std::int64_t kFill = 65536;  // numbers of the unused output that a task fills
constexpr std::int64_t kTasks = 64;    // at most
constexpr std::int64_t kAnchors = 16;  // of a task at least

/// What a task works with; room for all rows in each.
struct Scratch {
  std::uint64_t* keys;  // the order of an anchor's last positives
  std::int32_t* order;  // of all rows
  std::int32_t* kind;   // of all rows
  std::int32_t* last;   // the last positives, ascending
  std::int32_t* last_order;
  std::int32_t* last_kind;
  std::int32_t* listed;  // what was last asked for
};
constexpr std::int64_t kScratchBytes = sizeof(std::uint64_t) + 6 * sizeof(std::int32_t);  // a row

/// Where a row stands in an anchor's order.
struct Place {
  std::int32_t order;
  std::int32_t row;
};

/// An anchor's rows, or some of them. Distances are ≥ 0, so their bits compare as they do.
struct Rows {
  const std::int32_t* order;  // the bits of the distance
  const std::int32_t* kind;   // the similarity to the anchor; −1: takes no part
  std::int32_t count;

  Place place(std::int32_t j) const { return {order[j], j}; }
  bool nearer(std::int32_t j, Place p) const { return (order[j] < p.order) | ((order[j] == p.order) & (j < p.row)); }
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
  for (std::int64_t j = 0; j < used; ++j) {
    scratch.order[j] = std::bit_cast<std::int32_t>(distance[j]);
    scratch.kind[j] = args.label_count[j] > 0 ? static_cast<std::int32_t>(similarity[j]) : -1;
  }
  scratch.kind[i] = -1;
  return {scratch.order, scratch.kind, static_cast<std::int32_t>(used)};
}

/// The farthest positive that is nearer than `before`; row −1 if there is none.
Place farthest_positive(const Rows& rows, Place before) {
  constexpr std::int32_t kNone = std::numeric_limits<std::int32_t>::min();
  std::int32_t order = kNone, row = -1;
  for (std::int32_t j = 0; j < rows.count; ++j) {
    // All bits or none, where a conditional would become branches.
    const std::int32_t admitted = -static_cast<std::int32_t>((rows.kind[j] > 0) & rows.nearer(j, before));
    order = std::max(order, (rows.order[j] & admitted) | (kNone & ~admitted));
  }
  for (std::int32_t j = 0; j < rows.count; ++j) {
    const bool last = (rows.kind[j] > 0) & (rows.order[j] == order) & rows.nearer(j, before);
    row = last ? j : row;
  }
  return {order, row};
}

Nearer count_nearer(const Rows& rows, Place p) {
  const std::int32_t limit = rows.kind[p.row];
  Nearer count{0, 0};
  for (std::int32_t j = 0; j < rows.count; ++j) {
    const std::uint32_t nearer = rows.nearer(j, p) ? 1 : 0;
    count.fine += nearer & static_cast<std::uint32_t>((rows.kind[j] > 0) & (rows.kind[j] < limit));
    count.zero += nearer & static_cast<std::uint32_t>(rows.kind[j] == 0);
  }
  return count;
}

/// The fine negatives of p in ascending order: flagged by vector code, then read eight at a time.
std::int64_t list_fine(const Rows& rows, Place p, std::int32_t* listed) {
  static_assert(std::endian::native == std::endian::little);
  constexpr std::int32_t kBlock = 128;
  const std::int32_t limit = rows.kind[p.row];
  if (limit == 1) return 0;
  std::int64_t n = 0;
  for (std::int32_t begin = 0; begin < rows.count; begin += kBlock) {
    std::uint8_t flags[kBlock] = {};
    const std::int32_t count = std::min(kBlock, rows.count - begin);
    for (std::int32_t j = 0; j < count; ++j) flags[j] = rows.is_fine(begin + j, p, limit) ? 1 : 0;
    for (std::int32_t j = 0; j < count; j += 8) {
      std::uint64_t eight;
      std::memcpy(&eight, flags + j, sizeof eight);
      for (; eight != 0; eight &= eight - 1) listed[n++] = begin + j + std::countr_zero(eight) / 8;
    }
  }
  return n;
}

/// The positives from p on to the nearest, where none has a nearer row of similarity 0: their fine negatives are among them.
Rows last_positives(const Rows& rows, Place p, const Scratch& scratch) {
  std::int32_t n = 0;
  for (std::int32_t j = 0; j < rows.count; ++j) {
    scratch.last[n] = j;
    scratch.last_order[n] = rows.order[j];
    scratch.last_kind[n] = rows.kind[j];
    n += static_cast<std::int32_t>((rows.kind[j] > 0) & (rows.nearer(j, p) | (j == p.row)));
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
void walk(const MultilabelSemihardArgs& args, const Rows& rows, const Positive& positive, const Last& last) {
  std::int64_t triplets = 0;
  Place p{std::numeric_limits<std::int32_t>::max(), rows.count};
  while ((p = farthest_positive(rows, p)).row >= 0) {
    const Nearer nearer = count_nearer(rows, p);
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

std::int64_t count_triplets(const MultilabelSemihardArgs& args, const Rows& rows, const Scratch& scratch) {
  std::int64_t total = 0;
  walk(
      args, rows, [&](Place, Nearer nearer) { total += nearer.fine + coarse_draws(args, nearer.zero); },
      [&](Place p) { total += count_fine_pairs(last_positives(rows, p, scratch), scratch); });
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
std::int64_t write_triplets(const MultilabelSemihardArgs& args, const Rows& rows, const Scratch& scratch, Output output) {
  const std::int64_t begin = output.next;
  std::int64_t drawn = 0;
  walk(
      args, rows,
      [&](Place p, Nearer nearer) {
        const std::int64_t fine = nearer.fine > 0 ? list_fine(rows, p, scratch.listed) : 0;
        for (std::int64_t k = 0; k < fine; ++k) output.write(p.row, scratch.listed[k]);
        for (std::int64_t k = 0; k < coarse_draws(args, nearer.zero); ++k) {
          const std::uint32_t rank = coarse_rank(args, output.anchor, drawn++, nearer.zero);
          output.write(p.row, find_row(rows.count, rank, [&](std::int32_t j) { return rows.is_coarse(j, p); }));
        }
      },
      [&](Place p) {
        const Rows last = last_positives(rows, p, scratch);
        sort_by_place(last, scratch);
        for (std::int32_t k = last.count - 1; k >= 0; --k) {
          const std::int32_t positive = row_of(scratch.keys[k]);
          const std::int64_t fine = list_fine(last, last.place(positive), scratch.listed);
          for (std::int64_t n = 0; n < fine; ++n) output.write(scratch.last[positive], scratch.last[scratch.listed[n]]);
        }
      });
  return output.next - begin;
}

/// How the anchors and the output are cut into tasks, each with scratch memory of its own.
struct Plan {
  const MultilabelSemihardArgs& args;
  std::int64_t used, tasks;
  unsigned char* scratch;

  std::int64_t anchor(std::int64_t task) const { return used * task / tasks; }           // its first
  std::int64_t output(std::int64_t task) const { return args.capacity * task / tasks; }  // its first place

  Scratch scratch_of(std::int64_t task) const {
    const std::int64_t rows = args.rows;
    auto* keys = reinterpret_cast<std::uint64_t*>(scratch + task * rows * kScratchBytes);
    auto* lists = reinterpret_cast<std::int32_t*>(keys + rows);
    return {keys, lists, lists + rows, lists + 2 * rows, lists + 3 * rows, lists + 4 * rows, lists + 5 * rows};
  }

  /// Calls body(task, scratch) for all tasks, in parallel.
  template <class Body>
  void run(const Body& body) const {
    parallel_for(
        tasks, [&](std::int64_t task) { body(task, scratch_of(task)); }, serial_below_for(used * used / tasks));
  }
};

std::int64_t tasks_of(std::int64_t rows) { return std::clamp<std::int64_t>(rows / kAnchors, 1, kTasks); }

/// Counts every anchor's triplets. A task also writes those of its anchors into its part of the output, while there is room.
void stage(const Plan& plan, std::int64_t* counts) {
  const MultilabelSemihardArgs& args = plan.args;
  plan.run([&](std::int64_t task, const Scratch& scratch) {
    Output output{args.triplets, 0, plan.output(task), plan.output(task + 1)};
    for (std::int64_t i = plan.anchor(task); i < plan.anchor(task + 1); ++i) {
      counts[i] = 0;
      if (args.label_count[i] <= 0) continue;
      const Rows rows = look_from(args, i, plan.used, scratch);
      output.anchor = i;
      counts[i] = output.next < output.end ? write_triplets(args, rows, scratch, output) : count_triplets(args, rows, scratch);
      output.next += counts[i];
    }
  });
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
void write_again(const Plan& plan, const std::int64_t* first) {
  const MultilabelSemihardArgs& args = plan.args;
  plan.run([&](std::int64_t task, const Scratch& scratch) {
    for (std::int64_t i = plan.anchor(task); i < plan.anchor(task + 1); ++i) {
      const Output output{args.triplets, i, first[i], std::min(first[i + 1], args.capacity)};
      if (output.next < output.end) write_triplets(args, look_from(args, i, plan.used, scratch), scratch, output);
    }
  });
}

}  // namespace

std::size_t multilabel_semihard_workspace(const MultilabelSemihardArgs& args) {
  return (static_cast<std::size_t>(args.rows) + 1) * sizeof(std::int64_t) +
         static_cast<std::size_t>(tasks_of(args.rows) * args.rows * kScratchBytes);
}

void multilabel_semihard(const MultilabelSemihardArgs& args, Cpu) {
  auto* first = static_cast<std::int64_t*>(args.workspace);  // rows + 1: where an anchor's triplets begin
  const Plan plan{args, rows_in_use(args.row_count, args.rows), tasks_of(args.rows),
                  reinterpret_cast<unsigned char*>(first + args.rows + 1)};
  stage(plan, first);
  std::int64_t total = 0;
  for (std::int64_t i = 0; i < plan.used; ++i) total += std::exchange(first[i], total);
  first[plan.used] = total;
  if (!close_gaps(plan, first)) write_again(plan, first);
  const std::int64_t count = std::min(total, args.capacity);
  parallel_chunks(3 * (args.capacity - count), kFill, [&](std::int64_t begin, std::int64_t end) {
    std::fill(args.triplets + 3 * count + begin, args.triplets + 3 * count + end, -1);
  });
  *args.triplet_count = static_cast<std::int32_t>(count);
  *args.dropped = static_cast<std::int32_t>(std::min<std::int64_t>(total - count, std::numeric_limits<std::int32_t>::max()));
}

}  // namespace swath::kernels
